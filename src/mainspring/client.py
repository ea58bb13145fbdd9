"""A short client of a running workspace: data and requests to the control plane, rows and labels to the gateway."""

from __future__ import annotations

__all__ = ["Answered", "Client", "Prediction"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

import httpx
import msgspec

from mainspring.clock import time_text
from mainspring.errors import MainspringError
from mainspring.task import BinaryClassification, Regression

if TYPE_CHECKING:
    from types import TracebackType

_TIMEOUT_S = 600.0


class Answered(MainspringError):
    """The server's answer to what it did not do; `status` and `body` are its own."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(status, body)
        self.status, self.body = status, body

    def __str__(self) -> str:
        return str(
            self.body.get("detail")
            or self.body.get("error")
            or f"The server answered with status {self.status}."
        )


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answered row: its id, under which the label comes, what was answered, and the version that did.

    `value` is the probability, or of a product that predicts a number the number.
    """

    prediction_id: str
    value: float
    version: int

    @property
    def probability(self) -> float:
        """What was answered, by its name where it is a probability."""
        return self.value


class Client:
    """Talks to a workspace's two addresses over connections that are kept.

    Parameters
    ----------
    url : str
        Of the control plane, such as ``http://127.0.0.1:8500``.
    gateway_url : str
        Of a gateway, such as ``http://127.0.0.1:8600``.
    actor : str
        Whose name stands in the ledger.
    """

    def __init__(self, url: str, gateway_url: str, *, actor: str = "client") -> None:
        headers = {"Mainspring-Actor": actor}
        self._control = httpx.Client(base_url=url, timeout=_TIMEOUT_S, headers=headers, trust_env=False)
        self._gateway = httpx.Client(base_url=gateway_url, timeout=_TIMEOUT_S, trust_env=False)

    def add_batch(
        self, dataset: str, content: bytes, *, reason: str = "", mode: str = "append", branch: str = "main"
    ) -> dict[str, Any]:
        """Hand in a Parquet, Arrow, NDJSON or CSV file; raises `Answered` with the report when it is refused."""
        how = {"reason": reason, "mode": mode, "branch": branch}
        reply = self._control.post(f"/v1/datasets/{dataset}/batches", params=how, content=content)
        added: dict[str, Any] = _read(reply)
        return added

    def move_clock(self, now: datetime) -> dict[str, Any]:
        """Drive a driven workspace's time, and wait until its loop is at rest there."""
        turned: dict[str, Any] = _read(self._control.post("/v1/clock", json={"now": time_text(now)}))
        return turned

    def train(
        self,
        product: str,
        *,
        reason: str,
        params: Mapping[str, str | int | float | bool | None] | None = None,
        data: Sequence[str] = (),
        request_id: str = "",
    ) -> dict[str, Any]:
        """Ask for a cycle."""
        asked = {"reason": reason, "params": dict(params or {}), "data": list(data), "request_id": request_id}
        taken: dict[str, Any] = _read(self._control.post(f"/v1/products/{product}/cycles", json=asked))
        return taken

    def get(self, path: str, **query: str | int) -> Any:
        """Read one of the control plane's resources, such as ``/v1/products``."""
        return _read(self._control.get(path, params=query))

    def predict(
        self,
        product: str,
        columns: Mapping[str, tuple[str, Sequence[Any]]],
        *,
        request_id: str = "",
        now: datetime | None = None,
    ) -> list[Prediction]:
        """Ask for predictions.

        Parameters
        ----------
        product : str
            Its name.
        columns : mapping
            Per input its Open Inference Protocol type and its values, one per row; None for a missing one.
        request_id : str, optional
            Prediction ids begin with it.
        now : datetime, optional
            Of a driven workspace: when the rows are asked.
        """
        tensors = [
            {"name": name, "datatype": kind, "shape": [len(values)], "data": values}
            for name, (kind, values) in columns.items()
        ]
        body = {"inputs": tensors} | ({"id": request_id} if request_id else {})
        outputs = {
            each["name"]: each["data"]
            for each in self._post_gateway(f"/v2/models/{product}/infer", body, now)["outputs"]
        }
        return [
            Prediction(*row)
            for row in zip(
                outputs["prediction_id"],
                outputs.get(BinaryClassification.answer) or outputs[Regression.answer],
                outputs["model_version"],
                strict=True,
            )
        ]

    def label(self, labels: Sequence[Mapping[str, Any]], *, now: datetime | None = None) -> int:
        """Bring labels: each with `prediction_id`, `value` and, if it was earlier than now, `known_at`."""
        return int(self._post_gateway("/v1/labels", {"labels": list(labels)}, now)["accepted"])

    def _post_gateway(self, path: str, body: object, now: datetime | None) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        if now is not None:
            headers["Mainspring-Now"] = time_text(now)
        reply = self._gateway.post(path, content=msgspec.json.encode(body), headers=headers)
        answered: dict[str, Any] = _read(reply)
        return answered

    def close(self) -> None:
        """Let go of the connections."""
        self._control.close()
        self._gateway.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _read(reply: httpx.Response) -> Any:
    try:
        body = msgspec.json.decode(reply.content)
    except msgspec.DecodeError:
        body = {"error": reply.text[:500]}
    if reply.status_code >= 400:
        raise Answered(reply.status_code, body if isinstance(body, dict) else {"error": str(body)})
    return body
