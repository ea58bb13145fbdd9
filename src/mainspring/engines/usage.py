"""What a piece of work has used of this machine."""

from __future__ import annotations

__all__ = ["Usage", "measured"]

import resource
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

T = TypeVar("T")

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_KIB = 1 if sys.platform == "darwin" else 1024  # macOS tells bytes


class Usage(msgspec.Struct, frozen=True):
    """What was used.

    Attributes
    ----------
    cpu_s : float
        Seconds of processor time, of all threads and of processes that have ended meanwhile.
    peak_mib : float
        The most memory that the process held at once. Where it cannot be counted anew, as outside of Linux, that of the
        process so far.
    """

    cpu_s: float
    peak_mib: float


def measured(work: Callable[[], T]) -> tuple[T, Usage]:
    """Do a piece of work, and say what it has used."""
    with suppress(OSError):
        _CLEAR.write_text("5")  # the peak is counted anew
    before = _cpu_s()
    made = work()
    return made, Usage(_cpu_s() - before, _peak_mib())


def _cpu_s() -> float:
    own, ended = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime


def _peak_mib() -> float:
    try:
        line = next(each for each in _STATUS.read_text().splitlines() if each.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    except (OSError, StopIteration, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB / 2**20
