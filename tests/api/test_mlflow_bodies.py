"""Whatever is asked of MLflow's methods, it is answered or refused in words, and never with a fault of ours."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.api.conftest import Api

from mainspring.api.mlflow.routes import METHODS
from mainspring.api.mlflow.webhooks import webhook_methods
from mainspring.api.mlflow.wire import Method

ROOT = "/api/2.0/mlflow"

texts = st.sampled_from(
    [
        "", "0", "a", "é", "\0", "../../etc/passwd", "%2e%2e%2f", "file:///etc/passwd", "'; DROP TABLE runs; --",
        "<script>", "a" * 300, "1" * 400, "NaN", "-Infinity", "1e999", "models:/m-x", "\ud7ff", "٣", "²", "K" * 7_000,
        "metrics.a > 1", "((((", "params.a = '" + "x" * 300, "AND OR NOT", "\\", "\u202e",
    ]
)  # fmt: skip
numbers = st.sampled_from([0, 1, -1, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**30, 0.5, -0.0, 1e308])
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type, and now and then of any other."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        fields = {field.encode_name: of(field.type) for field in msgspec.structs.fields(kind)}
        return st.fixed_dictionaries(fields) | st.fixed_dictionaries({}, optional=fields)
    told = str(kind)
    if told.startswith("tuple["):
        return st.lists(of(kind.__args__[0]), max_size=3)
    return st.one_of(scalars, st.just("0"), st.integers(0, 5), texts, anything)


@pytest.mark.parametrize(
    "method", [*METHODS, *webhook_methods("")], ids=lambda method: f"{method.verb} {method.path}"
)
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_a_body_of_any_form_is_answered_or_refused(
    empty_api: Api, method: Method, data: st.DataObject
) -> None:
    asked = data.draw(of(method.takes))
    named = st.sampled_from(["m-1", "a%00b", "..%2fx", "x" * 300])
    path = re.sub(r"\{(\w+)\}", lambda found: data.draw(named), method.path)
    if method.verb == "GET":
        query = {key: value for key, value in asked.items() if isinstance(value, str | int | float)}
        answer = empty_api.get(ROOT + path, params={key: str(value) for key, value in query.items()})
    else:
        body = json.dumps(asked, allow_nan=False)
        answer = empty_api(
            method.verb, ROOT + path, content=body, headers={"content-type": "application/json"}
        )
    assert answer.status_code in (200, 400, 404, 409), answer.text[:500]
    assert isinstance(answer.json(), dict)
    if answer.status_code != 200:
        assert answer.json().keys() == {"error_code", "message"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"\xff\xfe",
        b"{" * 5000,
        b"[" * 200_000,
        b'{"a":' * 3000,
        b'{"start_time": 1e999}',
    ],
    ids=range(10),
)
def test_what_is_no_message_is_refused(empty_api: Api, body: bytes) -> None:
    answer = empty_api.post(f"{ROOT}/runs/create", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (200, 400)
    assert answer.status_code == 400 or body == b""


def test_a_search_of_runs_gives_the_columns_that_it_names(empty_api: Api) -> None:
    def post(method: str, **body: object) -> Any:
        return empty_api.post(f"{ROOT}/{method}", json=body).json()

    home = post("experiments/create", name="of columns")["experiment_id"]
    run = post("runs/create", experiment_id=home, start_time=1)["run"]["info"]["run_id"]
    for key in ("a", "b"):
        post("runs/log-metric", run_id=run, key=key, value=1.5, timestamp=1, step=0)
        post("runs/log-parameter", run_id=run, key=key, value="x")
    [found] = post("runs/search", experiment_ids=[home], columns=["metrics.a", "params.b"])["runs"]
    assert [each["key"] for each in found["data"]["metrics"]] == ["a"]
    assert found["data"]["params"] == [{"key": "b", "value": "x"}]
    assert "tags" not in found["data"]
    refused = post("runs/search", experiment_ids=[home], columns=["status"])
    assert refused["error_code"] == "INVALID_PARAMETER_VALUE"
