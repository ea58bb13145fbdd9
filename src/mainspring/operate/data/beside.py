"""What a batch is judged beside: the version before, other datasets and the time; read here, decided in `data`."""

from __future__ import annotations

__all__ = ["Before", "beside"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from mainspring.contract import Distribution, Freshness, References, SchemaEvolution
from mainspring.data.across import ColumnFacts, Facts, decide
from mainspring.data.schema import pandera_of
from mainspring.data.validate import ROW, Outcome
from mainspring.monitoring import frame, profile
from mainspring.monitoring.effects import jensen_shannon

if TYPE_CHECKING:
    from datetime import datetime

    import polars as pl

    from mainspring.contract import DatasetCheck
    from mainspring.operate.tasks import Around
    from mainspring.product import Dataset
    from mainspring.stores.tables import DeltaTables


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What was before a batch.

    Attributes
    ----------
    around : Around
        What the control plane knows.
    held : polars.LazyFrame or None
        The rows of the version before; None for the first.
    replaced : bool
        Whether none of them stays.
    tables : DeltaTables
    """

    around: Around
    held: pl.LazyFrame | None
    replaced: bool
    tables: DeltaTables


def beside(dataset: Dataset, before: Before) -> Callable[[pl.LazyFrame], list[Outcome]]:
    """Give what asks the checks of a dataset that look beyond a batch."""
    return partial(_ask, dataset=dataset, before=before)


def _ask(rows: pl.LazyFrame, *, dataset: Dataset, before: Before) -> list[Outcome]:
    import polars as pl

    unknown: dict[DatasetCheck, str] = {}
    distances: dict[str, float] = {}
    strangers: dict[References, pl.Series] = {}
    newest: datetime | None = None
    columns_before = None
    for check in dataset.checks:
        try:
            match check:
                case Distribution() if before.held is not None:
                    distances |= _distances(before.held, rows, check.columns)
                case References():
                    strangers[check] = _strangers(rows, check, before)
                case Freshness():
                    newest = _newest(rows, dataset.event_time)
                case SchemaEvolution() if before.held is not None:
                    columns_before = _columns_before(before.held)
        except Exception as error:  # noqa: BLE001 - whatever it is: a check that cannot be asked refuses
            lines = (str(error).strip() or type(error).__name__).splitlines()
            unknown[check] = lines[0].rstrip(".")
    if before.held is not None and columns_before is None:
        columns_before = {
            name: ColumnFacts(str(t), nulls=False) for name, t in before.held.collect_schema().items()
        }
    facts = Facts(
        now=before.around.now,
        rows=int(rows.select(pl.len()).collect().item()),
        rows_before=before.around.rows_before,
        columns=_columns(dataset),
        columns_before=columns_before,
        replaced=before.replaced,
        newest=newest,
        distances=distances,
        strangers={check: found.len() for check, found in strangers.items()},
        unknown=unknown,
    )
    return [Outcome(decide(each, facts), _failing(strangers, each)) for each in dataset.checks]


def _newest(rows: pl.LazyFrame, event_time: str) -> datetime | None:
    import polars as pl

    found: datetime | None = rows.select(pl.col(event_time).max()).collect(engine="streaming").item()
    if found is not None and found.tzinfo is None:
        raise LookupError(f"{event_time!r} has no time zone")
    return found


def _failing(strangers: Mapping[References, pl.Series], check: DatasetCheck) -> pl.Series | None:
    found = strangers.get(check) if isinstance(check, References) else None
    return None if found is None or found.is_empty() else found


def _columns(dataset: Dataset) -> dict[str, ColumnFacts]:
    columns: dict[str, Any] = pandera_of(dataset).columns
    return {name: ColumnFacts(str(each.dtype.type), bool(each.nullable)) for name, each in columns.items()}


def _columns_before(held: pl.LazyFrame) -> dict[str, ColumnFacts]:
    import polars as pl

    nulls = held.select(pl.all().has_nulls()).collect(engine="streaming")
    return {
        name: ColumnFacts(str(dtype), bool(nulls[name].item()))
        for name, dtype in held.collect_schema().items()
    }


def _distances(held: pl.LazyFrame, rows: pl.LazyFrame, columns: tuple[str, ...]) -> dict[str, float]:
    """Measure column by column, so that no more than one is in memory; a text may have several parts."""
    found = {}
    for name in columns:
        before, now = (each.select(name).collect(engine="streaming") for each in (held, rows))
        frozen = frame(before)
        parts, theirs = profile(now, frozen).parts(), profile(before, frozen).parts()
        found[name] = max(jensen_shannon(theirs[part], parts[part]).value for part in parts)
    return found


def _strangers(rows: pl.LazyFrame, check: References, before: Before) -> pl.Series:
    """Give the positions of rows that refer to nothing."""
    import polars as pl

    version = before.around.others.get(check.dataset)
    if version is None:
        raise LookupError(f"dataset {check.dataset!r} has no version")
    known = before.tables.scan(check.dataset, version).select(pl.col(check.to)).drop_nulls().unique()
    asked = rows.select(check.column).with_row_index(ROW).drop_nulls(check.column)
    found = asked.join(known, left_on=check.column, right_on=check.to, how="anti").collect(engine="streaming")
    return found[ROW].sort()
