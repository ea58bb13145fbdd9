"""LitServe: one API server and one worker, with the queue that it advises above 100 requests a second."""

from __future__ import annotations

import sys
from typing import Any

import litserve
from scorer import Scorer


class Bench(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self._scorer = Scorer(sys.argv[1])

    # LitServe reads the annotation of a request: it has to be none.
    def decode_request(self, request):  # type: ignore[no-untyped-def]
        return request["rows"]

    def predict(self, rows: Any) -> Any:
        return self._scorer(rows)

    def encode_response(self, scores: Any) -> Any:
        return {"scores": scores.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Bench(), accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(
        "127.0.0.1", int(sys.argv[2]), num_api_servers=1, log_level="error", generate_client_file=False,
        access_log=False,
    )  # fmt: skip
