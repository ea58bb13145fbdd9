"""MLServer: a custom runtime, as its guide has it. Inference stays in the server's process (`parallel_workers` 0)."""

from __future__ import annotations

import asyncio
import socket
import sys

from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.settings import ModelParameters
from mlserver.types import InferenceRequest, InferenceResponse
from scorer import Scorer


class Bench(MLModel):
    async def load(self) -> bool:
        self._scorer = Scorer(self.settings.parameters.uri)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        scores = self._scorer(NumpyCodec.decode_input(payload.inputs[0]))
        outputs = [NumpyCodec.encode_output("probability", scores)]
        return InferenceResponse(model_name=self.name, outputs=outputs)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


model, port, folder = sys.argv[1:]
settings = Settings(
    host="127.0.0.1", http_port=int(port), grpc_port=free_port(), debug=False, parallel_workers=0,
    metrics_endpoint=None, gzip_enabled=False, model_repository_root=folder,
)  # fmt: skip
bench = ModelSettings(name="bench", implementation=Bench, parameters=ModelParameters(uri=model))


async def main() -> None:
    await MLServer(settings).start([bench])


asyncio.run(main())
