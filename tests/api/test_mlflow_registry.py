"""MLflow's registry as its clients ask for it: every method, and every refusal in the client's own terms."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.api.conftest import Api
from tests.operate.tiny import begin

from mainspring.api import build_app
from mainspring.events import EventType
from mainspring.governance import Entry, verify
from mainspring.stores.artifact_path import ArtifactPath
from mainspring.workspace import Workspace

P = "/api/2.0/mlflow"


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with begin(tmp_path_factory.mktemp("registry") / "root") as workspace:
        yield workspace


@pytest.fixture(scope="module")
def asked(ours: Workspace) -> Api:
    return Api(build_app(ours))


@pytest.fixture
def name(asked: Api) -> str:
    """A registered model of this test's own."""
    made = f"model {uuid4().hex[:8]}"
    give(asked, "POST", "registered-models/create", name=made)
    return made


def ask(api: Api, verb: str, method: str, /, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    sent: dict[str, Any] = {"params": fields} if verb == "GET" else {"json": fields}
    return api(verb, f"{P}/{method}", headers=headers or {}, **sent)


def give(api: Api, verb: str, method: str, /, **fields: Any) -> Any:
    answer = ask(api, verb, method, **fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(api: Api, verb: str, method: str, /, **fields: Any) -> tuple[int, str]:
    answer = ask(api, verb, method, **fields)
    assert answer.json().keys() == {"error_code", "message"}, answer.text
    return answer.status_code, answer.json()["error_code"]


MISSING = (404, "RESOURCE_DOES_NOT_EXIST")
INVALID = (400, "INVALID_PARAMETER_VALUE")
TAKEN = (400, "RESOURCE_ALREADY_EXISTS")


def version_of(api: Api, name: str, source: str = "s3://bucket/model", **fields: Any) -> Any:
    return give(api, "POST", "model-versions/create", name=name, source=source, **fields)["model_version"]


def events_of(workspace: Workspace, subject: str) -> list[Entry]:
    with workspace.database.read() as tx:
        return [entry for entry in tx.ledger.entries() if entry.subject == subject]


def test_a_model_is_registered_once(asked: Api) -> None:
    tags = [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]
    made = give(asked, "POST", "registered-models/create", name="once", tags=tags, description="d")
    model = made["registered_model"]
    assert model["name"] == "once"
    assert model["description"] == "d"
    assert model["tags"] == [{"key": "a", "value": "2"}]
    assert give(asked, "GET", "registered-models/get", name="once") == made
    assert refused(asked, "POST", "registered-models/create", name="once") == TAKEN


@pytest.mark.parametrize("wrong", ["", " ", "a/b", "a:b", "..", "n" * 257])
def test_a_model_needs_a_name_that_fits(asked: Api, wrong: str) -> None:
    assert refused(asked, "POST", "registered-models/create", name=wrong) == INVALID
    assert refused(asked, "GET", "registered-models/get", name=wrong) == INVALID


def test_what_is_not_there_is_answered_as_missing(asked: Api, name: str) -> None:
    none = {"name": "none"}
    for verb, method, fields in (
        ("GET", "registered-models/get", {}),
        ("PATCH", "registered-models/update", {"description": "x"}),
        ("POST", "registered-models/rename", {"new_name": "x"}),
        ("DELETE", "registered-models/delete", {}),
        ("POST", "registered-models/get-latest-versions", {}),
        ("POST", "registered-models/set-tag", {"key": "a"}),
        ("DELETE", "registered-models/delete-tag", {"key": "a"}),
        ("POST", "registered-models/alias", {"alias": "a", "version": "1"}),
        ("GET", "registered-models/alias", {"alias": "a"}),
        ("DELETE", "registered-models/alias", {"alias": "a"}),
        ("POST", "model-versions/create", {"source": "s3://b/m"}),
    ):
        assert refused(asked, verb, method, **none, **fields) == MISSING, method
    for verb, method, fields in (
        ("GET", "model-versions/get", {}),
        ("PATCH", "model-versions/update", {}),
        ("DELETE", "model-versions/delete", {}),
        ("POST", "model-versions/set-tag", {"key": "a"}),
        ("DELETE", "model-versions/delete-tag", {"key": "a"}),
        ("POST", "model-versions/transition-stage", {"stage": "Staging"}),
        ("GET", "model-versions/get-download-uri", {}),
    ):
        assert refused(asked, verb, method, name=name, version="1", **fields) == MISSING, method
        assert refused(asked, verb, method, name=name, version="x", **fields) == INVALID, method
        assert refused(asked, verb, method, name=name, version="-1", **fields) == INVALID, method
    assert refused(asked, "POST", "registered-models/alias", name=name, alias="a", version="1") == MISSING
    assert refused(asked, "GET", "registered-models/alias", name=name, alias="latest") == MISSING


def test_a_name_that_changes_takes_versions_and_aliases_along(asked: Api, name: str) -> None:
    version_of(asked, name)
    give(asked, "POST", "registered-models/alias", name=name, alias="champion", version="1")
    to = f"{name} renamed"
    renamed = give(asked, "POST", "registered-models/rename", name=name, new_name=to)["registered_model"]
    assert renamed["aliases"] == [{"alias": "champion", "version": "1"}]
    found = give(asked, "GET", "registered-models/alias", name=to, alias="champion")["model_version"]
    assert (found["name"], found["version"]) == (to, "1")
    assert refused(asked, "GET", "model-versions/get", name=name, version="1") == MISSING
    assert refused(asked, "POST", "registered-models/rename", name=to, new_name="") == INVALID
    give(asked, "POST", "registered-models/create", name=name)
    assert refused(asked, "POST", "registered-models/rename", name=to, new_name=name) == TAKEN


def test_numbers_count_up_and_are_never_given_again(asked: Api, name: str) -> None:
    assert [version_of(asked, name)["version"] for _ in range(3)] == ["1", "2", "3"]
    for number in ("3", "2"):
        give(asked, "DELETE", "model-versions/delete", name=name, version=number)
    assert version_of(asked, name)["version"] == "4"


def test_a_version_is_told_as_it_was_registered(asked: Api, name: str) -> None:
    given = {
        "run_id": "5f2c",
        "run_link": "http://run",
        "description": "d",
        "tags": [{"key": "a", "value": "1"}],
    }
    made = version_of(asked, name, **given)
    assert made == {
        "name": name,
        "version": "1",
        "creation_timestamp": made["creation_timestamp"],
        "last_updated_timestamp": made["creation_timestamp"],
        "current_stage": "None",
        "source": "s3://bucket/model",
        "status": "READY",
        **given,
    }
    assert give(asked, "GET", "model-versions/get", name=name, version="1") == {"model_version": made}
    changed = give(asked, "PATCH", "model-versions/update", name=name, version="1", description="e")
    assert changed["model_version"]["description"] == "e"
    changed = give(asked, "PATCH", "model-versions/update", name=name, version="1")
    assert "description" not in changed["model_version"]


def test_an_alias_moves_and_goes_with_its_version(asked: Api, name: str) -> None:
    for _ in range(2):
        version_of(asked, name)
    for number in ("1", "2"):
        give(asked, "POST", "registered-models/alias", name=name, alias="champion", version=number)
    found = give(asked, "GET", "registered-models/alias", name=name, alias="champion")["model_version"]
    assert (found["version"], found["aliases"]) == ("2", ["champion"])
    give(asked, "DELETE", "model-versions/delete", name=name, version="2")
    assert refused(asked, "GET", "registered-models/alias", name=name, alias="champion") == INVALID
    newest = give(asked, "GET", "registered-models/alias", name=name, alias="latest")["model_version"]
    assert newest["version"] == "1"
    give(asked, "DELETE", "registered-models/alias", name=name, alias="champion")


@pytest.mark.parametrize("alias", ["latest", "LATEST", "v1", "V12", "", "a b", "a/b", "a" * 256])
def test_a_reserved_alias_is_refused(asked: Api, name: str, alias: str) -> None:
    version_of(asked, name)
    assert refused(asked, "POST", "registered-models/alias", name=name, alias=alias, version="1") == INVALID


def test_tags_and_descriptions_are_replaced(asked: Api, name: str) -> None:
    version_of(asked, name)
    for kind, of in (
        ("registered-models", {"name": name}),
        ("model-versions", {"name": name, "version": "1"}),
    ):
        for value in ("1", "2"):
            give(asked, "POST", f"{kind}/set-tag", **of, key="a", value=value)
        for _ in range(2):
            give(asked, "DELETE", f"{kind}/delete-tag", **of, key="none")
        assert refused(asked, "POST", f"{kind}/set-tag", **of, key="a,b") == INVALID
        assert refused(asked, "POST", f"{kind}/set-tag", **of, key="a", value="v" * 100_001) == INVALID
    give(asked, "PATCH", "registered-models/update", name=name, description="d")
    model = give(asked, "GET", "registered-models/get", name=name)["registered_model"]
    assert (model["description"], model["tags"]) == ("d", [{"key": "a", "value": "2"}])
    assert model["latest_versions"][0]["tags"] == [{"key": "a", "value": "2"}]


def test_stages_are_served(asked: Api, name: str) -> None:
    for _ in range(3):
        version_of(asked, name)

    def move(version: str, stage: str, **fields: Any) -> Any:
        fields |= {"name": name, "version": version, "stage": stage}
        return give(asked, "POST", "model-versions/transition-stage", **fields)["model_version"][
            "current_stage"
        ]

    def latest(verb: str, *stages: str) -> dict[str, str]:
        found = give(asked, verb, "registered-models/get-latest-versions", name=name, stages=list(stages))
        return {each["version"]: each["current_stage"] for each in found.get("model_versions", [])}

    assert [move("1", "production"), move("2", "Production"), move("3", "STAGING")] == [
        "Production",
        "Production",
        "Staging",
    ]
    assert latest("POST") == {"2": "Production", "3": "Staging"}
    assert latest("GET", "production", "none") == {"2": "Production"}
    assert move("3", "Production", archive_existing_versions=True) == "Production"
    assert latest("POST") == {"2": "Archived", "3": "Production"}
    wrong = {"name": name, "version": "1"}
    assert refused(asked, "POST", "model-versions/transition-stage", **wrong, stage="Nowhere") == INVALID
    archive = {"stage": "Archived", "archive_existing_versions": True}
    assert refused(asked, "POST", "model-versions/transition-stage", **wrong, **archive) == INVALID
    assert refused(asked, "POST", "registered-models/get-latest-versions", name=name, stages=["x"]) == INVALID


def test_a_deleted_model_is_gone_with_its_versions(asked: Api, name: str) -> None:
    version_of(asked, name)
    give(asked, "DELETE", "registered-models/delete", name=name)
    assert refused(asked, "GET", "registered-models/get", name=name) == MISSING
    assert refused(asked, "GET", "model-versions/get", name=name, version="1") == MISSING
    assert "model_versions" not in give(asked, "GET", "model-versions/search", filter=f"name = '{name}'")


@pytest.fixture(scope="module")
def run(asked: Api) -> Any:
    made = give(asked, "POST", "runs/create", experiment_id="0", start_time=1)["run"]
    return made["info"]


@pytest.fixture(scope="module")
def model(asked: Api, run: Any) -> Any:
    made = give(asked, "POST", "logged-models", experiment_id="0", name="m", source_run_id=run["run_id"])
    return made["model"]["info"]


def uri_of(api: Api, name: str, version: str) -> str:
    found = give(api, "GET", "model-versions/get-download-uri", name=name, version=version)
    uri: str = found["artifact_uri"]
    return uri


def test_a_source_is_followed_to_where_its_files_are(asked: Api, name: str, run: Any, model: Any) -> None:
    of_run, of_model = run["artifact_uri"], model["artifact_uri"]
    logged = version_of(asked, name, f"models:/{model['model_id']}", model_id=model["model_id"])
    assert (logged["source"], logged["run_id"]) == (f"models:/{model['model_id']}", run["run_id"])
    assert uri_of(asked, name, "1") == of_model
    give(asked, "POST", "registered-models/alias", name=name, alias="best", version="1")
    for source in (
        f"models:/{name}/1",
        f"models:/{name}@best",
        f"models:/{name}/None",
        f"models:/{name}/latest",
    ):
        copied = version_of(asked, name, source)
        assert copied["source"].startswith(f"models:/{name}/")
        assert copied["run_id"] == run["run_id"]
        assert uri_of(asked, name, copied["version"]) == of_model
    within = version_of(asked, name, f"{of_run}/model", run_id=run["run_id"])
    assert uri_of(asked, name, within["version"]) == f"{of_run}/model"
    version_of(asked, name, f"{of_model}/below", model_id=model["model_id"])
    version_of(asked, name, f"runs:/{run['run_id']}/model", run_id=run["run_id"])
    version_of(asked, name, "runs:/5f2c/model", run_id="5f2c")
    version_of(asked, name, "s3://bucket/model", run_id="9" * 32)


def test_a_source_that_is_not_what_it_says_is_refused(asked: Api, name: str, run: Any, model: Any) -> None:
    version_of(asked, name)
    other = give(asked, "POST", "runs/create", experiment_id="0", start_time=1)["run"]["info"]
    run_id, model_id = run["run_id"], model["model_id"]
    for source, given in (
        ("/etc/passwd", {}),
        ("/etc/passwd", {"run_id": run_id}),
        ("file:///etc", {"run_id": run_id}),
        ("dummy-source", {}),
        (f"{run['artifact_uri']}/../x", {"run_id": run_id}),
        (f"{run['artifact_uri']}/%252e%252e/x", {"run_id": run_id}),
        (f"{run['artifact_uri']}/x", {}),
        (f"{run['artifact_uri']}/x", {"run_id": other["run_id"]}),
        (f"{run['artifact_uri']}/x", {"run_id": "0" * 32}),
        (f"{run['artifact_uri']}/x", {"model_id": model_id}),
        (f"{run['artifact_uri']}x", {"run_id": run_id}),
        (f"{model['artifact_uri']}/x", {"run_id": run_id}),
        (f"runs:/{run_id}/x", {}),
        (f"runs:/{run_id}/x", {"run_id": other["run_id"]}),
        (f"runs:/{run_id}/x", {"run_id": run_id, "model_id": model_id}),
        (f"models:/{model_id}", {}),
        (f"models:/{model_id}", {"model_id": "m-" + "0" * 32}),
        (f"models:/{name}/1", {"run_id": run_id}),
        (f"models:/{name}/1", {"model_id": model_id}),
        (f"models:/{name}@none", {}),
        (f"models:/{name}/{'9' * 5000}", {}),
        ("s3://bucket/../x", {}),
    ):
        assert (
            refused(asked, "POST", "model-versions/create", name=name, source=source, **given) == INVALID
        ), source
    gone = "m-" + "0" * 32
    for source, given in (
        (f"models:/{gone}", {"model_id": gone}),
        (f"models:/{name}/9", {}),
        (f"models:/{name}/Staging", {}),
        ("models:/none/1", {}),
        ("s3://bucket/x", {"model_id": gone}),
    ):
        assert (
            refused(asked, "POST", "model-versions/create", name=name, source=source, **given) == MISSING
        ), source
    assert refused(asked, "POST", "model-versions/create", name=name) == INVALID
    found = give(asked, "GET", "registered-models/get", name=name)["registered_model"]
    assert [each["version"] for each in found["latest_versions"]] == ["1"]


def test_a_logged_model_says_which_versions_it_became(asked: Api, name: str, run: Any) -> None:
    made = give(asked, "POST", "logged-models", experiment_id="0", name="n", source_run_id=run["run_id"])
    model_id = made["model"]["info"]["model_id"]
    for _ in range(2):
        version_of(asked, name, f"models:/{model_id}", model_id=model_id)
    tags = {
        each["key"]: each["value"]
        for each in give(asked, "GET", f"logged-models/{model_id}")["model"]["info"]["tags"]
    }
    assert json.loads(tags["mlflow.modelVersions"]) == [
        {"name": name, "version": 1},
        {"name": name, "version": 2},
    ]
    give(
        asked,
        "PATCH",
        f"logged-models/{model_id}/tags",
        tags=[{"key": "mlflow.modelVersions", "value": "no JSON"}],
    )
    assert version_of(asked, name, f"models:/{model_id}", model_id=model_id)["version"] == "3"


def test_a_versions_files_are_read_where_they_are(asked: Api, ours: Workspace, name: str, run: Any) -> None:
    folder = ArtifactPath.parse(run["artifact_uri"].removeprefix("mlflow-artifacts:/"))
    with ours.artifacts.writing(folder / ArtifactPath.parse("model/MLmodel")) as file:
        file.write(b"flavors: {}")
        file.keep()
    version_of(asked, name, f"{run['artifact_uri']}/model", run_id=run["run_id"])
    version_of(asked, name, f"runs:/{run['run_id']}/model", run_id=run["run_id"])
    version_of(asked, name)

    def read(version: str) -> Any:
        given = {"name": name, "version": version, "path": "MLmodel"}
        return asked.get("/model-versions/get-artifact", params=given)

    assert [read("1").text, read("2").text] == ["flavors: {}"] * 2
    assert read("3").json()["error_code"] == "INVALID_PARAMETER_VALUE"
    assert read("9").status_code == 404


def test_models_and_versions_are_searched(asked: Api) -> None:
    for each in ("s-a", "s-b", "s-C"):
        give(asked, "POST", "registered-models/create", name=each, tags=[{"key": "t", "value": each}])
        version_of(asked, each, run_id="r")
        version_of(asked, each, tags=[{"key": "t", "value": each}])
    give(asked, "POST", "registered-models/alias", name="s-b", alias="s-best", version="1")

    def models(text: str, **fields: Any) -> list[str]:
        found = give(asked, "GET", "registered-models/search", filter=text, **fields)
        return [each["name"] for each in found.get("registered_models", [])]

    def versions(text: str, **fields: Any) -> list[str]:
        found = give(asked, "GET", "model-versions/search", filter=text, **fields)
        return [f"{each['name']}/{each['version']}" for each in found.get("model_versions", [])]

    assert models("name ILIKE 's-%'") == ["s-C", "s-a", "s-b"]
    assert models("name LIKE 's-%'", order_by="name DESC") == ["s-b", "s-a", "s-C"]
    assert models("tags.t = 's-b' OR aliases.name = 's-best'") == ["s-b"]
    assert versions("name = 's-a'", order_by="version_number ASC") == ["s-a/1", "s-a/2"]
    assert versions("run_id = 'r' AND name IN ('s-a', 's-b')", order_by=["name"]) == ["s-a/1", "s-b/1"]
    assert versions("aliases.name = 's-best'") == ["s-b/1"]
    assert versions("tags.t = 's-C'") == ["s-C/2"]
    page = give(asked, "GET", "registered-models/search", filter="name ILIKE 's-%'", max_results=2)
    assert [each["name"] for each in page["registered_models"]] == ["s-C", "s-a"]
    assert models("name ILIKE 's-%'", max_results=2, page_token=page["next_page_token"]) == ["s-b"]
    for method in ("registered-models/search", "model-versions/search"):
        assert refused(asked, "GET", method, filter="color = 'x'") == INVALID
        assert refused(asked, "GET", method, filter="name") == INVALID
        assert refused(asked, "GET", method, order_by="color") == INVALID
        assert refused(asked, "GET", method, max_results=0) == INVALID
        assert refused(asked, "GET", method, max_results=200_001) == INVALID
        assert refused(asked, "GET", method, page_token="x") == INVALID


def test_prompts_are_models_that_searches_leave_out(asked: Api) -> None:
    mark = {"key": "mlflow.prompt.is_prompt", "value": "true"}
    give(asked, "POST", "registered-models/create", name="greet", tags=[mark])
    made = {"tags": [mark, {"key": "mlflow.prompt.text", "value": "Hello {{name}}"}]}
    version_of(asked, "greet", "dummy-source", **made)
    assert refused(asked, "POST", "model-versions/create", name="greet", source="s3://b/x", **made) == INVALID
    for method in ("registered-models/search", "model-versions/search"):
        assert give(asked, "GET", method, filter="name = 'greet'") == {}
        asking = "name = 'greet' AND tag.`mlflow.prompt.is_prompt` = 'true'"
        assert give(asked, "GET", method, filter=asking) != {}
    given = {"name": "s-from-prompt", "source": "models:/greet/1"}
    give(asked, "POST", "registered-models/create", name="s-from-prompt")
    assert refused(asked, "POST", "model-versions/create", **given) == INVALID


def test_every_change_is_an_event_that_says_who(asked: Api, ours: Workspace) -> None:
    sent = {"headers": {"authorization": "Basic YW5hOnNlY3JldA=="}}  # ana:secret
    for verb, method, fields in (
        ("POST", "registered-models/create", {"name": "told", "actor": "eve"}),
        ("POST", "model-versions/create", {"name": "told", "source": "s3://b/m"}),
        ("POST", "registered-models/alias", {"name": "told", "alias": "best", "version": "1"}),
        ("POST", "model-versions/transition-stage", {"name": "told", "version": "1", "stage": "Staging"}),
        ("POST", "model-versions/set-tag", {"name": "told", "version": "1", "key": "a", "value": "b"}),
        ("PATCH", "registered-models/update", {"name": "told", "description": "d"}),
        ("DELETE", "registered-models/alias", {"name": "told", "alias": "best"}),
        ("DELETE", "registered-models/alias", {"name": "told", "alias": "best"}),  # was removed: no event
        ("DELETE", "model-versions/delete", {"name": "told", "version": "1"}),
        ("POST", "registered-models/rename", {"name": "told", "new_name": "told again"}),
        ("DELETE", "registered-models/delete", {"name": "told again"}),
    ):
        assert ask(asked, verb, method, **sent, **fields).status_code == 200
    with ours.database.read() as tx:
        entries = [each for each in tx.ledger.entries() if each.subject.startswith("told")]
        assert verify(tx.ledger.entries()).sound
    assert [(each.type, each.subject) for each in entries] == [
        (EventType.MODEL_REGISTERED, "told"),
        (EventType.MODEL_VERSION_REGISTERED, "told@1"),
        (EventType.MODEL_ALIAS_MOVED, "told@best"),
        (EventType.MODEL_VERSION_STAGED, "told@1"),
        (EventType.MODEL_VERSION_CHANGED, "told@1"),
        (EventType.MODEL_CHANGED, "told"),
        (EventType.MODEL_ALIAS_MOVED, "told@best"),
        (EventType.MODEL_VERSION_DELETED, "told@1"),
        (EventType.MODEL_RENAMED, "told again"),
        (EventType.MODEL_DELETED, "told again"),
    ]
    assert {each.actor for each in entries} == {"ana"}


def test_a_refused_change_leaves_no_event(asked: Api, ours: Workspace, name: str) -> None:
    before = len(events_of(ours, name))
    assert refused(asked, "POST", "registered-models/create", name=name) == TAKEN
    assert refused(asked, "POST", "registered-models/alias", name=name, alias="a", version="1") == MISSING
    assert len(events_of(ours, name)) == before


def test_who_asks_without_a_name_is_called_by_the_clients(asked: Api, ours: Workspace, name: str) -> None:
    assert [each.actor for each in events_of(ours, name)] == ["mlflow"]
    assert "user_id" not in version_of(asked, name)
    named = {"headers": {"mainspring-actor": "bo"}}
    ask(asked, "POST", "model-versions/create", **named, name=name, source="s3://b/m")
    assert (
        give(asked, "GET", "model-versions/get", name=name, version="2")["model_version"]["user_id"] == "bo"
    )
    assert [each.actor for each in events_of(ours, f"{name}@2")] == ["bo"]


def test_a_product_is_a_registered_model_with_its_versions_and_aliases(
    api: Api, workspace: Workspace
) -> None:
    model = give(api, "GET", "registered-models/get", name="tiny")["registered_model"]
    with workspace.database.read() as tx:
        (version,) = tx.registry.versions("tiny")
    assert model["aliases"] == [{"alias": "champion", "version": "1"}]
    assert [each["version"] for each in model["latest_versions"]] == ["1"]
    found = give(api, "GET", "registered-models/alias", name="tiny", alias="champion")["model_version"]
    assert (found["run_id"], found["source"]) == (version.run_id, "mainspring:/tiny@1")
    assert give(api, "GET", "runs/get", run_id=found["run_id"])["run"]["info"]["run_id"] == version.run_id
    assert give(api, "GET", "model-versions/search", filter=f"run_id = '{version.run_id}'")[
        "model_versions"
    ] == [found]
    tagged = "tags.mainspring.product = 'tiny'"
    assert len(give(api, "GET", "registered-models/search", filter=tagged)["registered_models"]) == 1


def test_a_products_versions_and_aliases_are_the_loops_to_change(api: Api) -> None:
    give(api, "POST", "registered-models/create", name="mine")
    for verb, method, fields in (
        ("POST", "model-versions/create", {"source": "s3://b/m"}),
        ("POST", "registered-models/rename", {"new_name": "mine2"}),
        ("DELETE", "registered-models/delete", {}),
        ("POST", "registered-models/alias", {"alias": "champion", "version": "1"}),
        ("DELETE", "registered-models/alias", {"alias": "champion"}),
        ("DELETE", "model-versions/delete", {"version": "1"}),
        ("POST", "model-versions/transition-stage", {"version": "1", "stage": "Production"}),
    ):
        answer = ask(api, verb, method, name="tiny", **fields)
        assert (answer.status_code, answer.json()["error_code"]) == INVALID, method
        assert "mainspring train tiny" in answer.json()["message"]
    assert refused(api, "POST", "registered-models/create", name="tiny") == TAKEN
    assert refused(api, "POST", "registered-models/rename", name="mine", new_name="tiny") == TAKEN
    told = give(api, "GET", "model-versions/get-download-uri", name="tiny", version="1")
    assert told["artifact_uri"] == "mlflow-artifacts:/mainspring-models/tiny/1"


def test_a_products_tags_and_descriptions_may_be_set(api: Api) -> None:
    give(api, "POST", "registered-models/set-tag", name="tiny", key="team", value="a")
    give(api, "PATCH", "registered-models/update", name="tiny", description="of orders")
    give(api, "POST", "model-versions/set-tag", name="tiny", version="1", key="seen", value="yes")
    give(api, "PATCH", "model-versions/update", name="tiny", version="1", description="the first")
    model = give(api, "GET", "registered-models/get", name="tiny")["registered_model"]
    assert model["description"] == "of orders"
    assert {"key": "team", "value": "a"} in model["tags"]
    assert {"key": "seen", "value": "yes"} in model["latest_versions"][0]["tags"]
    assert model["latest_versions"][0]["description"] == "the first"


def test_a_product_of_a_name_that_a_client_has_is_refused(tmp_path: Path) -> None:
    from mainspring.operate.declare import DeclarationInvalid, declare

    with begin(tmp_path / "root") as workspace:
        api = Api(build_app(workspace))
        give(api, "POST", "registered-models/create", name="second")
        file = workspace.settings.root / "product.py"
        file.write_text(file.read_text().replace('"tiny"', '"second"'))
        with pytest.raises(DeclarationInvalid, match="a client has registered a model of this name"):
            declare(workspace, actor="test")
        give(api, "POST", "registered-models/rename", name="second", new_name="third")
        declare(workspace, actor="test")
        assert refused(api, "POST", "registered-models/create", name="second") == TAKEN
