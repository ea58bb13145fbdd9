"""The OpenAPI description of the operations, and of MLflow's methods, from the same tables that answer them."""

from __future__ import annotations

__all__ = ["describe"]

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mainspring.api.mlflow.wire import Failure
from mainspring.api.problem import Problem

if TYPE_CHECKING:
    from mainspring.api.mlflow.wire import Method
    from mainspring.api.operation import Operation

_MLFLOW = "/api/2.0/mlflow"


def describe(operations: Sequence[Operation], methods: Sequence[Method], version: str) -> dict[str, Any]:
    """Describe operations, and MLflow's methods, as an OpenAPI 3.1 document."""
    kinds = [Problem, *(each.gives for each in operations), *(each.takes for each in operations)]
    kinds += [Failure, *(each.gives for each in methods), *(each.takes for each in methods)]
    kinds = [kind for kind in kinds if kind not in (None, bytes)]
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    schema = {str(kind): found for kind, found in zip(kinds, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        described: dict[str, Any] = {
            "summary": each.summary,
            "operationId": re.sub(r"\W+", "_", f"{each.method.lower()}{each.path.removeprefix('/v1')}").strip(
                "_"
            ),
            "parameters": [
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in re.findall(r"{(\w+)}", each.path)
            ]
            + [{"name": name, "in": "query", "schema": {"type": "string"}} for name in each.query],
            "responses": {
                str(each.status): {
                    "description": "Done",
                    "content": {"application/json": {"schema": schema[str(each.gives)]}},
                },
                "default": {
                    "description": "Refused, with the reason",
                    "content": {"application/problem+json": {"schema": schema[str(Problem)]}},
                },
            },
        }
        if each.takes is bytes:
            described["requestBody"] = {
                "required": True,
                "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
            }
        elif each.takes is not None:
            described["requestBody"] = {
                "required": True,
                "content": {"application/json": {"schema": schema[str(each.takes)]}},
            }
        paths.setdefault(each.path, {})[each.method.lower()] = described
    for method in methods:
        paths.setdefault(f"{_MLFLOW}{method.path}", {})[method.verb.lower()] = _method(method, schema)
    return {
        "openapi": "3.1.0",
        "info": {"title": "mainspring", "version": version, "description": "The control plane."},
        "paths": paths,
        "components": {"schemas": components},
    }


def _method(method: Method, schema: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Describe one of MLflow's methods."""
    in_path = re.findall(r"{(\w+)}", method.path)
    named = [field for field in msgspec.structs.fields(method.takes) if field.name not in in_path]
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in in_path
    ]
    if method.verb == "GET":
        parameters += [
            {"name": field.name, "in": "query", "required": field.required, "schema": {"type": "string"}}
            for field in named
        ]
    answer = {"type": "object"} if method.gives is None else schema[str(method.gives)]
    described: dict[str, Any] = {
        "summary": inspect.getdoc(method.takes) or "",
        "operationId": re.sub(r"\W+", "_", f"mlflow_{method.verb.lower()}{method.path}").strip("_"),
        "tags": ["MLflow"],
        "parameters": parameters,
        "responses": {
            "200": {"description": "Done", "content": {"application/json": {"schema": answer}}},
            "default": {
                "description": "Refused, with the reason",
                "content": {"application/json": {"schema": schema[str(Failure)]}},
            },
        },
    }
    if method.verb != "GET":
        described["requestBody"] = {
            "required": method.verb != "DELETE",
            "content": {"application/json": {"schema": schema[str(method.takes)]}},
        }
    return described
