"""What a batch must be before its rows can be judged: its columns those of the schema, and every row named by a key."""

from __future__ import annotations

__all__ = ["EXAMPLES", "key_failures", "keys_of", "repeated", "shape"]

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mainspring.data.version import CheckFailure

if TYPE_CHECKING:
    import polars as pl

EXAMPLES = 5
"""How many of the rows that fail a check are shown."""


def shape(batch: pl.LazyFrame, schema: Mapping[str, Any]) -> tuple[pl.LazyFrame, list[CheckFailure]]:
    """Bring the columns into the order and types of a schema, and tell those that do not fit."""
    import polars as pl

    given, failures, columns = batch.collect_schema(), [], []
    for name in (each for each in given if each not in schema):
        failures.append(CheckFailure(name, "is in the schema", _height(batch), (), "refuse"))
    for name, wanted in schema.items():
        if name not in given:
            failures.append(CheckFailure(name, "is in the batch", _height(batch), (), "refuse"))
        elif given[name] == wanted:
            columns.append(pl.col(name))
        else:
            failures += _unread(batch.select(name).collect()[name], wanted)
            columns.append(
                pl.col(name).map_batches(_Reader(wanted), return_dtype=wanted, is_elementwise=True)
            )
    return (batch, failures) if failures else (batch.select(columns), [])


def _height(batch: pl.LazyFrame) -> int:
    import polars as pl

    return int(batch.select(pl.len()).collect().item())


def _unread(given: pl.Series, wanted: Any) -> list[CheckFailure]:
    import polars as pl

    read = _read(given, wanted)
    if read is None:
        check, rows = f"has type {wanted}, not {given.dtype}", pl.arange(given.len(), eager=True)
    else:
        check, rows = f"can be read as {wanted}", (read.is_null() & given.is_not_null()).arg_true()
        if rows.is_empty():
            return []
    examples = tuple((row, str(given[row])) for row in rows.head(EXAMPLES))
    return [CheckFailure(given.name, check, rows.len(), examples, "refuse")]


class _Reader:
    """Brings a piece of a column that can be read to the wanted type."""

    def __init__(self, wanted: Any) -> None:
        self.wanted = wanted

    def __call__(self, given: pl.Series) -> pl.Series:
        read = _read(given, self.wanted)
        assert read is not None, "the whole column could be read"
        return read


def _read(given: pl.Series, wanted: Any) -> pl.Series | None:
    """Bring values to the wanted type, null where one does not fit; None where the type as such does not."""
    import polars as pl

    found = given.dtype
    if found == wanted:
        return given
    if given.null_count() == given.len():  # a column without values may have any type, as in CSV
        return pl.Series(given.name, [None] * given.len(), dtype=wanted)
    if wanted == pl.String and isinstance(found, pl.Categorical | pl.Enum):
        return given.cast(pl.String)
    if (wanted.is_float() and found.is_numeric()) or (wanted.is_integer() and found.is_integer()):
        return given.cast(wanted, strict=False)
    if isinstance(wanted, pl.Datetime) and found == pl.String:  # JSON has no moments: they come as RFC 3339
        plain = given.str.replace("[Zz]$", "+00:00").str.replace("^(.{10})[ t]", "${1}T")
        given = plain.str.to_datetime(
            "%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", time_zone="UTC", strict=False
        )
    elif not isinstance(wanted, pl.Datetime) or getattr(found, "time_zone", None) is None:
        return None
    return given.dt.convert_time_zone(wanted.time_zone or "UTC").cast(wanted)


def key_failures(
    rows: pl.LazyFrame, columns: Sequence[str], published: pl.DataFrame | None
) -> list[CheckFailure]:
    """Tell of rows whose key is null, stands in the batch twice, or was published before."""
    import polars as pl

    key = list(columns)
    label = ", ".join(key)
    named = rows.select(key).with_row_index("\0row")
    null = named.filter(pl.any_horizontal(pl.col(key).is_null()))
    problems = {"is never null": null.collect(engine="streaming")}
    twice = repeated(rows, key)
    if twice is not None:
        same = named.filter(pl.col("\0row").is_in(twice.implode()))
        problems["is unique in the batch"] = same.collect(engine="streaming").drop_nulls()
    if published is not None and published.height:
        keys = published.select(key).unique().lazy()
        problems["was not published before"] = named.join(keys, on=key, how="semi").collect(
            engine="streaming"
        )
    failures = []
    for check, found in problems.items():
        if found.height:
            some = found.sort("\0row").head(EXAMPLES)
            values = keys_of(some.select(key))
            examples = tuple(zip(some["\0row"].to_list(), values, strict=True))
            failures.append(CheckFailure(label, check, found.height, examples, "refuse", values))
    return failures


def repeated(rows: pl.LazyFrame, columns: list[str]) -> pl.Series | None:
    """Give the positions of rows whose values in these columns stand in another row, too, None where there are none.

    Eight bytes a row tell which values may be repeated, however long they are; only those are looked at as they are.
    """
    import polars as pl

    hashed = pl.struct(columns).hash()
    hashes = rows.select(hashed.alias("hash")).collect(engine="streaming")["hash"].to_numpy(writable=True)
    hashes.sort()
    twice = pl.Series(hashes[1:][hashes[1:] == hashes[:-1]], dtype=pl.UInt64).unique()
    if twice.is_empty():
        return None
    candidates = rows.select(columns).with_row_index("\0row").filter(hashed.is_in(twice.implode()))
    same = candidates.collect(engine="streaming").filter(pl.struct(columns).is_duplicated())
    return None if same.is_empty() else same["\0row"].sort()


def keys_of(rows: pl.DataFrame) -> tuple[str, ...]:
    """Print the keys of rows, each as one text."""
    return tuple(", ".join(map(str, row)) for row in rows.iter_rows())
