"""Server processes of a benchmark: started on free ports, watched for what they take, and ended with all of theirs."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_BECOME_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of <sys/prctl.h>
_GRACE_S = 10


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def start(
    command: Sequence[str], *, log: Path, folder: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a server whose working folder is `folder` and whose words go to `log`.

    It leads a session of its own: some send signals to all of theirs, and we are not to be among them.
    """
    with log.open("wb") as words:
        return subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=words, stderr=words,
            env={**os.environ, **(environment or {})}, start_new_session=True,
        )  # fmt: skip


@contextmanager
def all_ended() -> Iterator[None]:
    """End every process that was started inside, and those that they have started and left behind.

    A server's workers whose parent has gone would be adopted by the machine's first process, and nobody would know
    whose they are; so this process adopts them.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_BECOME_SUBREAPER, 1, 0, 0, 0)

    def leave(*_: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        for pid in [pid for pid, parent in _parents().items() if parent == os.getpid()]:
            end(pid)
        _end(descendants(os.getpid()))
        signal.signal(signal.SIGTERM, before)


def end(pid: int) -> None:
    """End a process, and then what it has started and has not ended itself."""
    its = descendants(pid)
    _end([pid])
    _end(its)


def _end(pids: Sequence[int]) -> None:
    for kill in (signal.SIGTERM, signal.SIGKILL):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, kill)
        deadline = time.monotonic() + _GRACE_S
        while _alive(pids) and time.monotonic() < deadline:
            time.sleep(0.05)
        if not (pids := _alive(pids)):
            return


def _alive(pids: Sequence[int]) -> list[int]:
    with suppress(ChildProcessError):  # take leave of those that have ended
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    return [pid for pid in pids if pid in _parents()]


def _parents() -> dict[int, int]:
    """The parent of every process of this machine that is alive."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        if fields[0] != "Z":
            found[int(stat.parent.name)] = int(fields[1])
    return found


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and theirs, and so on."""
    parents = _parents()
    found, waiting = [], [pid]
    while waiting:
        parent = waiting.pop()
        children = [child for child, its in parents.items() if its == parent]
        found += children
        waiting += children
    return found


def cpu_s(pid: int) -> float:
    """CPU seconds that a process and its descendants have used, those that have ended included."""
    ticks = 0
    for each in (pid, *descendants(pid)):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks += sum(map(int, fields[11:15]))
    return ticks / _TICKS


def memory_mb(pid: int) -> float:
    """Resident memory of a process and its descendants, in MB; what two of them share is counted twice."""
    kilobytes = 0
    for each in (pid, *descendants(pid)):
        try:
            text = Path(f"/proc/{each}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        kilobytes += int(text.partition("\nVmRSS:")[2].split()[0])
    return kilobytes / 1000
