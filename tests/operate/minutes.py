"""A workspace with the product of minutes, and traffic for it without a gateway process."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import polars as pl
from tests.operate.tiny import begin_as
from tests.products.minutes.deliveries import FIRST, deliveries, parquet

from mainspring.formats.served import feed, load
from mainspring.monitoring import Alarm
from mainspring.monitoring.record import LabelEntry, LabelRecord, PredictionRecord
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.ingest import ingest
from mainspring.operate.watch import watch
from mainspring.product import ProductSpec
from mainspring.rollouts.split import CHAMPION, Part, Split
from mainspring.stores.segments import SegmentWriter
from mainspring.workspace import Workspace

PRODUCT = Path(__file__).parent.parent / "products" / "minutes"
DAY = timedelta(days=1)
INPUTS = ("distance", "hour", "vehicle")


def begin(folder: Path, declared: Callable[[str], str] = lambda text: text) -> Workspace:
    """Open a new workspace with the product, declared; `declared` changes its file."""
    return begin_as(PRODUCT, folder, declared)


def train_first(folder: Path, declared: Callable[[str], str] = lambda text: text) -> Path:
    """Make a workspace with 30 days of deliveries and a champion trained on them, and close it."""
    with begin(folder, declared) as workspace:
        # A NaN is no number to learn or to judge by, neither early nor on the hold-out.
        place = pl.int_range(pl.len())
        known = pl.when(~place.is_in([40, 2_950])).then("minutes").otherwise(float("nan"))
        add_batch(
            workspace,
            "deliveries",
            parquet(deliveries(days=30, per_day=102).with_columns(minutes=known)),
            actor="test",
        )
        turn(workspace)
    return folder


def spec(workspace: Workspace) -> ProductSpec:
    """The product as it is declared."""
    with workspace.database.read() as tx:
        return workspace.specs(tx)["minutes"]


def ask(workspace: Workspace, rows: pl.DataFrame, *, off: float = 0.0, labelled: bool = True) -> None:
    """Log what the route's versions answer, and the labels; a challenger is `off` by so many minutes."""
    with workspace.database.read() as tx:
        (route,) = tx.rollouts.routes()
    models = {variant.version: load(workspace.blobs.get(variant.artifact)) for variant in route.variants}
    answers = {version: model.predict(feed(model, rows)) for version, model in models.items()}
    shadowed = Split(route.salt, [Part(0.0, route.shadow_share)]).assign(rows["delivery_id"])
    at = workspace.clock.now()
    records = []
    for row, unit in enumerate(rows["delivery_id"]):
        served = route.choose(unit).version
        added = off if served != route.champion.version else 0.0
        records.append(
            PredictionRecord(
                at=at,
                product="minutes",
                route=route.number,
                ids=[unit],
                units=[unit],
                versions=[served],
                scores=[float(answers[served][row]) + added],
                inputs={name: [rows[name][row]] for name in INPUTS},
                shadow={str(route.shadow.version): [float(answers[route.shadow.version][row]) + off]}
                if route.shadow and shadowed[row] != CHAMPION
                else {},
                took_s={str(served): workspace.clock.took(0.0, f"{unit} {served}")},
            )
        )
    truths = [
        LabelEntry(unit, value, at + timedelta(hours=1))
        for unit, value in rows.select("delivery_id", "minutes").iter_rows()
    ]
    with SegmentWriter(workspace.logs / "gateway-0") as writer:
        writer.append(records)
        if labelled:
            writer.append([LabelRecord(at=at, labels=truths)])
        writer.roll()


def live(workspace: Workspace, days: range, *, slower: float = 1.0) -> dict[str, tuple[int, Alarm]]:
    """Let days of traffic pass and watch after each; give the day and the alarm of every monitor that spoke."""
    spoken = {}
    for day in days:
        workspace.advance(FIRST + (30 + day) * DAY + timedelta(hours=12))
        for alarm in watch(workspace, spec(workspace)):
            spoken[alarm.monitor] = day, alarm
        ask(workspace, deliveries(FIRST + (30 + day) * DAY, days=1, slower=slower))
        ingest(workspace)
    return spoken
