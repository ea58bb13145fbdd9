"""What looks back at labels takes the same ones for outcomes as what counts them when they come."""

from __future__ import annotations

import math

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.loop.known import SPEC

from mainspring.operate.ingest import fits
from mainspring.operate.log_table import label_text, outcome
from mainspring.product import ColumnSpec, ProductSpec
from mainspring.task import BinaryClassification, Regression, Task, counted_losses

# A text that reads as a number is that number in the labels' table.
values = (
    st.booleans()
    | st.integers(-3, 3)
    | st.floats(-1e6, 1e6, allow_nan=False)
    | st.sampled_from(["late", "true", ""])
)


def product(dtype: str, task: Task) -> ProductSpec:
    data = msgspec.structs.replace(SPEC.data, columns=(ColumnSpec(task.label, dtype, nullable=True),))
    return msgspec.structs.replace(SPEC, data=data, task=task)


@given(
    st.lists(values, min_size=1, max_size=12),
    st.sampled_from(["BOOL", "INT64", "INT32", "FP64", "BYTES"]),
    st.sampled_from(
        [BinaryClassification("y", True), BinaryClassification("y", "late"), Regression("y", low=-2, high=5)]
    ),
)
def test_a_label_is_an_outcome_of_the_table_when_it_counts_as_one_and_then_the_same(
    labels: list[bool | int | float | str], dtype: str, task: Task
) -> None:
    if isinstance(task, Regression) and dtype == "BYTES":
        return  # the declaration refuses that
    spec = product(dtype, task)
    known = [each for each in labels if not (dtype == "BYTES" and not isinstance(each, str))]
    table = pl.DataFrame({"value": [label_text(each) for each in known]}, schema={"value": pl.String})
    expected = [task.outcome(each) if fits(each, spec) else None for each in known]
    assert table.select(outcome(spec)).to_series().to_list() == expected


numbers = st.floats(-1e3, 1e3, allow_nan=False)


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=20))
def test_losses_of_many_rows_are_those_of_each(rows: list[tuple[float, float]]) -> None:
    import numpy as np

    task = Regression("y", low=-100, high=250)
    answers, truths = (np.array(each) for each in zip(*rows, strict=True))
    for name in task.losses:
        together = counted_losses(task, name, answers, truths)
        alone = [task.row_losses(answer, truth)[name] for answer, truth in rows]
        assert together.tolist() == pytest.approx(alone)
        assert together.min() >= 0 and together.max() <= task.span(name)  # noqa: PT018


@given(st.floats(0, 1), st.booleans())
def test_of_a_probability_a_loss_counts_up_to_its_span(answer: float, came: bool) -> None:
    import numpy as np

    task = BinaryClassification("y")
    for name in task.losses:
        [counted] = counted_losses(task, name, np.array([answer]), np.array([float(came)]))
        assert counted == pytest.approx(
            min(task.row_losses(answer, float(came))[name], task.span(name)), abs=1e-9
        )


def test_what_is_not_known_has_no_loss() -> None:
    import numpy as np

    for task in (BinaryClassification("y"), Regression("y", low=0, high=1)):
        for name in task.losses:
            found = counted_losses(task, name, np.array([0.5, math.nan]), np.array([math.nan, 1.0]))
            assert np.isnan(found).all()
