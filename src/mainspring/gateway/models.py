"""What is served, as the Open Inference Protocol and its model repository extension tell it [1]_.

Routes belong to the control plane: a gateway follows them. So to *load* a model here means to look at the routes at
once and to say whether the model is ready; to *unload* one that a route names is refused.

References
----------
.. [1] kserve/open-inference-protocol, and Triton's `extension_model_repository.md`, `extension_statistics.md` and
   `extension_model_configuration.md`.
"""

from __future__ import annotations

__all__ = ["Models"]

from http import HTTPStatus
from importlib import metadata
from typing import TYPE_CHECKING, Any

import msgspec

from mainspring.errors import Invalid, NotFound, Refused
from mainspring.gateway.http import Reply
from mainspring.gateway.metrics import statistics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mainspring.gateway.follow import Follower, Serving
    from mainspring.gateway.log import PredictionLog
    from mainspring.gateway.metrics import Metrics
    from mainspring.gateway.score import Served

VERSION = metadata.version("mainspring")
_EXTENSIONS = ("binary_tensor_data", "model_repository", "model_configuration", "statistics")
_BACKENDS = {"onnx_onnxv1": "onnxruntime", "python_worker": "python"}
"""Triton's name of what runs a platform."""


class Models:
    """Tells what a follower has loaded."""

    def __init__(self, follower: Follower, metrics: Metrics, log: PredictionLog) -> None:
        self._follower, self._metrics, self._log = follower, metrics, log

    @property
    def all_ready(self) -> bool:
        """Whether every route can be served, and its answers be kept."""
        return self._follower.ready and not self._log.trouble

    @property
    def only(self) -> str:
        """The one product that is served.

        Raises
        ------
        NotFound
            There are several, or none.
        """
        names = sorted({*self._follower.servings, *self._follower.waiting})
        if len(names) == 1:
            return names[0]
        named = ", ".join(f"/invocations/{name}" for name in names) or "none yet"
        raise NotFound(f"There is no one model that this could be for. Those served: {named}.")

    def server(self) -> Reply:
        """Describe this server."""
        return Reply.of({"name": "mainspring", "version": VERSION, "extensions": _EXTENSIONS})

    def live(self) -> Reply:
        """Say that the process runs."""
        return Reply.of({"live": True})

    def ready(self) -> Reply:
        """Say whether every route can be served, and its answers be kept."""
        if trouble := self._log.trouble:
            return Reply.of({"ready": False, "log": trouble}, HTTPStatus.SERVICE_UNAVAILABLE)
        ready = self.all_ready
        return Reply.of({"ready": ready}, HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE)

    def ping(self) -> Reply:
        """Say as MLflow's scoring server does whether every route can be served."""
        return msgspec.structs.replace(self.ready(), content=b"\n")

    def version(self) -> Reply:
        """Give the version of this program, as MLflow's scoring server gives its own."""
        return Reply(VERSION.encode())

    def names(self) -> Reply:
        """List the models."""
        return Reply.of({"models": sorted(self._follower.servings)})

    def about(self, product: str, version: str, what: str = "") -> Reply:
        """Describe a model, or one version of it, or tell its readiness, configuration or statistics.

        Parameters
        ----------
        product, version : str
            Without a version, all of them.
        what : str
            Nothing, `ready`, `config` or `stats`.

        Raises
        ------
        NotServed
        NotYetServed
        VersionNotServed
        """
        serving = self._follower.serving(product)
        versions = [serving.version(version)] if version else [*serving.loaded]
        if what == "ready":
            return Reply.of({"name": product, "ready": True})
        if what == "config":
            return Reply.of(self.config(product, version))
        if what == "stats":
            return Reply.of({"model_stats": self.stats(product, version)})
        return Reply.of(
            {
                "name": product,
                "versions": [str(each.version) for each in versions],
                "platform": versions[0].platform,
                "inputs": _inputs(serving),
                "outputs": _tensors(serving.inputs.outputs),
            }
        )

    def config(self, product: str, version: str) -> dict[str, object]:
        """Give the configuration of a model or of one version of it, as Triton tells it; raises as `about`."""
        serving = self._follower.serving(product)
        return _config(serving, [serving.version(version)] if version else serving.loaded)

    def stats(self, product: str = "", version: str = "") -> list[Mapping[str, object]]:
        """Give the statistics of each version, without a version of all, without a product of every one's.

        Raises
        ------
        NotServed
        NotYetServed
        VersionNotServed
        """
        if not product:
            return [each for name in sorted(self._follower.servings) for each in self.stats(name)]
        serving, spent = self._follower.serving(product), self._metrics.spent
        versions = [serving.version(version)] if version else serving.loaded
        return [statistics(product, each.version, spent[product, each.version]) for each in versions]

    def index(self, body: bytes) -> Reply:
        """List every version with its state, or those that are ready when that is what is asked for."""
        asked = _object(body)
        found: list[dict[str, str]] = []
        for name, serving in sorted(self._follower.servings.items()):
            found += [
                {"name": name, "version": str(each.version), "state": "READY", "reason": ""}
                for each in serving.loaded
            ]
        if not asked.get("ready"):
            waiting = sorted(self._follower.waiting.items())
            found += [{"name": name, "state": "UNAVAILABLE", "reason": why} for name, why in waiting]
        return Reply.of(found)

    async def load(self, product: str, body: bytes) -> Reply:
        """Look at the routes at once, and say whether a model is ready.

        Raises
        ------
        Invalid
            The request brings a model of its own.
        NotServed
        NotYetServed
        """
        if _object(body).get("parameters"):
            raise Invalid(
                "Models come from the registry, by the loop or a rollout: leave out the parameters."
            )
        await self._follower.check()
        self._follower.serving(product)
        return Reply.of({})

    def unload(self, product: str) -> Reply:
        """Refuse to unload a model that a route names; one that none names is not there.

        Raises
        ------
        Refused
        NotServed
        NotYetServed
        """
        serving = self._follower.serving(product)
        raise Refused(
            f"Route {serving.route.number} names {product}, so it stays loaded: which versions are served is the "
            "control plane's to say. What no route names any more is unloaded by itself."
        )


def _tensors(datatypes: Mapping[str, str]) -> list[dict[str, object]]:
    return [{"name": name, "datatype": datatype, "shape": [-1]} for name, datatype in datatypes.items()]


def _inputs(serving: Serving) -> list[dict[str, object]]:
    optional = serving.inputs.optional
    return [
        {**each, "parameters": optional[name]} if (name := str(each["name"])) in optional else each
        for each in _tensors(serving.inputs.datatypes)
    ]


def _config(serving: Serving, versions: Sequence[Served]) -> dict[str, object]:
    def tensors(datatypes: Mapping[str, str]) -> list[dict[str, object]]:
        return [
            {"name": name, "data_type": f"TYPE_{'STRING' if each == 'BYTES' else each}", "dims": [-1]}
            for name, each in datatypes.items()
        ]

    platform = versions[0].platform
    return {
        "name": serving.route.product,
        "platform": platform,
        "backend": _BACKENDS[platform],
        "version_policy": {"specific": {"versions": [str(each.version) for each in versions]}},
        "max_batch_size": 0,  # each tensor holds the whole batch
        "input": [
            {**each, "optional": True} if each["name"] in serving.inputs.optional else each
            for each in tensors(serving.inputs.datatypes)
        ],
        "output": tensors(serving.inputs.outputs),
    }


def _object(body: bytes) -> dict[str, Any]:
    try:
        asked = msgspec.json.decode(body) if body else {}
    except (ValueError, RecursionError) as error:
        raise Invalid(f"The body is not JSON: {error}.") from error
    if not isinstance(asked, dict):
        raise Invalid("The body is not an object.")
    return asked
