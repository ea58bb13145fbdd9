"""The model as every peer asks it: one thread, a matrix in, probabilities out. Runs in the peers' environments."""

from __future__ import annotations

from typing import Any

import numpy as np


class Scorer:
    """An ONNX model with one input, float32 of shape (rows, columns), and one output of shape (rows,)."""

    def __init__(self, path: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def __call__(self, rows: Any) -> Any:
        return self._session.run(None, {self._input: np.asarray(rows, np.float32)})[0]
