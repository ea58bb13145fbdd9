"""What an import has brought so far, in a file beside the database, so that one that was killed goes on from there."""

from __future__ import annotations

__all__ = ["ImportUnderWay", "Journal", "ReceivedFile", "ReceivedRun"]

import fcntl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from mainspring.digest import digest_of
from mainspring.errors import Conflict

if TYPE_CHECKING:
    from io import BufferedRandom
    from pathlib import Path
    from typing import Self


class ImportUnderWay(Conflict):
    """A second import from one server at the same time."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url

    def __str__(self) -> str:
        return f"An import from {self.url} is under way already. Wait until it ends, or end it first."


class ReceivedRun(msgspec.Struct, frozen=True, tag="run", array_like=True):
    """A run whose entries are all in the database.

    Attributes
    ----------
    told : str
        Digest of what the server's search said of it: while it says the same, nothing has to be read again.
    points, digest : int, str
        How many points its metrics have on the server, and the digest of them.
    """

    run_id: str
    told: str
    points: int
    digest: str


class ReceivedFile(msgspec.Struct, frozen=True, tag="file", array_like=True):
    """A file as it was received, by the path under which it is kept."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Journal:
    """What was received from one server; many threads may write to it.

    A line that a crash has torn is passed over: what it told is then received again.
    """

    runs: dict[str, ReceivedRun]
    files: dict[str, ReceivedFile]
    _file: BufferedRandom = field(repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    @contextmanager
    def opened(cls, folder: Path, url: str, *, afresh: bool = False) -> Iterator[Self]:
        """Open the journal of a server for the length of a block.

        Parameters
        ----------
        afresh : bool
            Forget what was received before.

        Raises
        ------
        ImportUnderWay
            Another process has it open.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"mlflow-{digest_of(url.encode())[:16]}.jsonl").open("a+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ImportUnderWay(url) from None
            if afresh:
                file.truncate(0)
            journal = cls({}, {}, file)
            file.seek(0)
            last = b"\n"
            for last in file:
                journal._recall(last)
            if not last.endswith(b"\n"):
                file.write(b"\n")
            yield journal

    def add(self, received: ReceivedRun | ReceivedFile) -> None:
        """Write down what is kept now."""
        line = msgspec.json.encode(received) + b"\n"
        with self._lock:
            self._hold(received)
            self._file.write(line)
            self._file.flush()

    def _recall(self, line: bytes) -> None:
        try:
            self._hold(msgspec.json.decode(line, type=ReceivedRun | ReceivedFile))
        except (msgspec.DecodeError, UnicodeError):
            return

    def _hold(self, received: ReceivedRun | ReceivedFile) -> None:
        if isinstance(received, ReceivedRun):
            self.runs[received.run_id] = received
        else:
            self.files[received.path] = received
