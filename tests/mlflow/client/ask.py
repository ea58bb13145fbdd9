"""A client of a tracking server, and what it is told."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

warnings.filterwarnings("ignore")
os.environ |= {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}

import requests  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402

import mlflow  # noqa: E402
from mlflow import MlflowClient  # noqa: E402

NEWEST = mlflow.__version__.startswith("3")
NAN = float("nan")
NO_RUN = "0" * 32
# Clients of both generations ask one server: each has experiments and models of its own, whose names begin with this.
OWN = f"v{mlflow.__version__[0]}-"


class Asking:
    """One client of one server, and what it was told in the scenario at hand."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        mlflow.set_tracking_uri(uri)
        self.client = MlflowClient()
        self.told: dict[str, Any] = {}

    def note(self, step: str, call: Callable[..., Any], /, *given: Any, **named: Any) -> Any:
        """Call, and write down what came of it; gives None where it was refused."""
        assert step not in self.told, f"two steps are called {step!r}"
        try:
            result = call(*given, **named)
        except MlflowException as error:
            self.told[step] = {"refused": error.error_code, "status": error.get_http_status_code()}
            return None
        except requests.HTTPError as error:  # what the artifact proxy answers reaches the caller as it is
            self.told[step] = {
                "refused": error.response.json()["error_code"],
                "status": error.response.status_code,
            }
            return None
        self.told[step] = {"gave": plain(result)}
        return result

    def raw(self, step: str, verb: str, path: str, /, **sent: Any) -> Any:
        """Ask without a client, and write down status and body."""
        assert step not in self.told, f"two steps are called {step!r}"
        answer = requests.request(verb, self.uri + path, timeout=30, **sent)
        try:
            body = answer.json()
        except ValueError:
            body = answer.text[:200]
        if isinstance(body, dict) and "error_code" in body:
            body = {"error_code": body["error_code"]}
        self.told[step] = {"status": answer.status_code, "body": body}
        return body

    def post(self, step: str, method: str, /, **fields: Any) -> Any:
        return self.raw(step, "POST", f"/api/2.0/mlflow/{method}", json=fields)

    def get(self, step: str, method: str, /, **query: Any) -> Any:
        return self.raw(step, "GET", f"/api/2.0/mlflow/{method}", params=query)


def plain(value: Any) -> Any:
    """Give what a client gave as JSON has it."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if hasattr(value, "token") and isinstance(value, list):
        return {"items": [plain(each) for each in value], "more": bool(value.token)}
    if isinstance(value, (Sequence, set)):
        return [plain(each) for each in value]
    with contextlib.suppress(TypeError):
        return {name: plain(each) for name, each in sorted(dict(value).items())}
    return str(value)
