"""Validation: what a dataset's contract says of a batch, and which of its rows may be published."""

from __future__ import annotations

__all__ = ["WITHHELD", "Beside", "Judged", "Outcome", "judge", "validate", "withhold"]

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from msgspec.structs import replace

from mainspring.data.rules import ROWS, Asked, Rule, ask, rules_of
from mainspring.data.schema import pandera_of
from mainspring.data.shape import EXAMPLES, key_failures, keys_of, shape
from mainspring.data.version import BatchReport, CheckFailure, CheckPassed

if TYPE_CHECKING:
    import polars as pl

    from mainspring.contract import Severity
    from mainspring.product import Dataset

ROW, FAILED = "#row", "#failed"
"""Columns of rows that were set aside: their position in the batch, and the checks that they failed."""


WITHHELD = "withheld"
"""What stands in a report for a value that is about a person."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a check of the dataset's: passed or failed, and the positions of failing rows where there are."""

    told: CheckPassed | CheckFailure
    failing: pl.Series | None = None


Beside: TypeAlias = "Callable[[pl.LazyFrame], Sequence[Outcome]]"
"""Asks the checks of a dataset that look beyond a batch: at the version before, at others, at the time."""


Published: TypeAlias = "Callable[[pl.LazyFrame], pl.DataFrame | None]"
"""Gives the key columns of those rows that are published already."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A batch that was judged.

    Attributes
    ----------
    rows : polars.LazyFrame
        All of them, columns in the schema's order and types.
    passing : polars.Series or None
        Which rows may be published; None for all.
    report : BatchReport
    set_aside : polars.DataFrame or None
        The rows that may not, with `ROW` and `FAILED`.
    """

    rows: pl.LazyFrame
    report: BatchReport
    passing: pl.Series | None = None
    set_aside: pl.DataFrame | None = None

    def pieces(self, rows: int) -> Iterator[pl.DataFrame]:
        """Give what may be published, as many rows at a time as are to be held in memory."""
        for first in range(0, self.report.rows, rows):
            piece = self.rows.slice(first, rows).collect()
            yield piece if self.passing is None else piece.filter(self.passing.slice(first, rows))


def validate(
    batch: pl.DataFrame,
    dataset: Dataset,
    *,
    published_keys: pl.DataFrame | None = None,
    beside: Beside | None = None,
) -> tuple[pl.DataFrame, BatchReport]:
    """Check a batch that is in memory, as `judge` does; give its rows that passed, none of a refused one."""
    judged = judge(batch.lazy(), dataset, published=lambda _: published_keys, beside=beside)
    if judged.report.refusal:
        return batch.clear(), judged.report
    (rows,) = judged.pieces(max(1, batch.height))
    return rows, judged.report


def judge(
    batch: pl.LazyFrame,
    dataset: Dataset,
    *,
    published: Published | None = None,
    beside: Beside | None = None,
    released: bool = False,
) -> Judged:
    """Check a batch against its dataset's contract, reading no more of it at a time than a piece of some columns.

    A row that fails a check of the severity `quarantine` is set aside, as long as the share of such rows stays within
    the dataset's `quarantine`. A missing, unknown or mistyped column, a null or repeated key, a failed check of the
    severity `refuse`, one that could not be asked, and too many failing rows refuse the whole batch.

    Parameters
    ----------
    batch : polars.LazyFrame
        The rows, in any column order; whole numbers are taken for a column of floats, and texts with an offset from
        UTC for one of moments.
    dataset : Dataset
        With its pandera model.
    published : callable, optional
        Gives, of rows in the schema's types, the key columns of those that are published already.
    beside : callable, optional
        Asks the dataset's own checks. Where it has some and this is missing, they could not be asked.
    released : bool
        Whether a person lets rows in that were set aside: what sets rows aside is then only told, but for nulls where
        none may be.

    Returns
    -------
    Judged
    """
    judged = _judge(batch, dataset, published, beside, released=released)
    failures = withhold(judged.report.failures, dataset)
    return dataclasses.replace(judged, report=replace(judged.report, failures=failures))


def withhold(failures: Sequence[CheckFailure], dataset: Dataset) -> tuple[CheckFailure, ...]:
    """Take out of failures the values that are about persons: reports go to the ledger, which forgets nothing."""
    columns = pandera_of(dataset).columns
    personal = {name for name, column in columns.items() if (column.metadata or {}).get("pii")}
    key = set(dataset.key_columns)

    def cover(failure: CheckFailure) -> CheckFailure:
        shown = key if failure.column == ROWS else set(failure.column.split(", "))
        examples = failure.examples
        if shown & personal:
            examples = tuple((row, WITHHELD) for row, _ in examples)
        return replace(failure, examples=examples, keys=() if key & personal else failure.keys)

    return tuple(map(cover, failures)) if personal else tuple(failures)


def _judge(
    batch: pl.LazyFrame,
    dataset: Dataset,
    published: Published | None,
    beside: Beside | None,
    *,
    released: bool,
) -> Judged:
    import polars as pl

    schema = pandera_of(dataset)
    shaped, failures = shape(batch, {name: each.dtype.type for name, each in schema.columns.items()})
    height = int(shaped.select(pl.len()).collect().item())
    if failures:
        why = "its columns are not those of the schema"
        return Judged(shaped, BatchReport(height, 0, tuple(failures), why))
    if not height:
        return Judged(shaped, BatchReport(0, 0, (), "it has no rows"))
    key = list(dataset.key_columns)
    outcomes = [Outcome(each) for each in key_failures(shaped, key, published(shaped) if published else None)]
    if not outcomes:
        outcomes.append(Outcome(CheckPassed(", ".join(key), "names each row, once")))
    rules = rules_of(dataset, schema)
    if released:
        rules = tuple(_let_in(each) for each in rules)
    outcomes += [_outcome(each, height) for each in ask(rules, shaped, height)]
    if dataset.checks:
        outcomes += beside(shaped) if beside else [_not_asked(type(each).__name__) for each in dataset.checks]
    return _sum_up(shaped, height, key, outcomes, dataset.quarantine)


def _let_in(rule: Rule) -> Rule:
    let_in = rule.severity == "quarantine" and rule.check != "nullable"
    return dataclasses.replace(rule, severity="warn") if let_in else rule


def _not_asked(check: str) -> Outcome:
    why = f"{check} could not be asked: there is nothing to compare with"
    return Outcome(CheckFailure(ROWS, why, 0, (), "refuse"))


def _outcome(asked: Asked, height: int) -> Outcome:
    rule = asked.rule
    if asked.error:
        text = f"{rule.text} could not be asked ({asked.error})"
        return Outcome(CheckFailure(rule.label, text, height, (), "refuse"))
    if asked.whole:
        severity: Severity = "warn" if rule.severity == "warn" else "refuse"
        return Outcome(CheckFailure(rule.label, rule.text, height, (), severity))
    if asked.failing is None:
        return Outcome(CheckPassed(rule.label, rule.text))
    failure = CheckFailure(rule.label, rule.text, asked.failing.len(), (), rule.severity)
    return Outcome(failure, asked.failing)


def _sum_up(
    rows: pl.LazyFrame, height: int, key: list[str], outcomes: list[Outcome], quarantine: float
) -> Judged:
    import polars as pl

    failed = [(each.told, each.failing) for each in outcomes if isinstance(each.told, CheckFailure)]
    passed = tuple(each.told for each in outcomes if isinstance(each.told, CheckPassed))
    told = _with_examples(rows, key, failed)
    told.sort(
        key=lambda each: (("refuse", "quarantine", "warn").index(each.severity), each.column, each.check)
    )
    aside = [
        pl.DataFrame({ROW: failing.cast(pl.UInt32)}).with_columns(
            pl.lit(f"{failure.column}: {failure.check}").alias(FAILED)
        )
        for failure, failing in failed
        if failure.severity == "quarantine" and failing is not None
    ]
    by_row = (
        pl.concat(aside).group_by(ROW).agg(pl.col(FAILED).sort().str.join("; ")).sort(ROW) if aside else None
    )
    failing = by_row.height if by_row is not None else 0
    refusal = _refusal(told, failing, height, quarantine)
    aside_now = 0 if refusal else failing
    report = BatchReport(height, aside_now, tuple(told), refusal, passed)
    if refusal or by_row is None:
        return Judged(rows, report)
    among = rows.with_row_index(ROW).filter(pl.col(ROW).is_in(by_row[ROW].implode()))
    set_aside = among.collect(engine="streaming").join(by_row, on=ROW).sort(ROW)
    mask = pl.select(pl.repeat(True, height, dtype=pl.Boolean)).to_series()
    return Judged(rows, report, mask.scatter(by_row[ROW], False), set_aside)


def _with_examples(
    rows: pl.LazyFrame, key: list[str], failed: Sequence[tuple[CheckFailure, pl.Series | None]]
) -> list[CheckFailure]:
    """Add to each failure some of its rows, with their values and keys."""
    import polars as pl

    shown = {
        place: failing.head(EXAMPLES) for place, (_, failing) in enumerate(failed) if failing is not None
    }
    told = [failure for failure, _ in failed]
    if not shown:
        return told
    names = list(rows.collect_schema())
    of = {place: [each for each in told[place].column.split(", ") if each in names] for place in shown}
    wanted = list(dict.fromkeys([*key, *(name for columns in of.values() for name in columns)]))
    positions = pl.concat([each.cast(pl.UInt32) for each in shown.values()]).unique()
    some = (
        rows.select(wanted)
        .with_row_index(ROW)
        .filter(pl.col(ROW).is_in(positions.implode()))
        .collect(engine="streaming")
    )
    place_of = {row: place for place, row in enumerate(some[ROW])}
    keys, values = keys_of(some.select(key)), {}
    for place, failing in shown.items():
        columns = tuple(of[place]) or tuple(key)
        if columns not in values:
            values[columns] = keys_of(some.select(columns))
        at = [place_of[row] for row in failing]
        told[place] = replace(
            told[place],
            examples=tuple((row, values[columns][here]) for row, here in zip(failing, at, strict=True)),
            keys=tuple(keys[here] for here in at),
        )
    return told


def _refusal(failures: Sequence[CheckFailure], failing: int, rows: int, quarantine: float) -> str:
    if any(each.severity == "refuse" for each in failures):
        return "; ".join(f"{each.column}: {each.check}" for each in failures if each.severity == "refuse")
    if failing == rows:
        return f"all of its {rows:,} rows fail a check"
    if failing > quarantine * rows:
        return (
            f"{failing:,} of {rows:,} rows fail a check, more than the {quarantine:.1%} that may be set aside"
        )
    return ""
