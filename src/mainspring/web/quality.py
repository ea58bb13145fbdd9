"""The quality of a product by day, as charts."""

from __future__ import annotations

__all__ = ["loss_name", "metric_name", "quality_chart", "volume_chart", "week_loss"]

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

from mainspring.web.chart import Kind, Mark, Series, day_chart

if TYPE_CHECKING:
    from mainspring.operate.status import CycleRow, QualityRow

_WEEK = 7


def quality_chart(rows: Sequence[QualityRow], cycles: Sequence[CycleRow], *, width: int = 860) -> str:
    """Draw the usual loss by day, with promotions marked; an empty text before the first label."""
    by_version: dict[int, list[tuple[date, float | None]]] = defaultdict(list)
    for row in rows:
        by_version[row.version].append((row.day, row.loss))
    series = [
        *(
            Series(name=f"v{version}", days=days, kind=Kind.DOTS, tone=version - 1, key="a day, by version")
            for version, days in by_version.items()
        ),
        *(
            [
                Series(
                    name="",
                    days=_weekly(rows, _entropy),
                    kind=Kind.DASHED,
                    tone=7,
                    key="knowing only the week's base rate",
                )
            ]
            if any(row.positive_rate is not None for row in rows)
            else []
        ),
        Series(name="7 days", days=_weekly(rows, _mean_loss), key="mean of 7 days"),
    ]
    marks = [
        Mark(
            day=cycle.closed_at.date(),
            label=f"v{cycle.version}",
            title=f"v{cycle.version} promoted",
            tone=cycle.version - 1,
        )
        for cycle in cycles
        if cycle.outcome == "promoted" and cycle.closed_at and cycle.version
    ]
    narrow = width < 600
    return day_chart(
        series,
        title=f"{loss_name(rows)} by day",
        marks=marks,
        width=width,
        height=280 if narrow else 300,
        tooltips=not narrow,
    )


def loss_name(rows: Sequence[QualityRow]) -> str:
    """Name the usual loss, as the beginning of a sentence."""
    return metric_name(rows[0].metric) if rows else ""


def metric_name(metric: str, *, within: bool = False) -> str:
    """Name a metric as people write it, at the beginning of a sentence or within one.

    Examples
    --------
    >>> metric_name("log_loss"), metric_name("log_loss", within=True), metric_name("mae", within=True)
    ('Log loss', 'log loss', 'MAE')
    """
    if "_" not in metric and len(metric) <= 4:
        return metric.upper()
    words = metric.replace("_", " ")
    return words if within else words[:1].upper() + words[1:]


def volume_chart(rows: Sequence[QualityRow], *, width: int = 860) -> str:
    """Draw how many predictions were asked each day, and of how many the label is known."""
    asked: dict[date, int] = defaultdict(int)
    labelled: dict[date, int] = defaultdict(int)
    for row in rows:
        asked[row.day] += row.predictions
        labelled[row.day] += row.labelled
    return day_chart(
        [
            Series(name="predictions", days=sorted(asked.items()), key="predictions", tone=0),
            Series(name="labels", days=sorted(labelled.items()), key="of which with a label", tone=4),
        ],
        title="Predictions and labels by day",
        width=width,
        height=160,
        tooltips=False,
    )


def week_loss(rows: Sequence[QualityRow]) -> float | None:
    """Mean of the usual loss over the newest 7 days that have labels."""
    known = [row for row in rows if row.labelled]
    if not known:
        return None
    newest = max(row.day for row in known)
    return _mean_loss([row for row in known if row.day > newest - timedelta(days=_WEEK)])


def _weekly(
    rows: Sequence[QualityRow], of: Callable[[list[QualityRow]], float | None]
) -> list[tuple[date, float | None]]:
    """A figure of each day's week: the day and the six before it."""
    by_day: dict[date, list[QualityRow]] = defaultdict(list)
    for row in rows:
        if row.labelled:
            by_day[row.day].append(row)
    return [
        (day, of([row for back in range(_WEEK) for row in by_day.get(day - timedelta(days=back), ())]))
        for day in sorted(by_day)
    ]


def _mean_loss(rows: list[QualityRow]) -> float | None:
    labelled = sum(row.labelled for row in rows)
    return math.fsum((row.loss or 0.0) * row.labelled for row in rows) / labelled if labelled else None


def _entropy(rows: list[QualityRow]) -> float | None:
    """Log loss, in nats, of always answering with the share of positives."""
    labelled = sum(row.labelled for row in rows)
    share = (
        math.fsum((row.positive_rate or 0.0) * row.labelled for row in rows) / labelled if labelled else 0.0
    )
    if not 0 < share < 1:
        return 0.0
    return -share * math.log(share) - (1 - share) * math.log1p(-share)
