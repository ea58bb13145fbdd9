"""Which models stay loaded: those that are served, and of the others the ones used last, as far as there is room."""

from __future__ import annotations

__all__ = ["surplus"]

from collections.abc import Collection, Hashable, Mapping
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def surplus(
    held: Mapping[Key, int], needed: Collection[Key], *, at_most: int, at_most_bytes: int
) -> tuple[Key, ...]:
    """Say which models to let go of.

    Parameters
    ----------
    held : mapping of key to int
        The bytes that each model takes, in the order of their last use, the last one last.
    needed : collection of key
        Those that are served: they stay, whatever they take.
    at_most : int
        How many of the others may stay.
    at_most_bytes : int
        How much all of them together may take.

    Returns
    -------
    tuple of key
        The ones used longest ago first.

    Examples
    --------
    >>> surplus({"v1": 10, "v2": 10, "v3": 10, "v4": 10}, {"v4"}, at_most=2, at_most_bytes=25)
    ('v1', 'v2')
    """
    idle = [key for key in held if key not in needed]
    taken, gone = sum(held.values()), []
    for position, key in enumerate(idle):
        if len(idle) - position <= at_most and taken <= at_most_bytes:
            break
        taken -= held[key]
        gone.append(key)
    return tuple(gone)
