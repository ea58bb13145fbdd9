"""A rollout's report as a page, and as one file that needs nothing else."""

from __future__ import annotations

__all__ = ["report_html", "shown_of"]

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from mainspring.rollouts.comparison import latency_of
from mainspring.web.chart import STYLE, Kind, Series, day_chart
from mainspring.web.comparison_chart import Curve, IntervalRow, curve_chart, interval_chart
from mainspring.web.environment import make_environment
from mainspring.web.quality import loss_name

if TYPE_CHECKING:
    from mainspring.operate.report import RolloutReport, StepRow

_WIDE, _NARROW = 860, 400
_COMPARED = ("split", "switched")
_BINS = 20


def shown_of(report: RolloutReport) -> dict[str, Any]:
    """What the templates show of a report: itself, and its charts, each wide and narrow."""
    compared = [step for step in report.steps if step.mode in _COMPARED]
    last = compared[-1] if compared else None
    charts: dict[str, list[Markup]] = {}
    if last is not None:
        charts = {
            "differences": _both(
                lambda width: interval_chart(_rows(last), title="Differences, with intervals", width=width)
            ),
            "latencies": _both(
                lambda width: curve_chart(
                    _curves({arm.version: arm.latencies for arm in last.arms}, latency_of),
                    title="Share of calls that took at most so long, by version",
                    axis="milliseconds",
                    logarithmic=True,
                    number="{:.3g}".format,
                    width=width,
                )
            ),
            "answers": _both(
                lambda width: curve_chart(
                    _curves({arm.version: arm.outputs for arm in last.arms}, lambda each: (each + 1) / _BINS),
                    title="Share of answers that are at most so great, by version",
                    axis="answered probability, or share of the range of numbers",
                    width=width,
                )
            ),
        }
    charts["days"] = _both(lambda width: _days(report, width))
    return {
        "report": report,
        "last": last,
        "charts": {name: pair for name, pair in charts.items() if pair[0]},
        "slices": [row for row in last.differences if row.slice] if last else [],
    }


def report_html(report: RolloutReport) -> str:
    """Render a report as one HTML file: no script, nothing to fetch, and the style of the pages within."""
    style = files("mainspring.web.assets").joinpath("style.css").read_text() + STYLE
    shown = shown_of(report) | {"style": Markup(style)}
    return make_environment().get_template("report.html").render(shown)


def _both(draw: Any) -> list[Markup]:
    return [Markup(draw(width)) for width in (_WIDE, _NARROW)]


def _rows(step: StepRow) -> list[IntervalRow]:
    several = len({row.version for row in step.differences}) > 1
    return [
        IntervalRow(
            label=" ".join(
                filter(
                    None,
                    (
                        f"v{row.version}" if several else "",
                        row.metric.replace("_", " "),
                        row.slice and f"on {row.slice}",
                    ),
                )
            ),
            estimate=row.estimate,
            low=row.low,
            high=row.high,
            good=row.good,
        )
        for row in step.differences
    ]


def _curves(counts: Mapping[int, Mapping[int, int]], place_of: Any) -> list[Curve]:
    """Cumulated shares by version, the champion first."""
    curves = []
    for tone, (version, bins) in enumerate(counts.items()):
        total, below, points = sum(bins.values()), 0, []
        for each, count in sorted(bins.items()):
            points.append((float(place_of(each)), below / total))
            below += count
            points.append((float(place_of(each)), below / total))
        curves.append(Curve(name=f"v{version}", points=points, tone=tone))
    return [curve for curve in curves if curve.points]


def _days(report: RolloutReport, width: int) -> str:
    versions: Sequence[int] = sorted({row.version for row in report.days})
    series = [
        Series(
            name=f"v{version}",
            key=f"v{version}",
            tone=tone,
            kind=Kind.LINE,
            days=[(row.day, row.loss) for row in report.days if row.version == version],
        )
        for tone, version in enumerate(versions)
    ]
    # One day is a dot, and no course of anything.
    if len({row.day for row in report.days if row.loss is not None}) < 2:
        return ""
    return day_chart(
        series,
        title=f"{loss_name(report.days)} by day and version",
        width=width,
        height=240,
        tooltips=width == _WIDE,
    )
