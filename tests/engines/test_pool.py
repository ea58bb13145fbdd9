"""A pool answers every question once, in whatever order, and a worker that ends is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mainspring.engines import LocalEngine, LocalPool, WorkerDied

ECHO = """
import os, sys
for line in sys.stdin.buffer:
    if line == b"leave\\n":
        sys.exit(3)
    sys.stdout.buffer.write(b"%d " % os.getpid() + line)
    sys.stdout.buffer.flush()
"""


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[LocalPool]:
    (tmp_path / "echo.py").write_text(ECHO)
    with LocalPool(LocalEngine("echo", [], tmp_path), size=3) as pool:
        yield pool


def test_every_question_is_answered_once_and_by_no_more_workers_than_allowed(pool: LocalPool) -> None:
    assert list(pool.answers([])) == []
    for count in (1, 2, 40):
        answered = dict(pool.answers([b"%d" % number for number in range(count)]))
        assert {place: answer.split()[1] for place, answer in answered.items()} == {
            place: b"%d" % place for place in range(count)
        }
        assert len({answer.split()[0] for answer in answered.values()}) <= min(3, count)


def test_a_worker_that_ends_is_told_and_what_was_answered_before_is_good(pool: LocalPool) -> None:
    seen: dict[int, bytes] = {}

    def ask_all() -> None:
        for place, answer in pool.answers([b"0", b"1", b"2", b"leave", *[b"5"] * 100]):
            seen[place] = answer.split()[1]

    with pytest.raises(WorkerDied, match="status 3"):
        ask_all()
    assert 3 not in seen
    assert all(answer == (b"5" if place > 3 else b"%d" % place) for place, answer in seen.items())


def test_the_workers_end_with_the_block(tmp_path: Path) -> None:
    (tmp_path / "echo.py").write_text(ECHO)
    with LocalPool(LocalEngine("echo", [], tmp_path), size=2) as pool:
        pids = {int(answer.split()[0]) for _, answer in pool.answers([b"1", b"2"])}
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


LOUD = """
from mainspring.engines import answer_lines

def answer(line):
    print("I am asked", line)
    return line.strip()[::-1]

answer_lines(answer)
"""


def test_what_a_worker_prints_is_no_answer(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(LOUD)
    with LocalPool(LocalEngine("loud", [], tmp_path), size=1) as pool:
        assert list(pool.answers([b"one", b"two"])) == [(0, b"eno\n"), (1, b"owt\n")]
