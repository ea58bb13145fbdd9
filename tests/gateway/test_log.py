"""The prediction log between requests and disk: who waits, who is refused, and what is counted."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pytest
from tests.stores.test_segments import everything, files_may_not_exceed

from mainspring.gateway.log import PredictionLog
from mainspring.monitoring.record import PredictionRecord
from mainspring.stores.segments import LogUnwritable, SegmentCorrupt, SegmentWriter, ended_segments

NOON = datetime(2013, 2, 1, 12, tzinfo=UTC)


def record(name: str, at: datetime = NOON) -> PredictionRecord:
    return PredictionRecord(
        at=at, product="late", route=1, ids=[name], units=[name], versions=[1], scores=[0.25],
        inputs={"carrier": ["UA"]},
    )  # fmt: skip


def names(folder: Path) -> list[str]:
    return [an_id for each in everything(folder) for an_id in each.ids]  # type: ignore[union-attr]


class SlowDisk(SegmentWriter):
    """A log on a disk that answers when it is let."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.asked, self.let = Event(), Event()

    def write(self, lines: bytes) -> None:
        self.asked.set()
        assert self.let.wait(20)
        super().write(lines)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


def test_requests_that_wait_together_share_a_sync_and_stay_in_order(tmp_path: Path) -> None:
    async def test() -> None:
        log = PredictionLog(SegmentWriter(tmp_path))
        await asyncio.gather(*(log.append(record(str(n))) for n in range(100)))
        assert log.written == 100
        assert log.syncs <= 2
        await log.close()

    run(test)
    assert names(tmp_path) == [str(n) for n in range(100)]


def test_a_caller_who_is_alone_waits_for_nobody(tmp_path: Path) -> None:
    async def test() -> None:
        log = PredictionLog(SegmentWriter(tmp_path))
        for n in range(20):
            await log.append(record(str(n)))
            assert (log.syncs, log.queue) == (n + 1, 0)
        await log.close()

    run(test)


def test_an_answer_is_kept_back_until_its_record_is_on_disk(tmp_path: Path) -> None:
    async def test() -> None:
        disk = SlowDisk(tmp_path)
        log = PredictionLog(disk)
        first = log.append(record("first"))
        await until(disk.asked.is_set)
        second = log.append(record("second"))
        assert not first.done()
        assert not second.done()
        assert log.queue == 2
        disk.let.set()
        await asyncio.gather(first, second)
        await log.close()

    run(test)
    assert names(tmp_path) == ["first", "second"]


@pytest.mark.parametrize("window_s", [0.0, 0.01])
def test_what_waits_for_a_slow_disk_is_bounded(tmp_path: Path, window_s: float) -> None:
    async def test() -> None:
        disk = SlowDisk(tmp_path)
        log = PredictionLog(disk, window_s=window_s, limit=1000)
        taken = 0
        while not log.refused:
            with suppress(LogUnwritable):
                log.append(record(str(taken)))
                taken += 1
            await asyncio.sleep(0)
        with pytest.raises(LogUnwritable, match="too slow"):
            log.append(record("refused"))
        assert 1 < taken < 10
        assert (log.queue, log.refused) == (taken, 2)
        disk.let.set()
        await until(lambda: not log.queue)
        await log.append(record("after"))
        await log.close()
        assert names(tmp_path) == [*(str(n) for n in range(taken)), "after"]

    run(test)


def test_within_a_window_the_answer_leaves_first_and_the_record_follows(tmp_path: Path) -> None:
    async def test() -> None:
        disk = SlowDisk(tmp_path)
        log = PredictionLog(disk, window_s=0.01)
        for n in range(3):
            assert log.append(record(str(n))).done()
        assert (log.queue, log.written) == (3, 0)
        disk.let.set()
        await until(lambda: log.written == 3)
        assert log.syncs == 1
        assert log.append(record("last")).done()
        await log.close()  # which does not wait for the window to end

    run(test)
    assert names(tmp_path) == ["0", "1", "2", "last"]


def test_within_a_window_a_full_disk_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    async def test() -> None:
        log = PredictionLog(SegmentWriter(tmp_path), window_s=0.01)
        await log.append(record("before"))
        await until(lambda: log.written == 1)
        with files_may_not_exceed(10):
            for n in range(5):
                await log.append(record(str(n)))
            await until(lambda: log.trouble != "")
            await log.append(record("later"))
            assert "File too large" in log.trouble
            assert log.queue == 6
        await until(lambda: not log.queue)
        assert (log.trouble, log.lost) == ("", 0)
        await log.close()

    run(test)
    assert names(tmp_path) == ["before", "0", "1", "2", "3", "4", "later"]


def test_what_a_full_disk_takes_along_at_the_end_is_counted_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        log = PredictionLog(SegmentWriter(tmp_path), window_s=0.01)
        with files_may_not_exceed(10):
            await log.append(record("a"))
            await log.append(record("b"))
            await log.close()
        assert (log.lost, log.queue) == (2, 0)

    run(test)
    assert "2 records that were acknowledged are lost: File too large" in caplog.text


def test_a_full_disk_is_told_as_long_as_it_is_full(tmp_path: Path) -> None:
    async def test() -> None:
        log = PredictionLog(SegmentWriter(tmp_path))
        await log.append(record("before"))
        with files_may_not_exceed(10):
            for _ in range(2):
                with pytest.raises(LogUnwritable, match="File too large"):
                    await log.append(record("refused"))
            assert log.trouble == "File too large"
        await log.append(record("after"))
        assert (log.trouble, log.refused, log.written) == ("", 2, 2)
        await log.close()

    run(test)
    assert names(tmp_path) == ["before", "after"]


def test_a_log_whose_folder_was_deleted_refuses_and_begins_a_new_one(tmp_path: Path) -> None:
    folder = tmp_path / "log"

    async def test() -> None:
        log = PredictionLog(SegmentWriter(folder))
        await log.append(record("taken along"))
        shutil.rmtree(folder)
        with pytest.raises(LogUnwritable, match="deleted"):
            await log.append(record("refused"))
        await log.append(record("kept"))
        await log.close()

    run(test)
    with pytest.raises(SegmentCorrupt, match="gone"):  # whoever has read the first segment, or not, is told
        everything(folder)
    shutil.move(folder / "00000002.log", folder / "00000001.log")
    assert names(folder) == ["kept"]


def test_a_clock_that_jumps_back_over_midnight_begins_a_segment_and_loses_nothing(tmp_path: Path) -> None:
    moments = [NOON, NOON + timedelta(hours=13), NOON, NOON + timedelta(hours=12), NOON - timedelta(days=400)]

    async def test() -> None:
        log = PredictionLog(SegmentWriter(tmp_path))
        for n, at in enumerate(moments):
            await log.append(record(str(n), at))
        await log.close()

    run(test)
    assert names(tmp_path) == ["0", "1", "2", "3", "4"]
    assert ended_segments(tmp_path) == (1, 2, 3, 4)


def test_whoever_goes_away_leaves_the_others_in_peace(tmp_path: Path) -> None:
    async def test() -> None:
        disk = SlowDisk(tmp_path)
        log = PredictionLog(disk)
        gone, stays = log.append(record("gone")), log.append(record("stays"))
        await until(disk.asked.is_set)
        gone.cancel()
        disk.let.set()
        await stays
        await log.close()

    run(test)
    assert names(tmp_path) == ["gone", "stays"]
