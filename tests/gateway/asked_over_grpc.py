"""Gateways with a gRPC door, and what Triton's clients send there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import tritonclient.grpc as triton
from tests.gateway.conftest import INPUTS, Process, Workspace, free_port, running
from tritonclient.grpc import service_pb2, service_pb2_grpc

NUMPY = {"FP64": np.float64, "INT64": np.int64, "BYTES": np.object_, "BOOL": np.bool_}


@dataclass
class Door:
    """A gateway with a gRPC door, and a bare channel to it."""

    workspace: Workspace
    process: Process
    address: str
    stub: Any
    channel: grpc.Channel

    def infer(self, asked: Any, **options: Any) -> Any:
        return self.stub.ModelInfer(asked, timeout=30, **options)

    def refused(self, asked: Any, **options: Any) -> tuple[grpc.StatusCode, str]:
        """The status and text with which a request is not answered; the connection is as good as before."""
        try:
            answered = self.infer(asked, **options)
        except grpc.RpcError as error:
            status = error.code(), error.details()
        else:
            raise AssertionError(f"it was answered: {answered}")
        assert self.infer(typed(), **options if "metadata" not in options else {}).model_name == "late"
        return status


@contextmanager
def opened(workspace: Workspace, *arguments: str, **environment: str) -> Iterator[Door]:
    port = free_port()
    address = f"127.0.0.1:{port}"
    with (
        running(workspace, *arguments, f"--grpc={port}", **environment) as process,
        grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel,
    ):
        yield Door(workspace, process, address, service_pb2_grpc.GRPCInferenceServiceStub(channel), channel)


def values(rows: int = 1, **columns: Any) -> dict[str, tuple[str, Any]]:
    """A request of so many rows, by name the datatype and the values; `columns` replaces some."""
    plain = {
        "distance": [100.5] * rows,
        "hour": [7] * rows,
        "carrier": ["UA"] * rows,
        "holiday": [False] * rows,
    }
    datatypes = {each.name: each.dtype for each in INPUTS}
    sound = {name: (datatypes[name], each) for name, each in plain.items()}
    return {**sound, **columns}


def tensors(rows: int = 1, **columns: Any) -> list[triton.InferInput]:
    """The same, as Triton's clients take them."""
    made = []
    for name, (datatype, data) in values(rows, **columns).items():
        array = np.array(data, NUMPY.get(datatype))
        made.append(triton.InferInput(name, array.shape, datatype).set_data_from_numpy(array))
    return made


FIELDS = {
    "FP64": "fp64_contents",
    "INT64": "int64_contents",
    "BYTES": "bytes_contents",
    "BOOL": "bool_contents",
}


def typed(rows: int = 1, **fields: Any) -> Any:
    """The same, as a message with typed contents; `fields` are others of the message."""
    asked = service_pb2.ModelInferRequest(**{"model_name": "late", **fields})
    for name, (datatype, data) in values(rows).items():
        tensor = asked.inputs.add(name=name, datatype=datatype, shape=[len(data)])
        encoded = [each.encode() for each in data] if datatype == "BYTES" else data
        getattr(tensor.contents, FIELDS[datatype]).extend(encoded)
    return asked


def raw(rows: int = 1, **fields: Any) -> Any:
    """The same, with raw contents."""
    asked = typed(rows, **fields)
    for tensor, (datatype, data) in zip(asked.inputs, values(rows).values(), strict=True):
        tensor.ClearField("contents")
        content = b"".join(len(each).to_bytes(4, "little") + each.encode() for each in data) \
            if datatype == "BYTES" else np.array(data, NUMPY[datatype]).tobytes()  # fmt: skip
        asked.raw_input_contents.append(content)
    return asked


def output(answered: Any, name: str) -> list[Any]:
    """An output's values, of a reply with typed or raw contents."""
    [n] = [n for n, each in enumerate(answered.outputs) if each.name == name]
    tensor = answered.outputs[n]
    if answered.raw_output_contents:
        return triton.InferResult(answered).as_numpy(name).tolist()
    return list(getattr(tensor.contents, FIELDS[tensor.datatype]))
