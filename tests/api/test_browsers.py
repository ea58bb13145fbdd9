"""What the page of another site makes a browser ask is refused, and what people and programs ask is not."""

from __future__ import annotations

import pytest
from tests.api.conftest import Api

CREATE = "/api/2.0/mlflow/experiments/create"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8500", "127.0.0.1.evil.example", "[::1", "a.b@c"]
)
def test_a_name_that_a_stranger_may_own_is_refused(empty_api: Api, host: str) -> None:
    answer = empty_api.get("/v1/products", headers={"host": host})
    assert answer.status_code == 403
    assert "set `page_url`" in answer.json()["detail"]


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8500", "localhost", "[::1]:8500", "10.1.2.3", "mainspring", "ml.local"]
)
def test_a_name_that_none_but_its_own_network_gives_is_answered(empty_api: Api, host: str) -> None:
    assert empty_api.get("/v1/products", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}],
    ids=["another site", "a sandbox", "without an origin"],
)
@pytest.mark.parametrize("path", [CREATE, "/v1/products/tiny/cycles"])
def test_a_page_of_another_site_changes_nothing(empty_api: Api, headers: dict[str, str], path: str) -> None:
    answer = empty_api.post(path, json={"name": "stolen", "reason": "stolen"}, headers=headers)
    assert answer.status_code == 403
    assert empty_api.get("/api/2.0/mlflow/experiments/get-by-name?experiment_name=stolen").status_code == 404


def test_its_own_pages_and_programs_may(empty_api: Api) -> None:
    own = {"origin": "http://mainspring", "sec-fetch-site": "same-origin"}
    assert empty_api.post(CREATE, json={"name": "own page"}, headers=own).status_code == 200
    assert empty_api.post(CREATE, json={"name": "program"}).status_code == 200


def test_a_form_is_no_message(empty_api: Api) -> None:
    answer = empty_api.post(CREATE, data={"name": "form"})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
