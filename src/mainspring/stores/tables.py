"""Tables in Delta Lake: every append makes a version, and a version never changes."""

from __future__ import annotations

__all__ = ["DeltaTables", "FilesGone", "TableByReference", "TableNotFound", "TableRefused"]

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias
from uuid import uuid4

from mainspring.digest import Digest, digest_of_json
from mainspring.errors import Fault, Faults, MainspringError, NotFound
from mainspring.ref import check_name
from mainspring.stores.durable import make_folder, sync, write_new
from mainspring.stores.errors import disk_refused

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from typing import Protocol

    import polars as pl
    from deltalake import DeltaTable
    from deltalake.transaction import AddAction
    from polars.datatypes import DataTypeClass

    class ArrowStream(Protocol):
        """A table of any library that speaks Arrow."""

        def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
            """Give a PyCapsule with a stream of record batches."""
            ...


CommitId: TypeAlias = tuple[str, int]
"""Who appends, and a number that grows with each of their appends."""

# A version of a dataset may be read years later: without its log entry it could not be.
_CONFIGURATION: dict[str, str | None] = {
    "delta.checkpointInterval": "50",
    "delta.enableExpiredLogCleanup": "false",
}


class TableNotFound(NotFound):
    """A table, or a version of it, that does not exist."""

    def __init__(self, name: str, version: int | None) -> None:
        super().__init__(name, version)
        self.name, self.version = name, version

    def __str__(self) -> str:
        what = (
            f"table {self.name!r}"
            if self.version is None
            else f"version {self.version} of table {self.name!r}"
        )
        return (
            f"There is no {what} in this state folder. What refers to it was made with another one: "
            "see with which folder mainspring was started."
        )


class TableByReference(MainspringError):
    """A table that others write, which is read here and never written."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name, folder)
        self.name, self.folder = name, folder

    def __str__(self) -> str:
        return (
            f"Dataset {self.name!r} is the Delta table in {self.folder}, by reference: mainspring reads it and never "
            f"writes it. Write there, then run `mainspring data add {self.name} {self.folder}`."
        )


class FilesGone(MainspringError):
    """Files of a table by reference that its owner has removed."""

    def __init__(self, name: str, version: int | None, count: int) -> None:
        super().__init__(name, version, count)
        self.name, self.version, self.count = name, version, count

    def __str__(self) -> str:
        return (
            f"{self.count:,} files of version {self.version} of the table {self.name!r} are gone: it is held by "
            "reference, and its owner has vacuumed it. Add it again to go on with its newest version."
        )


class TableRefused(Faults):
    """Rows that do not fit their table; nothing of them was kept."""


class DeltaTables:
    """Delta tables in a local folder, one folder each.

    Appends are durable: files are on the disk before the log names them, and the log is before `append` returns.
    Threads may share an instance, and processes a folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._handles: dict[str, DeltaTable] = {}
        self._lock = Lock()

    def append(
        self,
        name: str,
        data: pl.DataFrame | ArrowStream | Iterator[pl.DataFrame],
        *,
        commit_id: CommitId | None,
        partition_by: Sequence[str] = (),
        widen: bool = False,
    ) -> int:
        """Append rows, in one commit; the first append makes the table.

        Parameters
        ----------
        name : str
            The table.
        data : polars.DataFrame, anything that speaks Arrow, or an iterator of polars.DataFrame
            The rows, or as many at a time as are to be held in memory. The columns may come in any order, and a column
            without any value may have any type.
        commit_id : (str, int), optional
            With it the append happens once: when this or a higher number of the same appender is in the table,
            nothing is appended.
        partition_by : sequence of str
            Columns of days, whole numbers or names by which files are split; heeded by the first append.
        widen : bool
            Whether the table takes columns that it does not have; the rows before have nulls there.

        Returns
        -------
        int
            The table's version: that of this append, or the present one when there was nothing to do.

        Raises
        ------
        TableRefused
            A column is missing, unknown, or of another type than the table's.
        StoreUnavailable
            The disk is full or refuses to write.
        """
        import polars as pl

        pieces = data if isinstance(data, Iterator) else iter([pl.DataFrame(data)])
        with self._alone(name):
            table = self._open(name)
            if table is not None and commit_id is not None:
                done = table.transaction_version(commit_id[0])
                if done is not None and done >= commit_id[1]:
                    return table.version()
            first = next(pieces)
            if table is not None and widen:
                _widen(table, first)
            return self._commit(name, table, chain([first], pieces), commit_id, partition_by)

    def replace(self, name: str, pieces: Iterable[pl.DataFrame]) -> int:
        """Make the next version of other rows, with other columns if need be, in one commit; the first makes the table.

        Parameters
        ----------
        name : str
            The table.
        pieces : iterable of polars.DataFrame
            The rows, as many at a time as are to be held in memory; at least one piece, all with the same columns.

        Returns
        -------
        int
            The table's version; those before keep what they hold.

        Raises
        ------
        TableRefused
            A column is of a type that no table can keep, or a piece has other columns than the first.
        StoreUnavailable
            The disk is full or refuses to write.
        """
        import polars as pl
        from deltalake import Schema
        from deltalake.transaction import create_table_with_add_actions

        path = self.folder(name)
        with self._alone(name):
            make_folder(path)
            schema: pl.Schema | None = None
            files: list[AddAction] = []
            for piece in pieces:
                rows = _fitted(name, piece, schema, [])
                schema = rows.schema
                files += _write_files(path, rows, [])
            kept = Schema.from_arrow(pl.Schema(schema))
            table = self._open(name)
            if table is None:
                create_table_with_add_actions(
                    str(path), kept, files, partition_by=[], configuration=_CONFIGURATION
                )
            else:
                table.create_write_transaction([*files], "overwrite", kept, partition_by=[])
            table = self._open(name)
            assert table is not None, "the commit made it"
            _sync_log(path, table.version())
            return table.version()

    def remove(self, name: str, keys: pl.DataFrame) -> int:
        """Make the next version of the rows whose key is none of these; files without such rows stay as they are.

        Parameters
        ----------
        name : str
            The table.
        keys : polars.DataFrame
            Some columns of the table, in its types and without nulls.

        Returns
        -------
        int
            The table's version.

        Raises
        ------
        TableNotFound
        StoreUnavailable
            The disk is full or refuses to write.
        """
        from deltalake import WriterProperties

        path = self.folder(name)
        with self._alone(name):
            table = self._open(name)
            if table is None:
                raise TableNotFound(name, None)
            before = set(table.file_uris())
            same = " AND ".join(f'kept."{each}" = gone."{each}"' for each in keys.columns)
            table.merge(
                source=keys,
                predicate=same,
                source_alias="gone",
                target_alias="kept",
                writer_properties=WriterProperties(compression="ZSTD"),
            ).when_matched_delete().execute()
            table.update_incremental()
            for file in set(table.file_uris()) - before:
                sync(Path(file))
            _sync_log(path, table.version())
            return table.version()

    def compact(self, name: str) -> int:
        """Make the next version of the same rows in as few files as their size asks for; give its number.

        Raises
        ------
        TableNotFound
        StoreUnavailable
            The disk is full or refuses to write.
        """
        from deltalake import WriterProperties

        path = self.folder(name)
        with self._alone(name):
            table = self._open(name)
            if table is None:
                raise TableNotFound(name, None)
            before = set(table.file_uris())
            table.optimize.compact(writer_properties=WriterProperties(compression="ZSTD"))
            table.update_incremental()
            for file in set(table.file_uris()) - before:
                sync(Path(file))
            _sync_log(path, table.version())
            return table.version()

    def sweep(self, name: str, kept: Collection[Path], *, dry_run: bool) -> tuple[int, int]:
        """Remove the files with rows that are not among those to be kept; give how many, and how many bytes.

        Versions of the table that are made of others cannot be read any more. No writer is in the midst of something.
        """
        folder = self.folder(name)
        if not folder.is_dir():
            return 0, 0
        with self._alone(name):
            spare = [
                file for file in folder.rglob("*.parquet") if file not in kept and not _in_log(file, folder)
            ]
            size = sum(file.stat().st_size for file in spare)
            if not dry_run:
                for file in spare:
                    file.unlink()
        return len(spare), size

    def read(self, name: str, version: int | None = None) -> pl.DataFrame:
        """Give the rows of a version, the newest by default, in no particular order; raises `TableNotFound`."""
        return self.scan(name, version).collect()

    def scan(self, name: str, version: int | None = None) -> pl.LazyFrame:
        """Give a version to be read as far as needed, the newest by default; raises `TableNotFound`."""
        import polars as pl
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        path = self.folder(name)
        if name not in self._handles and not self.exists(name):
            raise TableNotFound(name, version)
        try:
            table = DeltaTable(path, version=version)
            if path.is_symlink():
                gone = sum(not Path(file).exists() for file in table.file_uris())
                if gone:
                    raise FilesGone(name, table.version(), gone)
            return pl.scan_delta(table)
        except (DeltaError, OverflowError) as error:
            if version is None or 0 <= version <= self.version(name):
                raise
            raise TableNotFound(name, version) from error

    def order(self, name: str, version: int) -> Digest:
        """Digest the order of a version's files, in which `scan` gives their rows; raises `TableNotFound`."""
        from deltalake import DeltaTable

        path = self.folder(name)
        if not self.exists(name):
            raise TableNotFound(name, version)
        return digest_of_json(DeltaTable(path, version=version).file_uris())

    def rows(self, name: str, version: int) -> int:
        """Count the rows of a version; raises `TableNotFound`."""
        import polars as pl

        return int(self.scan(name, version).select(pl.len()).collect().item())

    def version(self, name: str) -> int:
        """Give the newest version's number, counted from 0; raises `TableNotFound`."""
        with self._lock:
            table = self._open(name)
            if table is None:
                raise TableNotFound(name, None)
            return table.version()

    def committed(self, name: str, appender: str, version: int | None = None) -> int:
        """Give the number of an appender's newest commit id in a version, 0 before the first; by default the newest."""
        from deltalake import DeltaTable

        with self._lock:
            table = self._open(name)
            if table is not None and version is not None:
                table = DeltaTable(self.folder(name), version=version)
            return (table.transaction_version(appender) or 0) if table is not None else 0

    def names(self, prefix: str) -> tuple[str, ...]:
        """Give the tables whose name is a prefix and eight more characters, in order."""
        return tuple(sorted(folder.name for folder in self.root.glob(f"{prefix}????????") if folder.is_dir()))

    def restore(self, name: str, version: int | None) -> None:
        """Make the newest version hold what an earlier one did; with None nothing.

        So what was appended and never recorded elsewhere is taken back before the next append builds on it. Commit ids
        are not taken back: an append under one that was used stays undone.
        """
        with self._alone(name):
            table = self._open(name)
            if table is None or table.version() == version:
                return
            if version is None:
                table.delete()
            else:
                table.restore(version)
            _sync_log(self.folder(name), table.version())

    def exists(self, name: str) -> bool:
        """Say whether the table has a version."""
        from deltalake import DeltaTable

        return DeltaTable.is_deltatable(str(self.folder(name)))

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Keep other writers of the table out, of this process and of others; a process that is killed lets go.

        Delta lets writers race, but of two that make one table at once both would commit their rows.
        """
        from deltalake.exceptions import DeltaError

        path = self.folder(name)
        if path.is_symlink():
            raise TableByReference(name, path.resolve())
        try:
            make_folder(self.root)
            with self._lock, (self.root / f".{name}.lock").open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
        except (DeltaError, OSError) as error:
            raise disk_refused(path, error) from error

    def refer(self, name: str, folder: Path) -> None:
        """Let a name lead to a table that others write; what it leads to already is fine.

        Raises
        ------
        TableRefused
            There is another table of this name.
        """
        make_folder(self.root)
        path = self.folder(name)
        if path.is_symlink() and path.resolve() == folder.resolve():
            return
        if path.exists():
            fault = Fault(name, "is another table already.", "Give the dataset another name.")
            raise TableRefused(f"The reference to {folder}", (fault,))
        path.unlink(missing_ok=True)
        path.symlink_to(folder.resolve(), target_is_directory=True)
        sync(self.root)

    def folder(self, name: str) -> Path:
        """Say where a table lies."""
        return self.root / check_name(name)

    def _open(self, name: str) -> DeltaTable | None:
        from deltalake import DeltaTable

        table = self._handles.get(name)
        if table is not None:
            table.update_incremental()
        elif self.exists(name):
            table = self._handles[name] = DeltaTable(self.folder(name))
        return table

    def _commit(
        self,
        name: str,
        table: DeltaTable | None,
        pieces: Iterable[pl.DataFrame],
        commit_id: CommitId | None,
        partition_by: Sequence[str],
    ) -> int:
        import polars as pl
        from deltalake import CommitProperties, Schema, Transaction
        from deltalake.transaction import create_table_with_add_actions

        path = self.folder(name)
        once = CommitProperties(app_transactions=[Transaction(*commit_id)] if commit_id else None)
        if table is None:
            by = list(partition_by)
            kept: pl.Schema | None = None
            files: list[AddAction] = []
            for piece in pieces:
                rows = _fitted(name, piece, kept, by)
                kept = rows.schema
                make_folder(path)
                files += _write_files(path, rows, by)
            create_table_with_add_actions(
                str(path),
                Schema.from_arrow(pl.Schema(kept)),
                files,
                partition_by=by,
                configuration=_CONFIGURATION,
                commit_properties=once,
            )
        else:
            schema, by = table.schema(), table.metadata().partition_columns
            wanted = pl.Schema(schema.to_arrow())
            files = []
            for piece in pieces:
                files += _write_files(path, _fitted(name, piece, wanted, by), by)
            table.create_write_transaction(
                [*files], "append", schema, partition_by=by, commit_properties=once
            )
        table = self._open(name)
        assert table is not None, "the commit made it"
        _sync_log(path, table.version())
        return table.version()


def _widen(table: DeltaTable, frame: pl.DataFrame) -> None:
    """Give a table the columns of a frame that it lacks."""
    import polars as pl
    from deltalake import Schema

    have = {field.name for field in table.schema().fields}
    lacking = {name: _kept_type(dtype) for name, dtype in frame.schema.items() if name not in have}
    lacking = {name: dtype for name, dtype in lacking.items() if dtype != pl.Null}
    if lacking:
        table.alter.add_columns(Schema.from_arrow(pl.DataFrame(schema=lacking).schema).fields)
        table.update_incremental()


def _fitted(name: str, frame: pl.DataFrame, schema: pl.Schema | None, by: Sequence[str]) -> pl.DataFrame:
    """Bring rows to types that Delta has, and refuse what would not come back as it went in.

    Left to itself the writer would round 1.5 into a column of whole numbers.
    """
    import polars as pl

    kept = {column: _kept_type(dtype) for column, dtype in frame.schema.items()}
    wanted = kept if schema is None else dict(schema)
    faults = [Fault(column, "the table has no such column.") for column in kept if column not in wanted]
    columns = []
    for column, dtype in wanted.items():
        if column not in kept:
            faults.append(Fault(column, "the table has this column, and the rows do not."))
        elif dtype == pl.Null:
            faults.append(Fault(column, f"no table can keep {frame.schema[column]}.", "Cast it first."))
        elif column in by and not _names_folders(frame[column]):
            rule = "Use days, whole numbers or names, and no nulls."
            faults.append(Fault(column, "its values split the table into folders.", rule))
        elif frame[column].null_count() == frame.height:
            columns.append(pl.repeat(None, pl.len(), dtype=dtype).alias(column))
        elif kept[column] != dtype:
            faults.append(
                Fault(column, f"the table keeps {dtype}, not {frame.schema[column]}.", "Cast it first.")
            )
        else:
            columns.append(pl.col(column).cast(dtype))
    if faults:
        raise TableRefused(f"What was to be appended to table {name!r}", tuple(faults))
    try:
        return frame.select(columns)
    except pl.exceptions.InvalidOperationError as error:
        raise TableRefused(
            f"What was to be appended to table {name!r}", (Fault("a column", str(error).splitlines()[0]),)
        ) from error


def _kept_type(dtype: pl.DataType | DataTypeClass) -> pl.DataType | DataTypeClass:
    """Say as which type a column is kept: times to the microsecond, all else without loss; Null when Delta has none."""
    import polars as pl

    match dtype:
        case pl.Categorical() | pl.Enum():
            return pl.String()
        case pl.UInt8():
            return pl.Int16()
        case pl.UInt16():
            return pl.Int32()
        case pl.UInt32() | pl.UInt64():
            return pl.Int64()
        case pl.Datetime():
            return pl.Datetime("us", "UTC" if dtype.time_zone else None)
        case pl.List():
            inner = _kept_type(dtype.inner)
            return pl.Null() if inner == pl.Null else pl.List(inner)
        case pl.Struct():
            fields = {field.name: _kept_type(field.dtype) for field in dtype.fields}
            return pl.Null() if pl.Null in fields.values() else pl.Struct(fields)
        case pl.Duration() | pl.Time() | pl.Object() | pl.Array() | pl.Int128():
            return pl.Null()
    return dtype


def _in_log(file: Path, folder: Path) -> bool:
    return "_delta_log" in file.relative_to(folder).parts


def _names_folders(values: pl.Series) -> bool:
    import polars as pl

    named = values.unique().cast(pl.String).str.contains(r"^[A-Za-z0-9_.-]+$")
    return bool(named.fill_null(False).all())


def _write_files(path: Path, rows: pl.DataFrame, by: Sequence[str]) -> list[AddAction]:
    from deltalake.transaction import AddAction

    files = []
    parts = rows.partition_by(by, as_dict=True, include_key=False) if by else {(): rows}
    for key in sorted(parts):
        part, values = parts[key], {column: str(value) for column, value in zip(by, key, strict=True)}
        folder = path.joinpath(*(f"{column}={value}" for column, value in values.items()))
        make_folder(folder)
        file = folder / f"{uuid4().hex}.parquet"
        content = BytesIO()
        part.write_parquet(content, compression="zstd")
        write_new(file, content.getbuffer())
        files.append(
            AddAction(
                path=str(file.relative_to(path)),
                size=file.stat().st_size,
                partition_values=values,
                modification_time=0,
                data_change=True,
                stats=json.dumps({"numRecords": part.height}),
            )
        )
    return files


def _sync_log(path: Path, version: int) -> None:
    """Put on the disk what delta-rs leaves to the operating system."""
    log = path / "_delta_log"
    for name in (f"{version:020}.json", f"{version:020}.checkpoint.parquet", "_last_checkpoint"):
        if (log / name).exists():
            sync(log / name)
    for folder in (log, path):
        sync(folder)
