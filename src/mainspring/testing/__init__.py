"""What tests of stores share: one contract per store Protocol, for ours and for those of others.

A test module inherits a contract and gives the store; everything that the Protocol promises is then tested on it. The
contracts need pytest.
"""

import pytest

# Before their first import, so that a failed assertion shows its values as one in a test module does.
pytest.register_assert_rewrite("mainspring.testing.contracts")
