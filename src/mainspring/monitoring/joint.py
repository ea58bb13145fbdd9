"""What a domain classifier sees: whether rows of now can be told from the reference's, by all inputs together."""

from __future__ import annotations

__all__ = ["CELLS", "REFITS", "joint_streams"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mainspring.monitoring.detector import Stream

Codes = NDArray[np.uint8]
Floats = NDArray[np.float64]

REFITS = 8
"""A classifier is fitted after 1, 2, 4, … checks, so many times at most."""

_LEVELS = 32
CELLS = 12
"""Cells of a column that are told apart: the last two are any other category, and no value."""
_LEAST_ROWS = 100
_LEAST_EXPECTED = 5.0
_SURE = 4.0
_HALF = 0.5
_MOST, _STEEP = 6.0, 4.0


class _Term(NamedTuple):
    """What a cell of one column, or of two together, says: log odds by cell; `columns` are their places."""

    columns: tuple[int, ...]
    weights: Floats


@dataclass(frozen=True, slots=True)
class _Classifier:
    """Log odds that a row is of now, as a sum over cells and pairs of cells whose shares differ for sure."""

    terms: tuple[_Term, ...]

    def levels(self, codes: Codes) -> NDArray[np.int64]:
        """Level of each row's score, shape (n,), from 0 to 32: the higher, the more it looks as if it were of now."""
        odds = np.zeros(codes.shape[1])
        for term in self.terms:
            odds += term.weights[_places(codes, term.columns)]
        score = 1.0 / (1.0 + np.exp(-np.clip(_STEEP * odds, -_MOST, _MOST)))
        return np.rint(score * _LEVELS).astype(np.int64)

    def strongest(self, now: Codes, before: Codes) -> tuple[int, ...]:
        """Columns of the term by which rows of now differ most from those before in the mean."""
        apart = [
            term.weights[_places(now, term.columns)].mean()
            - term.weights[_places(before, term.columns)].mean()
            for term in self.terms
        ]
        return self.terms[int(np.argmax(apart))].columns if apart else ()


def joint_streams(
    reference: Mapping[str, Codes], checks: Sequence[Mapping[str, Codes]], *, tolerance: float = 0.02
) -> tuple[Stream, ...]:
    """Streams of what classifiers say of each row, which tell rows of now from the reference's.

    Each classifier is fitted to one half of the reference and, of the first 1, 2, 4, … checks, to the rows of the newer
    half. It is asked about the other half of the reference and the rows of the checks that follow. So no row is judged
    by a classifier that has seen it, and the mean of what it says rises above the reference's only where rows have
    changed.

    Parameters
    ----------
    reference : mapping of str to ndarray of uint8, shape (n,)
        The cell of each row by column, as `LabelledRows.codes` has them. Rows must not depend on one another.
    checks : sequence of mapping of str to ndarray of uint8, shape (n_rows,)
        Rows of each check since, oldest first; of columns that the reference does not have nothing is seen.
    tolerance : float, default 0.02
        Rise of the mean score that is not worth an alarm.

    Returns
    -------
    tuple of Stream
        One for each classifier that has found anything, the first fitted first. Its `column` names what it goes by
        most, such as `amount and hour`. They come one after the other: weigh each with an equal share for `REFITS`.

    Notes
    -----
    The classifier is a naive one with pairs: log odds are the sum of log(q / p) over a row's cells, with shares q of
    now and p before, and of log(q_ij p_i p_j / (p_ij q_i q_j)) over its pairs of cells: what they say together beyond
    what each says [1]_. A column counts, or a pair, whose chi-square exceeds its degrees of freedom by 4 standard
    deviations; each of its cells by 1 - 1/z^2, with z the standard errors that it is off. It needs nothing but counts.
    The score is the logistic of four times the log odds, near to a plain yes or no: the difference of its means is near
    to the total variation between the two, which is the most that any score in [0, 1] can show.

    *Limits.* What three inputs say together and no two of them do is not seen. The bound asks of the reference's rows
    that they do not depend on one another, as it does everywhere.

    References
    ----------
    .. [1] C. K. Chow, C. N. Liu (1968). Approximating discrete probability distributions with dependence trees. IEEE
       Trans. Inf. Theory 14, 462-467; here with all pairs in place of a tree.
    """
    names = sorted(reference)
    base = _matrix(reference, names)
    learned, judged = base[:, ::2], base[:, 1::2]
    days = [_matrix(check, names) for check in checks]
    streams = []
    for fitted in (2**k for k in range(REFITS)):
        if fitted >= len(days):
            break
        seen = np.concatenate(days[fitted // 2 : fitted], axis=1)
        if min(seen.shape[1], learned.shape[1]) < _LEAST_ROWS:
            continue
        classifier = _fit(learned, seen)
        if not classifier.terms:
            continue
        by_most = classifier.strongest(seen, learned)
        nothing = (0,) * (_LEVELS + 1)
        streams.append(
            Stream(
                name=f"rows told from the reference since check {fitted + 1}",
                column=" and ".join(names[place] for place in by_most),
                lower=tuple(level / _LEVELS for level in range(_LEVELS + 1)),
                upper=tuple(level / _LEVELS for level in range(_LEVELS + 1)),
                reference=_counts(classifier.levels(judged)),
                checks=tuple(
                    nothing if place < fitted else _counts(classifier.levels(day))
                    for place, day in enumerate(days)
                ),
                tolerance=tolerance,
            )
        )
    return tuple(streams)


def _fit(before: Codes, now: Codes) -> _Classifier:
    places, old, new = range(before.shape[0]), before.shape[1], now.shape[1]
    p, q = (np.stack([_shares(codes, CELLS) for codes in each]) for each in (before, now))
    terms = []
    for place in places:
        error = np.sqrt(new * p[place] * (1.0 + new / old))
        terms += _term((place,), q[place] / p[place], new * (q[place] - p[place]) / error, new * p[place])
    for one, other in combinations(places, 2):
        p_both, q_both = (_shares(_places(each, (one, other)), CELLS * CELLS) for each in (before, now))
        apart, then = np.outer(q[one], q[other]).ravel(), np.outer(p[one], p[other]).ravel()
        # What the pair would have if its columns had moved alone.
        expected = new * apart * p_both / then
        error = np.sqrt(expected + expected**2 / (old * p_both))
        terms += _term((one, other), new * q_both / expected, (new * q_both - expected) / error, expected)
    return _Classifier(tuple(terms))


def _term(columns: tuple[int, ...], ratios: Floats, errors: Floats, expected: Floats) -> list[_Term]:
    """Give what cells say together, or nothing where they may differ by chance."""
    known = expected >= _LEAST_EXPECTED
    freedom = int(known.sum())
    if not freedom or (errors[known] ** 2).sum() < freedom + _SURE * np.sqrt(2 * freedom):
        return []
    sure = np.maximum(0.0, 1.0 - 1.0 / np.maximum(errors**2, 1.0))
    return [_Term(columns, np.where(known, sure * np.log(ratios), 0.0))]


def _matrix(columns: Mapping[str, Codes], names: Sequence[str]) -> Codes:
    return np.stack([columns[name] for name in names])


def _shares(codes: NDArray[np.uint8] | NDArray[np.int64], cells: int) -> Floats:
    """Shares of cells, each with half a row more than it has, so that none is 0."""
    counts = np.bincount(codes, minlength=cells) + _HALF
    shares: Floats = counts / counts.sum()
    return shares


def _places(codes: Codes, columns: Sequence[int]) -> NDArray[np.int64]:
    place: NDArray[np.int64] = codes[columns[0]].astype(np.int64)
    for column in columns[1:]:
        place = place * CELLS + codes[column]
    return place


def _counts(levels: NDArray[np.int64]) -> tuple[int, ...]:
    return tuple(np.bincount(levels, minlength=_LEVELS + 1).tolist())
