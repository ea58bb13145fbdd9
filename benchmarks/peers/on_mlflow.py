"""`mlflow models serve` with one worker, the model saved by MLflow's own ONNX flavour, without access log."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ |= {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "UVICORN_ACCESS_LOG": "false",
    "UVICORN_LOG_LEVEL": "error",
    # `models serve` starts uvicorn by its name.
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
}

import mlflow.onnx
import onnx

model, port, folder = sys.argv[1:]
mlflow.onnx.save_model(
    onnx.load(model),
    f"{folder}/saved",
    pip_requirements=[],
    onnx_execution_providers=["CPUExecutionProvider"],
    onnx_session_options={
        "intra_op_num_threads": 1,
        "inter_op_num_threads": 1,
        "execution_mode": "sequential",
        "extra_session_config": {"session.intra_op.allow_spinning": "0"},
    },
)
at = ["--host", "127.0.0.1", "--port", port, "--workers", "1"]
program = Path(sys.executable).with_name("mlflow")
os.execv(program, [str(program), "models", "serve", "-m", f"{folder}/saved", *at, "--env-manager", "local"])
