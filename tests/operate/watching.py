"""Days of traffic for the tiny product, watched as they end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import polars as pl
from tests.operate.tiny import ask
from tests.products.tiny.orders import FIRST, orders

from mainspring.monitoring import Alarm
from mainspring.operate.ingest import ingest
from mainspring.operate.watch import watch
from mainspring.product import ProductSpec
from mainspring.workspace import Workspace

DAY = timedelta(days=1)
Change = Callable[[pl.DataFrame], pl.DataFrame]


def spec(workspace: Workspace) -> ProductSpec:
    with workspace.database.read() as tx:
        return workspace.specs(tx)["tiny"]


def live(
    workspace: Workspace, days: range, change: Change = lambda rows: rows, *, turned: bool = False
) -> dict[str, tuple[int, Alarm]]:
    """Let days of traffic pass and watch after each; give the day and the alarm of every monitor that spoke."""
    spoken = {}
    for day in days:
        # At noon the day before is over, and its traffic has its labels.
        workspace.advance(FIRST + (30 + day) * DAY + timedelta(hours=12))
        for alarm in watch(workspace, spec(workspace)):
            assert alarm.monitor not in spoken
            spoken[alarm.monitor] = day, alarm
        ask(workspace, change(orders(FIRST + (30 + day) * DAY, days=1, turned=turned)))
        ingest(workspace)
    return spoken


def moved(rows: pl.DataFrame) -> pl.DataFrame:
    """Amounts in a currency of less worth."""
    return rows.with_columns(amount=(pl.col("amount") * 3).clip(0, 1_000))
