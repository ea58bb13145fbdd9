"""The page of a product's alarm budget: what was declared, what looking has spent of it by day, and what is left."""

from __future__ import annotations

__all__ = ["shown_of"]

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from mainspring.operate.alarms import alarm_rows
from mainspring.operate.status import budget_days, product_status
from mainspring.web.chart import Kind, Mark, Series, day_chart

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from mainspring.operate.alarms import AlarmRow
    from mainspring.operate.budget import BudgetDay, BudgetRow
    from mainspring.workspace import Workspace

_WIDTH, _NARROW, _HEIGHT = 860, 400, 260
_DAY = timedelta(days=1)


def shown_of(workspace: Workspace, product: str) -> dict[str, Any]:
    """Give what the page shows."""
    found = product_status(workspace, product)
    days = budget_days(workspace, product)
    first = found.now.date() - max((row.period_days for row in found.budget), default=0) * _DAY
    alarms = [alarm for alarm in alarm_rows(workspace, product) if alarm.at.date() > first]
    return {
        "product": product,
        "rows": found.budget,
        "total": {
            name: sum(getattr(row, name) for row in found.budget)
            for name in ("declared", "spent", "left", "raised", "confirmed")
        },
        "alarms": alarms[::-1],
        "charts": [Markup(_chart(found.budget, days, alarms, width)) for width in (_WIDTH, _NARROW)],
    }


def _chart(
    rows: Sequence[BudgetRow], days: Sequence[BudgetDay], alarms: Sequence[AlarmRow], width: int
) -> str:
    """Draw what each monitor has spent since the period began, below its share, with the alarms that were raised."""
    spent: dict[str, list[tuple[date, float | None]]] = defaultdict(list)
    for each in days:
        # A period begins with nothing spent, on the day before its first.
        spent[each.monitor] = spent[each.monitor] or [(each.day - _DAY, 0.0)]
        spent[each.monitor].append((each.day, each.spent))
    if not spent:
        return ""
    tones = {monitor: tone for tone, monitor in enumerate(spent)}
    share = next(row.declared for row in rows if row.monitor in spent)
    all_days = [day for day, _ in next(iter(spent.values()))]
    declared = Series(
        name="", days=[(day, share) for day in all_days], kind=Kind.DASHED, key="declared, for each monitor"
    )
    return day_chart(
        [
            declared,
            *(
                Series(name=monitor, days=values, tone=tones[monitor], key=monitor.replace("_", " "))
                for monitor, values in spent.items()
            ),
        ],
        title="False alarms expected at most of the looks since the period began, by monitor",
        marks=[
            Mark(
                day=alarm.at.date(),
                label=alarm.monitor.replace("_", " "),
                title=f"{alarm.monitor} has spoken: {alarm.evidence}",
                tone=tones.get(alarm.monitor),
            )
            for alarm in alarms
        ],
        width=width,
        height=_HEIGHT,
        tooltips=width == _WIDTH,
    )
