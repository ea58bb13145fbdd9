"""How much each input moves the answer of a row, as counts that a detector can weigh."""

from __future__ import annotations

__all__ = ["AttributionTable", "attribution_streams"]

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from mainspring.monitoring.detector import Stream

Baseline: TypeAlias = str | int | float | bool | None

_LEVELS = 48
_LEAST = 0.001
_EDGES = np.concatenate([[0.0], np.geomspace(_LEAST, 1.0, _LEVELS)])


class AttributionTable(msgspec.Struct, frozen=True, kw_only=True):
    """By input, how many rows' answers it moves by how much: the counts of 48 levels from 0 to 1.

    A row's answer is moved by as much as it changes, in either direction, when the input alone has its usual value: the
    baseline. Unlike shares of a sum it is bounded for every model, and needs nothing but answers [1]_.

    Attributes
    ----------
    counts : dict of list of int
        Rows by level; a level ends where the next one begins.
    baseline : dict
        The usual value of each input.

    References
    ----------
    .. [1] J. Lei, M. G'Sell, A. Rinaldo, R. J. Tibshirani, L. Wasserman (2018). Distribution-free predictive inference
       for regression. J. Am. Stat. Assoc. 113, 1094-1111, section 6, with a usual value in place of a refit.
    """

    counts: dict[str, list[int]]
    baseline: dict[str, Baseline] = {}

    @classmethod
    def of(
        cls,
        answers: NDArray[np.float64],
        without: Mapping[str, NDArray[np.float64]],
        baseline: Mapping[str, Baseline] | None = None,
    ) -> AttributionTable:
        """Count rows.

        Parameters
        ----------
        answers : ndarray of float, shape (n,)
            To each row, in [0, 1]; NaN where there is none.
        without : mapping of str to ndarray of float, shape (n,)
            By input, to the same rows with its usual value.
        baseline : mapping, optional

        Examples
        --------
        >>> table = AttributionTable.of(np.array([0.5, 0.9]), {"amount": np.array([0.5, 0.1])})
        >>> table.counts["amount"][0], sum(table.counts["amount"])
        (1, 2)
        """
        counts = {}
        for name, answered in sorted(without.items()):
            moved = np.abs(answers - answered)
            moved = moved[np.isfinite(moved)]
            level = np.clip(np.searchsorted(_EDGES, moved, side="right") - 1, 0, _LEVELS - 1)
            counts[name] = np.bincount(level, minlength=_LEVELS).tolist()
        return cls(counts=counts, baseline=dict(baseline or {}))

    def to_json(self) -> str:
        """Text that `from_json` reads back."""
        return msgspec.json.encode(self, order="deterministic").decode()

    @classmethod
    def from_json(cls, text: str) -> AttributionTable:
        """Read what `to_json` wrote."""
        return msgspec.json.decode(text, type=cls)


def attribution_streams(
    reference: AttributionTable,
    checks: Sequence[AttributionTable],
    *,
    ignore: Sequence[str] = (),
    tolerance: float = 0.01,
) -> tuple[Stream, ...]:
    """Streams that rise when an input moves answers by more than it did, or by less.

    Parameters
    ----------
    reference : AttributionTable
        Of rows that the model was accepted on.
    checks : sequence of AttributionTable
        Of rows since, with the same baseline, oldest first.
    ignore : sequence of str
        Inputs that are left out.
    tolerance : float, default 0.01
        Change of the mean, on the scale of answers, that is not worth an alarm.

    Returns
    -------
    tuple of Stream
        Two for each input of the reference, ordered by name.
    """
    nothing = [0] * _LEVELS
    streams = []
    for name, before in sorted(reference.counts.items()):
        if name in ignore:
            continue
        since = [check.counts.get(name, nothing) for check in checks]
        lower, upper = _EDGES[:-1].tolist(), _EDGES[1:].tolist()
        for what, low, high in (
            ("more", lower, upper),
            ("less", [1.0 - each for each in upper], [1.0 - each for each in lower]),
        ):
            streams.append(
                Stream(
                    name=f"{name} moves answers by {what}",
                    column=name,
                    lower=tuple(low),
                    upper=tuple(high),
                    reference=tuple(before),
                    checks=tuple(tuple(each) for each in since),
                    tolerance=tolerance,
                )
            )
    return tuple(streams)
