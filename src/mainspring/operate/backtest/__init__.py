"""Backtests: what a policy would have done with the recorded history of a product, by turning the real loop again.

A backtest makes a workspace of its own beside the recorded one, of which it changes nothing. There time is driven from
one recorded turn to the next. What was asked is answered by the versions that the policy has made, labels come when
they came, and the loop that turns is the very one that turned then. So a policy is judged by models that it would have
had, and the policy that was in force does again what it did.
"""

from __future__ import annotations

__all__ = ["Backtest", "CycleOfReplay", "Found", "PolicyResult", "Week", "backtest"]

from mainspring.operate.backtest.compare import Backtest, CycleOfReplay, Found, PolicyResult, Week
from mainspring.operate.backtest.run import backtest
