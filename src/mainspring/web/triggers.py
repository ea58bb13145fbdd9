"""The page of a product's triggers: how each stands, and what the cycles that they started were worth."""

from __future__ import annotations

__all__ = ["shown_of"]

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from mainspring.operate.gain import unhelpful
from mainspring.operate.status import gain_rows
from mainspring.operate.why_not import why_not
from mainspring.web.chart import Kind, Mark, Series, day_chart

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mainspring.operate.gain import Gain
    from mainspring.operate.why_not import TriggerRow
    from mainspring.workspace import Workspace

_WIDTH, _NARROW, _HEIGHT = 860, 400, 240


def shown_of(workspace: Workspace, product: str) -> dict[str, Any]:
    """Give what the page shows."""
    found, gains = why_not(workspace, product), gain_rows(workspace, product)
    return {
        "found": found,
        "triggers": list(_flat(found.triggers, 0)),
        "gains": gains[::-1],
        "unhelpful": unhelpful(gains),
        "charts": [Markup(_chart(gains, width)) for width in (_WIDTH, _NARROW)],
    }


def _flat(triggers: Sequence[TriggerRow], depth: int) -> Iterator[tuple[int, str, str, TriggerRow]]:
    """Give each trigger with how deep it lies in combinations, its name, and its state in a word."""
    for each in triggers:
        state = "ready" if each.ready else "held" if each.causes else "no cause"
        yield depth, each.trigger.partition("(")[0] if each.parts else each.trigger, state, each
        yield from _flat(each.parts, depth + 1)


def _chart(gains: Sequence[Gain], width: int) -> str:
    """Draw the gain of each promotion on the day from which its version served, within its interval, and the zero."""
    known = [each for each in gains if each.estimate is not None]
    if not known:
        return ""
    days = [each.since.date() for each in known]
    # A line up from the lower end to the upper one, and a gap before the next.
    bars = [
        (day, value) for day, each in zip(days, known, strict=True) for value in (each.low, each.high, None)
    ]
    estimates = [(day, each.estimate) for day, each in zip(days, known, strict=True)]
    # Points that lie far apart are not joined.
    between = [days[0] + timedelta(days=n) for n in range(0, (days[-1] - days[0]).days, 28)]
    zero = Series(name="", days=[(day, 0.0) for day in (*between, days[-1])], tone=7, key="no gain")
    marks = [
        Mark(day=day, label=str(each.cycle), title=each.reason) for day, each in zip(days, known, strict=True)
    ]
    return day_chart(
        [
            zero,
            Series(name="", days=bars, tone=0, key="interval"),
            Series(name="gain", days=estimates, kind=Kind.DOTS, tone=0, key="gain"),
        ],
        title=f"Gain in {known[-1].metric} of each promotion over the version before",
        marks=marks,
        width=width,
        height=_HEIGHT,
        tooltips=width == _WIDTH,
        number="{:+.4f}".format,
    )
