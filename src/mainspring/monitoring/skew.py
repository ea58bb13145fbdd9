"""Rows whose features were served otherwise than a model would learn them, as counts that a detector can weigh."""

from __future__ import annotations

__all__ = ["SkewTable", "skew_streams"]

from collections.abc import Mapping, Sequence

import msgspec

from mainspring.monitoring.detector import Stream

_EVENT, _NOTHING = (0.0, 1.0), (0, 0)


class SkewTable(msgspec.Struct, frozen=True, kw_only=True):
    """By feature the rows that were served with the value that training would join to them, and with another.

    `why` says why there is none; empty where there is.
    """

    counts: Mapping[str, tuple[int, int]] = {}
    why: str = ""

    def to_json(self) -> str:
        """Text that `from_json` reads back."""
        return msgspec.json.encode(self, order="deterministic").decode()

    @classmethod
    def from_json(cls, text: str) -> SkewTable:
        """Read what `to_json` wrote."""
        return msgspec.json.decode(text, type=cls)


def skew_streams(days: Sequence[SkewTable], *, allowed: float) -> tuple[Stream, ...]:
    """Streams of rows with another value, of which a share may be, by feature in the order of names.

    Examples
    --------
    >>> [stream.checks for stream in skew_streams([SkewTable(counts={"wind": (99, 1)})], allowed=0.01)]
    [((99, 1),)]
    """
    return tuple(
        Stream(
            name=f"{name} served otherwise",
            column=name,
            lower=_EVENT,
            upper=_EVENT,
            reference=_NOTHING,
            checks=tuple(tuple(day.counts.get(name, _NOTHING)) for day in days),
            tolerance=0.0,
            allowed=allowed,
        )
        for name in sorted({name for day in days for name in day.counts})
    )
