"""The prediction log on local disk: segments to which one writer appends, and which readers follow.

A segment is a file of lines, `00000001.log` and so on: eight hexadecimal digits of the CRC-32 of what follows, a
space, one record as JSON, a newline. The log keeps three promises.

- What `SegmentWriter.append` has returned from is on disk.
- A segment is written by one process only and is never written again behind a place that a reader may have read. So
  a writer begins a segment of its own, and another one after every failure.
- A segment has ended when the next one exists, and the next one appears only with its first records in it. So a
  reader that has seen the next one has seen the end of this one.

The file of a segment that is being written is longer than what stands in it, and zero to its end. To write over zeros
takes less time than to make a file longer, which the file system has to write down in a journal of its own
(`benchmarks/prediction_log.py`). No record has a zero byte, so a line with one is not wholly there yet.
"""

from __future__ import annotations

__all__ = [
    "LogBegunAnew",
    "LogInUse",
    "LogUnwritable",
    "Seal",
    "SegmentCorrupt",
    "SegmentWriter",
    "encode",
    "ended_segments",
    "head",
    "read",
    "remove",
    "seal",
    "segments",
]

import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import msgspec

from mainspring.digest import Digest, digest_of_file
from mainspring.errors import Conflict, MainspringError
from mainspring.monitoring.record import LogRecord, PredictionRecord
from mainspring.monitoring.store import Gap, LogCursor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[LogRecord] = msgspec.json.Decoder(LogRecord)
_CHECKSUM = 9  # eight digits and a space
_HEAD = 64
_AHEAD = bytes(2**18)
_ZERO = b"\0"


class LogInUse(Conflict):
    """A log that another process writes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder

    def __str__(self) -> str:
        return f"Another process writes the prediction log {self.folder}: stop it, or give this one another folder."


class LogUnwritable(MainspringError):
    """Records that could not be brought to disk; none of the call's records is acknowledged."""

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(folder, reason)
        self.folder, self.reason = folder, reason

    def __str__(self) -> str:
        return (
            f"The prediction log {self.folder} cannot be written ({self.reason}), and nothing is answered that is not "
            "on disk. Make room there; the next request tries again."
        )


class SegmentCorrupt(MainspringError):
    """A place in a segment that does not hold what was written."""

    def __init__(self, path: Path, offset: int, what: str) -> None:
        super().__init__(path, offset, what)
        self.path, self.offset, self.what = path, offset, what

    def __str__(self) -> str:
        return (
            f"The prediction log is damaged: {self.path} at byte {self.offset}: {self.what}. What stands before is "
            "sound; restore the file from a copy to read on, or accept the loss: "
            f"`mainspring log accept-loss {self.path.parent.name} --reason WHY`."
        )


class LogBegunAnew(SegmentCorrupt):
    """A log that was read before, and whose files are gone: what stands there now, if anything, is another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """What an ended segment holds, for good.

    Attributes
    ----------
    segment : int
        Its number.
    digest : Digest
        Of the file.
    size : int
        In bytes.
    predictions, labels : int
        Rows that were answered, and labels that came.
    """

    segment: int
    digest: Digest
    size: int
    predictions: int
    labels: int


class SegmentWriter:
    """The only writer of a folder's log, until `close`. Not for use by several threads at a time.

    Parameters
    ----------
    folder : Path
        Made when it is missing.
    limit : int
        A segment ends after the append with which it has grown beyond this many bytes.

    Raises
    ------
    LogInUse
        Another process writes there.
    """

    def __init__(self, folder: Path, *, limit: int = 16 * 2**20) -> None:
        self.folder, self.limit = folder, limit
        self._folder = _take(folder)
        for unborn in folder.glob("*.new"):
            unborn.unlink()
        self._number = max(_numbers(folder), default=0)
        self._file: int | None = None
        self._size = self._reserved = 0
        self._torn = False
        if self._number:
            _cut_torn_line(_path(folder, self._number))

    def append(self, records: Sequence[LogRecord]) -> None:
        """Bring records to disk, all or none; raises as `write`."""
        self.write(b"".join(map(encode, records)))

    def write(self, lines: bytes) -> None:
        """Bring what `encode` gave for some records to disk, all or none.

        Raises
        ------
        LogUnwritable
            The disk is full or fails, or the folder was taken away; that is made anew by the next call. The log is as
            it was before, and may be written again.
        """
        try:
            if self._torn:
                self._end_before_tear()
            if self._file is None:
                self._begin(lines)
            else:
                self._extend(self._file, lines)
        except OSError as error:
            raise LogUnwritable(self.folder, error.strerror or str(error)) from error
        except LogInUse as error:  # of a folder that was deleted, and that another process has made anew
            raise LogUnwritable(self.folder, "another process writes it by now") from error
        self._size += len(lines)
        if self._size > self.limit:
            self.roll()

    def roll(self) -> None:
        """End the segment in progress: the next append begins another."""
        if self._file is not None and not self._torn:
            with suppress(OSError):  # readers pass over the zeros as well
                os.ftruncate(self._file, self._size)
                os.fsync(self._file)
            os.close(self._file)
            self._file = None

    def close(self) -> None:
        """Let another process write the log."""
        if self._torn:
            with suppress(OSError):  # the next writer cuts the line
                self._end_before_tear()
        self.roll()
        os.close(self._folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _begin(self, lines: bytes) -> None:
        if not os.fstat(self._folder).st_nlink:
            renewed = _take(self.folder)
            os.close(self._folder)
            self._folder = renewed
        # Under another name until it is whole, so that a full disk leaves no trace that a reader might have seen.
        unborn = self.folder / f"{self._number + 1:08}.new"
        # A thread that competes with requests for the interpreter waits once for it when one call writes and syncs.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_DSYNC
        file = os.open(unborn, flags, 0o640)
        try:
            reserved = _write(file, lines, 0)
            unborn.rename(_path(self.folder, self._number + 1))
        except OSError:
            os.close(file)
            unborn.unlink(missing_ok=True)
            raise
        self._number += 1
        self._file, self._size, self._reserved = file, 0, reserved
        try:
            os.fsync(self._folder)
        except OSError:
            self.roll()
            raise

    def _extend(self, file: int, lines: bytes) -> None:
        try:
            if self._size + len(lines) > self._reserved:
                self._reserved = _write(file, lines, self._size)
            else:
                _write_at(file, lines, self._size)
        except OSError:
            self._torn = True
            self._end_before_tear()
            raise
        if not os.fstat(file).st_nlink:
            # Whoever deletes the file under its writer takes this group along, and every later one.
            self.roll()
            raise LogUnwritable(self.folder, "its segment was deleted while it was written")

    def _end_before_tear(self) -> None:
        assert self._file is not None
        os.ftruncate(self._file, self._size)
        os.fsync(self._file)
        self._torn = False
        self.roll()


def read(
    folder: Path, cursor: LogCursor, limit_bytes: int = 4 * 2**20, *, gaps: Sequence[Gap] = ()
) -> tuple[list[LogRecord], LogCursor]:
    """Read on from a cursor, also while the log is being written.

    Parameters
    ----------
    folder : Path
    cursor : LogCursor
        Where the last call ended.
    limit_bytes : int
        Read about this much; a longer record is read nevertheless.
    gaps : sequence of Gap
        What is passed over.

    Returns
    -------
    records : list of LogRecord
        Whole and sound records, in the order of writing; none when there is nothing new.
    next : LogCursor
        Behind the last of them.

    Raises
    ------
    SegmentCorrupt
        The next record is damaged, or its segment is gone.
    """
    while True:
        cursor = _behind(cursor, gaps)
        following = _behind(LogCursor(cursor.segment + 1, 0), gaps)
        path = _path(folder, cursor.segment)
        # Asked before the segment is read: what is appended after the answer would be passed over.
        ended = _path(folder, following.segment).exists()
        try:
            lines = _lines(path, cursor.offset, limit_bytes, with_torn=ended)
        except FileNotFoundError:
            _need_no_gap(folder, cursor.segment)
            return [], cursor
        records: list[LogRecord] = []
        offset = cursor.offset
        for line in lines:
            try:
                records.append(_record(line))
            except ValueError as error:
                if records:
                    break  # the next call begins here and tells
                raise SegmentCorrupt(path, offset, str(error)) from error
            offset += len(line)
        if records:
            return records, LogCursor(cursor.segment, offset)
        if not ended:
            _need_no_gap(folder, following.segment)
            return [], cursor
        cursor = following


def head(folder: Path, segment: int) -> bytes:
    """Give the first bytes of a segment, by which it is known; none where it is gone."""
    try:
        with _path(folder, segment).open("rb") as file:
            return file.read(_HEAD).rstrip(_ZERO)
    except FileNotFoundError:
        return b""


def segments(folder: Path) -> tuple[int, ...]:
    """Give the numbers of the segments that are there, in order."""
    return tuple(sorted(_numbers(folder)))


def ended_segments(folder: Path) -> tuple[int, ...]:
    """Give the numbers of the segments to which nothing is added any more, in order."""
    return segments(folder)[:-1]


def seal(folder: Path, segment: int, gaps: Sequence[Gap] = ()) -> Seal:
    """Count and name what an ended segment holds beside the gaps in it.

    Raises
    ------
    SegmentCorrupt
        It is damaged.
    Conflict
        It has not ended yet.
    """
    if segment not in ended_segments(folder):
        raise Conflict(f"Segment {segment} of {folder} has not ended: seal it when the next one has begun.")
    path, cursor, predictions, labels = _path(folder, segment), LogCursor(segment, 0), 0, 0
    while True:
        records, cursor = read(folder, cursor, gaps=gaps)
        if not records or cursor.segment != segment:
            break
        for record in records:
            if isinstance(record, PredictionRecord):
                predictions += len(record.ids)
            else:
                labels += len(record.labels)
    return Seal(
        segment=segment,
        digest=digest_of_file(path),
        size=path.stat().st_size,
        predictions=predictions,
        labels=labels,
    )


def remove(folder: Path, segment: int) -> None:
    """Delete an ended segment whose records are kept elsewhere by now.

    Raises
    ------
    Conflict
        It has not ended yet.
    """
    if segment not in ended_segments(folder):
        raise Conflict(f"Segment {segment} of {folder} has not ended: it is still written to.")
    _path(folder, segment).unlink()


def encode(record: LogRecord) -> bytes:
    """Give a record's line."""
    text = _ENCODER.encode(record)
    return b"%08x %b\n" % (crc32(text), text)


def _take(folder: Path) -> int:
    """Make the folder and lock it; give what holds the lock."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(taken, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(taken)
        raise LogInUse(folder) from error
    return taken


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:08}.log"


def _numbers(folder: Path) -> list[int]:
    return [int(path.stem) for path in folder.glob("*.log") if path.stem.isdecimal()]


def _behind(cursor: LogCursor, gaps: Sequence[Gap]) -> LogCursor:
    for gap in gaps:  # in the order in which they lie in the log
        if gap.since <= cursor < gap.until:
            cursor = gap.until
    return cursor


def _need_no_gap(folder: Path, number: int) -> None:
    numbers = _numbers(folder)
    if number not in numbers and max(numbers, default=0) > number:
        raise SegmentCorrupt(_path(folder, number), 0, "the file is gone")


def _record(line: bytes) -> LogRecord:
    text = line[_CHECKSUM:-1]
    if line[-1:] != b"\n":
        raise ValueError("the segment has ended in the middle of a record")
    if line[:_CHECKSUM] != b"%08x " % crc32(text):
        raise ValueError("the record does not match its checksum")
    return _DECODER.decode(text)


def _write(file: int, lines: bytes, offset: int) -> int:
    """Write lines, and zeros behind them if there is room; give where the file ends."""
    try:
        _write_at(file, lines + _AHEAD, offset)
    except OSError:
        _write_at(file, lines, offset)
        return offset + len(lines)
    return offset + len(lines) + len(_AHEAD)


def _write_at(file: int, content: bytes, offset: int) -> None:
    left = memoryview(content)
    while left:  # a nearly full disk takes a part, and refuses at the next call
        written = os.pwrite(file, left, offset)
        left, offset = left[written:], offset + written


def _lines(path: Path, offset: int, limit_bytes: int, *, with_torn: bool) -> list[bytes]:
    """The lines among the bytes from an offset on, at least one when there is one; a torn one only when asked for."""
    with path.open("rb") as file:
        file.seek(offset)
        content = file.read(limit_bytes)
        if len(content) == limit_bytes:
            content += file.readline()
    if not with_torn:
        content = content.partition(_ZERO)[0]
    *whole, torn = content.split(b"\n")
    return [line + b"\n" for line in whole] + ([torn] if torn.strip(_ZERO) and with_torn else [])


def _cut_torn_line(path: Path) -> None:
    """Remove what a killed writer left behind the last newline: it was never acknowledged.

    After a power failure, what was to be written last may be there in part, with zeros in between. A single zero is
    none of that, but damage, which is for readers to tell.
    """
    with path.open("rb+") as file:
        content = file.read()
        written = content.partition(2 * _ZERO)[0].rstrip(_ZERO)
        if (whole := written.rfind(b"\n") + 1) < len(content):
            file.truncate(whole)
            os.fsync(file.fileno())
