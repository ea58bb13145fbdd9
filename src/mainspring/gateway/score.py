"""Which version answers which row, and who steps in when one fails."""

from __future__ import annotations

__all__ = ["ChampionFailed", "Scored", "Served", "ask_shadow", "score"]

import asyncio
import math
from collections.abc import Iterable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from mainspring.gateway.batch import Batcher
from mainspring.gateway.inputs import as_text
from mainspring.gateway.runtimes import OnnxModel, WorkerModel
from mainspring.gateway.together import MOST_ROWS
from mainspring.monitoring.record import Failure
from mainspring.task import BinaryClassification

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from mainspring.gateway.inputs import Rows
    from mainspring.gateway.runtimes import Model

_IN_LOOP_S = 0.002
"""Calls of models that take longer for a row are made by a thread, so that others need not wait, as are large calls."""

ROWS_TOGETHER = 64
"""Requests of more rows than this are asked by themselves: they gain nothing from company."""


class Served:
    """A version that is loaded.

    Parameters
    ----------
    version : int
    model : OnnxModel or WorkerModel
    never_null : frozenset of str
        The inputs in which its training has never met a null.
    rowwise : bool
        Whether it is proved to answer a row the same whatever the rows beside it are, so that requests may share a
        call.
    timeout_s : float
        How long a model in a process of its own may work on one call.
    answer : str
        How its answers are named: `probability` has to be one, `prediction` is any number.
    """

    __slots__ = (
        "_in_loop",
        "_timeout_s",
        "answer",
        "batcher",
        "calls",
        "model",
        "never_null",
        "requests",
        "rowwise",
        "version",
    )

    def __init__(
        self,
        version: int,
        model: Model,
        never_null: frozenset[str],
        *,
        rowwise: bool = False,
        timeout_s: float = 5.0,
        answer: str = BinaryClassification.answer,
    ) -> None:
        self.answer = answer
        self.version, self.model, self.never_null, self.rowwise = version, model, never_null, rowwise
        self.calls = self.requests = 0
        self._timeout_s = timeout_s
        self._in_loop = isinstance(model, OnnxModel) and not model.choice.one_s > _IN_LOOP_S
        self.batcher = Batcher(self._ask_together, self._ask) if rowwise and not self._in_loop else None

    @property
    def platform(self) -> str:
        """What answers, as the Open Inference Protocol names platforms: ONNX, or a library in a process of its own."""
        return "onnx_onnxv1" if isinstance(self.model, OnnxModel) else "python_worker"

    def answers_at_once(self, rows: Rows) -> bool:
        """Say whether rows may be asked of `scores`."""
        return self._in_loop and rows.count <= MOST_ROWS and not self.never_null & rows.with_nulls

    def scores(self, asked: Sequence[Rows]) -> list[float]:
        """Ask the model here and now for the rows of several requests, which all have the same columns.

        Raises
        ------
        Exception
            Of any class: the model failed, or an answer is not as it must be.
        """
        self.calls, self.requests = self.calls + 1, self.requests + len(asked)
        first, model = asked[0], self.model
        assert isinstance(model, OnnxModel)
        matrix = first.matrix if len(asked) == 1 else np.concatenate([each.matrix for each in asked], axis=1)
        columns: dict[str, NDArray[Any]] = dict(zip(first.names, matrix, strict=True))
        for name in model.texts:
            columns[name] = np.array(
                [as_text(value) for each in asked for value in each.values(name)], object
            )
        answered = model.predict(columns)
        if answered.shape != matrix.shape[1:]:
            raise ValueError(f"answered {matrix.shape[1]} rows with the shape {answered.shape}")
        scores: list[float] = answered.tolist()
        if not self.are_sound(scores):
            raise ValueError(f"not every answer is a {self.answer}")
        return scores

    def are_sound(self, scores: list[float]) -> bool:
        """Whether all answers are probabilities, or finite numbers where the answer is any number."""
        if self.answer != BinaryClassification.answer:
            return all(map(math.isfinite, scores))
        # A NaN makes the sum one, wherever the least and the greatest have passed over it.
        return min(scores) >= 0 and max(scores) <= 1 and not math.isnan(sum(scores))

    async def predict(self, columns: Mapping[str, NDArray[Any]], rows: int) -> NDArray[Any]:
        """Ask the model."""
        if self.batcher is None or rows > ROWS_TOGETHER:
            return await self._ask(columns, rows)
        return await self.batcher.ask(columns, rows)

    async def _ask_together(self, columns: Mapping[str, NDArray[Any]], rows: int) -> NDArray[Any]:
        """Ask for several requests, for less time than for one: if that fails, each is still asked alone.

        Raises
        ------
        Exception
            Of any class: the model failed, or an answer is not as it must be, whosever row it was that spoilt it.
        """
        model = self.model
        if isinstance(model, WorkerModel):
            answered = await model.ask(columns, self._timeout_s / 4)
        else:
            answered = await self._ask(columns, rows)
        if not self.are_sound(answered.tolist()):
            raise ValueError(f"not every answer is a {self.answer}")
        return answered

    async def _ask(self, columns: Mapping[str, NDArray[Any]], rows: int) -> NDArray[Any]:
        model = self.model
        if isinstance(model, WorkerModel):
            return await model.ask(columns, self._timeout_s)
        if self._in_loop and rows <= MOST_ROWS:
            return model.predict(columns)
        return await asyncio.get_running_loop().run_in_executor(None, model.predict, columns)


class Scored(msgspec.Struct):
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
    shadow : dict of list
        By version what it would have answered, None for the rows that it failed on or was not asked for.
    """

    scores: list[float]
    versions: list[int]
    failures: list[Failure]
    measured_s: dict[int, float]
    shadow: dict[int, list[float | None]] = {}


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


async def score(
    rows: Rows, champion: Served, challenged: Iterable[tuple[Served, Sequence[int]]] = ()
) -> Scored:
    """Answer every row: by a challenger those of its part that it can answer, by the champion all others.

    Parameters
    ----------
    rows : Rows
    champion : Served
    challenged : iterable of Served and sequence of int
        Each challenger with the rows of its part, rising.

    Raises
    ------
    ChampionFailed
        The champion was needed for a row and failed.
    """
    parts = [(served, which) for served, which in challenged if which]
    if not parts:
        asked = await _ask(champion, rows, range(rows.count))
        failures = asked.nulls + asked.broken
        scored = Scored(
            asked.scores, [champion.version] * rows.count, failures, {champion.version: asked.measured_s}
        )
        if failures:
            raise ChampionFailed(asked.nulls, scored)
        return scored

    scored = Scored([math.nan] * rows.count, [champion.version] * rows.count, [], {})

    async def take(served: Served, which: Sequence[int]) -> _Asked:
        asked = await _ask(served, rows, which)
        for row, probability in zip(asked.rows, asked.scores, strict=True):
            scored.scores[row], scored.versions[row] = probability, served.version
        scored.failures += asked.nulls + asked.broken
        scored.measured_s[served.version] = asked.measured_s
        return asked

    answered = {row for served, which in parts for row in (await take(served, which)).rows}
    if remaining := [row for row in range(rows.count) if row not in answered]:
        asked = await take(champion, remaining)
        if asked.nulls or asked.broken:
            raise ChampionFailed(asked.nulls, scored)
    return scored


async def ask_shadow(rows: Rows, shadow: Served, which: Sequence[int], scored: Scored) -> None:
    """Add to `scored` what a shadow would have answered to some rows; nothing of it can fail the request."""
    asked = await _ask(shadow, rows, which)
    answers: list[float | None] = [None] * rows.count
    for row, probability in zip(asked.rows, asked.scores, strict=True):
        answers[row] = probability
    scored.shadow = {shadow.version: answers}
    scored.failures += asked.nulls + asked.broken
    scored.measured_s[shadow.version] = asked.measured_s


class _Asked(msgspec.Struct):
    """What a version answered: the rows that it could, and their scores."""

    rows: Sequence[int]
    scores: list[float]
    nulls: list[Failure]
    broken: list[Failure]
    measured_s: float


async def _ask(served: Served, rows: Rows, which: Sequence[int]) -> _Asked:
    started = perf_counter()
    nulls = _nulls(served, rows, which) if rows.with_nulls else []
    if nulls:
        unsound = {failure.row for failure in nulls}
        which = [row for row in which if row not in unsound]
    why = ""
    scores: list[float] = []
    if which:
        try:
            answered = await served.predict(rows.feed(served.model, which), len(which))
        except Exception as error:  # noqa: BLE001 - whatever a model raises, it is a failure of the model
            why = f"{type(error).__name__}: {error}"[:300]
        else:
            if answered.shape == (len(which),):
                scores = answered.tolist()
            else:
                why = f"answered {len(which)} rows with the shape {answered.shape}"
    measured_s = perf_counter() - started
    if why:
        return _Asked([], [], nulls, [Failure(row, served.version, why) for row in which], measured_s)
    broken = []
    if scores and not served.are_sound(scores):
        sound = {row: score for row, score in zip(which, scores, strict=True) if served.are_sound([score])}
        broken = [
            Failure(row, served.version, f"{score} is no {served.answer}")
            for row, score in zip(which, scores, strict=True)
            if row not in sound
        ]
        which, scores = list(sound), list(sound.values())
    return _Asked(which, scores, nulls, broken, measured_s)


def _nulls(served: Served, rows: Rows, which: Sequence[int]) -> list[Failure]:
    suspects = {name: rows.values(name) for name in sorted(served.never_null & rows.with_nulls)}
    failures = []
    for row in which:
        if missing := [rows.about(name, row) for name, values in suspects.items() if values[row] is None]:
            failures.append(
                Failure(row, served.version, f"null in {', '.join(missing)}, never seen there in training")
            )
    return failures
