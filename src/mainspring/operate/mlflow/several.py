"""Several requests at once: most of the time of a move goes into waiting for a server."""

from __future__ import annotations

__all__ = ["at_once"]

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_THREADS = 8
_AHEAD = 64


def at_once(call: Callable[[T], R], values: Iterable[T]) -> Iterator[R]:
    """Call for each value, some at once, and give what came in order; reads little further ahead than it works."""
    left = iter(values)
    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            while some := list(islice(left, _AHEAD)):
                yield from pool.map(call, some)
        except BaseException:
            # Where one could not go on, those that wait behind it could not either.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
