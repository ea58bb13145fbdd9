"""A tracking server that keeps nothing: it reads what MLflow's client sends, and answers at once.

What eight clients can send to it in a second they could send to no server faster: their own work is the rest.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

INFO = {"run_id": "0" * 32, "experiment_id": "1", "status": "RUNNING", "artifact_uri": "x"}
ANSWERS = {
    "experiments/create": {"experiment_id": "1"},
    "runs/create": {"run": {"info": INFO, "data": {}}},
    "metrics/get-history": {"metrics": []},
}


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Answer anything."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    answer = next((each for path, each in ANSWERS.items() if scope["path"].endswith(path)), {})
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})
