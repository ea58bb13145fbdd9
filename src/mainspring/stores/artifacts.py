"""Artifacts: the files that runs and models leave behind, under the paths that clients gave them."""

from __future__ import annotations

__all__ = [
    "Artifact",
    "ArtifactNotFound",
    "ArtifactTooLarge",
    "FileArtifacts",
    "OpenArtifact",
    "Writing",
    "WrongKind",
]

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from mainspring.errors import Invalid, NotFound
from mainspring.stores.artifact_path import ASIDE, is_name
from mainspring.stores.durable import make_folder
from mainspring.stores.errors import disk_refused

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import BinaryIO, Self

    from mainspring.stores.artifact_path import ArtifactPath

# A link is never followed: what lies outside the root is nobody's artifact. A pipe must not keep its reader waiting.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY
# How the system says that there is no such file, but perhaps a link, a socket, or a file in place of a folder.
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)
_ATTEMPTS = 10


class ArtifactNotFound(NotFound):
    """A path under which no file is kept."""

    def __init__(self, path: ArtifactPath) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"No such artifact: '{self.path}'. List the folder that it should be in to see what was kept."


class ArtifactTooLarge(Invalid):
    """A file that is larger than a store takes."""

    def __init__(self, largest: int) -> None:
        super().__init__(largest)
        self.largest = largest

    def __str__(self) -> str:
        return f"The artifact is larger than {self.largest:,} bytes, the most that is taken. Log it in several files."


class WrongKind(Invalid):
    """A file where a folder is meant, or a folder where a file is meant."""

    def __init__(self, path: ArtifactPath, why: str) -> None:
        super().__init__(path, why)
        self.path, self.why = path, why

    def __str__(self) -> str:
        return f"{self.why}: '{self.path}'. Give the path of a file, or delete what is in its way."


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file or folder, as its folder lists it.

    Attributes
    ----------
    name : str
        Its name in the folder.
    size : int or None
        Bytes of a file; None for a folder.
    """

    name: str
    size: int | None

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.size is None


@dataclass(frozen=True, slots=True)
class OpenArtifact:
    """A file that is open for reading: as it was when it was opened, whatever becomes of its path.

    Attributes
    ----------
    file : BinaryIO
        Its bytes; the reader closes it.
    size : int
        How many they are.
    """

    file: BinaryIO
    size: int


class Writing:
    """A file that is being written aside: nobody sees it before it is kept, and nothing stays of one that is not."""

    def __init__(self, aside: Path, publish: Callable[[], None], largest: int) -> None:
        self._aside, self._publish, self._largest = aside, publish, largest
        self._size, self._kept = 0, False
        try:
            make_folder(aside.parent)
            self._file = aside.open("xb")
        except OSError as error:
            raise disk_refused(aside, error) from error

    def write(self, piece: bytes) -> None:
        """Add bytes; raises `ArtifactTooLarge`, `StoreUnavailable`."""
        self._size += len(piece)
        if self._size > self._largest:
            raise ArtifactTooLarge(self._largest)
        try:
            self._file.write(piece)
        except OSError as error:
            raise disk_refused(self._aside, error) from error

    def keep(self) -> None:
        """Let the file take its place, durably; raises `WrongKind`, `StoreUnavailable`."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._publish()
        except OSError as error:
            raise disk_refused(self._aside, error) from error
        self._kept = True

    def close(self) -> None:
        """Forget the file if it was not kept."""
        with suppress(OSError):
            self._file.close()
        if not self._kept:
            with suppress(OSError):
                self._aside.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class FileArtifacts:
    """Artifacts in a local folder, each at its path.

    Of several that write one path at once, the last to finish is kept whole. Readers see the old or the new.

    Attributes
    ----------
    root : Path
        The folder.
    largest : int
        Bytes of the largest file that is taken: more would fill the disk for all others.
    """

    root: Path
    largest: int = 100 * 2**30

    @property
    def aside(self) -> Path:
        """Where lies what is not an artifact yet, or no longer: on the same disk, so that a rename moves it."""
        return self.root / ASIDE

    def writing(self, path: ArtifactPath) -> Writing:
        """Begin a file, in place of the one that may be there; raises `StoreUnavailable`."""
        aside = self.aside / uuid4().hex
        return Writing(aside, lambda: self._publish(aside, path), self.largest)

    def open(self, path: ArtifactPath) -> OpenArtifact:
        """Open a file for reading; raises `ArtifactNotFound`, `WrongKind`, `StoreUnavailable`."""
        try:
            with self._folder(path.parts[:-1]) as folder:
                descriptor = os.open(path.name, _FILE, dir_fd=folder)
        except OSError as error:
            if error.errno in _MISSING:
                raise ArtifactNotFound(path) from error
            raise disk_refused(self.root, error) from error
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            return OpenArtifact(os.fdopen(descriptor, "rb", buffering=0), status.st_size)
        os.close(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise WrongKind(path, "Artifact path refers to a directory, not a file")
        raise ArtifactNotFound(path)

    def list(self, path: ArtifactPath | None = None) -> tuple[Artifact, ...]:
        """List a folder by name: nothing where there is none, or a file; raises `StoreUnavailable`.

        Parameters
        ----------
        path : ArtifactPath, optional
            The folder; without it, the root.
        """
        found = []
        try:
            with self._folder(path.parts if path else ()) as folder, os.scandir(folder) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        is_folder = stat.S_ISDIR(status.st_mode)
                        if is_name(entry.name) and (is_folder or stat.S_ISREG(status.st_mode)):
                            found.append(Artifact(entry.name, None if is_folder else status.st_size))
        except OSError as error:
            if error.errno not in _MISSING:
                raise disk_refused(self.root, error) from error
        return tuple(sorted(found, key=lambda each: each.name))

    def delete(self, path: ArtifactPath) -> None:
        """Delete a file, or a folder with all that is in it; one that is not there is fine.

        It is gone at once, and its room is free when this returns. Raises `StoreUnavailable`.
        """
        gone = self.aside / uuid4().hex
        try:
            with self._folder(path.parts[:-1]) as folder:
                make_folder(self.aside)
                os.rename(path.name, gone, src_dir_fd=folder)
                os.fsync(folder)
            _remove(gone)
        except OSError as error:
            if error.errno not in _MISSING:
                raise disk_refused(self.root, error) from error

    def sweep(self, before: datetime) -> int:
        """Remove what uploads and deletions that were cut off have left aside.

        Parameters
        ----------
        before : datetime
            What has been touched since stays: it may be under way.

        Returns
        -------
        int
            Bytes freed.
        """
        freed = 0
        try:
            for entry, _, size in self._abandoned(before):
                with suppress(FileNotFoundError):  # whoever it belongs to was faster
                    _remove(entry)
                    freed += size
        except OSError as error:
            raise disk_refused(self.aside, error) from error
        return freed

    def abandoned(self, before: datetime) -> tuple[int, int]:
        """Count the files that `sweep` would remove, and their bytes."""
        try:
            found = list(self._abandoned(before))
        except OSError as error:
            raise disk_refused(self.aside, error) from error
        return sum(files for _, files, _ in found), sum(size for _, _, size in found)

    def touched(self, path: ArtifactPath) -> datetime:
        """Say when something in a folder was written last; of one that is not there, now."""
        newest = None
        with suppress(OSError), self._folder(path.parts) as folder:
            newest = _newest(folder)
        return datetime.now(UTC) if newest is None else datetime.fromtimestamp(newest, UTC)

    def _abandoned(self, before: datetime) -> Iterator[tuple[Path, int, int]]:
        for entry in self.aside.iterdir() if self.aside.is_dir() else ():
            with suppress(FileNotFoundError):
                touched = [each.lstat() for each in (entry, *(entry.rglob("*") if entry.is_dir() else ()))]
                if max(each.st_mtime for each in touched) < before.timestamp():
                    files = [each.st_size for each in touched if stat.S_ISREG(each.st_mode)]
                    yield entry, len(files), sum(files)

    def _publish(self, aside: Path, path: ArtifactPath) -> None:
        for _ in range(_ATTEMPTS):
            # A folder may be deleted between its making and the rename into it.
            with suppress(FileNotFoundError):
                try:
                    with self._folder(path.parts[:-1], make=True) as folder:
                        os.rename(aside, path.name, dst_dir_fd=folder)
                        os.fsync(folder)
                        return
                except NotADirectoryError as error:
                    raise WrongKind(path, "A file is where a folder of this path should be") from error
                except IsADirectoryError as error:
                    raise WrongKind(path, "A folder has this path") from error
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    @contextmanager
    def _folder(self, parts: tuple[str, ...], *, make: bool = False) -> Iterator[int]:
        # Opened name by name, so that no link on the way can lead out of the root.
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for part in parts:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(part, dir_fd=descriptor)
                        os.fsync(descriptor)
                below = os.open(part, _FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)


def _newest(folder: int) -> float:
    newest = os.fstat(folder).st_mtime
    with os.scandir(folder) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            newest = max(newest, status.st_mtime)
            if stat.S_ISDIR(status.st_mode):
                below = os.open(entry.name, _FOLDER, dir_fd=folder)
                try:
                    newest = max(newest, _newest(below))
                finally:
                    os.close(below)
    return newest


def _remove(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for left in reversed(range(_ATTEMPTS)):
        try:
            shutil.rmtree(path)
            return
        except OSError as error:
            # Whoever was writing into the folder when it was moved away may still add to it.
            if error.errno != errno.ENOTEMPTY or not left:
                raise
