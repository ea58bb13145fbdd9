"""From checked rows to an answer that is on disk: what every protocol's door has in common."""

from __future__ import annotations

__all__ = ["LookupFailed", "ModelFailed", "Prediction", "Predictor"]

import asyncio
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from secrets import token_hex
from time import perf_counter
from typing import TYPE_CHECKING

import msgspec

from mainspring.errors import Fault, MainspringError
from mainspring.features.online import look_up, snapshot_name, use
from mainspring.features.store import NothingPublished
from mainspring.gateway.follow import NotYetServed
from mainspring.gateway.inputs import BadRequest, as_text
from mainspring.gateway.policy import LogPolicy
from mainspring.gateway.score import ChampionFailed, Scored, ask_shadow, score
from mainspring.gateway.together import Request, Together
from mainspring.monitoring.record import Fetched, PredictionRecord
from mainspring.rollouts.split import CHAMPION
from mainspring.stores.errors import StoreUnavailable
from mainspring.task import BinaryClassification

_LOOKUPS = 4
"""How many lookups in the online store run at once; the others wait."""

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from mainspring.clock import Clock
    from mainspring.features.online import Known, Value
    from mainspring.features.store import OnlineStore
    from mainspring.gateway.follow import Serving
    from mainspring.gateway.ids import PredictionIds
    from mainspring.gateway.inputs import Rows
    from mainspring.gateway.log import PredictionLog
    from mainspring.gateway.metrics import Metrics
    from mainspring.gateway.score import Served
    from mainspring.product import FeatureViewSpec
    from mainspring.rollouts import Route


class ModelFailed(MainspringError):
    """Rows that no version could answer, through no fault of the caller."""

    def __init__(self, failed: int, rows: int, why: str) -> None:
        super().__init__(failed, rows, why)
        self.failed, self.rows, self.why = failed, rows, why

    def __str__(self) -> str:
        return f"The model failed on {self.failed} of {self.rows} rows: {self.why}."


class LookupFailed(MainspringError):
    """Features that could not be looked up, through no fault of the caller."""

    def __init__(self, view: FeatureViewSpec, where: str, why: str) -> None:
        super().__init__(view, where, why)
        self.view, self.where, self.why = view, where, why

    def __str__(self) -> str:
        return (
            f"The values of feature view {self.view.name} cannot be looked up: {self.where} is away ({self.why}). "
            f"Send {', '.join(self.view.feature_names)}, or ask again in a moment."
        )


class Prediction(msgspec.Struct, frozen=True):
    """The answer to a request, by row.

    Attributes
    ----------
    ids : list of str
        Under which labels come.
    scores : list of float
        Probabilities, or numbers.
    versions : list of int
        Who answered.
    route : int
        The number of the route that was in force.
    answer : str
        How the scores are named.
    """

    ids: list[str]
    scores: list[float]
    versions: list[int]
    route: int
    answer: str = BinaryClassification.answer

    @property
    def version(self) -> int | None:
        """The version that answered all rows; None when several did."""
        first = self.versions[0]
        return first if self.versions.count(first) == len(self.versions) else None


class Predictor:
    """Answers rows from the versions that a route names, each answer being on disk before it is given.

    Parameters
    ----------
    log : PredictionLog
        Where predictions are written down.
    ids : PredictionIds
    clock : Clock
    metrics : Metrics
        Where rows, failures and durations are counted.
    online : OnlineStore, optional
        Where features are looked up of views that say so.
    """

    def __init__(
        self,
        log: PredictionLog,
        ids: PredictionIds,
        clock: Clock,
        metrics: Metrics,
        online: OnlineStore | None = None,
    ) -> None:
        self._log, self._ids, self._clock, self._metrics = log, ids, clock, metrics
        self._online, self._lookups = online, ThreadPoolExecutor(_LOOKUPS, "lookups")
        self._process, self._requests = token_hex(12), count()
        self._policies: dict[str, tuple[Route, LogPolicy]] = {}
        self._together = Together(self._keep)

    async def predict(
        self,
        serving: Serving,
        rows: Rows,
        *,
        pinned: Served | None = None,
        request: str | None = None,
        unit: str | None = None,
        trace: str = "",
    ) -> Prediction:
        """Answer rows.

        Parameters
        ----------
        serving : Serving
            Of the product.
        rows : Rows
        pinned : Served, optional
            The one version that is to answer; without it the route's split says who does.
        request : str, optional
            The caller's id of the request, which becomes part of the prediction ids.
        unit : str, optional
            Who asks: the unit of rows that name none.
        trace : str
            W3C trace id.

        Raises
        ------
        BadRequest
            A null where no version has met one, sent or looked up.
        NotYetServed
            Features are to be looked up, and nothing to look in is there yet.
        LookupFailed
            Features are to be looked up in the online store, which is away.
        ModelFailed
            The champion, or the pinned version, failed on a row. That is in the log.
        LogUnwritable
            Nothing was answered, because it could not be kept.
        """
        arrived = perf_counter()
        if rows.left_out:
            rows = await self._looked_up(serving, rows)
        # A random number of the process and a count: to ask the kernel for chance each time is a cost.
        ids = self._ids.issue(request or f"{self._process}{next(self._requests):08x}", rows.count)
        units = _units(serving.route.split_by, rows, [unit] * rows.count if unit else ids)
        units = self._policy(serving.route).units(serving.route.split_by, units)
        asked = Request(serving, rows, ids, units, pinned, trace, arrived)
        served = _sole(asked)
        if served is not None and served.answers_at_once(rows):
            scores = await self._together.ask(served, asked)
            if scores:
                return Prediction(
                    ids, scores, [served.version] * rows.count, serving.route.number, served.answer
                )
        return await self._predict(asked)

    async def _predict(self, asked: Request) -> Prediction:
        """Answer a request by itself, each row by whom the split says; and find out whose a failure is."""
        serving, rows, units, pinned = asked.serving, asked.rows, asked.units, asked.pinned
        try:
            if pinned:
                scored = await score(rows, pinned)
            elif serving.challengers:
                scored = await score(rows, serving.champion, _parts(serving, units))
            else:
                scored = await score(rows, serving.champion)
        except ChampionFailed as failed:
            if failed.nulls:
                raise BadRequest(
                    tuple(
                        Fault(
                            f"row {each.row}",
                            f"{each.error} of version {each.version}.",
                            _whose(rows, each.row),
                        )
                        for each in failed.nulls
                    )
                ) from failed
            # The record has units and failures, but no answers.
            failed.scored.versions, failed.scored.scores = [], []
            await self._write_down(asked, failed.scored)
            failures = [
                each
                for each in failed.scored.failures
                if each.version == (pinned or serving.champion).version
            ]
            raise ModelFailed(len(failures), rows.count, failures[0].error) from failed
        if serving.shadow is not None and not pinned:
            shadowed = [n for n, part in enumerate(serving.shadow_split.assign(units)) if part != CHAMPION]
            if shadowed:
                await ask_shadow(rows, serving.shadow, shadowed, scored)
        await self._write_down(asked, scored)
        answer = serving.champion.answer
        return Prediction(asked.ids, scored.scores, scored.versions, serving.route.number, answer)

    def _keep(self, served: Served, batch: Sequence[Request]) -> None:
        """Write down what one version answered to several requests."""
        version, name, took = served.version, str(served.version), self._clock.took
        product = batch[0].serving.route.product
        now, ended = self._clock.now(), perf_counter()
        waited_s = [ended - each.arrived for each in batch]
        for each, measured_s in zip(batch, waited_s, strict=True):
            took_s = {name: took(measured_s, f"{each.ids[0]}:{name}")}
            assert each.kept is not None
            try:
                record = self._record(each, [version] * each.rows.count, each.scores, took_s, measured_s, now)
                each.kept = self._log.predicted(record, self._policy(each.serving.route), each.kept)
            except Exception as error:  # noqa: BLE001 - its caller is told, and its neighbours are answered
                each.kept.set_exception(error)
        self._metrics.called(product, version, waited_s)
        self._metrics.answered_rows(product, version, sum([each.rows.count for each in batch]))

    async def _write_down(self, asked: Request, scored: Scored) -> None:
        """Write down what came of a request that was asked by itself."""
        serving, ids = asked.serving, asked.ids
        took_s = {
            str(version): self._clock.took(measured_s, f"{ids[0]}:{version}")
            for version, measured_s in scored.measured_s.items()
        }
        measured_s = perf_counter() - asked.arrived
        record = self._record(asked, scored.versions, scored.scores, took_s, measured_s, self._clock.now())
        if scored.failures or scored.shadow:
            record = msgspec.structs.replace(
                record,
                ids=ids if scored.versions else [],
                failures=scored.failures,
                shadow={str(version): answers for version, answers in scored.shadow.items()},
            )
        await self._log.predicted(record, self._policy(serving.route))
        self._metrics.scored(serving.route.product, scored)

    def _record(
        self,
        asked: Request,
        versions: list[int],
        scores: list[float],
        took_s: dict[str, float],
        measured_s: float,
        now: datetime,
    ) -> PredictionRecord:
        rows, route = asked.rows, asked.serving.route
        found = rows.found
        return PredictionRecord(
            at=rows.at or now,  # the join at this very instant gives what was looked up
            product=route.product,
            route=route.number,
            ids=asked.ids,
            units=asked.units,
            versions=versions,
            scores=scores,
            inputs=rows.sent if found else dict(rows.columns),
            took_s=took_s,
            pinned=asked.pinned is not None,
            trace=asked.trace,
            latency_s=self._clock.took(measured_s, f"{asked.ids[0]}:request"),
            features={each.view.name: Fetched(each.at, each.columns) for each in found} if found else {},
        )

    async def _looked_up(self, serving: Serving, rows: Rows) -> Rows:
        """Look up the features that were left out, as of now."""
        now, views = self._clock.now(), rows.left_out
        entities = [rows.values(view.entity) for view in views]
        # The store is asked for all views at once; what is in memory needs no turn of the loop.
        asking = {
            view.name: self._newest(serving, view, of, now)
            for view, of in zip(views, entities, strict=True)
            if view.online == "store"
        }
        newest = dict(zip(asking, await asyncio.gather(*asking.values()), strict=True)) if asking else {}
        found = []
        for view, of in zip(views, entities, strict=True):
            if view.name in newest:
                found.append(use(view, of, newest[view.name], now))
            elif (snapshot := serving.snapshots.get(view.name)) is not None:
                found.append(look_up(view, snapshot, of, now))
            else:
                raise _nothing_yet(view)
        self._metrics.looked_up(serving.route.product, found)
        return serving.inputs.with_found(rows, found, now)

    async def _newest(
        self, serving: Serving, view: FeatureViewSpec, entities: Sequence[Value], now: datetime
    ) -> list[Known | None]:
        """Ask the online store, in a thread: it is a file, or another machine."""
        if self._online is None:
            raise _nothing_yet(view)
        ask = asyncio.get_running_loop().run_in_executor
        try:
            return await ask(self._lookups, self._online.read, snapshot_name(view), entities, now)
        except NothingPublished as error:
            raise _nothing_yet(view) from error
        except StoreUnavailable as error:
            self._metrics.store_away(serving.route.product, view, len(entities))
            raise LookupFailed(view, error.where, error.why) from error

    def close(self) -> None:
        """Wait for the lookups to end."""
        self._lookups.shutdown()

    def _policy(self, route: Route) -> LogPolicy:
        of, policy = self._policies.get(route.product, (None, None))
        if policy is None or of is not route:
            policy = LogPolicy.of(route, self._ids.pseudonym)
            self._policies[route.product] = route, policy
        return policy


def _nothing_yet(view: FeatureViewSpec) -> NotYetServed:
    return NotYetServed(
        f"There are no values of feature view {view.name} to look up yet: send "
        f"{', '.join(view.feature_names)}, or add data to {view.source} and ask again."
    )


def _sole(asked: Request) -> Served | None:
    """Give the version that answers all rows of a request; None when several do, or a shadow may be asked besides."""
    serving = asked.serving
    if asked.pinned is not None:
        return asked.pinned
    if serving.shadow is not None:
        return None
    if not serving.challengers:
        return serving.champion
    [part, *others] = set(serving.split.assign(asked.units))
    if others:
        return None
    return serving.champion if part == CHAMPION else serving.challengers[part]


def _units(split_by: str | None, rows: Rows, others: list[str]) -> list[str]:
    if split_by is not None and split_by in rows.columns:
        named = rows.values(split_by)
        return [other if name is None else as_text(name) for other, name in zip(others, named, strict=True)]
    return others


def _whose(rows: Rows, row: int) -> str:
    """Say whose features a row lacks, and what the caller can do."""
    lacking = [each for each in rows.found if any(values[row] is None for values in each.columns.values())]
    return " ".join(
        f"Its {each.view.entity} is {str(each.entities[row])[:100]!r}: send another, or "
        f"{', '.join(each.view.feature_names)}."
        for each in lacking
    )


def _parts(serving: Serving, units: list[str]) -> list[tuple[Served, list[int]]]:
    rows: list[list[int]] = [[] for _ in serving.challengers]
    for row, part in enumerate(serving.split.assign(units)):
        if part != CHAMPION:
            rows[part].append(row)
    return list(zip(serving.challengers, rows, strict=True))
