"""The sticky split: which arm a unit belongs to, from nothing but its name, a salt and a share."""

from __future__ import annotations

__all__ = ["CHAMPION", "Part", "Split", "check_salt", "check_share"]

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from mainspring.errors import Invalid

CHAMPION = -1
"""What `Split` gives for a unit that no part has."""

_POINTS = 2**64


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the units: those whose hash lies in [`start`, `start` + `share`), of [0, 1).

    While the start stands, a part that grows keeps the units that it has.

    Examples
    --------
    >>> Part(0.5, 0.25).end
    0.75
    """

    start: float
    share: float

    def __post_init__(self) -> None:
        check_share(self.share)
        if not 0 <= self.start <= 1 or self.end > 1 + 1e-9:
            raise Invalid(f"A part from {self.start} with a share of {self.share} does not lie in [0, 1].")

    @property
    def end(self) -> float:
        """Where it ends."""
        return self.start + self.share


class Split:
    """Says which of several parts a unit belongs to.

    The unit's hash is a point in [0, 1), and a part has those that lie in it. So a unit stays where it is while the
    parts stand, one that a part has is kept as the part grows, and every process anywhere gives the same answer.
    Another salt splits the units anew, independently of the first.

    Parameters
    ----------
    salt : str
        Of the rollout; not empty, without NUL.
    parts : iterable of Part
        They do not overlap.

    Examples
    --------
    >>> Split("rollout-3", [Part(0.0, 0.25), Part(0.5, 0.5)]).assign(["N14228", "N24211"])
    [0, 1]
    """

    __slots__ = ("_limits", "_lows", "_start")

    def __init__(self, salt: str, parts: Iterable[Part]) -> None:
        self._start = blake2b(_prefix(salt), digest_size=8)
        self._limits = sorted(
            (_below(part.start), _below(part.end), index) for index, part in enumerate(parts) if part.share
        )
        self._lows = [low for low, _, _ in self._limits]

    def assign(self, units: Iterable[str]) -> list[int]:
        """Give for each unit the index of its part, or `CHAMPION` where no part has it."""
        limits, lows = self._limits, self._lows
        if not limits:
            return [CHAMPION for _ in units]
        found = []
        for unit in units:
            hashed = self._start.copy()
            hashed.update(unit.encode(errors="surrogatepass"))
            point = int.from_bytes(hashed.digest())
            place = bisect_right(lows, point)
            _, high, index = limits[place - 1]
            found.append(index if place and point < high else CHAMPION)
        return found


def check_share(share: float) -> float:
    """Give a share back if it lies in [0, 1]; raises `Invalid` otherwise, also for NaN."""
    if not 0 <= share <= 1:
        raise Invalid(f"A challenger's share of {share} is impossible: give a number from 0 to 1.")
    return share


def check_salt(salt: str) -> str:
    """Give a salt back if it is not empty and has no NUL; raises `Invalid` otherwise."""
    if not salt or "\0" in salt:
        raise Invalid(f"{salt!r} cannot salt a split: use some text without NUL, such as the rollout's id.")
    return salt


def _below(share: float) -> int:
    # Integers, so that a share of 1 has every unit: as a float, the greatest hashes would round to 1 and fall out.
    return int(min(share, 1.0) * _POINTS)


def _prefix(salt: str) -> bytes:
    # NUL ends the salt: `a` + `bc` and `ab` + `c` are different units in different splits.
    return check_salt(salt).encode(errors="surrogatepass") + b"\0"
