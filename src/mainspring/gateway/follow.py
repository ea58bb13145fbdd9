"""Following the routes: what is served changes only when everything that it needs is loaded and warm."""

from __future__ import annotations

__all__ = ["Follower", "NotServed", "NotYetServed", "Serving", "VersionNotServed"]

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from mainspring.digest import digest_of
from mainspring.errors import MainspringError, NotFound
from mainspring.formats.onnx import OnnxModel
from mainspring.gateway.inputs import Inputs
from mainspring.gateway.score import Served
from mainspring.product import ColumnSpec
from mainspring.rollouts.split import Part, Split

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mainspring.digest import Digest
    from mainspring.gateway.source import GatewaySource
    from mainspring.rollouts.route import Route, Variant

_POLL_S = 0.2
_KEPT_WARM = 4

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
    """A route with all that it needs, loaded."""

    route: Route
    inputs: Inputs
    champion: Served
    challengers: tuple[Served, ...]
    shadow: Served | None
    split: Split
    shadow_split: Split

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

    def __init__(self, source: GatewaySource) -> None:
        self._source = source
        self._thread = ThreadPoolExecutor(1, "routes")
        self._one_at_a_time = asyncio.Lock()
        self._stamp: int | str | None = None
        self._warm: dict[Digest, OnnxModel] = {}  # the last one used is the last
        self._told = ""
        self.servings: Mapping[str, Serving] = {}
        self.waiting: Mapping[str, str] = {}
        self.seen = False

    @property
    def ready(self) -> bool:
        """Whether every product that has a route is served."""
        return self.seen and not self.waiting

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
            await asyncio.get_running_loop().run_in_executor(self._thread, self._check)

    async def poll(self) -> None:
        """Look again and again, for ever."""
        while True:
            await asyncio.sleep(_POLL_S)
            await self.check()

    def close(self) -> None:
        """Wait for the last look to end."""
        self._thread.shutdown()

    def _check(self) -> None:
        try:
            stamp = self._source.route_stamp()
            if stamp == self._stamp:
                return
            routes = self._source.routes()
        except Exception as error:  # noqa: BLE001 - a source that is away may raise anything; serving goes on
            self._tell(f"The routes cannot be read, so those at hand stay in force: {error!r}")
            return
        servings, waiting, failed = {}, {}, False
        for route in routes:
            held = self.servings.get(route.product)
            if held is not None and held.route == route:
                servings[route.product] = held
                continue
            try:
                servings[route.product] = self._load(route)
            except Exception as error:  # noqa: BLE001 - as above
                failed = True
                why = f"Route {route.number} of {route.product} cannot be served: {error!s}"
                if held is not None:
                    servings[route.product] = held
                    self._tell(f"{why} Route {held.route.number} stays in force.")
                else:
                    waiting[route.product] = why
                    self._tell(why)
        self.servings, self.waiting, self.seen = servings, waiting, True
        if not failed:
            self._stamp, self._told = stamp, ""
        self._forget()

    def _tell(self, what: str) -> None:
        if what != self._told:  # it is tried again five times a second
            _log.warning("%s", what)
            self._told = what

    def _load(self, route: Route) -> Serving:
        columns = {each.name: each for each in route.inputs or self._source.spec(route.product).inputs}

        def load(variant: Variant) -> Served:
            signature = self._source.signature(route.product, variant.version)
            for each in signature.inputs:  # a version may read what the declaration of today has dropped
                columns.setdefault(each.name, ColumnSpec(each.name, each.dtype, each.nullable))
            never_null = frozenset(each.name for each in signature.inputs if not each.nullable)
            return Served(variant.version, self._model(variant), never_null)

        champion = load(route.champion)
        challengers = tuple(load(each.variant) for each in route.challengers)
        shadow = load(route.shadow) if route.shadow else None
        shadow_split = Split(route.salt, [Part(0.0, route.shadow_share)])
        return Serving(
            route, Inputs(columns.values()), champion, challengers, shadow, route.split, shadow_split
        )

    def _model(self, variant: Variant) -> OnnxModel:
        model = self._warm.pop(variant.artifact, None)
        if model is None:
            content = self._source.artifact(variant.artifact)
            if digest_of(content) != variant.artifact:
                raise ArtifactCorrupt(variant.artifact)
            model = OnnxModel.load(content)
            _warm_up(model)
        self._warm[variant.artifact] = model
        return model

    def _forget(self) -> None:
        used = {variant.artifact for serving in self.servings.values() for variant in serving.route.variants}
        idle = [digest for digest in self._warm if digest not in used]
        for digest in islice(idle, max(0, len(idle) - _KEPT_WARM)):
            del self._warm[digest]


def _warm_up(model: OnnxModel) -> None:
    """Ask once with zeros, because the first call of a session allocates. What it answers is not judged here."""
    columns = {
        **{name: np.zeros(1, np.float32) for name in model.numbers},
        **{name: np.array([""], object) for name in model.texts},
    }
    try:
        model.predict(columns)
    except Exception as error:  # noqa: BLE001 - whatever it raises will be a failure of the rows that it is asked for
        _log.warning("A model failed when it was warmed up: %r", error)
