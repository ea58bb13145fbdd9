"""Batches on their way in: a copy of what was handed in, which nobody else changes while it is read."""

from __future__ import annotations

__all__ = ["SourceChanged", "SourceUnreadable", "kept"]

import hashlib
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from uuid import uuid4

from mainspring.digest import Digest, digest_of
from mainspring.errors import Conflict, NotFound
from mainspring.stores.errors import disk_refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

_PIECE = 1 << 20


class SourceUnreadable(NotFound):
    """A file that is not there, or cannot be read to its end."""

    def __init__(self, source: Path, why: str) -> None:
        super().__init__(source, why)
        self.source, self.why = source, why

    def __str__(self) -> str:
        return f"{self.source} could not be read: {self.why}. Nothing of it was added."


class SourceChanged(Conflict):
    """A file that was written to while it was read."""

    def __init__(self, source: Path) -> None:
        super().__init__(source)
        self.source = source

    def __str__(self) -> str:
        return f"{self.source} was changed while it was read, and nothing of it was added. Add it once it is written."


@contextmanager
def kept(folder: Path, content: bytes | Path) -> Iterator[tuple[Path, Digest]]:
    """Hold a batch in a file of ours, where a worker can read it; give the file and the digest of its bytes.

    Raises
    ------
    SourceUnreadable, SourceChanged
        The batch is a file that cannot be read as it is.
    StoreUnavailable
        The disk takes no copy.
    """
    file = folder / uuid4().hex
    try:
        try:
            folder.mkdir(exist_ok=True)
            if isinstance(content, bytes):
                file.write_bytes(content)
        except OSError as error:
            raise disk_refused(file, error) from error
        yield file, digest_of(content) if isinstance(content, bytes) else _copy(content, file)
    finally:
        with suppress(OSError):
            file.unlink()


def _copy(source: Path, file: Path) -> Digest:
    digest = hashlib.sha256()
    try:
        opened = source.open("rb")
    except OSError as error:
        raise SourceUnreadable(source, error.strerror or str(error)) from error
    with opened:
        before = _stamp(source)
        try:
            copy = file.open("xb")
        except OSError as error:
            raise disk_refused(file, error) from error
        with copy:
            while piece := _read(opened, source):
                digest.update(piece)
                try:
                    copy.write(piece)
                except OSError as error:
                    raise disk_refused(file, error) from error
    if _stamp(source) != before:
        raise SourceChanged(source)
    return Digest(digest.hexdigest())


def _read(opened: BinaryIO, source: Path) -> bytes:
    try:
        return opened.read(_PIECE)
    except OSError as error:
        raise SourceUnreadable(source, error.strerror or str(error)) from error


def _stamp(source: Path) -> tuple[int, int, int]:
    try:
        found = source.stat()
    except OSError as error:
        raise SourceUnreadable(source, f"it disappeared while it was read ({error.strerror})") from error
    return found.st_size, found.st_mtime_ns, found.st_ino
