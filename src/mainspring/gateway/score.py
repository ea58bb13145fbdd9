"""Which version answers which row, and who steps in when one fails."""

from __future__ import annotations

__all__ = ["ChampionFailed", "Scored", "Served", "score"]

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

from mainspring.monitoring.record import Failure

if TYPE_CHECKING:
    from mainspring.formats.onnx import OnnxModel
    from mainspring.gateway.inputs import Rows


@dataclass(frozen=True, slots=True)
class Served:
    """A version that is loaded: `never_null` are the inputs in which its training has never met a null."""

    version: int
    model: OnnxModel
    never_null: frozenset[str]


@dataclass(slots=True)
class Scored:
    """What came of a request's rows.

    Attributes
    ----------
    scores : list of float
        By row.
    versions : list of int
        Who answered, by row.
    failures : list of Failure
        What a version could not answer.
    measured_s : dict of float
        How long each version took.
    """

    scores: list[float]
    versions: list[int]
    failures: list[Failure] = field(default_factory=list)
    measured_s: dict[int, float] = field(default_factory=dict)


class ChampionFailed(Exception):
    """Rows that nobody could answer.

    Attributes
    ----------
    nulls : list of Failure
        Those with a null where it cannot be: the caller's to mend.
    scored : Scored
        All failures, and the times taken.
    """

    def __init__(self, nulls: list[Failure], scored: Scored) -> None:
        super().__init__(nulls, scored)
        self.nulls, self.scored = nulls, scored


@dataclass(slots=True)
class _Asked:
    scores: dict[int, float]
    nulls: list[Failure]
    broken: list[Failure]
    measured_s: float

    @property
    def failures(self) -> list[Failure]:
        return self.nulls + self.broken


def score(
    rows: Rows, champion: Served, challenger: Served | None = None, challenged: Iterable[int] = ()
) -> Scored:
    """Answer every row: by the challenger those of its arm that it can answer, by the champion all others.

    Parameters
    ----------
    rows : Rows
    champion, challenger : Served
    challenged : iterable of int
        The rows of the challenger's arm, rising.

    Raises
    ------
    ChampionFailed
        The champion was needed for a row and failed.
    """
    scored = Scored([math.nan] * rows.count, [champion.version] * rows.count)
    remaining: Sequence[int] = range(rows.count)
    if challenger and (rows_of_arm := list(challenged)):
        asked = _ask(challenger, rows, rows_of_arm)
        _take(asked, challenger, scored)
        remaining = [row for row in remaining if row not in asked.scores]
    if remaining:
        asked = _ask(champion, rows, remaining)
        _take(asked, champion, scored)
        if asked.failures:
            raise ChampionFailed(asked.nulls, scored)
    return scored


def _take(asked: _Asked, served: Served, scored: Scored) -> None:
    for row, probability in asked.scores.items():
        scored.scores[row], scored.versions[row] = probability, served.version
    scored.failures += asked.failures
    scored.measured_s[served.version] = asked.measured_s


def _ask(served: Served, rows: Rows, which: Sequence[int]) -> _Asked:
    started = perf_counter()
    nulls = _nulls(served, rows, which) if rows.with_nulls else []
    if nulls:
        unsound = {failure.row for failure in nulls}
        which = [row for row in which if row not in unsound]
    scores: dict[int, float] = {}
    broken: list[Failure] = []
    if which:
        try:
            answered = served.model.predict(rows.feed(served.model, which))
        except Exception as error:  # noqa: BLE001 - whatever a model raises, it is a failure of the model
            broken = [Failure(row, served.version, f"{type(error).__name__}: {error}"[:300]) for row in which]
        else:
            if answered.shape == (len(which),):
                for row, probability in zip(which, answered.tolist(), strict=True):
                    if 0 <= probability <= 1:
                        scores[row] = probability
                    else:
                        broken.append(Failure(row, served.version, f"{probability} is no probability"))
            else:
                error_text = f"answered {len(which)} rows with the shape {answered.shape}"
                broken = [Failure(row, served.version, error_text) for row in which]
    return _Asked(scores, nulls, broken, perf_counter() - started)


def _nulls(served: Served, rows: Rows, which: Sequence[int]) -> list[Failure]:
    suspects = sorted(served.never_null & rows.with_nulls)
    failures = []
    for row in which:
        if missing := [name for name in suspects if rows.columns[name][row] is None]:
            failures.append(
                Failure(row, served.version, f"null in {', '.join(missing)}, never seen there in training")
            )
    return failures
