"""How models run behind a gateway: ONNX in its process, everything else in a process for each model.

`load` gives a model that is loaded, tuned or warm, and ready to take a request.
"""

from __future__ import annotations

__all__ = [
    "Model",
    "ModelCrashed",
    "ModelNotLoaded",
    "ModelRaised",
    "ModelTimedOut",
    "OnnxModel",
    "WorkerModel",
    "load",
    "surplus",
]

import asyncio
from typing import TYPE_CHECKING, TypeAlias

from mainspring.formats.onnx import OnnxModel
from mainspring.formats.served import is_native
from mainspring.gateway.runtimes.errors import ModelCrashed, ModelNotLoaded, ModelRaised, ModelTimedOut
from mainspring.gateway.runtimes.pool import surplus
from mainspring.gateway.runtimes.worker import WorkerModel

if TYPE_CHECKING:
    from mainspring.formats.sample import Sample

Model: TypeAlias = OnnxModel | WorkerModel
"""Both have `numbers`, `texts`, `dtype` and `size`; the one is asked by `predict`, the other by `await ask`."""


async def load(
    artifact: bytes,
    *,
    sample: Sample | None = None,
    allow_code: bool = False,
    worker_memory_mb: int = 4096,
    tune_s: float = 0.2,
) -> Model:
    """Load an artifact, whichever its kind, and warm it up.

    Parameters
    ----------
    artifact : bytes
        An ONNX model or a native one: it says itself what it is.
    sample : Sample, optional
        Rows with the answers of the time when the model was registered. A model that answers them otherwise is not
        loaded.
    allow_code : bool
        Whether a model that is a product's own code may run.
    worker_memory_mb : int
        How much memory the process of a native model may take.
    tune_s : float
        For how long threads and optimisations of an ONNX model are tried; 0 takes one thread and all optimisations.

    Raises
    ------
    MainspringError
        It cannot be loaded, or must not be.
    """
    if is_native(artifact):
        return await WorkerModel.start(
            artifact, allow_code=allow_code, memory_mb=worker_memory_mb, sample=sample
        )
    return await asyncio.to_thread(OnnxModel.warm, artifact, sample, tune_s)
