"""How far the event time of a dataset has come, for the triggers that ask."""

from __future__ import annotations

__all__ = ["dated_datasets", "newest_moment", "newest_row"]

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from mainspring.triggers import AllOf, AnyOf, OnNewData

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mainspring.data import DataVersion
    from mainspring.product import DatasetSpec, ProductSpec
    from mainspring.stores.tables import DeltaTables
    from mainspring.triggers import Trigger


def dated_datasets(spec: ProductSpec) -> tuple[DatasetSpec, ...]:
    """Give the datasets whose event time a trigger of the product asks for."""
    asked = set(_asked(spec, spec.retrain))
    return tuple(each for each in spec.datasets if each.name in asked)


def _asked(spec: ProductSpec, triggers: Sequence[Trigger]) -> Iterator[str]:
    for trigger in triggers:
        match trigger:
            case OnNewData(days=days, fresh=fresh, dataset=dataset) if days or fresh:
                yield dataset or spec.data.name
            case AnyOf(triggers=parts) | AllOf(triggers=parts):
                yield from _asked(spec, parts)
            case _:
                pass


def newest_row(tables: DeltaTables, dataset: DatasetSpec, version: DataVersion | None) -> datetime | None:
    """Event time of a version's newest row, in UTC; None where no row has one."""
    return newest_moment(tables, dataset.name, version.table_version, dataset.event_time) if version else None


@lru_cache(maxsize=256)
def newest_moment(tables: DeltaTables, name: str, version: int, column: str) -> datetime | None:
    """Give the latest moment in a column of a version of a table, in UTC; None where there is none."""
    # The loop asks at each of its turns, and a version never changes: its column is read once.
    import polars as pl

    newest = tables.scan(name, version).select(pl.col(column).max()).collect().item()
    if not isinstance(newest, datetime):
        return None
    return newest.astimezone(UTC) if newest.tzinfo else newest.replace(tzinfo=UTC)
