"""The prediction log on disk: what was appended is read, in order, once, and nothing else."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.digest import digest_of_file
from mainspring.errors import Conflict
from mainspring.monitoring.record import LabelEntry, LabelRecord, LogRecord, PredictionRecord
from mainspring.monitoring.store import Gap, LogCursor
from mainspring.stores.segments import (
    LogInUse,
    LogUnwritable,
    SegmentCorrupt,
    SegmentWriter,
    ended_segments,
    read,
    seal,
)

NOW = datetime(2013, 2, 1, 3, tzinfo=UTC)


def prediction(name: str, rows: int = 1) -> PredictionRecord:
    ids = [f"{name}/{row}.0123456789" for row in range(rows)]
    return PredictionRecord(
        at=NOW, product="late", route=1, ids=ids, units=ids, versions=[1] * rows, scores=[0.25] * rows,
        inputs={"carrier": ["UA\n\r\u2028", *[None] * (rows - 1)]}, took_s={"1": 0.001},
    )  # fmt: skip


def labels(name: str) -> LabelRecord:
    return LabelRecord(at=NOW, labels=[LabelEntry(f"{name}/0.0123456789", True, NOW)])


def everything(folder: Path, limit_bytes: int = 4096) -> list[LogRecord]:
    found, cursor = [], LogCursor()
    while True:
        records, cursor = read(folder, cursor, limit_bytes)
        if not records:
            return found
        found += records


def size(file: Path) -> int:
    """Without the zeros that are written ahead."""
    return len(file.read_bytes().rstrip(b"\0"))


@contextmanager
def files_may_not_exceed(size: int) -> Iterator[None]:
    """The kernel refuses to write a file on beyond this size, after it has taken what fits: as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
records = st.one_of(
    names.map(prediction), names.map(labels), st.builds(prediction, names, st.integers(1, 40))
)


@given(
    groups=st.lists(st.lists(records, min_size=1, max_size=4), max_size=8),
    limit=st.integers(0, 3000),
    limit_bytes=st.integers(1, 5000),
)
def test_what_was_appended_is_read_in_order_whatever_the_sizes(
    groups: list[list[LogRecord]], limit: int, limit_bytes: int
) -> None:
    with TemporaryDirectory() as folder:
        with SegmentWriter(Path(folder), limit=limit) as writer:
            for group in groups:
                writer.append(group)
        assert everything(Path(folder), limit_bytes) == [record for group in groups for record in group]


@given(st.lists(st.sampled_from(["append", "read", "roll", "reopen"]), max_size=20))
def test_a_reader_that_follows_sees_every_record_once(acts: list[str]) -> None:
    with TemporaryDirectory() as name:
        folder, cursor, seen, written = Path(name), LogCursor(), [], 0
        writer = SegmentWriter(folder)
        for act in [*acts, "read"]:
            if act == "append":
                writer.append([prediction(str(written))])
                written += 1
            elif act == "roll":
                writer.roll()
            elif act == "reopen":
                writer.close()
                writer = SegmentWriter(folder)
            else:
                while (found := read(folder, cursor, 200))[0]:
                    seen += found[0]
                    cursor = found[1]
        writer.close()
        assert seen == [prediction(str(n)) for n in range(written)]


@given(st.data())
def test_a_log_cut_anywhere_gives_its_whole_records_and_is_written_on(data: st.DataObject) -> None:
    with TemporaryDirectory() as name:
        folder, sizes = Path(name), [0]
        file = folder / "00000001.log"
        with SegmentWriter(folder) as writer:
            for n in range(4):
                writer.append([prediction(str(n))])
                sizes.append(size(file))
        cut = data.draw(st.integers(0, sizes[-1]))
        with file.open("rb+") as torn:
            torn.truncate(cut)
        whole = [prediction(str(n)) for n in range(4) if sizes[n + 1] <= cut]
        assert everything(folder) == whole  # a torn line is simply not there yet
        with SegmentWriter(folder) as writer:
            writer.append([labels("after")])
        assert everything(folder) == [*whole, labels("after")]


@given(st.data())
def test_what_a_power_failure_left_of_the_last_group_is_not_there_and_the_log_is_written_on(
    data: st.DataObject,
) -> None:
    """Of what was to be written last any part may have come to disk, and zeros stand for the others."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "00000001.log"
        with SegmentWriter(folder) as writer:
            writer.append([prediction("kept")])
            kept = size(file)
            writer.append([prediction(str(n)) for n in range(8)])
            content = bytearray(file.read_bytes())
        group = size(file) - kept
        for _ in range(data.draw(st.integers(1, 3))):
            start = kept + data.draw(st.integers(0, group - 2))
            end = min(start + data.draw(st.integers(2, 512)), kept + group)
            content[start:end] = bytes(end - start)
        content += bytes(data.draw(st.integers(0, 100)))
        file.write_bytes(content)
        first = bytes(content).find(b"\0\0")
        whole = bytes(content[:first]).count(b"\n")
        expected = [prediction("kept"), *[prediction(str(n)) for n in range(whole - 1)]]
        assert everything(folder) == expected
        with SegmentWriter(folder) as writer:
            writer.append([labels("after")])
        assert everything(folder) == [*expected, labels("after")]


def test_a_segment_is_as_long_as_what_stands_in_it_when_it_has_ended(tmp_path: Path) -> None:
    first = tmp_path / "00000001.log"
    with SegmentWriter(tmp_path) as writer:
        writer.append([prediction("a")])
        assert first.stat().st_size > size(first)
        writer.roll()
        assert first.stat().st_size == size(first)
        writer.append([prediction("b")])
    assert everything(tmp_path) == [prediction("a"), prediction("b")]


@given(st.data())
def test_a_changed_byte_never_gives_another_record(data: st.DataObject) -> None:
    with TemporaryDirectory() as name:
        folder, written = Path(name), [prediction(str(n)) for n in range(3)]
        with SegmentWriter(folder) as writer:
            writer.append(written)
            writer.roll()
            writer.append([labels("next segment")])
        file = folder / "00000001.log"
        content = bytearray(file.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
        file.write_bytes(content)
        line = bytes(content[:place]).count(b"\n")
        records, cursor = read(folder, LogCursor()) if line else ([], LogCursor())
        assert records == written[:line]
        with pytest.raises(SegmentCorrupt) as error:
            read(folder, cursor)
        assert (error.value.path, error.value.offset) == (file, cursor.offset)


def test_a_lost_segment_is_told_and_not_passed_over(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path, limit=0) as writer:
        for n in range(3):
            writer.append([prediction(str(n))])
    (tmp_path / "00000002.log").unlink()
    with pytest.raises(SegmentCorrupt, match="gone"):
        everything(tmp_path)


@given(st.sets(st.integers(1, 6), max_size=5))
def test_what_was_accepted_as_lost_is_passed_over_wherever_the_reader_stands(lost: set[int]) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        with SegmentWriter(folder, limit=0) as writer:
            for n in range(1, 8):
                writer.append([prediction(str(n))])
        for n in lost:
            (folder / f"{n:08}.log").unlink()
        gaps = [Gap(LogCursor(n, 0), LogCursor(n + 1, 0)) for n in sorted(lost)]
        left = [n for n in range(1, 8) if n not in lost]
        for start in range(1, 8):
            seen, cursor = [], LogCursor(start, 0)
            while (found := read(folder, cursor, gaps=gaps))[0]:
                seen += found[0]
                cursor = found[1]
            assert seen == [prediction(str(n)) for n in left if n >= start]


def test_two_writers_cannot_share_a_log(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path) as writer:
        with pytest.raises(LogInUse, match="stop it"):
            SegmentWriter(tmp_path)
        writer.append([prediction("a")])
    SegmentWriter(tmp_path).close()


@pytest.mark.parametrize("room", [0, 1, 700, 1500])
def test_on_a_full_disk_a_group_is_refused_as_a_whole_and_the_log_goes_on_when_there_is_room(
    tmp_path: Path, room: int
) -> None:
    with SegmentWriter(tmp_path) as writer:
        writer.append([prediction("before")])
        full = size(tmp_path / "00000001.log") + room
        with files_may_not_exceed(full), pytest.raises(LogUnwritable, match=r"File too large.*Make room"):
            writer.append([prediction(str(n)) for n in range(20)])
        assert everything(tmp_path) == [prediction("before")]
        writer.append([prediction("after")])
        assert everything(tmp_path) == [prediction("before"), prediction("after")]


def test_a_disk_that_is_full_from_the_start_leaves_nothing_behind(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path) as writer:
        for _ in range(3):
            with files_may_not_exceed(10), pytest.raises(LogUnwritable):
                writer.append([prediction("a")])
        assert list(tmp_path.iterdir()) == []
        writer.append([prediction("a")])
        assert everything(tmp_path) == [prediction("a")]


def test_a_refused_group_cannot_shift_what_a_reader_has_read(tmp_path: Path) -> None:
    """The reader may have seen whole lines of the group before it was refused; they must not be overwritten."""
    with SegmentWriter(tmp_path) as writer:
        writer.append([prediction("before")])
        _, cursor = read(tmp_path, LogCursor())
        seen = LogCursor(cursor.segment, cursor.offset + 5000)
        with files_may_not_exceed(cursor.offset + 10_000), pytest.raises(LogUnwritable):
            writer.append([prediction(str(n)) for n in range(100)])
        writer.append([prediction("after")])
        assert read(tmp_path, seen)[0] == [prediction("after")]


def test_an_ended_segment_is_sealed_by_digest_and_counts(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path) as writer:
        writer.append([prediction("a", 3), labels("a")])
        writer.append([prediction("b", 2)])
        with pytest.raises(Conflict, match="not ended"):
            seal(tmp_path, 1)
        writer.roll()
        writer.append([prediction("c")])
        assert ended_segments(tmp_path) == (1,)
        sealed = seal(tmp_path, 1)
        assert (sealed.predictions, sealed.labels) == (5, 1)
        assert sealed.digest == digest_of_file(tmp_path / "00000001.log")
        assert sealed.size == (tmp_path / "00000001.log").stat().st_size


def test_a_segment_written_by_an_earlier_release_is_read(tmp_path: Path) -> None:
    """Lines of release 0.1, byte for byte: what has been added since has its default."""
    (tmp_path / "00000001.log").write_bytes(
        b'aa89f9ba {"type":"prediction","at":"2013-02-01T03:00:00Z","product":"late","route":1,'
        b'"ids":["a/0.0123456789"],"units":["a"],"versions":[1],"scores":[0.25],"inputs":{"hour":[7]},'
        b'"failures":[],"took_s":{"1":0.001}}\n'
        b'8f291ad4 {"type":"labels","at":"2013-02-01T03:00:00Z","labels":'
        b'[["a/0.0123456789",true,"2013-02-01T03:00:00Z"]]}\n'
    )
    answered, known = everything(tmp_path)
    assert isinstance(answered, PredictionRecord)
    assert (answered.pinned, answered.shadow, answered.trace, answered.latency_s) == (False, {}, "", None)
    assert (answered.features, answered.redacted, answered.sampled) == ({}, [], 1.0)
    assert known == LabelRecord(at=NOW, labels=[LabelEntry("a/0.0123456789", True, NOW)])
