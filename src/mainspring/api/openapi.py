"""The OpenAPI description of the operations, from the same table that answers them."""

from __future__ import annotations

__all__ = ["describe"]

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mainspring.api.problem import Problem

if TYPE_CHECKING:
    from mainspring.api.operation import Operation


def describe(operations: Sequence[Operation], version: str) -> dict[str, Any]:
    """Describe operations as an OpenAPI 3.1 document."""
    kinds = [Problem, *(each.gives for each in operations), *(each.takes for each in operations)]
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
    return {
        "openapi": "3.1.0",
        "info": {"title": "mainspring", "version": version, "description": "The control plane."},
        "paths": paths,
        "components": {"schemas": components},
    }
