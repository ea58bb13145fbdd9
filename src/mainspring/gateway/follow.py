"""Following the routes: what is served changes only when everything that it needs is loaded and warm."""

from __future__ import annotations

__all__ = ["Follower", "NotServed", "NotYetServed", "Serving", "VersionNotServed"]

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import msgspec

from mainspring.digest import digest_of
from mainspring.errors import MainspringError, NotFound
from mainspring.features.online import Snapshot, snapshot_name
from mainspring.formats.sample import Sample
from mainspring.gateway.admission import USUAL
from mainspring.gateway.inputs import Inputs
from mainspring.gateway.runtimes import WorkerModel, load, surplus
from mainspring.gateway.score import Served
from mainspring.product import ColumnSpec
from mainspring.rollouts.split import Part, Split

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mainspring.digest import Digest
    from mainspring.formats.served import Registered
    from mainspring.gateway.admission import Limits
    from mainspring.gateway.runtimes import Model
    from mainspring.gateway.source import GatewaySource
    from mainspring.product import FeatureViewSpec
    from mainspring.rollouts.route import Route, Variant

Answer = TypeVar("Answer")

_POLL_S = 0.2
_FORMS = 256
_KEPT_WARM = 4
_KEPT_BYTES = 2 * 2**30

_log = logging.getLogger(__name__)


class ArtifactCorrupt(MainspringError):
    """Bytes that are not what their digest names."""

    def __init__(self, digest: Digest) -> None:
        super().__init__(digest)
        self.digest = digest

    def __str__(self) -> str:
        return f"The artifact {self.digest} has other content than its name says: restore it from a copy."


class NotServed(NotFound):
    """A name under which no product is served."""

    def __init__(self, product: str, served: tuple[str, ...]) -> None:
        super().__init__(product, served)
        self.product, self.served = product, served

    def __str__(self) -> str:
        served = ", ".join(self.served) or "none yet"
        return f"There is no model {self.product[:100]!r} here. Those served: {served}."


class NotYetServed(MainspringError):
    """A product that is not served now, and may be in a moment."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return self.why


class VersionNotServed(NotFound):
    """A version, by number or alias, that the route does not name."""

    def __init__(self, product: str, version: str, served: tuple[str, ...]) -> None:
        super().__init__(product, version, served)
        self.product, self.version, self.served = product, version, served

    def __str__(self) -> str:
        served = ", ".join(self.served)
        return f"Version {self.version[:100]!r} of {self.product} is not served. Served: {served}."


@dataclass(frozen=True, slots=True)
class Serving:
    """A route with all that it needs, loaded; of its online views the snapshots that are there, by view."""

    route: Route
    inputs: Inputs
    champion: Served
    challengers: tuple[Served, ...]
    shadow: Served | None
    split: Split
    shadow_split: Split
    snapshots: Mapping[str, Snapshot] = field(default_factory=dict)

    @property
    def versions(self) -> Mapping[str, Served]:
        """All that may be asked for by name: the numbers, and the aliases `champion`, `challenger` and `shadow`."""
        named = {"champion": self.champion}
        if len(self.challengers) == 1:
            named["challenger"] = self.challengers[0]
        if self.shadow:
            named["shadow"] = self.shadow
        return named | {str(each.version): each for each in self.loaded}

    def version(self, name: str) -> Served:
        """Give the version of a number or alias; raises `VersionNotServed`."""
        versions = self.versions
        if name not in versions:
            raise VersionNotServed(self.route.product, name, tuple(versions))
        return versions[name]

    @property
    def loaded(self) -> tuple[Served, ...]:
        """Every version of the route, the champion first."""
        return (self.champion, *self.challengers, *((self.shadow,) if self.shadow else ()))


class Follower:
    """Keeps `servings`, by product, at what the source says, as far as that can be loaded.

    Attributes
    ----------
    servings : mapping of str to Serving
        Replaced as a whole.
    waiting : mapping of str to str
        Products with a route that cannot be served, not even by an earlier one, and why.
    seen : bool
        Whether the routes have been read at all.
    """

    def __init__(self, source: GatewaySource, limits: Limits = USUAL) -> None:
        self._source, self._limits = source, limits
        self._thread = ThreadPoolExecutor(1, "routes")
        self._one_at_a_time = asyncio.Lock()
        self._stamp: int | str | None = None
        self._warm: dict[Digest, Model] = {}  # the last one used is the last
        self._snapshots: dict[str, tuple[Digest, Snapshot]] = {}  # by what they hold
        self._unread: frozenset[str] = frozenset()
        self._told = ""
        self.servings: Mapping[str, Serving] = {}
        self.waiting: Mapping[str, str] = {}
        self.seen = False

    @property
    def ready(self) -> bool:
        """Whether every product that has a route is served, with the features that are to be looked up."""
        return self.seen and not self.waiting and self._unread <= self._snapshots.keys()

    def serving(self, product: str) -> Serving:
        """Give what serves a product.

        Raises
        ------
        NotServed
        NotYetServed
        """
        serving = self.servings.get(product)
        if serving is not None:
            return serving
        if why := self.waiting.get(product):
            raise NotYetServed(why)
        if not self.seen:
            raise NotYetServed("The routes have not been read yet: ask again in a moment.")
        raise NotServed(product, tuple(sorted(self.servings)))

    async def check(self) -> None:
        """Look whether the routes have changed, and follow."""
        async with self._one_at_a_time:
            await self._check()

    async def poll(self) -> None:
        """Look again and again, for ever."""
        while True:
            await asyncio.sleep(_POLL_S)
            await self.check()

    async def close(self) -> None:
        """Wait for the last look to end, and let the models go."""
        async with self._one_at_a_time:
            self._thread.shutdown()
            for model in self._warm.values():
                await _let_go(model)
            self._warm.clear()

    async def _ask(self, question: Callable[..., Answer], *of: object) -> Answer:
        """Ask the source, which may take its time, in the one thread in which it is asked."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, question, *of)

    async def _check(self) -> None:
        try:
            stamp = await self._ask(self._source.route_stamp)
            if stamp == self._stamp:
                return
            routes = await self._ask(self._source.routes)
            named = await self._ask(self._source.snapshots)
        except Exception as error:  # noqa: BLE001 - a source that is away may raise anything; serving goes on
            self._tell(f"The routes cannot be read, so those at hand stay in force: {error!r}")
            return
        servings, waiting, failed = {}, {}, not await self._read_snapshots(routes, named)
        for route in routes:
            held = self.servings.get(route.product)
            if held is not None and held.route == route:
                servings[route.product] = held
                continue
            try:
                servings[route.product] = await self._load(route)
            except Exception as error:  # noqa: BLE001 - as above
                failed = True
                why = f"Route {route.number} of {route.product} cannot be served: {error!s}"
                if held is not None:
                    servings[route.product] = held
                    self._tell(f"{why} Route {held.route.number} stays in force.")
                else:
                    waiting[route.product] = why
                    self._tell(why)
        for product, serving in servings.items():
            if serving.route.online:
                servings[product] = replace(serving, snapshots=self._snapshots_of(serving.route))
        self.servings, self.waiting, self.seen = servings, waiting, True
        if not failed:
            self._stamp, self._told = stamp, ""
        await self._forget()

    def _tell(self, what: str) -> None:
        if what != self._told:  # it is tried again five times a second
            _log.warning("%s", what)
            self._told = what

    async def _load(self, route: Route) -> Serving:
        inputs = route.inputs or (await self._ask(self._source.spec, route.product)).inputs
        columns = {each.name: each for each in inputs}
        served = []
        for variant in route.variants:
            registered = await self._ask(self._source.registered, route.product, variant.version)
            await self._ask(self._source.check, route.product, variant.version, variant.artifact)
            # A version may read what today's declaration has dropped.
            for each in registered.signature.inputs:
                columns.setdefault(each.name, ColumnSpec(each.name, each.dtype, each.nullable))
            never_null = frozenset(each.name for each in registered.signature.inputs if not each.nullable)
            model = await self._model(variant, registered)
            timeout_s = self._limits.model_timeout_s
            served.append(
                Served(
                    variant.version,
                    model,
                    never_null,
                    rowwise=registered.rowwise,
                    timeout_s=timeout_s,
                    answer=registered.signature.outputs[0].name,
                )
            )
        challengers = tuple(served[1 : 1 + len(route.challengers)])
        shadow_split = Split(route.salt, [Part(0.0, route.shadow_share)])
        shadow = served[-1] if route.shadow else None
        inputs_of = _inputs(tuple(columns.values()), route.online, route.entities, served[0].answer)
        return Serving(route, inputs_of, served[0], challengers, shadow, route.split, shadow_split)

    async def _read_snapshots(self, routes: tuple[Route, ...], named: Mapping[str, Digest]) -> bool:
        """Read the snapshots that routes need, and say whether all could be; else the one before stays."""
        held = [serving.route for serving in self.servings.values()]  # one of them may have to stay
        needed = {snapshot_name(view) for route in (*routes, *held) for view in _in_memory(route)}
        unread = set()
        for name in sorted(needed & named.keys()):
            if name in self._snapshots and self._snapshots[name][0] == named[name]:
                continue
            try:
                content = await self._verified(named[name])
                # In the thread of the source, and not in the loop: there may be many entities.
                self._snapshots[name] = named[name], await self._ask(Snapshot, content)
            except Exception as error:  # noqa: BLE001 - as above
                unread.add(name)
                stays = "The one before stays in force." if name in self._snapshots else ""
                self._tell(f"The snapshot {named[name][:12]} of features cannot be used: {error!s} {stays}")
        self._unread = frozenset(unread)
        for name in self._snapshots.keys() - needed:
            del self._snapshots[name]
        return not unread

    def _snapshots_of(self, route: Route) -> dict[str, Snapshot]:
        held = {view.name: self._snapshots.get(snapshot_name(view)) for view in _in_memory(route)}
        return {name: each[1] for name, each in held.items() if each is not None}

    async def _model(self, variant: Variant, registered: Registered) -> Model:
        model = self._warm.pop(variant.artifact, None)
        if model is None:
            sample = None
            if registered.sample is not None:
                sample = msgspec.json.decode(await self._verified(registered.sample), type=Sample)
            model = await load(
                await self._verified(variant.artifact),
                sample=sample,
                allow_code=registered.allow_code,
                worker_memory_mb=self._limits.worker_memory_mb,
            )
        self._warm[variant.artifact] = model
        return model

    async def _verified(self, digest: Digest) -> bytes:
        content = await self._ask(self._source.blob, digest)
        if digest_of(content) != digest:
            raise ArtifactCorrupt(digest)
        return content

    async def _forget(self) -> None:
        used = {variant.artifact for serving in self.servings.values() for variant in serving.route.variants}
        held = {digest: model.size for digest, model in self._warm.items()}
        for digest in surplus(held, used, at_most=_KEPT_WARM, at_most_bytes=_KEPT_BYTES):
            await _let_go(self._warm.pop(digest))


@lru_cache(_FORMS)
def _inputs(
    columns: tuple[ColumnSpec, ...],
    online: tuple[FeatureViewSpec, ...],
    entities: tuple[ColumnSpec, ...],
    answer: str,
) -> Inputs:
    """What requests must hold; the same for products that ask for the same, so that their forms are read alike."""
    return Inputs(columns, online, entities, answer)


def _in_memory(route: Route) -> list[FeatureViewSpec]:
    """The views of a route that are looked up in snapshots; the others are in the online store."""
    return [view for view in route.online if view.online != "store"]


async def _let_go(model: Model) -> None:
    if isinstance(model, WorkerModel):
        await model.close()
