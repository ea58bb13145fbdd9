"""Runs side by side, and curves that are thinned."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mainspring.tracking.compare import Difference, compare, thin
from mainspring.tracking.record import Dataset, DatasetInput, Metric, Run

RUN = Run(run_id="a", experiment_id=0, name="first", started_ms=1, artifact_uri="x")


def test_what_two_runs_have_is_told_by_kind_and_name() -> None:
    data = DatasetInput(dataset=Dataset(name="flights", digest="1", source_type="s", source="x"))
    first = replace(
        RUN,
        params={"depth": "3", "same": "1"},
        metrics=(Metric(key="auc", value=0.9, timestamp_ms=1),),
        datasets=(data,),
        tags={"mainspring.code": "c1", "mlflow.runName": "first", "team": "a"},
    )
    second = replace(RUN, params={"depth": "4", "same": "1", "eta": "0.1"}, tags={"mainspring.code": "c2"})
    assert compare(first, second) == (
        Difference("param", "depth", ("3", "4")),
        Difference("param", "eta", (None, "0.1")),
        Difference("param", "same", ("1", "1")),
        Difference("metric", "auc", (0.9, None)),
        Difference("data", "flights", ("1", None)),
        Difference("code", "mainspring.code", ("c1", "c2")),
        Difference("tag", "team", ("a", None)),
    )
    assert [each.name for each in compare(first, second) if not each.differs] == ["same"]


def test_a_run_differs_from_itself_in_nothing() -> None:
    run = replace(RUN, params={"a": "1"}, tags={"t": "x"})
    assert not any(each.differs for each in compare(run, run))


@given(st.lists(st.floats(-9, 9) | st.just(float("nan")), min_size=1, max_size=300), st.integers(4, 40))
def test_a_thinned_curve_has_the_ends_and_the_extremes(values: list[float], most: int) -> None:
    points = [Metric(key="m", value=value, timestamp_ms=n, step=n) for n, value in enumerate(values)]
    kept = thin(points, most)
    assert len(kept) <= max(most, 4)
    assert [point.step for point in kept] == sorted({point.step for point in kept})
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    numbers = [value for value in values if value == value]
    if numbers:
        shown = [point.value for point in kept if point.value == point.value]
        assert (min(shown), max(shown)) == (min(numbers), max(numbers))
