"""A worker answers line by line; when it ends instead, that is said at once, with how and with its last words."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mainspring.engines import LocalEngine, Worker, WorkerDied, WorkerTimedOut

ECHO = """
import os, signal, sys
for line in sys.stdin.buffer:
    word = line.strip().decode()
    if word == "leave":
        print("I was told to", file=sys.stderr)
        sys.exit(3)
    if word == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "half":
        sys.stdout.write("no newl")
        break
    sys.stdout.buffer.write(os.environ.get(word, word[:10]).encode() + b"\\n")
    sys.stdout.buffer.flush()
"""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    (tmp_path / "echo.py").write_text(ECHO)
    with LocalEngine("echo", [], tmp_path, {"MOOD": "fine"}).start() as worker:
        yield worker


def test_each_line_is_answered_by_a_line(worker: Worker) -> None:
    assert [worker.ask(word) for word in (b"one", b"two")] == [b"one\n", b"two\n"]
    assert worker.ask(b"a" * 2**20) == b"a" * 10 + b"\n"
    assert worker.alive


def test_a_worker_outlives_the_thread_that_has_asked_for_it(tmp_path: Path) -> None:
    (tmp_path / "echo.py").write_text(
        "from mainspring.engines import answer_lines\nanswer_lines(bytes.strip)\n"
    )
    with ThreadPoolExecutor(1) as threads:
        worker = threads.submit(LocalEngine("echo", [], tmp_path).start).result()
        assert threads.submit(worker.ask, b"one").result() == b"one\n"
    with worker:
        assert worker.ask(b"two") == b"two\n"
        assert worker.alive


def test_a_worker_has_its_own_environment_and_one_order_of_hashes(worker: Worker) -> None:
    assert worker.ask(b"MOOD") == b"fine\n"
    assert worker.ask(b"PYTHONHASHSEED") == b"0\n"


@pytest.mark.parametrize(
    ("word", "returncode", "said"),
    [
        (b"leave", 3, "ended with status 3 before it had answered. Its last words: I was told to"),
        (b"die", -signal.SIGKILL, "was ended by SIGKILL (often: out of memory)"),
        (b"half", 0, "ended with status 0 before it had answered"),
    ],
)
def test_a_worker_that_ends_instead_of_answering_is_told(
    worker: Worker, word: bytes, returncode: int, said: str
) -> None:
    assert worker.ask(b"one") == b"one\n"
    with pytest.raises(WorkerDied) as died:
        worker.ask(word)
    assert died.value.returncode == returncode
    assert said in str(died.value)
    assert not worker.alive


@pytest.mark.parametrize("size", [10, 2**20])
def test_a_worker_that_was_killed_between_two_questions_is_told_and_can_be_closed(
    worker: Worker, size: int
) -> None:
    assert worker.ask(b"one") == b"one\n"
    os.kill(worker.process.pid, signal.SIGKILL)
    worker.process.wait()
    for _ in range(2):
        with pytest.raises(WorkerDied, match="SIGKILL"):
            worker.ask(b"a" * size)
    worker.close()


HURRIED = """
import re, sys, time
from mainspring.engines import answer_lines, deadline

def spell(n):
    return re.match("(a+)+$", "a" * n + "b")  # takes twice as long for each letter, and lets no other thread in

def answer(line):
    with deadline(1.0):
        spell(int(line))
    time.sleep(1.1)
    return b"done"

answer_lines(answer)
"""


def test_a_worker_whose_deadline_is_over_ends_and_says_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "hurried.py").write_text(HURRIED)
    with LocalEngine("hurried", [], tmp_path).start() as worker:
        assert worker.ask(b"3") == b"done\n"
        assert worker.ask(b"4") == b"done\n"
        with pytest.raises(WorkerTimedOut, match=r"batch_timeout_s.*hurried\.py.*in spell") as late:
            worker.ask(b"60")
        assert late.value.returncode == -signal.SIGALRM
        assert not worker.alive


def test_a_process_whose_parent_has_gone_already_ends() -> None:
    program = (
        "import os, sys; from mainspring.engines import end_with; end_with(int(sys.argv[1] or os.getppid()))"
    )
    assert subprocess.run([sys.executable, "-c", program, ""]).returncode == 0
    assert subprocess.run([sys.executable, "-c", program, str(os.getppid())]).returncode == 1
