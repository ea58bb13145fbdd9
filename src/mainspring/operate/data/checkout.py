"""A data version as files again: whole or not at all."""

from __future__ import annotations

__all__ = ["CheckedOut", "check_out", "write_table"]

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec

from mainspring.data.plain import DatasetKind
from mainspring.digest import Digest
from mainspring.errors import Invalid, Taken
from mainspring.operate.data.datasets import dataset_key, find_version, plain_dataset
from mainspring.stores.errors import disk_refused
from mainspring.stores.files import FileContents

if TYPE_CHECKING:
    import polars as pl

    from mainspring.data import DataVersion
    from mainspring.operate.data.folders import Progress
    from mainspring.ref import DataAddress
    from mainspring.workspace import Workspace


class CheckedOut(msgspec.Struct, frozen=True, kw_only=True):
    """Where a version is now, and how many rows or files that are."""

    ref: str
    path: str
    rows: int


def check_out(
    workspace: Workspace, address: DataAddress, to: Path, *, progress: Progress | None = None
) -> CheckedOut:
    """Write a version to a file, or to a folder where it is one of files.

    Parameters
    ----------
    workspace : Workspace
    address : DataAddress
    to : Path
        A file that ends in .parquet, .arrow, .csv or .ndjson; or, for a dataset of files, a folder. Nothing but an
        empty folder may be there.
    progress : callable, optional
        Is told how many of how many files are done.

    Raises
    ------
    Taken
        Something is there.
    Invalid
        The file's ending is none of these.
    mainspring.stores.blobs.BlobNotFound, mainspring.stores.blobs.BlobCorrupt
        Contents are gone or were changed; nothing was written.
    StoreUnavailable
        The disk is full or refuses to write.
    """
    with workspace.database.read() as tx:
        version = find_version(tx, address)
        plain = plain_dataset(tx, version.dataset)
        key = dataset_key(workspace, tx, version.dataset)
    with _whole(to) as part:
        if plain is not None and plain.kind is DatasetKind.FILES:
            _write_files(workspace, version, part, progress)
        else:
            _write_table(workspace.tables.scan(version.dataset, version.table_version), key, to, part)
    return CheckedOut(ref=str(version.ref), path=str(to), rows=version.rows)


def write_table(rows: pl.LazyFrame, to: Path) -> None:
    """Write rows to a file whose ending says its form, whole or not at all; raises as `check_out` does."""
    with _whole(to) as part:
        _write_table(rows, (), to, part)


@contextmanager
def _whole(to: Path) -> Iterator[Path]:
    """Give a place to write to that becomes the one that is meant when all is written."""
    if (to.exists() and not (to.is_dir() and not any(to.iterdir()))) or to.is_symlink():
        raise Taken(f"{to} is there already: name a place where nothing is.")
    part = to.absolute().with_name(f".{to.name}.{uuid4().hex}.part")
    try:
        yield part
        part.rename(to)
    except OSError as error:
        raise disk_refused(to, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True) if part.is_dir() else part.unlink(missing_ok=True)


def _write_files(workspace: Workspace, version: DataVersion, part: Path, progress: Progress | None) -> None:
    contents = FileContents(workspace.settings.state / "files")
    manifest = workspace.tables.read(version.dataset, version.table_version)
    part.mkdir(parents=True)
    made = {part}
    for done, (name, digest) in enumerate(manifest.select("path", "digest").iter_rows()):
        # What lies in a table is checked once more before it becomes a path.
        if not {"", ".", ".."}.isdisjoint(name.split("/")) or os.sep != "/":
            raise Invalid(f"{version.ref} has a file {name!r}, which would lie elsewhere.")
        path = part / name
        if path.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        contents.copy(Digest(digest), path)
        if progress and done % 100 == 0:
            progress(done, version.rows)


def _write_table(rows: pl.LazyFrame, key: tuple[str, ...], to: Path, part: Path) -> None:
    if key:
        rows = rows.sort(*key)
    part.parent.mkdir(parents=True, exist_ok=True)
    match to.suffix:
        case ".parquet":
            rows.sink_parquet(part)
        case ".arrow" | ".ipc" | ".feather":
            rows.sink_ipc(part)
        case ".csv":
            rows.sink_csv(part, datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ")
        case ".ndjson" | ".jsonl":
            rows.sink_ndjson(part)
        case other:
            raise Invalid(
                f"{other or to.name!r} says no form: let the file end in .parquet, .arrow, .csv or .ndjson."
            )
