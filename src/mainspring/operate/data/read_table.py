"""Reading a table from a file of any kind that is taken; what cannot be read is told in one sentence."""

from __future__ import annotations

__all__ = ["Unreadable", "read_table", "scan_table", "unreadable"]

import codecs
import csv
from typing import TYPE_CHECKING

from mainspring.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    import polars as pl

_PARQUET, _ARROW, _ARROW_STREAM = b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"
_PIECE = 1 << 20


class Unreadable(Invalid):
    """A file that holds no whole table; `why` goes on a sentence that begins with the file."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return f"The file cannot be read: {self.why}."


def read_table(file: Path, texts: Collection[str] = ()) -> pl.DataFrame:
    """Read a table whole, as `scan_table` does."""
    try:
        return scan_table(file, texts).collect()
    except Unreadable:
        raise
    except Exception as error:
        raise unreadable(file, error) from error


def scan_table(file: Path, texts: Collection[str] = ()) -> pl.LazyFrame:
    """Begin to read a table from a Parquet, Arrow, NDJSON or CSV file, told apart by their first bytes.

    Parquet and Arrow files are read as far as is asked for, so that they may be larger than the memory. What is wrong
    inside of them comes up only then: `unreadable` makes the same error of it.

    Parameters
    ----------
    file : Path
    texts : collection of str
        Columns that are read as text from a CSV file, so that the id `007` stays what it is.

    Raises
    ------
    Unreadable
        It is no such file, or only a part of one.
    """
    import polars as pl

    size = file.stat().st_size
    with file.open("rb") as opened:
        first = opened.read(1024)
        opened.seek(max(0, size - 8))
        last = opened.read()
    try:
        if not first.strip():
            raise Unreadable("it is empty")
        if first.startswith(_PARQUET):
            if not last.endswith(_PARQUET) or size < 12:
                raise Unreadable("it is a Parquet file that was cut off: its end is missing")
            table = pl.scan_parquet(file, glob=False)
            table.collect_schema()
            return table
        if first.startswith(_ARROW):
            if not last.endswith(_ARROW):
                raise Unreadable("it is an Arrow file that was cut off: its end is missing")
            return pl.scan_ipc(file)
        if first.startswith(_ARROW_STREAM):
            return pl.read_ipc_stream(file).lazy()
        if b"\0" in first:  # polars would take them for a column's name
            raise Unreadable("it is no Parquet, Arrow, NDJSON or CSV table: its first bytes are no text")
        if first.lstrip().startswith(b"{"):
            return pl.read_ndjson(file, infer_schema_length=None).lazy()
        return _read_csv(file, texts).lazy()
    except Unreadable:
        raise
    except (Exception, pl.exceptions.PanicException) as error:
        raise unreadable(file, error) from error


def unreadable(file: Path, error: BaseException) -> Unreadable:
    """Make an error that came up while a file was read one that says what is wrong with the file."""
    if (place := _not_utf8(file)) is not None:
        return Unreadable(f"it is not UTF-8: {place}. Save it as UTF-8")
    with file.open("rb") as opened:
        first = opened.read(1024)
    kinds = {_PARQUET: "Parquet file", _ARROW[:4]: "Arrow file", _ARROW_STREAM: "Arrow stream"}
    kind = kinds.get(first[:4]) or ("NDJSON table" if first.lstrip().startswith(b"{") else "CSV table")
    return Unreadable(f"it is no whole {kind}: {_first_line(error)}")


def _read_csv(file: Path, texts: Collection[str]) -> pl.DataFrame:
    import polars as pl

    try:
        frame = pl.read_csv(
            file,
            infer_schema_length=None,
            try_parse_dates=True,
            schema_overrides=dict.fromkeys(texts, pl.String),
        )
    except pl.exceptions.PolarsError:
        _need_even_lines(file)
        raise
    # A line that lacks a field is filled up with nulls at its end, whichever field it lacks.
    if frame.height and frame.width > 1 and frame.to_series(-1).null_count():
        _need_even_lines(file)
    if frame.width == 1 and ";" in frame.columns[0]:
        raise Unreadable("its fields are separated by semicolons: separate them by commas")
    return frame


def _need_even_lines(file: Path) -> None:
    """Raise `Unreadable` about the first line that has more or fewer fields than the header."""
    if (place := _not_utf8(file)) is not None:
        raise Unreadable(f"it is not UTF-8: {place}. Save it as UTF-8")
    with file.open(encoding="utf-8-sig", newline="") as opened:
        lines = csv.reader(opened)
        try:
            header = next(lines)
            for fields in lines:
                if fields and len(fields) != len(header):
                    few = "fewer" if len(fields) < len(header) else "more"
                    raise Unreadable(
                        f"line {lines.line_num} has {few} fields ({len(fields)}) than the header ({len(header)}): its "
                        "values would stand under other columns"
                    )
        except csv.Error as error:
            raise Unreadable(f"line {lines.line_num} is no CSV: {error}") from error


def _not_utf8(file: Path) -> str | None:
    """Say where a file's text is not UTF-8, None where all of it is or where it is no text."""
    decoder, line = codecs.getincrementaldecoder("utf-8")(), 1
    with file.open("rb") as opened:
        while piece := opened.read(_PIECE):
            if b"\0" in piece:
                return None
            try:
                decoder.decode(piece)
            except UnicodeDecodeError as error:
                line += error.object[: error.start].count(b"\n")
                return f"byte 0x{error.object[error.start]:02x} in line {line}"
            line += piece.count(b"\n")
    return None


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
