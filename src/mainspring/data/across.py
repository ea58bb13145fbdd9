"""Checks across versions: facts of what comes and of what was before in, a verdict with its reasons out."""

from __future__ import annotations

__all__ = ["ColumnFacts", "Facts", "decide", "evolution_faults"]

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mainspring.clock import parse_duration, time_text
from mainspring.contract import Distribution, Freshness, References, RowChange, SchemaEvolution
from mainspring.data.rules import ROWS
from mainspring.data.version import CheckFailure, CheckPassed

if TYPE_CHECKING:
    from datetime import datetime

    from mainspring.contract import DatasetCheck

_WIDER = {
    "Int8": {"Int16", "Int32", "Int64", "Float32", "Float64"},
    "Int16": {"Int32", "Int64", "Float32", "Float64"},
    "Int32": {"Int64", "Float64"},
    "Float32": {"Float64"},
}
"""Types that hold every value of another."""

FIRST = "there is no version before"


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """A column's type; whether it may have nulls, or, of a version before, whether it has some."""

    type: str
    nulls: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a version is judged by, beside its rows.

    Attributes
    ----------
    now : datetime
        By the workspace's clock.
    rows : int
        How many come.
    rows_before : int or None
        How many came before them; None for the first.
    columns : mapping of str to ColumnFacts
        As the contract has them.
    columns_before : mapping of str to ColumnFacts or None
        As the version before has them; None for the first.
    replaced : bool
        Whether none of its rows stays.
    newest : datetime or None
        The latest event time of what comes.
    distances : mapping of str to float
        By column, how far its values are from those of before.
    strangers : mapping of References to int
        Of each, how many rows refer to nothing.
    unknown : mapping of DatasetCheck to str
        Why a check could not be asked.
    """

    now: datetime
    rows: int
    rows_before: int | None
    columns: Mapping[str, ColumnFacts]
    columns_before: Mapping[str, ColumnFacts] | None
    replaced: bool = False
    newest: datetime | None = None
    distances: Mapping[str, float] = field(default_factory=dict)
    strangers: Mapping[References, int] = field(default_factory=dict)
    unknown: Mapping[DatasetCheck, str] = field(default_factory=dict)


def decide(check: DatasetCheck, facts: Facts) -> CheckPassed | CheckFailure:
    """Judge what comes by a check of its dataset.

    Parameters
    ----------
    check : DatasetCheck
    facts : Facts

    Returns
    -------
    CheckPassed or CheckFailure
        Where something that it needs is not known, a failure that refuses, whatever its severity.
    """
    if check in facts.unknown:
        why = f"{type(check).__name__} could not be asked ({facts.unknown[check]})"
        return CheckFailure(_columns(check), why, facts.rows, (), "refuse")
    match check:
        case RowChange():
            return _row_change(check, facts)
        case SchemaEvolution():
            return _evolution(check, facts)
        case Distribution():
            return _distribution(check, facts)
        case References():
            text = f"stands in {check.dataset}.{check.to}"
            if found := facts.strangers[check]:
                return CheckFailure(check.column, text, found, (), check.severity)
            return CheckPassed(check.column, text)
        case Freshness():
            return _freshness(check, facts)


def _columns(check: DatasetCheck) -> str:
    match check:
        case References():
            return check.column
        case Distribution():
            return ", ".join(check.columns)
        case _:
            return ROWS


def _row_change(check: RowChange, facts: Facts) -> CheckPassed | CheckFailure:
    text = f"are {check.at_least:g} to {check.at_most:g} times as many as before"
    if facts.rows_before is None:
        return CheckPassed(ROWS, text, FIRST)
    found = f"{facts.rows:,} come, and {facts.rows_before:,} before"
    if check.at_least * facts.rows_before <= facts.rows <= check.at_most * facts.rows_before:
        return CheckPassed(ROWS, text, found)
    return CheckFailure(ROWS, f"{text} ({found})", facts.rows, (), check.severity)


def _evolution(check: SchemaEvolution, facts: Facts) -> CheckPassed | CheckFailure:
    text = "can be read by who reads the version before"
    if facts.columns_before is None:
        return CheckPassed(ROWS, text, FIRST)
    faults = evolution_faults(facts.columns_before, facts.columns, replaced=facts.replaced)
    if faults:
        return CheckFailure(ROWS, f"{text} ({'; '.join(faults)})", facts.rows, (), check.severity)
    return CheckPassed(ROWS, text)


def evolution_faults(
    before: Mapping[str, ColumnFacts], now: Mapping[str, ColumnFacts], *, replaced: bool
) -> list[str]:
    """Say what of a change of columns would break who reads the version before, or the contract itself.

    Parameters
    ----------
    before, now : mapping of str to ColumnFacts
        Of the version before and of the contract.
    replaced : bool
        Whether no row of before stays, so that nulls in them do not matter.
    """
    faults = [f"{name} is gone" for name in before if name not in now]
    for name, column in now.items():
        was = before.get(name)
        if was is None:
            if not column.nulls:
                faults.append(f"{name} is new and not nullable")
        elif column.type != was.type and column.type not in _WIDER.get(was.type, ()):
            faults.append(f"{name} was {was.type} and is {column.type}, which does not hold all of it")
        elif was.nulls and not column.nulls and not replaced:
            faults.append(f"{name} has nulls in rows that stay, and is not nullable any more")
    return faults


def _distribution(check: Distribution, facts: Facts) -> CheckPassed | CheckFailure:
    text = f"is at most {check.at_most:g} from the version before (Jensen-Shannon)"
    label = ", ".join(check.columns)
    if facts.columns_before is None:
        return CheckPassed(label, text, FIRST)
    told = ", ".join(f"{name} {facts.distances[name]:.3f}" for name in check.columns)
    if far := [name for name in check.columns if not facts.distances[name] <= check.at_most]:
        found = ", ".join(f"{name} {facts.distances[name]:.3f}" for name in far)
        return CheckFailure(", ".join(far), f"{text} ({found})", facts.rows, (), check.severity)
    return CheckPassed(label, text, told)


def _freshness(check: Freshness, facts: Facts) -> CheckPassed | CheckFailure:
    text = f"has a row of the last {check.within}"
    if facts.newest is None:
        return CheckFailure(ROWS, f"{text} (no row has an event time)", facts.rows, (), check.severity)
    found = f"the newest is of {time_text(facts.newest)}"
    if facts.now - facts.newest <= parse_duration(check.within):
        return CheckPassed(ROWS, text, found)
    return CheckFailure(ROWS, f"{text} ({found})", facts.rows, (), check.severity)
