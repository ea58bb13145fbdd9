"""The files that versions of a Delta table are made of."""

from __future__ import annotations

__all__ = ["apart", "files_of"]

from typing import TYPE_CHECKING

from mainspring.stores.tables import DeltaTables, TableNotFound

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl


def files_of(tables: DeltaTables, name: str, version: int) -> frozenset[Path]:
    """Give the files that hold a version's rows.

    Raises
    ------
    TableNotFound
        There is no such table, or version of it.
    """
    from pathlib import Path
    from urllib.parse import unquote, urlsplit

    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    if not tables.exists(name):
        raise TableNotFound(name, version)
    try:
        uris = DeltaTable(tables.folder(name), version=version).file_uris()
    except (DeltaError, OverflowError) as error:
        raise TableNotFound(name, version) from error
    return frozenset(Path(unquote(urlsplit(uri).path) if "://" in uri else uri) for uri in uris)


def apart(tables: DeltaTables, name: str, before: int, now: int) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    """Give the rows of two versions of a table, without those of files that both have.

    What was appended to a large table is found without reading the table.

    Raises
    ------
    TableNotFound
    """
    ours, theirs = files_of(tables, name, before), files_of(tables, name, now)
    return _rows(tables, name, before, ours - theirs), _rows(tables, name, now, theirs - ours)


def _rows(tables: DeltaTables, name: str, version: int, files: frozenset[Path]) -> pl.LazyFrame:
    import polars as pl

    schema = tables.scan(name, version).collect_schema()
    if not files:
        return pl.LazyFrame(schema=schema)
    scans = [pl.scan_parquet(file) for file in sorted(files)]
    return pl.concat(
        [each.select([pl.col(column).cast(dtype) for column, dtype in schema.items()]) for each in scans]
    )
