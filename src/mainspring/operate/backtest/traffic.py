"""What was asked, asked again: each recorded request is answered by the versions that a route names now."""

from __future__ import annotations

__all__ = ["Served", "Traffic"]

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from mainspring.monitoring.record import Failure, LabelEntry, LabelRecord, PredictionRecord
from mainspring.operate.ingest import fits
from mainspring.operate.log_table import input_column, label_text
from mainspring.rollouts.split import CHAMPION, Part, Split
from mainspring.task import BinaryClassification

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mainspring.clock import Clock
    from mainspring.monitoring.record import LabelValue
    from mainspring.operate.backtest.answers import Answers
    from mainspring.operate.backtest.history import History
    from mainspring.operate.turns import NotedTurn
    from mainspring.product import ProductSpec
    from mainspring.registry import ModelVersion
    from mainspring.rollouts import Route
    from mainspring.task import Task

_REQUEST = ("at", "trace", "latency_s", "route", "pinned", "failed")


class Served:
    """What was answered to each row of a history in a replay: NaN, and version 0, where nobody did."""

    def __init__(self, rows: int) -> None:
        self.scores = np.full(rows, np.nan)
        self.versions = np.zeros(rows, np.int64)


class Traffic:
    """The recorded requests and labels of a product, handed out from moment to moment.

    Parameters
    ----------
    history : History
    answers : Answers
        Of versions to its rows.
    clock : Clock
        What says how long a call took, where recorded data drove the clock then, too.
    """

    def __init__(self, history: History, answers: Answers, clock: Clock) -> None:
        self._spec, self._driven, self._clock = history.spec, history.driven, clock
        self._answers = answers
        self._artifacts = {each.number: each.artifact for each in history.versions}
        self._rows = history.rows.with_columns(failed=pl.col("prediction_id").is_null())
        self._labels = history.labels
        self._row = self._label = 0
        self.served = Served(history.rows.height)

    def until(
        self, turn: NotedTurn, route: Route | None, versions: Mapping[int, ModelVersion]
    ) -> list[PredictionRecord | LabelRecord]:
        """Give what a turn had seen, and was not given before.

        Parameters
        ----------
        turn : NotedTurn
        route : Route, optional
            Who answers; nobody without one.
        versions : mapping of int to ModelVersion
            Those that it names.
        """
        moment = turn.at
        side: Literal["left", "right"] = "right" if turn.own_instant else "left"
        start, self._row = self._row, int(self._rows["at"].search_sorted(moment, side=side))
        records: list[PredictionRecord | LabelRecord] = []
        if route is not None and self._row > start:
            records += self._answered(start, self._row, route, versions)
        read = self._labels["at"].search_sorted(moment, side=side)
        if turn.labels >= 0:
            read = self._labels["place"].search_sorted(turn.labels)
        first, self._label = self._label, max(self._label, int(read))
        return records + list(_label_records(self._labels[first : self._label], self._spec))

    def _answered(
        self, start: int, end: int, route: Route, versions: Mapping[int, ModelVersion]
    ) -> Iterator[PredictionRecord]:
        part = self._rows[start:end]
        places = np.arange(start, end)
        units = part["unit"].to_list()
        champion = versions[route.champion.version]
        asked = self._asked_of(part, units, route, versions)
        scores, answered_by = np.full(end - start, np.nan), np.full(end - start, champion.number)
        failed: dict[int, NDArray[np.bool_]] = {}
        refused = np.zeros(end - start, bool)
        for number in sorted(set(asked.tolist()) - {champion.number}):
            own = np.flatnonzero(asked == number)
            found = self._of(versions[number], places[own])
            scores[own], answered_by[own] = found, number
            failed[number] = np.zeros(end - start, bool)
            failed[number][own] = np.isnan(found)
        rest = np.flatnonzero(np.isnan(scores))
        if rest.size:
            takes = self._answers.takes(champion, places[rest])
            found = self._answers.of(champion, places[rest])
            scores[rest], answered_by[rest] = found, champion.number
            refused[rest] = ~takes & np.isnan(found)  # a caller was told, and nothing was logged
            failed[champion.number] = np.zeros(end - start, bool)
            failed[champion.number][rest] = np.isnan(found)
        shadow = self._shadow(places, units, route, versions, failed)
        columns = {
            column.name: part[input_column(column.name)].to_list()
            for column in (*self._spec.inputs, *self._spec.entities)
        }
        ids = part["prediction_id"].to_list()
        for first, last in _requests(part):
            if refused[first:last].any():
                continue
            rows = slice(first, last)
            lost = bool(np.isnan(scores[rows]).any())
            if not lost:
                self.served.scores[start + first : start + last] = scores[rows]
                self.served.versions[start + first : start + last] = answered_by[rows]
            named = [name or f"replayed-{start + first + row}" for row, name in enumerate(ids[rows])]
            called = sorted(
                {*answered_by[rows].tolist(), *(n for n, each in failed.items() if each[rows].any())}
            )
            latency_s, took = part["latency_s"][first], part["took"][first]
            measured = {each["version"]: each["s"] for each in took} if took is not None else {}
            hidden = part["redacted"][first].to_list()
            yield PredictionRecord(
                at=part["at"][first],
                product=self._spec.name,
                route=route.number,
                ids=[] if lost else named,
                units=units[rows],
                versions=[] if lost else answered_by[rows].tolist(),
                scores=[] if lost else scores[rows].tolist(),
                inputs={name: values[rows] for name, values in columns.items() if name not in hidden},
                failures=[
                    Failure(row, number, "it failed in the replay")
                    for number, each in sorted(failed.items())
                    for row in np.flatnonzero(each[rows]).tolist()
                ],
                took_s={
                    str(number): self._took(versions[number], measured, latency_s, named[0])
                    for number in called
                },
                pinned=part["pinned"][first],
                shadow={
                    str(number): [None if np.isnan(score) else score for score in found[rows].tolist()]
                    for number, found in shadow.items()
                    if not np.isnan(found[rows]).all()
                },
                trace=part["trace"][first] or "",
                latency_s=latency_s,
                redacted=hidden,
                sampled=part["sampled"][first],
            )

    def _asked_of(
        self, part: pl.DataFrame, units: list[str], route: Route, versions: Mapping[int, ModelVersion]
    ) -> NDArray[np.int64]:
        """Give the version that each row is asked of first."""
        order = [each.variant.version for each in route.challengers]
        chosen = np.array(
            [route.champion.version if n == CHAMPION else order[n] for n in route.split.assign(units)],
            np.int64,
        )
        pinned = part["pinned"].to_numpy()
        if pinned.any():
            # The caller had named a version: of that number there may be another one here, or none.
            named = part["version"].fill_null(route.champion.version).to_numpy()
            known = np.isin(named, list(versions))
            chosen = np.where(pinned, np.where(known, named, route.champion.version), chosen)
        return chosen

    def _shadow(
        self,
        places: NDArray[np.int64],
        units: list[str],
        route: Route,
        versions: Mapping[int, ModelVersion],
        failed: dict[int, NDArray[np.bool_]],
    ) -> dict[int, NDArray[np.float64]]:
        if route.shadow is None:
            return {}
        split = Split(route.salt, [Part(0.0, route.shadow_share)])
        own = np.flatnonzero(np.array(split.assign(units)) != CHAMPION)
        number, found = route.shadow.version, np.full(len(places), np.nan)
        if own.size:
            found[own] = self._of(versions[number], places[own])
            failed[number] = np.zeros(len(places), bool)
            failed[number][own] = np.isnan(found[own])
        return {number: found}

    def _of(self, version: ModelVersion, places: NDArray[np.int64]) -> NDArray[np.float64]:
        """Answers of a version, NaN where it fails or meets a null that it has not met in training."""
        takes = self._answers.takes(version, places)
        found = np.full(len(places), np.nan)
        found[takes] = self._answers.of(version, places[takes]) if takes.any() else found[takes]
        return found

    def _took(
        self, version: ModelVersion, measured: Mapping[int, float], latency_s: float | None, request: str
    ) -> float:
        """How long a version took: as the same model did then, or drawn where time was, or else as the request did."""
        same = [number for number in measured if self._artifacts.get(number) == version.artifact]
        if same:
            return measured[version.number if version.number in same else same[0]]
        return self._clock.took(0.0, f"{request}:{version.number}") if self._driven else latency_s or 0.0


def _requests(rows: pl.DataFrame) -> Iterator[tuple[int, int]]:
    """Give where each request begins and ends; of rows of an earlier release, those that came together are one."""
    began = pl.col("row").eq(0).fill_null(False)
    runs = rows.select(pl.struct(*_REQUEST, began.cum_sum().alias("request")).rle().struct.field("len"))
    end = 0
    for length in runs.to_series():
        start, end = end, end + length
        yield start, end


def _label_records(labels: pl.DataFrame, spec: ProductSpec) -> Iterator[LabelRecord]:
    for (at,), rows in labels.group_by("at", maintain_order=True):
        assert not isinstance(at, str | int | float)
        yield LabelRecord(
            at=at,
            labels=[
                LabelEntry(name, _value(value, metric, spec), known_at, metric)
                for name, value, known_at, metric in rows.select(
                    "prediction_id", "value", "known_at", "metric"
                ).iter_rows()
            ],
        )


def _value(text: str, metric: str, spec: ProductSpec) -> LabelValue:
    """Give a label as it came, as far as the loop tells values apart."""
    if metric:
        return float(text)
    task: Task = spec.task
    if isinstance(task, BinaryClassification) and text == label_text(task.positive):
        return task.positive
    try:
        number = float(text)
    except ValueError:
        return text
    return number if fits(number, spec) else text
