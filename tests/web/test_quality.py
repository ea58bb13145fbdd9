"""Quality by day as a chart: the week's means, and the weight of a year."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta

import pytest

from mainspring.operate.status import CycleRow, QualityRow
from mainspring.web.quality import quality_chart, volume_chart, week_loss

FIRST = date(2013, 1, 1)


def row(
    day: int, loss: float | None, *, version: int = 1, labelled: int = 100, share: float = 0.25
) -> QualityRow:
    return QualityRow(
        day=FIRST + timedelta(days=day),
        version=version,
        predictions=120,
        labelled=0 if loss is None else labelled,
        positive_rate=None if loss is None else share,
        metric="log_loss",
        loss=loss,
        losses={} if loss is None else {"log_loss": loss, "brier": loss / 3},
    )


def promoted(version: int, day: int) -> CycleRow:
    at = datetime(2013, 1, 1, 12, tzinfo=UTC) + timedelta(days=day)
    return CycleRow(
        cycle_id="c",
        product="p",
        number=version,
        trigger="on_demand",
        evidence="",
        actor="ada",
        opened_at=at,
        state="closed",
        data=[],
        params={},
        version=version,
        verdict="",
        outcome="promoted",
        reason="",
        closed_at=at,
        seconds=None,
    )


def test_the_mean_of_a_week_counts_labels_not_days() -> None:
    rows = [row(0, 9.0), row(7, 0.2, labelled=300), row(8, 0.6, version=2), row(9, None)]
    assert week_loss(rows) == pytest.approx((300 * 0.2 + 100 * 0.6) / 400)


def test_there_is_no_figure_and_no_chart_before_the_first_label() -> None:
    assert week_loss([row(0, None)]) is None
    assert quality_chart([row(0, None)], []) == ""
    assert week_loss([]) is None
    assert quality_chart([], []) == volume_chart([]) == ""


def test_promotions_are_marked_and_versions_are_told_apart() -> None:
    drawn = quality_chart([row(day, 0.5, version=1 + day // 5) for day in range(10)], [promoted(2, 5)])
    assert ">v2</text>" in drawn
    assert "2013-01-06\nv2 0.500\n7 days 0.500\nv2 promoted" in drawn
    assert "knowing only the week's base rate" in drawn.replace("&#x27;", "'")


def test_a_week_of_one_outcome_alone_has_a_base_rate_that_loses_nothing() -> None:
    assert quality_chart([row(0, 0.1, share=0.0), row(1, 0.1, share=1.0)], []).startswith("<svg")


def test_a_year_with_twenty_versions_stays_light() -> None:
    rows = [row(day, 0.4 + 0.1 * math.sin(day), version=1 + day // 18) for day in range(365)]
    marks = [promoted(1 + day // 18, day) for day in range(18, 365, 18)]
    charts = [
        quality_chart(rows, marks, width=width) + volume_chart(rows, width=width) for width in (860, 400)
    ]
    assert sum(map(len, charts)) < 70_000
