"""A server that speaks some of MLflow's interface and says whatever a test wants: what no honest server would."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

API = "/api/2.0/mlflow"
ID = "{:032x}".format


@dataclass
class Foreign:
    """What the server holds, as its answers have it; `before` may answer in its place, with a status and a body."""

    runs: list[Any] = field(default_factory=list)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    listed: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    history: dict[tuple[str, str], list[Any]] = field(default_factory=dict)
    models: list[Any] = field(default_factory=list)
    versions: list[Any] = field(default_factory=list)
    experiments: list[Any] = field(default_factory=lambda: [experiment(7, "theirs")])
    before: Callable[[str, dict[str, str]], tuple[int, Any] | None] = lambda path, asked: None
    asked: Counter[str] = field(default_factory=Counter)
    url: str = ""

    def answer(self, path: str, asked: dict[str, Any]) -> tuple[int, Any]:
        said = self.before(path, asked)
        self.asked[path] += 1
        if said is not None:
            return said
        run = str(asked.get("run_id", ""))
        match path.removeprefix(API):
            case "/experiments/search":
                return 200, {"experiments": self.experiments}
            case "/runs/search":
                of = asked["experiment_ids"][0]
                return 200, {"runs": [each for each in self.runs if _experiment_of(each) == of]}
            case "/runs/get":
                return 200, {"run": next(each for each in self.runs if each["info"]["run_id"] == run)}
            case "/metrics/get-history":
                return 200, {"metrics": self.history.get((run, asked["metric_key"]), [])}
            case "/logged-models/search":
                return 404, {"error_code": "ENDPOINT_NOT_FOUND"}
            case "/artifacts/list":
                files = self.files.get(run, {})
                listed = [{"path": name, "file_size": len(content)} for name, content in files.items()]
                return 200, {"files": self.listed.get(run, listed) if not asked.get("path") else []}
            case "/get-artifact":
                return 200, self.files[run][asked["path"]]
            case "/registered-models/search":
                return 200, {"registered_models": [] if "filter" in asked else self.models}
            case "/model-versions/search":
                return 200, {
                    "model_versions": [
                        each for each in self.versions if f"'{each['name']}'" in asked["filter"]
                    ]
                }
            case "/model-versions/get-download-uri":
                of = (asked["name"], asked["version"])
                found = next(each for each in self.versions if (each["name"], each["version"]) == of)
                return 200, {"artifact_uri": found["source"]}
        return 404, {"error_code": "ENDPOINT_NOT_FOUND"}


def _experiment_of(run: Any) -> Any:
    info = run.get("info") if isinstance(run, dict) else None
    return info.get("experiment_id", "7") if isinstance(info, dict) else "7"


def experiment(number: int, name: str, **fields: Any) -> dict[str, Any]:
    return {
        "experiment_id": str(number),
        "name": name,
        "lifecycle_stage": "active",
        "creation_time": 5,
    } | fields


def run(
    number: int | str, *, params: Mapping[str, str] = {}, tags: Mapping[str, str] = {}, **info: Any
) -> dict[str, Any]:
    run_id = ID(number) if isinstance(number, int) else number
    uri = f"mlflow-artifacts:/7/{run_id}/artifacts"
    told = {
        "run_id": run_id,
        "status": "FINISHED",
        "start_time": 1_000,
        "end_time": 2_000,
        "artifact_uri": uri,
    }
    pairs = [{"key": key, "value": value} for key, value in tags.items()]
    metrics = [{"key": "m", "value": 0.5, "timestamp": 3, "step": 2}]
    return {
        "info": told | {"run_name": f"run {number}", "lifecycle_stage": "active"} | info,
        "data": {
            "metrics": metrics,
            "params": [{"key": key, "value": value} for key, value in params.items()],
            "tags": pairs,
        },
    }


def filled(runs: int = 3) -> Foreign:
    """A server with some runs, each with three points and two files."""
    return Foreign(
        runs=[run(number, params={"p": str(number)}) for number in range(1, runs + 1)],
        files={ID(n): {"a.bin": bytes([n % 256]) * 100_000, "b.txt": b"b" * n} for n in range(1, runs + 1)},
        history={
            (ID(n), "m"): [
                {"key": "m", "value": step / 4, "timestamp": 1 + step, "step": step} for step in range(3)
            ]
            for n in range(1, runs + 1)
        },
    )


@contextlib.contextmanager
def serving(foreign: Foreign) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked: dict[str, Any] = {
                key: value[0] for key, value in parse_qs(urlsplit(self.path).query).items()
            }
            if length := int(self.headers.get("Content-Length") or 0):
                asked |= json.loads(self.rfile.read(length))
            try:
                status, body = foreign.answer(urlsplit(self.path).path, asked)
            except ConnectionError:  # the test lets it die in the middle of an answer
                self.close_connection = True
                return
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815 - the name that the base class asks for

        def log_message(self, *said: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        def handle_error(self, *of: object) -> None:
            return  # clients are killed, and let go in the middle

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    foreign.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield foreign.url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
