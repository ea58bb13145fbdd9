"""Folders and archives as data: a table of paths, sizes and digests, and each content kept once."""

from __future__ import annotations

__all__ = ["MANIFEST_KEY", "add_archive", "add_folder", "is_archive"]

import io
import os
import stat
import tarfile
import time
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

import msgspec

from mainspring.data import Change
from mainspring.data.plain import DatasetKind
from mainspring.digest import Digest, digest_of
from mainspring.errors import Fault, Faults
from mainspring.operate.data.incoming import SourceChanged, SourceUnreadable
from mainspring.operate.data.publish import Adding, add_batch
from mainspring.stores.durable import replace as replace_file
from mainspring.stores.files import FileContents

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from mainspring.data import Batch
    from mainspring.stores.files import Keeping
    from mainspring.workspace import Workspace

MANIFEST_KEY = ("path",)

_RACY_NS = 2_000_000_000
"""What was written so shortly before it was looked at may be written to again within the same tick of its time."""

_TOLD = 20  # faults are told before it is said how many more there are


class Progress(Protocol):
    """Is told how many of how many files are done."""

    def __call__(self, done: int, of: int, /) -> None:
        """Show it."""
        ...


class _Seen(msgspec.Struct, frozen=True, array_like=True):
    """What a file looked like when its digest was taken; as long as it looks so, it is not read again."""

    size: int
    modified_ns: int
    changed_ns: int
    inode: int
    digest: str

    def looks_like(self, found: os.stat_result) -> bool:
        now = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
        return (self.size, self.modified_ns, self.changed_ns, self.inode) == now


class _Index(msgspec.Struct, frozen=True):
    """The files of a folder as they were seen, by path, and when that was."""

    at_ns: int
    files: dict[str, _Seen]


Manifest: TypeAlias = dict[str, tuple[int, str]]
"""Size and digest by path."""


def add_folder(
    workspace: Workspace,
    dataset: str,
    folder: Path,
    *,
    actor: str,
    reason: str = "",
    change: Change | None = None,
    adding: Adding,
    progress: Progress | None = None,
) -> Batch:
    """Publish the files of a folder as the next version of a dataset.

    A file that looks as it did when it was added before is not read again.

    Parameters
    ----------
    workspace : Workspace
    dataset : str
    folder : Path
    actor, reason : str
        Who adds it, and why.
    change : Change, optional
        By default the version has exactly the files that the folder has; appended files come beside those of before,
        and upserted ones take the place of those with their paths.
    adding : Adding
        How else it is added.
    progress : callable, optional
        Is told how far it is.

    Raises
    ------
    Faults
        The folder has links, or names that are no UTF-8.
    SourceUnreadable, SourceChanged
        A file cannot be read as it is; nothing was added.
    """
    contents, index_file = (
        FileContents(workspace.settings.state / "files"),
        _index_file(workspace, dataset, folder),
    )
    with contents.keeping() as keeping:
        found, known = _walk(folder), _read_index(index_file)
        at_ns = time.time_ns()
        manifest: Manifest = {}
        seen: dict[str, _Seen] = {}
        for done, (name, before) in enumerate(found.items()):
            earlier = known.files.get(name)
            fresh = max(before.st_mtime_ns, before.st_ctime_ns) >= known.at_ns - _RACY_NS
            if earlier and not fresh and earlier.looks_like(before) and contents.has(earlier.digest):
                digest, size = Digest(earlier.digest), earlier.size
            else:
                digest, size = _take(f"{folder}/{name}", before, keeping)
            manifest[name] = (size, digest)
            seen[name] = _Seen(size, before.st_mtime_ns, before.st_ctime_ns, before.st_ino, digest)
            if progress and done % 100 == 0:
                progress(done, len(found))
        keeping.finish()
        batch = _publish(workspace, dataset, manifest, folder.name, actor, reason, change, adding)
        with suppress(OSError):  # without it the next time takes longer
            index_file.parent.mkdir(exist_ok=True)
            replace_file(index_file, msgspec.msgpack.encode(_Index(at_ns, seen)))
    return batch


def is_archive(path: Path) -> bool:
    """Say whether a file is a zip or tar archive, compressed or not."""
    return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)


def add_archive(
    workspace: Workspace,
    dataset: str,
    archive: Path,
    *,
    actor: str,
    reason: str = "",
    change: Change | None = None,
    adding: Adding,
    progress: Progress | None = None,
) -> Batch:
    """Publish the files of a zip or tar archive, as `add_folder` does those of a folder."""
    contents = FileContents(workspace.settings.state / "files")
    manifest: Manifest = {}
    with contents.keeping() as keeping:
        try:
            for name, file in _members(archive):
                digest, size = keeping.add(file)
                manifest[name] = (size, digest)
                if progress:
                    progress(len(manifest), 0)
        except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, RuntimeError) as error:
            raise SourceUnreadable(archive, str(error) or type(error).__name__) from error
        keeping.finish()
        return _publish(workspace, dataset, manifest, archive.name, actor, reason, change, adding)


def _publish(
    workspace: Workspace,
    dataset: str,
    manifest: Manifest,
    source: str,
    actor: str,
    reason: str,
    change: Change | None,
    adding: Adding,
) -> Batch:
    import polars as pl

    names = sorted(manifest)
    table = pl.DataFrame(
        {
            "path": names,
            "size": [manifest[name][0] for name in names],
            "digest": [manifest[name][1] for name in names],
        },
        schema={"path": pl.String, "size": pl.Int64, "digest": pl.String},
    )
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    return add_batch(
        workspace,
        dataset,
        buffer.getvalue(),
        actor=actor,
        reason=reason,
        adding=replace(
            adding,
            kind=DatasetKind.FILES,
            key=MANIFEST_KEY if adding.new else (),
            change=change or Change.REPLACE,
            source=source,
        ),
    )


def _walk(folder: Path) -> dict[str, os.stat_result]:
    """Find every file below a folder by its path from there, in order; raises `Faults` about what is none."""
    found: dict[str, os.stat_result] = {}
    faults: list[Fault] = []
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        try:
            entries = list(os.scandir(folder / inside))
        except OSError as error:
            raise SourceUnreadable(folder / inside, error.strerror or str(error)) from error
        for entry in entries:
            name = f"{inside}{entry.name}"
            if not _is_utf8(name):
                faults.append(Fault(ascii(name), "its name is not UTF-8.", "Rename it."))
            elif entry.is_symlink():
                faults.append(
                    Fault(
                        name, "is a symbolic link, which could lead anywhere.", "Put the file in its place."
                    )
                )
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(f"{name}/")
            elif not entry.is_file(follow_symlinks=False):
                faults.append(Fault(name, "is no file and no folder.", "Take it out."))
            else:
                with suppress(FileNotFoundError):  # gone since it was listed: as if it had been gone before
                    found[name] = entry.stat(follow_symlinks=False)
    _tell(f"The folder {folder}", faults)
    return dict(sorted(found.items()))


def _take(path: str, before: os.stat_result, keeping: Keeping) -> tuple[Digest, int]:
    """Read a file once: what is kept is what was hashed, and what the file was before and after."""
    try:
        with open(path, "rb") as file:
            digest, size = keeping.add(file)
            after = os.fstat(file.fileno())
    except OSError as error:
        raise SourceUnreadable(Path(path), error.strerror or str(error)) from error
    if (after.st_size, after.st_mtime_ns, after.st_ino) != (
        before.st_size,
        before.st_mtime_ns,
        before.st_ino,
    ):
        raise SourceChanged(Path(path))
    return digest, size


def _members(archive: Path) -> Iterator[tuple[str, BinaryIO]]:
    """Give the files of an archive; raises `Faults` before the first if one of them lies elsewhere or is a link."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            infos = [each for each in zipped.infolist() if not each.is_dir()]
            linked = {each.filename for each in infos if stat.S_ISLNK(each.external_attr >> 16)}
            _need_safe(archive, [each.filename for each in infos], linked)
            for info in infos:
                with zipped.open(info) as file:
                    yield info.filename, file  # type: ignore[misc]
        return
    with tarfile.open(archive) as tarred:
        members = [each for each in tarred.getmembers() if not each.isdir()]
        _need_safe(
            archive, [each.name for each in members], {each.name for each in members if not each.isreg()}
        )
        for member in members:
            opened = tarred.extractfile(member)
            assert opened is not None, "a regular file has bytes"
            with opened:
                yield member.name.removeprefix("./"), opened  # type: ignore[misc]


def _need_safe(archive: Path, names: list[str], linked: Iterable[str]) -> None:
    faults, links, known = [], set(linked), set()
    for name in names:
        plain = name.removeprefix("./")
        if name in links:
            faults.append(Fault(name, "is a link or a device, which could lead anywhere."))
        elif plain.startswith("/") or not {"..", "."}.isdisjoint(plain.split("/")) or "\0" in plain:
            faults.append(Fault(name, "lies outside of the archive."))
        elif plain in known:
            faults.append(Fault(name, "is there twice."))
        elif not _is_utf8(plain):
            faults.append(Fault(ascii(name), "its name is not UTF-8."))
        known.add(plain)
    _tell(f"The archive {archive}", faults)


def _tell(subject: str, faults: list[Fault]) -> None:
    if len(faults) > _TOLD:
        more = Fault("and", f"{len(faults) - _TOLD:,} more of this kind.")
        faults = [*faults[:_TOLD], more]
    if faults:
        raise Faults(subject, tuple(faults))


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _index_file(workspace: Workspace, dataset: str, folder: Path) -> Path:
    place = digest_of(os.fsencode(folder.resolve()))[:16]
    return workspace.settings.state / "indexes" / f"{dataset}-{place}"


def _read_index(file: Path) -> _Index:
    try:
        return msgspec.msgpack.decode(file.read_bytes(), type=_Index)
    except (OSError, msgspec.MsgspecError):
        return _Index(0, {})
