"""A first contract from data: what holds of all its rows, with room, as Python code for people to make their own."""

from __future__ import annotations

__all__ = ["infer_contract"]

import keyword
import math
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any

from mainspring.errors import Fault, Faults, Invalid

if TYPE_CHECKING:
    import polars as pl

_DOMAIN = 20
"""The most distinct texts that are taken for all that there can be, and as often each must come on average."""

_TAKEN = {"Annotated", "Moment", "bool", "float", "int", "ms", "pa", "pl", "str"}
_KEY_COLUMNS = 8


def infer_contract(
    rows: pl.DataFrame,
    name: str,
    *,
    now: datetime,
    key: Sequence[str] = (),
    event_time: str | None = None,
) -> str:
    """Write a contract that rows pass.

    Types, nulls, the texts of small domains, ranges with room, columns whose values are all different, a key, the event
    time, and how fresh it should be. It says what was, not what must be: a person should read it.

    Parameters
    ----------
    rows : polars.DataFrame
        Moments with a time zone.
    name : str
        Of the dataset.
    now : datetime
        To tell whether the rows are still coming.
    key : sequence of str
        The columns that name a row; by default the first that do, alone or as a pair.
    event_time : str, optional
        The column with the moment that a row is about; by default the first of moments without nulls.

    Returns
    -------
    str
        A Python module with a pandera model and a `mainspring.Dataset`.

    Raises
    ------
    Faults
        Columns are of types or have names that no contract can have.
    Invalid
        There are no rows, nothing names a row, or no column says when.
    """
    if not rows.height:
        raise Invalid("There are no rows to infer a contract from.")
    fields = {column.name: _kind(column) for column in rows}
    faults = [fault for column in rows if (fault := _fault(column, fields[column.name]))]
    if faults:
        raise Faults(f"What a contract for {name!r} was to be inferred from", tuple(faults))
    for column in (*key, *([event_time] if event_time else [])):
        if column not in fields:
            raise Invalid(f"There is no column {column!r}. There are: {', '.join(fields)}.")
    when = event_time or next(
        (c.name for c in rows if fields[c.name] == "Moment" and not c.null_count()), None
    )
    if when is None or fields[when] != "Moment":
        raise Invalid(
            "No column says when a row was: name one of moments with --event-time, and their zone with --time-zone."
        )
    named = tuple(key) or _key(rows, fields, when)
    attributes = _attributes(fields)
    lines = [
        f"    {attributes[column.name]}: {fields[column.name]}{_field(column, fields, attributes, named)}"
        for column in rows
    ]
    return _module(name, rows, lines, named, when, now)


def _kind(column: pl.Series) -> str | None:
    """Say how a column's type is written in a model; None where no contract can have it."""
    import polars as pl

    dtype = column.dtype
    if isinstance(dtype, pl.Datetime):
        return "Moment" if dtype.time_zone else None
    if isinstance(dtype, pl.Categorical | pl.Enum) or dtype == pl.Null:
        return "str"
    kinds: dict[Any, str] = {
        pl.String: "str",
        pl.Boolean: "bool",
        pl.Float64: "float",
        pl.Float32: "pl.Float32",
        pl.Int64: "int",
        pl.Int32: "pl.Int32",
        pl.Int16: "pl.Int16",
        pl.Int8: "pl.Int8",
        pl.UInt8: "pl.Int16",
        pl.UInt16: "pl.Int32",
        pl.UInt32: "int",
        pl.UInt64: "int",
    }
    return kinds.get(type(dtype))


def _fault(column: pl.Series, kind: str | None) -> Fault | None:
    import polars as pl

    where = f"column {column.name!r}"
    if isinstance(column.dtype, pl.Datetime) and kind is None:
        return Fault(
            where, "has moments without a time zone.", "Say which one with --time-zone, such as UTC."
        )
    if kind is None:
        mend = "Use text, whole or other numbers, truth values or moments."
        return Fault(where, f"is of the type {column.dtype}, which no contract can have.", mend)
    if column.name == "*" or re.fullmatch(r"\^.*\$", column.name) or not column.name:
        return Fault(where, "has a name that stands for many columns or none.", "Rename it.")
    if column.dtype == pl.UInt64 and column.drop_nulls().cast(pl.Int64, strict=False).null_count():
        return Fault(where, "has whole numbers of 2**63 and more.", "Give them as text.")
    return None


def _attributes(fields: dict[str, Any]) -> dict[str, str]:
    """Give each column a name in Python: its own where it can be one."""
    import pandera.polars as pa

    found: dict[str, str] = {}
    for place, name in enumerate(fields):
        plain = name.isidentifier() and name.isascii() and not keyword.iskeyword(name)
        if plain and not name.startswith("_") and name not in _TAKEN and not hasattr(pa.DataFrameModel, name):
            found[name] = name
            continue
        new = f"column_{place + 1}"
        while new in fields:
            new += "_"
        found[name] = new
    return found


def _field(
    column: pl.Series, fields: dict[str, Any], attributes: dict[str, str], key: tuple[str, ...]
) -> str:
    """Write the rules of a column."""
    kind, values = fields[column.name], column.drop_nulls()
    told: dict[str, object] = {}
    if kind in ("float", "pl.Float32"):
        finite = values.filter(values.is_finite())
        if finite.len() == values.len():
            told |= _range(values)
        if values.is_nan().any() or column.null_count():
            told["nullable"] = True
    else:
        if kind in ("int", "pl.Int8", "pl.Int16", "pl.Int32"):
            told |= _range(values, _LARGEST.get(kind, 2**63 - 1))
        if kind == "str":
            domain = values.cast(str).unique()
            if 0 < domain.len() <= _DOMAIN and values.len() >= _DOMAIN * domain.len():
                told["isin"] = sorted(domain.to_list())
        if column.null_count():
            told["nullable"] = True
        one = (column.name,)
        if kind in ("str", "int") and key != one and _distinct(column) and column.len() >= _DOMAIN:
            told["unique"] = True
    if attributes[column.name] != column.name:
        told["alias"] = column.name
    if not told:
        return ""
    return f" = pa.Field({', '.join(f'{name}={value!r}' for name, value in told.items())})"


_LARGEST = {"pl.Int8": 2**7 - 1, "pl.Int16": 2**15 - 1, "pl.Int32": 2**31 - 1}


def _range(values: pl.Series, largest: float = math.inf) -> dict[str, float]:
    """Give round limits with as much room again as the values take up from 0."""
    if values.is_empty():
        return {}
    low, high = values.min(), values.max()
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    told: dict[str, float] = {}
    for side, end in (("ge", low), ("le", high)):
        inward = end >= 0 if side == "ge" else end <= 0
        limit = 0 if inward else _round(2 * end)
        if abs(limit) <= largest and math.isfinite(limit):
            told[side] = limit
    return told


def _round(value: float) -> float:
    """Give the next number away from 0 that is 1, 2 or 5 times a power of ten; whole where the value is."""
    size = abs(value)
    if not math.isfinite(size):
        return value
    power = 10.0 ** math.floor(math.log10(size)) if size >= _TINY else 0.0
    found = next((step * power for step in (1, 2, 5, 10) if step * power >= size), math.inf)
    signed = math.copysign(found, value)
    return int(signed) if isinstance(value, int) and math.isfinite(signed) else signed


_TINY = 1e-300


def _distinct(column: pl.Series) -> bool:
    return not column.null_count() and column.n_unique() == column.len()


def _key(rows: pl.DataFrame, fields: dict[str, Any], when: str) -> tuple[str, ...]:
    """Find what names a row: a column of texts or whole numbers, else a pair of columns, with the time first."""
    import polars as pl

    whole = [
        name for name, kind in fields.items() if kind in ("str", "int", "pl.Int32", "pl.Int16", "pl.Int8")
    ]
    for name in whole:
        if _distinct(rows[name]):
            return (name,)
    some = whole[:_KEY_COLUMNS]
    for pair in (*((name, when) for name in some), *combinations(some, 2), (when,)):
        no_nulls = not any(rows[name].null_count() for name in pair)
        if no_nulls and not rows.select(pl.struct(pair).is_duplicated().any()).item():
            return pair
    raise Invalid(
        "Neither a column nor a pair of columns names a row: say which do with --key, or drop what is twice."
    )


def _module(
    name: str, rows: pl.DataFrame, lines: list[str], key: tuple[str, ...], when: str, now: datetime
) -> str:
    words = [word for word in re.split(r"[^A-Za-z0-9]+", name) if word]
    model = "".join(word.capitalize() for word in words)
    model = f"Rows{model}" if not model[:1].isalpha() else model
    variable = "_".join(words).lower()
    if not variable.isidentifier() or keyword.iskeyword(variable) or variable in _TAKEN:
        variable = f"dataset_{variable}"
    checks = ["ms.RowChange(at_least=0.1, at_most=10.0),", "ms.SchemaEvolution(),", _fresh(rows[when], now)]
    named = repr(key[0]) if len(key) == 1 else repr(list(key))
    return "\n".join(
        [
            f'"""The contract of dataset {name}, as inferred from {rows.height:,} rows.',
            "",
            "It says what was, with some room. Make it say what must be; where outcomes come later, name `known_at`.",
            '"""',
            "",
            "from __future__ import annotations",
            "",
            "from typing import Annotated",
            "",
            "import pandera.polars as pa",
            "import polars as pl",
            "",
            "import mainspring as ms",
            "",
            'Moment = Annotated[pl.Datetime, "us", "UTC"]',
            "",
            "",
            f"class {model}(pa.DataFrameModel):",
            *lines,
            "",
            "",
            f"{variable} = ms.Dataset(",
            f"    {name!r},",
            f"    key={named},",
            f"    event_time={when!r},",
            f"    schema={model},",
            "    checks=[",
            *(f"        {each}" for each in checks),
            "    ],",
            ")",
            "",
        ]
    )


def _fresh(times: pl.Series, now: datetime) -> str:
    """Ask for a row as recent as the longest pause three times over, if rows still come as often."""
    newest = times.max()
    assert isinstance(newest, datetime)
    days = sorted({moment.date() for moment in times.dt.truncate("1d").unique()})
    pauses = [later - day for day, later in pairwise(days)]
    within = 3 * max([*pauses, timedelta(days=1)])
    text = f'ms.Freshness("{within.days}d"),'
    if now - newest <= within:
        return text
    return f"# {text}  # its newest row is of {newest:%Y-%m-%d}"
