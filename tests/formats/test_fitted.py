from __future__ import annotations

import pytest

import mainspring as ms
from mainspring.formats.fitted import BadFit


def test_every_fault_of_a_fit_is_told_at_once() -> None:
    with pytest.raises(BadFit) as caught:
        ms.Fitted(model=None, inputs=("a", "a", "b"), encodings={"b": ("x", "x", ""), "c": ("y",)})
    where = [fault.where for fault in caught.value.faults]
    assert where == ["inputs, a", "encodings, b", "encodings, b", "encodings, c"]


def test_a_model_without_inputs_is_refused() -> None:
    with pytest.raises(BadFit, match="there are none"):
        ms.Fitted(model=None, inputs=())
