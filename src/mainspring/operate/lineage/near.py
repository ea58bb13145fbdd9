"""The next nodes of one: what it came from, and what came from it, as stores and ledger have it."""

from __future__ import annotations

__all__ = ["Neighbours"]

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any, TypeAlias

from mainspring.errors import NotFound
from mainspring.lineage import Direction, Kind, Near, Node, Relation
from mainspring.operate.lineage.nodes import (
    data_node,
    endpoint_node,
    features_node,
    logged_model_node,
    predictions_node,
    run_node,
    version_node,
)
from mainspring.operate.made_with import COMMIT
from mainspring.ref import DataRef, ModelRef
from mainspring.registry.source import OfRun, OfVersion, SourceRefused, read_source
from mainspring.stores.sql.lineage import AllReaders

if TYPE_CHECKING:
    from mainspring.loop import Cycle
    from mainspring.pipelines import Run
    from mainspring.product import ProductSpec
    from mainspring.registry.registered import RegisteredVersion
    from mainspring.rollouts import Route
    from mainspring.stores.sql.database import Transaction
    from mainspring.tracking.record import Run as LoggedRun
    from mainspring.workspace import Workspace

GONE = "gone"
_PARENT = "mlflow.parentRunId"

_Way: TypeAlias = tuple[Relation, Callable[[], Node]]


class Neighbours:
    """Gives the next nodes of one, within a transaction.

    Parameters
    ----------
    workspace : Workspace
    tx : Transaction
        The moment in which all is read.
    all_at_once : bool
        Whether to read all relations before, since thousands will be asked for; of a run, then, its id alone is told.
    """

    def __init__(self, workspace: Workspace, tx: Transaction, *, all_at_once: bool = False) -> None:
        self._workspace, self._tx, self._plain = workspace, tx, all_at_once
        self._readers_of = tx.lineage.all_at_once() if all_at_once else tx.lineage
        self._days = cache(tx.monitoring.quality)
        self._nested = cache(tx.lineage.nested_runs)
        self._is_clients = cache(tx.registry.is_taken)

    def __call__(self, node: Node, direction: Direction, limit: int) -> Near:
        """Give those in a direction, as many as `limit` says, and how many more there are."""
        ways = (
            []
            if GONE in node.facts
            else list((self._above if direction is Direction.UP else self._below)(node))
        )
        taken = max(0, limit)
        return Near(tuple((relation, make()) for relation, make in ways[:taken]), max(0, len(ways) - taken))

    def _above(self, node: Node) -> Iterator[_Way]:
        match node.kind:
            case Kind.SCORES:
                yield from self._above_scores(node.ref)
            case Kind.FEATURES:
                yield self._data(Relation.COMPUTED, DataRef.parse(node.ref.partition(":")[2]))
            case Kind.RUN:
                yield from self._above_run(node.ref)
            case Kind.LOGGED_MODEL:
                with suppress(NotFound):
                    if run_id := self._tx.logged_models.get(node.ref).source_run_id:
                        yield self._run(Relation.MADE, run_id)
            case Kind.VERSION:
                yield from self._above_version(node.ref)
            case Kind.PREDICTIONS:
                yield self._version(Relation.ANSWERED, node.ref)
            case Kind.PREDICTION if of := node.facts.get("version"):
                yield self._version(Relation.ANSWERED, of)

    def _below(self, node: Node) -> Iterator[_Way]:
        match node.kind:
            case Kind.DATA | Kind.SCORES:
                yield from self._below_data(node)
            case Kind.FEATURES:
                view, _, data = node.ref.partition(":")
                yield from (way for of, way in self._readers(DataRef.parse(data)) if of == view)
            case Kind.RUN:
                yield from self._below_run(node.ref)
            case Kind.LOGGED_MODEL:
                for name, number in self._readers_of.versions_of_model(node.ref):
                    yield self._version(Relation.REGISTERED, f"{name}@{number}")
                for run_id in self._readers_of.runs_reading_model(node.ref):
                    yield self._run(Relation.READ, run_id)
            case Kind.VERSION:
                yield from self._below_version(node.ref)

    # --- up ----------------------------------------------------------------------------------------------------------

    def _above_run(self, run_id: str) -> Iterator[_Way]:
        loop, logged = self._loop_run(run_id), self._logged_run(run_id)
        tags = logged.tags if logged else {}
        known: set[DataRef] = set()
        if loop is not None:
            with suppress(NotFound):
                cycle = self._tx.loop.get(loop.cycle_id)
                facts = {"trigger": cycle.trigger_text, "evidence": cycle.evidence, "by": cycle.actor}
                named = Node(kind=Kind.CYCLE, ref=f"{cycle.product}/{cycle.number}", facts=facts)
                yield Relation.STARTED, lambda: named
                yield from self._offered(cycle)
            known = {DataRef.parse(each) for each in loop.data}
            yield from self._read(loop.product, [DataRef.parse(each) for each in loop.data])
        for given in logged.datasets if logged else ():
            data = self._tx.lineage.data_of_digest(given.dataset.digest, given.dataset.name)
            if data is None:
                facts = {"digest": given.dataset.digest, "source": given.dataset.source_type}
                yield _plain(
                    Relation.READ, Kind.DATASET, f"{given.dataset.name}:{given.dataset.digest}", **facts
                )
            elif data not in known:
                known.add(data)
                yield self._data(Relation.READ, data)
        for model_id in logged.models_read if logged else ():
            yield self._model(Relation.READ, model_id)
        yield from _ground(tags.get("mainspring.code"), tags.get("mainspring.environment"))
        if commit := tags.get(COMMIT):
            yield _plain(Relation.CODED, Kind.CODE, f"git:{commit}", file=tags.get("mlflow.source.name", ""))
        if parent := tags.get(_PARENT):
            yield self._run(Relation.WITHIN, parent)

    def _offered(self, cycle: Cycle) -> Iterator[_Way]:
        """What a client had logged, where the cycle's run packaged that; a logged model stands among what it read."""
        match read_source(cycle.offer.source) if cycle.offer else None:
            case OfVersion(name, which):
                yield self._version(Relation.OFFERED, f"{name}@{which}")
            case OfRun(run_id):
                yield self._run(Relation.OFFERED, run_id)

    def _above_version(self, ref: str) -> Iterator[_Way]:
        name, number = _split(ref)
        version = self._tx.registered_versions.get(name, number)
        if not self._is_clients(name):
            own = self._tx.registry.get(ModelRef(name, number))
            yield self._run(Relation.MADE, own.run_id)
            return
        origin = _origin(version)
        if origin is not None:
            yield self._version(Relation.REGISTERED, origin)
        elif version.model_id:
            yield self._model(Relation.REGISTERED, version.model_id)
        elif version.run_id:
            yield self._run(Relation.REGISTERED, version.run_id)
        else:
            yield _plain(Relation.REGISTERED, Kind.SOURCE, version.source)

    def _above_scores(self, ref: str) -> Iterator[_Way]:
        told = self._scorings[ref]
        scoring = told["scoring"]
        yield self._version(Relation.ANSWERED, scoring["model"])
        product = str(scoring["model"]).rpartition("@")[0]
        rows = DataRef.parse(scoring["rows"])
        yield from self._read(product, [DataRef.parse(each) for each in scoring["data"]], rows.dataset)
        yield from _ground(told.get("snapshot"), scoring.get("environment"))

    def _read(self, product: str, data: list[DataRef], rows: str = "") -> Iterator[_Way]:
        for each in data:
            for view in self._views(product, each.dataset, rows):
                if view is None:
                    yield self._data(Relation.READ, each)
                else:
                    yield Relation.READ, partial(features_node, view, each)

    # --- down --------------------------------------------------------------------------------------------------------

    def _below_data(self, node: Node) -> Iterator[_Way]:
        data, views = DataRef.parse(node.ref), set[str]()
        for view, way in self._readers(data):
            if view is None:
                yield way
            elif view not in views:
                views.add(view)
                yield Relation.COMPUTED, partial(features_node, view, data)
        if node.kind is Kind.DATA:  # scores are made anew each time
            with suppress(NotFound):
                grown = data_node(self._tx, DataRef(data.dataset, data.version + 1))
                yield Relation.GREW, lambda: grown

    def _readers(self, data: DataRef) -> Iterator[tuple[str | None, _Way]]:
        """Who has read a data version, and through which view, or as it is."""
        found = self._readers_of.runs_of_loop_reading(data)
        for run_id, product in found:
            for view in self._views(product, data.dataset):
                yield view, self._run(Relation.READ, run_id)
        loops = {run_id for run_id, _ in found}
        for run_id in self._readers_of.runs_reading_digest(self._tx.data.get(data).digest):
            if run_id not in loops:
                yield None, self._run(Relation.READ, run_id)
        for ref, told in self._scorings.items():
            scoring = told["scoring"]
            if str(data) in scoring["data"]:
                product = str(scoring["model"]).rpartition("@")[0]
                for view in self._views(product, data.dataset, DataRef.parse(scoring["rows"]).dataset):
                    yield view, self._data(Relation.READ, DataRef.parse(ref))

    def _below_run(self, run_id: str) -> Iterator[_Way]:
        for model_id in self._readers_of.models_of_run(run_id):
            yield self._model(Relation.MADE, model_id)
        for name, number in self._readers_of.versions_of_run(run_id):
            relation = Relation.REGISTERED if self._is_clients(name) else Relation.MADE
            yield self._version(relation, f"{name}@{number}")
        for run in self._offers.get(run_id, ()):
            yield self._run(Relation.OFFERED, run)
        for within in self._within(run_id):
            yield self._run(Relation.WITHIN, within)

    def _within(self, run_id: str) -> list[str]:
        if isinstance(self._readers_of, AllReaders):
            nested = self._readers_of.nested.get(run_id, [])
        else:
            try:
                nested = self._nested(self._tx.logged_runs.bare(run_id).experiment_id).get(run_id, [])
            except NotFound:
                nested = []
        # Those nested in a run of the loop's are its steps, and make nothing themselves.
        return [] if nested and self._loop_run(run_id) else nested

    def _below_version(self, ref: str) -> Iterator[_Way]:
        name, number = _split(ref)
        if not self._is_clients(name):
            for route in self._routes:
                if route.product == name and number in {each.version for each in route.variants}:
                    yield Relation.SERVES, partial(endpoint_node, route)
            answered = predictions_node(name, number, self._days(name))
            if answered is not None:
                yield Relation.ANSWERED, partial(_same, answered)
            for scores, told in self._scorings.items():
                if told["scoring"]["model"] == ref:
                    yield self._data(Relation.ANSWERED, DataRef.parse(scores))
        for run in self._offers.get(ref, ()):
            yield self._run(Relation.OFFERED, run)
        for to, version in self._readers_of.versions_of_source(f"models:/{name}/{number}"):
            yield self._version(Relation.REGISTERED, f"{to}@{version}")

    # --- what is read once -------------------------------------------------------------------------------------------

    @cached_property
    def _specs(self) -> dict[str, ProductSpec]:
        return self._workspace.specs(self._tx)

    @cached_property
    def _offers(self) -> dict[str, list[str]]:
        """By a client's run or version, the runs of the loop that packaged what it offered."""
        found: dict[str, list[str]] = {}
        for cycle in self._tx.loop.cycles():
            match read_source(cycle.offer.source) if cycle.offer else None:
                case OfVersion(name, which):
                    found.setdefault(f"{name}@{which}", []).append(cycle.run_id)
                case OfRun(run_id):
                    found.setdefault(run_id, []).append(cycle.run_id)
        return found

    @cached_property
    def _routes(self) -> tuple[Route, ...]:
        return self._tx.rollouts.routes()

    @cached_property
    def _scorings(self) -> dict[str, Any]:
        """By ref of the answers, what the event of their publication says."""
        answers = [str(each.ref) for each in self._tx.data.versions() if each.dataset.endswith("-scores")]
        return {ref: json.loads(text) for ref, text in self._tx.lineage.scorings(answers).items()}

    def _views(self, product: str, dataset: str, rows: str = "") -> list[str | None]:
        """Through which views of a product a dataset is read; None where its rows are read as they are."""
        spec = self._specs.get(product)
        views = [view.name for view in spec.features if view.source == dataset] if spec else []
        itself = spec is None or dataset == (rows or spec.data.name) or not views
        return [*views, None] if itself else [*views]

    def _loop_run(self, run_id: str) -> Run | None:
        try:
            return self._tx.runs.get(run_id)
        except NotFound:
            return None

    def _logged_run(self, run_id: str) -> LoggedRun | None:
        try:
            return self._tx.logged_runs.get(run_id)
        except NotFound:
            return None

    # --- ways to a node of a kind ------------------------------------------------------------------------------------

    def _data(self, relation: Relation, ref: DataRef) -> _Way:
        return relation, partial(_or_gone, Kind.DATA, str(ref), lambda: data_node(self._tx, ref))

    def _run(self, relation: Relation, run_id: str) -> _Way:
        if self._plain:
            return relation, partial(Node, kind=Kind.RUN, ref=run_id)
        return relation, partial(_or_gone, Kind.RUN, run_id, lambda: run_node(self._tx, run_id))

    def _model(self, relation: Relation, model_id: str) -> _Way:
        return relation, partial(
            _or_gone, Kind.LOGGED_MODEL, model_id, lambda: logged_model_node(self._tx, model_id)
        )

    def _version(self, relation: Relation, ref: str) -> _Way:
        return relation, partial(_or_gone, Kind.VERSION, ref, lambda: version_node(self._tx, *_split(ref)))


def _or_gone(kind: Kind, ref: str, make: Callable[[], Node]) -> Node:
    try:
        return make()
    except NotFound:
        return Node(kind=kind, ref=ref, facts={GONE: "it is named, and not here"})


def _same(node: Node) -> Node:
    return node


def _plain(relation: Relation, kind: Kind, ref: str, **facts: str) -> _Way:
    node = Node(kind=kind, ref=ref, facts={name: text for name, text in facts.items() if text})
    return relation, lambda: node


def _ground(code: str | None, environment: str | None) -> Iterator[_Way]:
    if code:
        yield _plain(Relation.CODED, Kind.CODE, code)
    if environment:
        yield _plain(Relation.BUILT, Kind.ENVIRONMENT, environment)


def _origin(version: RegisteredVersion) -> str | None:
    """The version of which another one is a copy."""
    with suppress(SourceRefused):
        match read_source(version.source):
            case OfVersion(name, which, is_alias=False) if which.isdecimal():
                return f"{name}@{which}"
    return None


def _split(ref: str) -> tuple[str, int]:
    name, _, number = ref.rpartition("@")
    return name, int(number)
