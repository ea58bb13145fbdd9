"""BentoML: a service with one worker, its method on the event loop, without access log, metrics or monitoring."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    model, port, folder = sys.argv[1:]
    os.environ |= {"BENCH_MODEL": model, "BENTOML_HOME": folder, "BENTOML_DO_NOT_TRACK": "True"}
    program = Path(sys.executable).with_name("bentoml")
    here = str(Path(__file__).parent)
    at = ["--host", "127.0.0.1", "--port", port, "--working-dir", here]
    os.execv(program, [str(program), "serve", "on_bentoml:Bench", *at, "--timeout", "30"])

import bentoml
from scorer import Scorer


@bentoml.service(
    name="bench", workers=1, threads=1, metrics={"enabled": False}, logging={"access": {"enabled": False}}
)
class Bench:
    def __init__(self) -> None:
        self._scorer = Scorer(os.environ["BENCH_MODEL"])

    # On the loop: a call takes less time than handing it to a thread.
    @bentoml.api
    async def score(self, rows: list[list[float]]) -> list[float]:
        return self._scorer(rows).tolist()
