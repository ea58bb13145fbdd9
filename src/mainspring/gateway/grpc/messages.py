"""The messages of the Open Inference Protocol and of gRPC's health check, made without generated code [1]_ [2]_.

They live in a pool of their own: in protobuf's default pool two definitions of `inference.ModelInferRequest` are an
error, and so no process could hold generated ones and Triton's client, or ours and either of them. What travels has no
names of messages in it, only the fields' numbers and types.

References
----------
.. [1] kserve/open-inference-protocol, `specification/protocol/open_inference_grpc.proto`, and for
   `ModelStreamInfer`, `Repository*`, `ModelConfig` and `ModelStatistics` triton-inference-server/common,
   `protobuf/grpc_service.proto` and `model_config.proto`.
.. [2] grpc/grpc-proto, `grpc/health/v1/health.proto`.
"""

from __future__ import annotations

__all__ = ["Message", "message"]

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

Message: TypeAlias = Any
"""A message, or a class of messages; the library makes them while it runs, and has no types for them."""

_TENSOR = "string name", "string datatype", "int64* shape"
_VALUED = *_TENSOR, "InferParameter{} parameters", "InferTensorContents contents"
_MODEL = "string name", "string version"

_INFERENCE: Mapping[str, Sequence[str]] = {
    "ServerLiveRequest": (),
    "ServerLiveResponse": ("bool live",),
    "ServerReadyRequest": (),
    "ServerReadyResponse": ("bool ready",),
    "ModelReadyRequest": _MODEL,
    "ModelReadyResponse": ("bool ready",),
    "ServerMetadataRequest": (),
    "ServerMetadataResponse": ("string name", "string version", "string* extensions"),
    "ModelMetadataRequest": _MODEL,
    "ModelMetadataResponse": (
        "string name", "string* versions", "string platform",
        "ModelMetadataResponse.TensorMetadata* inputs", "ModelMetadataResponse.TensorMetadata* outputs",
    ),
    "ModelMetadataResponse.TensorMetadata": _TENSOR,
    "InferParameter": (
        "bool bool_param | parameter_choice", "int64 int64_param | parameter_choice",
        "string string_param | parameter_choice", "double double_param | parameter_choice",
        "uint64 uint64_param | parameter_choice",
    ),
    "InferTensorContents": (
        "bool* bool_contents", "int32* int_contents", "int64* int64_contents", "uint32* uint_contents",
        "uint64* uint64_contents", "float* fp32_contents", "double* fp64_contents", "bytes* bytes_contents",
    ),
    "ModelInferRequest": (
        "string model_name", "string model_version", "string id", "InferParameter{} parameters",
        "ModelInferRequest.InferInputTensor* inputs", "ModelInferRequest.InferRequestedOutputTensor* outputs",
        "bytes* raw_input_contents",
    ),
    "ModelInferRequest.InferInputTensor": _VALUED,
    "ModelInferRequest.InferRequestedOutputTensor": ("string name", "InferParameter{} parameters"),
    "ModelInferResponse": (
        "string model_name", "string model_version", "string id", "InferParameter{} parameters",
        "ModelInferResponse.InferOutputTensor* outputs", "bytes* raw_output_contents",
    ),
    "ModelInferResponse.InferOutputTensor": _VALUED,
    "ModelStreamInferResponse": ("string error_message", "ModelInferResponse infer_response"),
    "ModelRepositoryParameter": (
        "bool bool_param | parameter_choice", "int64 int64_param | parameter_choice",
        "string string_param | parameter_choice", "bytes bytes_param | parameter_choice",
    ),
    "RepositoryIndexRequest": ("string repository_name", "bool ready"),
    "RepositoryIndexResponse": ("RepositoryIndexResponse.ModelIndex* models",),
    "RepositoryIndexResponse.ModelIndex": ("string name", "string version", "string state", "string reason"),
    "RepositoryModelLoadRequest": (
        "string repository_name", "string model_name", "ModelRepositoryParameter{} parameters",
    ),
    "RepositoryModelLoadResponse": (),
    "RepositoryModelUnloadRequest": (
        "string repository_name", "string model_name", "ModelRepositoryParameter{} parameters",
    ),
    "RepositoryModelUnloadResponse": (),
    # Of a configuration what is told here. Its enumerations are on the wire the same as their numbers.
    "ModelVersionPolicy": ("ModelVersionPolicy.Specific specific | policy_choice = 3",),
    "ModelVersionPolicy.Specific": ("int64* versions",),
    "ModelInput": ("string name", "int32 data_type", "int64* dims = 4", "bool optional = 8"),
    "ModelOutput": ("string name", "int32 data_type", "int64* dims"),
    "ModelConfig": (
        "string name", "string platform", "ModelVersionPolicy version_policy", "int32 max_batch_size",
        "ModelInput* input", "ModelOutput* output", "string backend = 17",
    ),
    "ModelConfigRequest": _MODEL,
    "ModelConfigResponse": ("ModelConfig config",),
    "StatisticDuration": ("uint64 count", "uint64 ns"),
    "InferStatistics": (
        "StatisticDuration success", "StatisticDuration fail", "StatisticDuration queue",
        "StatisticDuration compute_input", "StatisticDuration compute_infer", "StatisticDuration compute_output",
        "StatisticDuration cache_hit", "StatisticDuration cache_miss",
    ),
    "ModelStatistics": (
        "string name", "string version", "uint64 last_inference", "uint64 inference_count", "uint64 execution_count",
        "InferStatistics inference_stats",
    ),
    "ModelStatisticsRequest": _MODEL,
    "ModelStatisticsResponse": ("ModelStatistics* model_stats",),
}  # fmt: skip
"""By name of the message its fields, numbered from 1 where no number stands after `=`: `*` is repeated, `{}` a map by
text, `|` names a oneof."""

_HEALTH: Mapping[str, Sequence[str]] = {
    "HealthCheckRequest": ("string service",),
    # The status is an enumeration: on the wire the same as its number.
    "HealthCheckResponse": ("int32 status",),
}

_FIELD = re.compile(
    r"(?P<type>[\w.]+)(?P<many>\*|\{\})? (?P<name>\w+)(?: \| (?P<oneof>\w+))?(?: = (?P<number>\d+))?"
)
_Field = descriptor_pb2.FieldDescriptorProto


def _define(package: str, messages: Mapping[str, Sequence[str]]) -> Any:
    """The file that a compiler would have made of it."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    made: dict[str, Any] = {}
    for name, fields in messages.items():
        outer, _, inner = name.rpartition(".")
        made[name] = (made[outer].nested_type if outer else file.message_type).add(name=inner)
        for number, field in enumerate(fields, 1):
            _add_field(made[name], f".{package}", name, number, field)
    return file


def _add_field(into: Any, package: str, message_name: str, number: int, text: str) -> None:
    read = _FIELD.fullmatch(text)
    assert read, text
    field = into.field.add(
        name=read["name"], number=int(read["number"] or number), label=_Field.LABEL_OPTIONAL
    )
    if read["many"]:
        field.label = _Field.LABEL_REPEATED
    if read["oneof"]:
        if not into.oneof_decl:
            into.oneof_decl.add(name=read["oneof"])
        field.oneof_index = 0
    kind = getattr(_Field, f"TYPE_{read['type'].upper()}", None)
    if read["many"] == "{}":
        entry = into.nested_type.add(name=f"{read['name'].title().replace('_', '')}Entry")
        entry.options.map_entry = True
        _add_field(entry, package, "", 1, "string key")
        _add_field(entry, package, "", 2, f"{read['type']} value")
        field.type, field.type_name = _Field.TYPE_MESSAGE, f"{package}.{message_name}.{entry.name}"
    elif kind is None:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f"{package}.{read['type']}"
    else:
        field.type = kind


_pool = descriptor_pool.DescriptorPool()
for _package, _messages in (("inference", _INFERENCE), ("grpc.health.v1", _HEALTH)):
    _pool.AddSerializedFile(_define(_package, _messages).SerializeToString())


def message(name: str) -> Message:
    """Give the class of messages of a full name, such as `inference.ModelInferRequest`."""
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(name))
