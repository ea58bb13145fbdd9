"""What an alarm's most evident stream did by day, as a chart for pages and as a picture of its own."""

from __future__ import annotations

__all__ = ["charts_of", "picture_of"]

from textwrap import shorten
from typing import TYPE_CHECKING

from mainspring.operate.alarms import alarm_curve
from mainspring.stores.blobs import BlobCorrupt, BlobNotFound
from mainspring.web.chart import STYLE, Kind, Mark, Series, day_chart

if TYPE_CHECKING:
    from mainspring.monitoring import Change
    from mainspring.operate.alarms import AlarmCurve
    from mainspring.workspace import Workspace

_WIDTH, _NARROW, _HEIGHT = 860, 400, 260
_LETTERS = 40  # of a name that came with data, so that a legend keeps to its picture


def picture_of(workspace: Workspace, alarm_id: str) -> str | None:
    """Draw an alarm as an SVG document; None where there is nothing to draw, or no more the tables to draw it from."""
    found = _drawable(workspace, alarm_id)
    return alarm_picture(*found) if found else None


def charts_of(workspace: Workspace, alarm_id: str) -> list[str]:
    """Draw an alarm for its page, wide and narrow; nothing where `picture_of` gives None."""
    found = _drawable(workspace, alarm_id)
    return [alarm_chart(*found, width=width) for width in (_WIDTH, _NARROW)] if found else []


def _drawable(workspace: Workspace, alarm_id: str) -> tuple[AlarmCurve, Change] | None:
    try:
        curve = alarm_curve(workspace, alarm_id)
    except (BlobNotFound, BlobCorrupt):  # the alarm stands without its picture
        return None
    with workspace.database.read() as tx:
        change = tx.monitoring.alarm(alarm_id).change
    return (curve, change) if curve and change else None


def alarm_chart(curve: AlarmCurve, change: Change, *, width: int = _WIDTH) -> str:
    """Draw the mean by day beside the reference's, with the change marked."""
    first, last = curve.days[0][0], curve.days[-1][0]
    return day_chart(
        [
            Series(
                name="",
                days=[(first, curve.before), (last, curve.before)],
                kind=Kind.DASHED,
                tone=7,
                key="reference",
            ),
            Series(name=curve.unit, days=curve.days, tone=0, key=f"{shorten(curve.name, _LETTERS)}, by day"),
        ],
        title=f"{curve.name}: {curve.unit} by day",
        marks=[Mark(day=change.since, label="change", title="where the change is estimated to have come")],
        width=width,
        height=_HEIGHT,
        tooltips=width == _WIDTH,
    )


def alarm_picture(curve: AlarmCurve, change: Change) -> str:
    """Draw the same as an SVG document, with the style in it."""
    head = f'xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}"'
    chart = alarm_chart(curve, change).replace("<svg", f"<svg {head}", 1)
    return chart.replace(">", f"><style>{STYLE}</style>", 1)
