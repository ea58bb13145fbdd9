"""The rules that a pandera model sets for rows, each with what becomes of the rows that break it.

They are asked in one pass over the columns that they name. A check that looks at a whole column, such as one of its
mean, is asked of the whole column, however many pieces the rows are read in.
"""

from __future__ import annotations

__all__ = ["Asked", "Rule", "ask", "rule_faults", "rules_of"]

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mainspring.data.shape import repeated
from mainspring.errors import Fault

if TYPE_CHECKING:
    import polars as pl

    from mainspring.contract import Severity
    from mainspring.product import Dataset

ROWS = "(rows)"
"""What stands for the column in the report of a check of whole rows."""

_SHORT = {
    "equal_to": "eq",
    "not_equal_to": "ne",
    "greater_than": "gt",
    "greater_than_or_equal_to": "ge",
    "less_than": "lt",
    "less_than_or_equal_to": "le",
}
"""What pandera's fields call its checks, where that is not the check's own name."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule for the values of columns.

    Attributes
    ----------
    columns : tuple of str
        What it is about; empty for whole rows.
    text : str
        What is asked, as pandera prints it.
    severity : str
    check : pandera.Check or str
        The check itself; `nullable` and `unique` stand for the two that are no checks in pandera.
    """

    columns: tuple[str, ...]
    text: str
    severity: Severity
    check: Any

    @property
    def label(self) -> str:
        """The columns for people."""
        return ", ".join(self.columns) or ROWS


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of a rule.

    `failing` are the positions of rows that break it. `whole` says that all rows break it together; `error` why it
    could not be asked.
    """

    rule: Rule
    failing: pl.Series | None = None
    whole: bool = False
    error: str = ""


def rules_of(dataset: Dataset, schema: Any) -> tuple[Rule, ...]:
    """Give every rule of a dataset's model, in the order of its columns.

    Parameters
    ----------
    dataset : Dataset
    schema : pandera.polars.DataFrameSchema
        Of its model.
    """
    rules = []
    for name, column in schema.columns.items():
        told = _told(column.metadata)
        if not column.nullable:
            default = told.get("", "quarantine")
            severity = told.get("nullable", "quarantine" if default == "warn" else default)
            rules.append(Rule((name,), "not_nullable", severity, "nullable"))
        if column.unique:
            rules.append(Rule((name,), "field_uniqueness", _severity(told, "unique"), "unique"))
        rules += [Rule((name,), *_read(check, told)) for check in column.checks]
    told = _told(_of_frame(dataset))
    for columns in _unique_sets(schema):
        rules.append(Rule(columns, "multiple_fields_uniqueness", _severity(told, "unique"), "unique"))
    rules += [Rule((), *_read(check, told)) for check in schema.checks]
    return tuple(rules)


def rule_faults(dataset: Dataset, schema: Any) -> Iterator[Fault]:
    """Tell what of a pandera model would not be heeded: it is refused, since nothing is skipped silently."""
    for name, column in schema.columns.items():
        told = _told(column.metadata)
        known = {_short(check) for check in column.checks} | {"", "nullable", "unique"}
        yield from _unknown(f"column {name!r}", told, known)
        if told.get("nullable") == "warn":
            mend = "Declare it nullable: nulls that are published are allowed."
            yield Fault(f"column {name!r}", "only warns of nulls, which it says it has none of.", mend)
        if column.regex:
            mend = "Name each column by itself."
            yield Fault(f"column {name!r}", "stands for all columns that match a pattern.", mend)
        if column.parsers:
            yield Fault(
                f"column {name!r}", "has parsers, which change values.", "Parse before you add the data."
            )
    told = _told(_of_frame(dataset))
    yield from _unknown("its Config", told, {_short(check) for check in schema.checks} | {"", "unique"})
    if schema.parsers:
        yield Fault("its parsers", "change values.", "Parse before you add the data.")
    if schema.drop_invalid_rows:
        mend = "Leave it out: rows that fail are set aside."
        yield Fault("drop_invalid_rows", "would drop rows that nobody hears of.", mend)


def _unknown(where: str, told: Mapping[str, Severity], known: set[str]) -> Iterator[Fault]:
    for name in told.keys() - known:
        mend = f"Use one of {', '.join(sorted(known - {''}))}."
        yield Fault(where, f"gives a severity to {name!r}, which it does not check.", mend)


def _told(metadata: Mapping[str, Any] | None) -> Mapping[str, Severity]:
    found: Mapping[str, Severity] = (metadata or {}).get("severity", {})
    return found


def _of_frame(dataset: Dataset) -> Mapping[str, Any] | None:
    (told,) = dataset.schema.get_metadata().values()
    found: Mapping[str, Any] | None = told["dataframe"]
    return found


def _unique_sets(schema: Any) -> list[tuple[str, ...]]:
    unique = schema.unique or []
    sets = [unique] if all(isinstance(each, str) for each in unique) else unique
    return [tuple(each) for each in sets if each]


def _severity(told: Mapping[str, Severity], name: str) -> Severity:
    return told.get(name, told.get("", "quarantine"))


def _short(check: Any) -> str:
    return _SHORT.get(check.name, str(check.name))


def _read(check: Any, told: Mapping[str, Severity]) -> tuple[str, Severity, Any]:
    severity = "warn" if check.raise_warning else _severity(told, _short(check))
    return str(check.error or check.name), severity, check


def ask(rules: Sequence[Rule], rows: pl.LazyFrame, height: int) -> list[Asked]:
    """Ask every rule of rows.

    Parameters
    ----------
    rules : sequence of Rule
    rows : polars.LazyFrame
        Columns in the types of the schema.
    height : int
        How many there are.

    Returns
    -------
    list of Asked
        One for each rule, in their order.
    """
    found: dict[int, Asked] = {}
    lazy: dict[int, pl.LazyFrame] = {}
    for place, rule in enumerate(rules):
        if rule.check == "unique":
            found[place] = Asked(rule, repeated(rows, list(rule.columns)))
            continue
        try:
            lazy[place] = _holds(rule, rows)
        except Exception as error:  # noqa: BLE001 - a user's code: whatever it is refuses
            found[place] = Asked(rule, error=_why(error))
    for place, held in _collect(lazy).items():
        found[place] = _asked(rules[place], held, height)
    return [found[place] for place in range(len(rules))]


def _holds(rule: Rule, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Give a lazy frame of one column that says where a rule holds: a value a row, or one for all of them."""
    import polars as pl
    from pandera.api.polars.types import PolarsData

    if rule.check == "nullable":
        (name,) = rule.columns
        column = pl.col(name)
        floats = rows.collect_schema()[name].is_float()
        return rows.select(column.is_not_null() & (~column.is_nan() if floats else True))
    backend = rule.check.get_backend(rows)(rule.check)
    held = backend.apply(PolarsData(rows, rule.columns[0] if rule.columns else "*"))
    if isinstance(held, bool):
        held = pl.LazyFrame({"holds": [held]})
    (name,) = held.collect_schema()
    held = held.select(pl.col(name).fill_null(bool(rule.check.ignore_na)))
    assert isinstance(held, pl.LazyFrame)
    return held


def _collect(lazy: Mapping[int, pl.LazyFrame]) -> dict[int, pl.Series | Exception]:
    """Collect all in one pass; where that fails, each by itself, to know which it is."""
    import polars as pl

    try:
        found = pl.collect_all(list(lazy.values()), engine="streaming")
        return {place: frame.to_series() for place, frame in zip(lazy, found, strict=True)}
    except Exception:  # noqa: BLE001 - a user's code
        each: dict[int, pl.Series | Exception] = {}
        for place, frame in lazy.items():
            try:
                each[place] = frame.collect(engine="streaming").to_series()
            except Exception as error:  # noqa: BLE001 - a user's code: whatever it is refuses
                each[place] = error
        return each


def _asked(rule: Rule, held: pl.Series | Exception, height: int) -> Asked:
    import polars as pl

    if isinstance(held, Exception):
        return Asked(rule, error=_why(held))
    if held.dtype != pl.Boolean or held.len() not in (1, height):
        return Asked(
            rule, error=f"it gives {held.len():,} values of {held.dtype}, and not one truth a row or one"
        )
    if held.len() != height:
        return Asked(rule, whole=not held.item())
    return Asked(rule, None if held.all() else (~held).arg_true())


def _why(error: Exception) -> str:
    text = (str(error).strip() or "no message").splitlines()[0].rstrip(".")
    return f"{type(error).__name__}: {text}"
