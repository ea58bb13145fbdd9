"""Rows of a feature view's source as the online store takes them; in the worker, which holds them as frames."""

from __future__ import annotations

__all__ = ["write_rows"]

from contextlib import closing
from typing import TYPE_CHECKING

from mainspring.features.store import Row, Written
from mainspring.operate.snapshots import plain_values
from mainspring.operate.tasks import Materialize, Materialized
from mainspring.stores.online import open_online
from mainspring.stores.table_files import apart

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import polars as pl

    from mainspring.product import FeatureViewSpec
    from mainspring.stores.tables import DeltaTables

_AT_ONCE = 20_000


def write_rows(task: Materialize, *, key: Sequence[str], tables: DeltaTables) -> Materialized:
    """Write what a task names into its store.

    Of each entity only the newest row that is known now is written, and those whose time has not come.

    Parameters
    ----------
    task : Materialize
    key : sequence of str
        The columns that name a row of the source; among rows of the same times they say which stands last.
    tables : DeltaTables
    """
    import polars as pl

    view = task.view
    time, known = pl.col(view.event_time), pl.col(view.known_at or view.event_time)
    if task.before is None:
        rows = tables.scan(view.source, task.table_version)
    else:
        _, rows = apart(tables, view.source, task.before, task.table_version)
    entity, features = view.source_entity, [view.source_column(name) for name in view.feature_names]
    rows = rows.drop_nulls([entity, view.event_time, view.known_at or view.event_time])
    if task.since is not None:
        rows = rows.filter(time >= task.since)
    if task.until is not None:
        rows = rows.filter(time <= task.until)
    times = view.event_time, view.known_at or view.event_time
    frame = rows.select(*dict.fromkeys([entity, *times, *key, *features])).collect()
    frame = frame.sort(view.event_time, known, *key)
    has_come = (time <= task.now) & (known <= task.now)
    newest = frame.filter(has_come).unique(entity, keep="last", maintain_order=True)
    # By entity, as stores have them in order: what is written at once then lies together.
    wanted = pl.concat([newest, frame.filter(~has_come)]).sort(entity, maintain_order=True)
    written = Written(older=frame.height - wanted.height)
    with closing(open_online(task.store)) as store:
        for some in wanted.iter_slices(_AT_ONCE):
            written += store.write(task.space, [*_rows(some, view)], task.now)
    return Materialized(written=written.kept, older=written.older)


def _rows(frame: pl.DataFrame, view: FeatureViewSpec) -> Iterator[Row]:
    moments = [
        frame[name].dt.convert_time_zone("UTC")
        for name in (view.event_time, view.known_at or view.event_time)
    ]
    values = [plain_values(frame[view.source_column(name)]).to_list() for name in view.feature_names]
    entities = plain_values(frame[view.source_entity]).to_list()
    yield from map(Row, entities, *(each.to_list() for each in moments), zip(*values, strict=True))
