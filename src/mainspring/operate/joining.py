"""Rows and their features: one join for the rows that a model learns from and for those that it is asked about."""

from __future__ import annotations

__all__ = ["join_features", "view_columns"]

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mainspring.clock import parse_duration
from mainspring.features import BoundView, as_of
from mainspring.product import Mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import polars as pl

    from mainspring.product import FeatureViewSpec
    from mainspring.stores.tables import DeltaTables


_AT_ONCE = 1 << 30
"""So many bytes of a source are joined at once, which takes twice the room; of a larger one entities go by parts."""
_CELL = 16
"""Bytes that a value takes, with room for texts."""
_PLACE = "__place"


def join_features(
    rows: pl.DataFrame,
    *,
    at: str,
    views: Sequence[FeatureViewSpec],
    keys: Mapping[str, Sequence[str]],
    tables: DeltaTables,
    versions: Mapping[str, int],
    known: datetime,
    at_once: int = _AT_ONCE,
) -> pl.DataFrame:
    """Add to each row its features as of its own time.

    Of a view's source only the rows are read that could be of use to one of the rows. A source that would take more
    than `at_once` bytes is read several times, each time for a part of the entities.

    Parameters
    ----------
    rows : polars.DataFrame
    at : str
        The column with the moment of each row.
    views : sequence of FeatureViewSpec
        What to add.
    keys : mapping of str to sequence of str
        Per source the columns that name a row; among rows of one time they say which stands last.
    tables : DeltaTables
        Where the sources are.
    versions : mapping of str to int
        Per source the version of its table.
    known : datetime
        Nothing later is used, whatever the time of a row.
    at_once : int
        In bytes.

    Raises
    ------
    mainspring.features.join.BadJoin
        Rows and views do not fit together.
    """
    import polars as pl

    bound, large = [], []
    for view in views:
        source = _useful(rows[at], view, tables.scan(view.source, versions[view.source]), known)
        width = len(view_columns(view)) * _CELL
        parts = -(-tables.rows(view.source, versions[view.source]) * width // at_once)
        if parts > 1 and view.entity in rows.columns:
            large.append((view, source, parts))
        else:
            bound.append(_bound(view, source, keys[view.source]))
    joined = as_of(rows, at=at, views=bound)
    for view, source, parts in large:
        found = pl.concat(_by_parts(rows, at, view, source, keys[view.source], parts)).sort(_PLACE)
        joined = joined.hstack(found.drop(_PLACE))
    return joined


def _useful(moments: pl.Series, view: FeatureViewSpec, source: pl.LazyFrame, known: datetime) -> pl.LazyFrame:
    """Leave out what is too old for the first of some moments, or too new for the last."""
    import polars as pl

    first, last = moments.min(), moments.max()
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        return source.filter(False)
    longest = max(parse_duration(each.over if isinstance(each, Mean) else view.ttl) for each in view.features)
    oldest = first - min(longest, first - datetime.min.replace(tzinfo=UTC))
    useful = pl.col(view.event_time).is_between(oldest, min(last, known))
    if view.known_at is not None:
        useful &= pl.col(view.known_at) <= min(last, known)
    return source.filter(useful)


def _bound(view: FeatureViewSpec, source: pl.LazyFrame, key: Sequence[str]) -> BoundView:
    read = {name: view.source_column(name) for name in view_columns(view)}
    # What is filtered out never takes room where rows are streamed.
    frame = source.select(*dict.fromkeys([view.event_time, *key, *read.values()])).collect(engine="streaming")
    return BoundView(view, frame.sort(view.event_time, *key).select(**read))


def _by_parts(
    rows: pl.DataFrame, at: str, view: FeatureViewSpec, source: pl.LazyFrame, key: Sequence[str], parts: int
) -> Iterator[pl.DataFrame]:
    """Join the entities of each part with their rows of the source; gives the features with the places of the rows."""
    import polars as pl

    asked = rows.select(view.entity, at).with_row_index(_PLACE)
    mine, its = (pl.col(name).hash() % parts for name in (view.entity, view.source_entity))
    for part in range(parts):
        some = asked.filter(mine == part)
        of_part = _bound(view, source.filter(its == part), key)
        yield as_of(some, at=at, views=[of_part]).select(_PLACE, *view.feature_names)


def view_columns(view: FeatureViewSpec) -> list[str]:
    """Name the columns that a view reads, in order, as it calls them."""
    columns = {each.column if isinstance(each, Mean) else each for each in view.features}
    return sorted(columns | {view.entity, view.event_time, view.known_at or view.event_time})
