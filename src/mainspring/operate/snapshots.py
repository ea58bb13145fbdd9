"""The newest values of feature views, as gateways look them up: made of a data version, and named with it."""

from __future__ import annotations

__all__ = [
    "TakenSnapshot",
    "in_memory",
    "name_snapshots",
    "online_views",
    "plain_values",
    "snapshots_in_force",
    "take_snapshot",
    "take_snapshots",
]

import logging
from typing import TYPE_CHECKING

import msgspec

from mainspring.digest import Digest
from mainspring.features.online import pack, snapshot_name
from mainspring.operate.tasks import Taken, TakeSnapshot
from mainspring.operate.workers import TaskFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    import polars as pl

    from mainspring.product import FeatureViewSpec, ProductSpec
    from mainspring.stores.sql.database import Transaction
    from mainspring.stores.tables import DeltaTables
    from mainspring.workspace import Workspace

_NAMED = "snapshot:"

_log = logging.getLogger(__name__)


class TakenSnapshot(msgspec.Struct, frozen=True):
    """A snapshot: the blob that it is, and the number of the data version that it was taken of."""

    digest: Digest
    version: int


def take_snapshot(
    view: FeatureViewSpec, *, key: Sequence[str], tables: DeltaTables, version: int, until: datetime
) -> bytes:
    """Make the snapshot of a view from a version of its source's table.

    Parameters
    ----------
    view : FeatureViewSpec
    key : sequence of str
        The columns that name a row of the source; among rows of one time they say which stands last.
    tables : DeltaTables
    version : int
        Of the table.
    until : datetime
        The instant from which on it holds.
    """
    import polars as pl

    time, entity = pl.col(view.event_time), view.source_entity
    features = [view.source_column(name) for name in view.feature_names]
    known = pl.col(view.known_at or view.event_time)
    rows = tables.scan(view.source, version).drop_nulls([entity, view.event_time])
    if view.known_at is not None:
        rows = rows.filter(known <= until)
    rows = rows.sort(view.event_time, known, *key).with_columns(time.dt.convert_time_zone("UTC"))
    newest = rows.filter(time <= until).unique(entity, keep="last", maintain_order=True)
    found = pl.concat([newest, rows.filter(time > until)]).select(entity, view.event_time, *features)
    frame = found.collect()
    frame = frame.select(
        plain_values(column) if column.name != view.event_time else column for column in frame
    )
    columns = [frame[name].to_list() for name in features]
    return pack(features, until, frame[entity].to_list(), frame[view.event_time].to_list(), columns)


def take_snapshots(
    workspace: Workspace, views: Iterable[FeatureViewSpec], *, table_version: int, version: int
) -> dict[str, TakenSnapshot]:
    """Let a worker make the snapshots of views of one source, at a version of it; they are not in force yet.

    One that cannot be made is told of and left out: the one before stays in force.
    """
    until, taken = workspace.clock.now(), {}
    for name, view in {snapshot_name(view): view for view in views}.items():
        task = TakeSnapshot(view=view, table_version=table_version, until=until)
        try:
            made = workspace.workers.ask(task, Taken)
        except TaskFailed as error:  # the table lacks a column, say: no reason to keep its data back
            _log.warning("There is no snapshot of feature view %s for the gateways: %s", view.name, error)
            continue
        taken[name] = TakenSnapshot(Digest(made.snapshot), version)
    return taken


def name_snapshots(tx: Transaction, taken: Mapping[str, TakenSnapshot]) -> None:
    """Put snapshots in force."""
    for name, snapshot in taken.items():
        tx.values.put(_NAMED + name, msgspec.json.encode(snapshot).decode())


def snapshots_in_force(tx: Transaction) -> dict[str, TakenSnapshot]:
    """Give the snapshots in force, by the name of what they hold."""
    return {
        key.removeprefix(_NAMED): msgspec.json.decode(text, type=TakenSnapshot)
        for key, text in tx.values.items(_NAMED).items()
    }


def online_views(tx: Transaction, specs: Iterable[ProductSpec]) -> list[FeatureViewSpec]:
    """Give the views that gateways look up now, and those that they will when these declarations are in force."""
    served = [view for route in tx.rollouts.routes() for view in route.online]
    return [*served, *(view for spec in specs for view in spec.online)]


def in_memory(views: Iterable[FeatureViewSpec]) -> list[FeatureViewSpec]:
    """Give those of some views that are looked up in snapshots; the others are in the online store."""
    return [view for view in views if view.online != "store"]


def plain_values(column: pl.Series) -> pl.Series:
    """A column's values as a request would bring them; NaN, and what no model can take, is null."""
    import polars as pl

    if column.dtype.is_float():
        number = column.cast(pl.Float64)
        return number.set(~number.cast(pl.Float32).is_finite(), None)
    if isinstance(column.dtype, pl.Datetime):
        return column.dt.convert_time_zone("UTC").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    if column.dtype in (pl.Categorical, pl.Enum):
        return column.cast(pl.String)
    return column
