"""Rows and their features: one join for the rows that a model learns from and for those that it is asked about."""

from __future__ import annotations

__all__ = ["join_features", "view_columns"]

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mainspring.clock import parse_duration
from mainspring.features import BoundView, as_of
from mainspring.product import Mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from mainspring.product import FeatureViewSpec
    from mainspring.stores.tables import DeltaTables


def join_features(
    rows: pl.DataFrame,
    *,
    at: str,
    views: Sequence[FeatureViewSpec],
    keys: Mapping[str, Sequence[str]],
    tables: DeltaTables,
    versions: Mapping[str, int],
    known: datetime,
) -> pl.DataFrame:
    """Add to each row its features as of its own time.

    Of a view's source only the rows are read that could be of use to one of the rows.

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

    Raises
    ------
    mainspring.features.join.BadJoin
        Rows and views do not fit together.
    """
    import polars as pl

    first, last = rows[at].min(), rows[at].max()
    bound = []
    for view in views:
        time = pl.col(view.event_time)
        useful = pl.lit(False)
        if isinstance(first, datetime) and isinstance(last, datetime):
            longest = max(
                parse_duration(each.over if isinstance(each, Mean) else view.ttl) for each in view.features
            )
            oldest = first - min(longest, first - datetime.min.replace(tzinfo=UTC))
            useful = (time >= oldest) & (time <= min(last, known))
            if view.known_at is not None:
                useful &= pl.col(view.known_at) <= min(last, known)
        source = tables.scan(view.source, versions[view.source]).filter(useful)
        ordered = source.sort(view.event_time, *keys[view.source])
        read = {name: view.source_column(name) for name in view_columns(view)}
        bound.append(BoundView(view, ordered.select(**read).collect()))
    return as_of(rows, at=at, views=bound)


def view_columns(view: FeatureViewSpec) -> list[str]:
    """Name the columns that a view reads, in order, as it calls them."""
    columns = {each.column if isinstance(each, Mean) else each for each in view.features}
    return sorted(columns | {view.entity, view.event_time, view.known_at or view.event_time})
