"""KServe's model server: a custom predictor, as its guide has it, without gRPC and without a line for each request."""

from __future__ import annotations

import logging
import sys
from typing import Any

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve.utils.utils import generate_uuid
from scorer import Scorer


class Bench(Model):
    def __init__(self, path: str) -> None:
        super().__init__("bench")
        self._scorer = Scorer(path)
        self.ready = True

    async def predict(self, payload: InferRequest, *_: Any, **__: Any) -> InferResponse:
        scores = self._scorer(payload.inputs[0].as_numpy())
        output = InferOutput("probability", [len(scores)], "FP32", scores.tolist())
        return InferResponse(payload.id or generate_uuid(), self.name, [output])


model, port, _ = sys.argv[1:]
server = ModelServer(
    http_port=int(port), workers=1, enable_grpc=False, enable_docs_url=False, enable_latency_logging=False
)
for name in ("uvicorn.access", "kserve", "kserve.trace"):
    logging.getLogger(name).setLevel(logging.WARNING)
server.start([Bench(model)])
