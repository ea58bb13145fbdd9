"""Requests of any form that the description allows, and of some that it does not, are no fault of the server."""

from __future__ import annotations

import math
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core import NotSet
from tests.api.conftest import Api

EXAMPLES = 12


def finite(value: Any) -> Any:
    """As JSON can say it."""
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [finite(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def described() -> list[Any]:
    from mainspring.api.app import OPERATIONS
    from mainspring.api.mlflow.routes import METHODS
    from mainspring.api.openapi import describe

    schema = schemathesis.openapi.from_dict(describe(OPERATIONS, METHODS, "0"))
    return [found.ok() for found in schema.get_all_operations()]


@pytest.mark.parametrize("operation", described(), ids=lambda each: each.label)
@settings(
    max_examples=EXAMPLES,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
        HealthCheck.function_scoped_fixture,
    ],
)
@given(data=st.data())
def test_what_is_asked_is_answered_or_refused_and_never_a_fault_of_the_server(
    empty_api: Api, operation: Any, data: st.DataObject
) -> None:
    mode = data.draw(st.sampled_from(GenerationMode))
    case = data.draw(operation.as_strategy(generation_mode=mode))
    sent: dict[str, Any] = {"params": case.query, "headers": case.headers}
    if isinstance(case.body, bytes):
        sent["content"] = case.body
    elif not isinstance(case.body, NotSet):
        sent["json"] = finite(case.body)
    reply = empty_api(case.method, case.formatted_path, **sent)
    assert reply.status_code < 500, reply.text
