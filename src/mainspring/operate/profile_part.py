"""A process that profiles parts of a data version: some rows of all columns, or all rows of some columns.

It knows no product file and runs no user's code; it reads tables. Profiles merge exactly, so it does not matter where
and in which order the parts are counted.
"""

from __future__ import annotations

__all__ = ["Count", "Counted", "Freeze", "Frozen", "Table", "answer", "main"]

import io
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from mainspring.digest import Digest
from mainspring.engines import answer_lines
from mainspring.monitoring import ColumnProfile, frame, profile_slices
from mainspring.operate.tasks import Failed
from mainspring.stores.tables import DeltaTables

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

SLICES = 50
"""Values of a column that are slices, at most."""


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A data version, and the version of the table that holds its rows."""

    dataset: str
    number: int
    version: int


class _Message(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """A question or an answer."""


class Freeze(_Message, frozen=True):
    """Freeze what windows are compared by, from all rows of some columns of the reference."""

    table: Table
    columns: tuple[str, ...]
    by: tuple[str, ...]


class Frozen(_Message, frozen=True):
    """The columns' profiles without rows, and of those to slice by the most frequent values, as Arrow files."""

    columns: dict[str, ColumnProfile]
    slices: dict[str, bytes]


class Count(_Message, frozen=True):
    """Profile some rows, in the order of the table's files."""

    table: Table
    columns: dict[str, ColumnProfile]
    slices: dict[str, bytes]
    first: int
    rows: int


class Counted(_Message, frozen=True):
    """The profiles as JSON, and the digest of the order in which the table's files were read."""

    profiles: str
    order: Digest


Question: TypeAlias = Freeze | Count
_DECODER = msgspec.json.Decoder(Question)


def answer(state: str, question: bytes) -> bytes:
    """Answer one question about the workspace that has this state folder; what goes wrong is an answer, too."""
    tables = DeltaTables(Path(state) / "tables")
    answered: Frozen | Counted | Failed
    try:
        match asked := _DECODER.decode(question):
            case Freeze():
                answered = _freeze(asked, tables)
            case Count():
                answered = _count(asked, tables)
    except Exception as error:  # noqa: BLE001 - libraries raise many kinds for files that cannot be read
        answered = Failed.by(error)
    return msgspec.json.encode(answered)


def _freeze(asked: Freeze, tables: DeltaTables) -> Frozen:
    columns: dict[str, ColumnProfile] = {}
    slices = {}
    # A column at a time: a table may be larger than the memory, and a column of it hardly is.
    for name in asked.columns:
        column = tables.scan(asked.table.dataset, asked.table.version).select(name).collect()
        columns.update(frame(column))
        if name in asked.by:
            slices[name] = _file(_most_frequent(column.to_series()))
    return Frozen(columns=columns, slices=slices)


def _count(asked: Count, tables: DeltaTables) -> Counted:
    table = asked.table
    rows = tables.scan(table.dataset, table.version).slice(asked.first, asked.rows).collect()
    found = profile_slices(
        rows, asked.columns, segment=table.dataset, version=table.number, by=_values(asked.slices)
    )
    return Counted(profiles=found.to_json(), order=tables.order(table.dataset, table.version))


def _most_frequent(column: pl.Series) -> pl.Series:
    import polars as pl

    counts = (
        column.drop_nulls().alias("value").value_counts().sort(["count", "value"], descending=[True, False])
    )
    return pl.Series(column.name, counts["value"].head(SLICES))


def _file(values: pl.Series) -> bytes:
    content = io.BytesIO()
    values.to_frame().write_ipc(content)
    return content.getvalue()


def _values(slices: Mapping[str, bytes]) -> dict[str, list[object]]:
    import polars as pl

    return {name: pl.read_ipc(io.BytesIO(content)).to_series().to_list() for name, content in slices.items()}


def main(state: str) -> None:
    """Answer the questions on standard input until it ends."""
    answer_lines(partial(answer, state))


if __name__ == "__main__":
    main(sys.argv[1])
