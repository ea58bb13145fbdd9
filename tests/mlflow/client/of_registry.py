"""What is asked about registered models, their versions, aliases and stages, and about webhooks."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from ask import NEWEST, OWN, Asking
from of_autologs import LABELS, ROWS

import mlflow


def registered_models(ask: Asking) -> None:
    client, name = ask.client, OWN + "reg"
    ask.note("create", client.create_registered_model, name, {"k": "v"}, "what it is")
    ask.note("create another", client.create_registered_model, OWN + "reg other")
    ask.note("twice", client.create_registered_model, name)
    ask.note("get", client.get_registered_model, name)
    ask.note("unknown", client.get_registered_model, OWN + "none")
    for step, wrong in {
        "empty": "",
        "blank": "  ",
        "slash": "a/b",
        "colon": "a:b",
        "dots": "..",
        "path": "a/../b",
    }.items():
        ask.note(f"named {step}", client.create_registered_model, wrong)
    ask.note("unicode", client.create_registered_model, OWN + "ü-モデル.a")
    ask.note("describe", client.update_registered_model, name, "otherwise")
    ask.note("undescribe", client.update_registered_model, name, "")
    ask.note("describe none", client.update_registered_model, OWN + "none", "x")
    ask.note("tag", client.set_registered_model_tag, name, "a.b/c d", "1")
    ask.note("tag again", client.set_registered_model_tag, name, "a.b/c d", 2)
    ask.note("long tag", client.set_registered_model_tag, name, "long", "v" * 100_000)
    ask.note("too long a tag", client.set_registered_model_tag, name, "longer", "v" * 100_001)
    ask.note("tag's key too long", client.set_registered_model_tag, name, "k" * 251, "v")
    ask.note("tag's key with a comma", client.set_registered_model_tag, name, "a,b", "v")
    ask.note("tag none", client.set_registered_model_tag, OWN + "none", "a", "b")
    ask.note("untag", client.delete_registered_model_tag, name, "long")
    ask.note("untag twice", client.delete_registered_model_tag, name, "long")
    ask.note("untag none", client.delete_registered_model_tag, OWN + "none", "a")
    ask.note("what it has", client.get_registered_model, name)
    ask.note("rename to one that is taken", client.rename_registered_model, name, OWN + "reg other")
    ask.note("rename to nothing", client.rename_registered_model, name, " ")
    ask.note("rename none", client.rename_registered_model, OWN + "none", OWN + "x")
    ask.note("rename to itself", client.rename_registered_model, name, name)
    ask.note("rename", client.rename_registered_model, name, OWN + "renamed")
    ask.note("its old name", client.get_registered_model, name)
    ask.note("its new name", client.get_registered_model, OWN + "renamed")
    ask.note("delete", client.delete_registered_model, OWN + "renamed")
    ask.note("deleted", client.get_registered_model, OWN + "renamed")
    ask.note("delete twice", client.delete_registered_model, OWN + "renamed")
    ask.note("created anew", client.create_registered_model, OWN + "renamed")
    ask.get("get without a client", "registered-models/get", name=OWN + "renamed")
    ask.get("get nothing", "registered-models/get")
    ask.post("create without a name", "registered-models/create")


def model_versions(ask: Asking) -> None:
    client, name = ask.client, OWN + "ver"
    ask.note("of no model", client.create_model_version, name, "s3://bucket/a")
    client.create_registered_model(name)
    ask.note("first", client.create_model_version, name, "s3://bucket/a")
    given = {"run_id": "5f2c", "tags": {"k": "v"}, "run_link": "http://run", "description": "second"}
    ask.note("second", client.create_model_version, name, "s3://bucket/b", **given)
    ask.note("get", client.get_model_version, name, "2")
    ask.note("get by a number", client.get_model_version, name, 2)
    ask.note("get none", client.get_model_version, name, "9")
    ask.note("get no number", client.get_model_version, name, "x")
    ask.note("get of no model", client.get_model_version, OWN + "none", "1")
    ask.note("where", client.get_model_version_download_uri, name, "2")
    ask.note("where none is", client.get_model_version_download_uri, name, "9")
    ask.note("describe", client.update_model_version, name, "1", "described")
    ask.note("undescribe", client.update_model_version, name, "1", "")
    ask.note("describe none", client.update_model_version, name, "9", "x")
    ask.note("tag", client.set_model_version_tag, name, "1", "a", "1")
    ask.note("tag again", client.set_model_version_tag, name, "1", "a", "2")
    ask.note("tag none", client.set_model_version_tag, name, "9", "a", "2")
    ask.note("too long a tag", client.set_model_version_tag, name, "1", "a", "v" * 100_001)
    ask.note("what it has", client.get_model_version, name, "1")
    ask.note("untag", client.delete_model_version_tag, name, "1", "a")
    ask.note("untag twice", client.delete_model_version_tag, name, "1", "a")

    for step, alias in {
        "alias": "champion",
        "alias in capitals": "CHAMPION",
        "latest": "latest",
        "v1": "v1",
        "V1": "V1",
        "v1a": "v1a",
        "with a space": "a b",
        "empty": "",
        "unicode": "ü",
    }.items():
        ask.note(f"alias: {step}", client.set_registered_model_alias, name, alias, "1")
    ask.note("move the alias", client.set_registered_model_alias, name, "champion", "2")
    ask.note("alias of no version", client.set_registered_model_alias, name, "x", "9")
    ask.note("alias of no number", client.set_registered_model_alias, name, "x", "x")
    ask.note("by alias", client.get_model_version_by_alias, name, "champion")
    ask.note("by no alias", client.get_model_version_by_alias, name, "none")
    ask.note("by alias of no model", client.get_model_version_by_alias, OWN + "none", "champion")
    ask.note("by latest", client.get_model_version_by_alias, name, "latest")
    ask.note("by alias of none yet", client.get_model_version_by_alias, OWN + "reg other", "latest")
    ask.note("aliases", lambda: dict(client.get_registered_model(name).aliases))
    ask.note("remove an alias", client.delete_registered_model_alias, name, "v1a")
    ask.note("remove it again", client.delete_registered_model_alias, name, "v1a")
    ask.note("remove an alias of no model", client.delete_registered_model_alias, OWN + "none", "v1a")

    client.create_model_version(name, "s3://bucket/c")
    for step, (version, stage, archive) in {
        "to staging": ("1", "Staging", False),
        "to production": ("2", "production", False),
        "and archive": ("3", "PRODUCTION", True),
        "archive for none": ("3", "None", True),
        "to no stage": ("1", "Nowhere", False),
        "none to staging": ("9", "Staging", False),
    }.items():
        ask.note(f"stage: {step}", client.transition_model_version_stage, name, version, stage, archive)

    def latest(*stages: str) -> Any:
        found = client.get_latest_versions(name, list(stages) or None)
        return sorted((each.version, each.current_stage) for each in found)

    ask.note("latest", latest)
    ask.note("latest in production", latest, "Production")
    ask.note("latest in some", latest, "production", "archived")
    ask.note("latest in no stage", latest, "nowhere")
    ask.note("latest of none", client.get_latest_versions, OWN + "none")
    ask.note(
        "all in one",
        lambda: sorted(each.version for each in client.get_registered_model(name).latest_versions),
    )

    ask.note("delete", client.delete_model_version, name, "3")
    ask.note("delete it again", client.delete_model_version, name, "3")
    ask.note("deleted", client.get_model_version, name, "3")
    ask.note("number after it", lambda: client.create_model_version(name, "s3://bucket/d").version)
    ask.note("delete what has an alias", client.delete_model_version, name, "2")
    ask.note("its alias", client.get_model_version_by_alias, name, "champion")
    client.set_registered_model_alias(name, "champion", "4")
    ask.note("rename", client.rename_registered_model, name, OWN + "ver2")
    ask.note("alias after", lambda: client.get_model_version_by_alias(OWN + "ver2", "champion").version)
    ask.note("version after", client.get_model_version, OWN + "ver2", "1")
    ask.note("old name after", client.get_model_version, name, "1")
    ask.note("copy", client.copy_model_version, f"models:/{OWN}ver2/1", OWN + "copies")
    ask.note(
        "copy by alias",
        lambda: client.copy_model_version(f"models:/{OWN}ver2@champion", OWN + "copies").version,
    )
    ask.note("delete the model", client.delete_registered_model, OWN + "ver2")
    ask.note("copy's place", client.get_model_version_download_uri, OWN + "copies", "1")
    client.create_registered_model(OWN + "ver2")
    ask.note("number in a new one", lambda: client.create_model_version(OWN + "ver2", "s3://x/y").version)
    for method in ("get", "get-download-uri"):
        ask.get(f"{method} without a version", f"model-versions/{method}", name=OWN + "ver2")
    ask.post("create without a source", "model-versions/create", name=OWN + "ver2")


def sources(ask: Asking) -> None:
    client, name = ask.client, OWN + "src"
    client.create_registered_model(name)
    home = client.create_experiment(OWN + "sources")
    run = client.create_run(home)
    run_id, root = run.info.run_id, run.info.artifact_uri
    other = client.create_run(home).info
    for step, source, given in (
        ("in the run", f"{root}/model", {"run_id": run_id}),
        ("the run's root", root, {"run_id": run_id}),
        ("in another run", f"{other.artifact_uri}/model", {"run_id": run_id}),
        ("in a run that is not named", f"{root}/model", {}),
        ("in a run that is not there", f"{root}/model", {"run_id": "0" * 32}),
        ("beside the run", f"{root}x/model", {"run_id": run_id}),
        ("up from the run", f"{root}/../model", {"run_id": run_id}),
        ("up, encoded", f"{root}/%2e%2e/model", {"run_id": run_id}),
        ("up, encoded twice", f"{root}/%252e%252e/model", {"run_id": run_id}),
        ("of the run", f"runs:/{run_id}/model", {"run_id": run_id}),
        ("of another run", f"runs:/{other.run_id}/model", {"run_id": run_id}),
        ("of a run that is not named", f"runs:/{run_id}/model", {}),
        ("of a run that is not there", "runs:/5f2c/model", {"run_id": "5f2c"}),
        ("of the run, up", f"runs:/{run_id}/../model", {"run_id": run_id}),
        ("local", "/etc/model", {"run_id": run_id}),
        ("local file", "file:///etc/model", {"run_id": run_id}),
        ("local of no run", "model", {}),
        ("s3 of no run", "s3://bucket/model", {"run_id": "9" * 32}),
        ("s3 up", "s3://bucket/../model", {}),
        ("s3 up at the end", "s3://bucket/model/..", {}),
        ("s3 with a NUL", "s3://bucket/%00", {}),
        ("proxy of http", "http://host/api/2.0/mlflow-artifacts/artifacts/x", {"run_id": run_id}),
        ("a version", f"models:/{name}/1", {}),
        ("a version that is not there", f"models:/{name}/99", {}),
        ("an alias that is not there", f"models:/{name}@none", {}),
        ("models of a host", "models://host/x/1", {}),
        ("models of too many names", "models:/x/1/2", {}),
        ("http", "https://example.com/model", {}),
    ):
        ask.note(step, client.create_model_version, name, source, **given)
    if not NEWEST:
        return
    model = client.create_logged_model(home, name="m", source_run_id=run_id)
    second = client.create_logged_model(home, name="n")

    def create(source: str, **given: str) -> Any:
        found = client._get_registry_client().store.create_model_version(name, source, **given)
        return {"source": found.source.replace(model.model_id, "<model>"), "run": bool(found.run_id)}

    for step, source, given in (
        ("a logged model", f"models:/{model.model_id}", {"model_id": model.model_id}),
        ("a logged model that is not named", f"models:/{model.model_id}", {}),
        ("another logged model", f"models:/{model.model_id}", {"model_id": second.model_id}),
        ("in a logged model", f"{model.artifact_location}/x", {"model_id": model.model_id}),
        ("in another logged model", f"{second.artifact_location}/x", {"model_id": model.model_id}),
        ("a run for a logged model", f"runs:/{run_id}/m", {"run_id": run_id, "model_id": model.model_id}),
    ):
        ask.note(step, create, source, **given)
    ask.note(
        "where it is",
        lambda: (
            client.get_model_version_download_uri(
                name,
                max(
                    each.version
                    for each in client.search_model_versions(f"name='{name}'")
                    if each.source == f"models:/{model.model_id}"
                ),
            )
            .replace(model.model_id, "<model>")
            .replace(home, "<home>")
        ),
    )
    ask.note("what it became", lambda: sorted(client.get_logged_model(model.model_id).tags))


def registry_found(ask: Asking) -> None:
    client = ask.client
    for name, tags in (("q-a", {"t": "1"}), ("q-b", {"t": "2"}), ("q-C", {}), ("Q-d", {"t": "1"})):
        client.create_registered_model(OWN + name, tags=tags)
        for number in (1, 2):
            client.create_model_version(
                OWN + name, f"s3://q/{name}/{number}", run_id=f"run{number}", tags=tags
            )

    def models(text: str | None, **asked: Any) -> Any:
        found = client.search_registered_models(text and text.replace("'q", f"'{OWN}q"), **asked)
        return {
            "names": [each.name for each in found if each.name.startswith(OWN)],
            "more": bool(found.token),
        }

    def versions(text: str | None, **asked: Any) -> Any:
        found = client.search_model_versions(text and text.replace("'q", f"'{OWN}q"), **asked)
        return {
            "refs": [f"{each.name}/{each.version}" for each in found if each.name.startswith(OWN)],
            "more": bool(found.token),
        }

    for step, text in {
        "like": "name LIKE 'q-%'",
        "ilike": "name ILIKE 'q-%'",
        "equal": "name = 'q-a'",
        "unequal": "name != 'q-a' AND name LIKE 'q-%'",
        "in": "name IN ('q-a', 'q-b', 'none')",
        "not in": "name NOT IN ('q-a', 'q-b') AND name LIKE 'q%'",
        "tag": "tags.t = '1' AND name ILIKE 'q-%'",
        "tag singular": "tag.`t` = '1' AND name ILIKE 'q-%'",
        "tag unequal": "tags.t != '1' AND name LIKE 'q-%'",
        "tag like": "tags.t LIKE '%' AND name LIKE 'q-%'",
        "no tag": "tags.t IS NULL AND name LIKE 'q-%'",
        "number for a text": "name = 5",
        "unknown key": "color = 'x'",
        "unknown entity": "params.a = 'x'",
        "or": "name = 'q-a' OR name = 'q-b'",
        "nothing compared": "name",
    }.items():
        ask.note(f"models {step}", models, text, order_by=["name"])
        ask.note(f"versions {step}", versions, text, order_by=["name", "version_number"])
    for step, text in {
        "of a run": "run_id = 'run1' AND name LIKE 'q-%'",
        "of runs": "run_id IN ('run1', 'run2') AND name = 'q-a'",
        "from": "source_path = 's3://q/q-a/1'",
        "numbered": "version_number > 1 AND name LIKE 'q-%'",
        "numbered text": "version_number = '1'",
        "numbered fraction": "version_number = 1.5",
        "with an alias": "aliases.name = 'champion'",
    }.items():
        ask.note(f"versions {step}", versions, text, order_by=["name ASC", "version_number DESC"])
    ask.note("models by name down", models, "name LIKE 'q-%'", order_by=["name DESC"])
    ask.note("models by time", models, "name LIKE 'q-%'", order_by=["last_updated_timestamp ASC", "name"])
    ask.note("models by timestamp", models, "name LIKE 'q-%'", order_by=["timestamp ASC"])
    ask.note("models by nothing known", models, "name LIKE 'q-%'", order_by=["color"])
    ask.note("models by one twice", models, "name LIKE 'q-%'", order_by=["name", "name DESC"])
    ask.note("versions by default", versions, "name = 'q-a'")
    ask.note("versions by number", versions, "name = 'q-a'", order_by=["version_number ASC"])
    ask.note("versions by nothing known", versions, "name = 'q-a'", order_by=["color"])
    ask.note("a page of models", models, "name LIKE 'q-%'", max_results=2)
    ask.note("a page of versions", versions, "name LIKE 'q-%'", max_results=3, order_by=["name"])
    ask.note("no page", models, "name LIKE 'q-%'", max_results=0)
    ask.note("too large a page", models, "name LIKE 'q-%'", max_results=1001)
    ask.note("too many versions", versions, "name LIKE 'q-%'", max_results=200_001)

    def paged(search: Any, text: str, **asked: Any) -> Any:
        found, token, pages = [], None, 0
        while pages == 0 or token:
            page = search(text.replace("'q", f"'{OWN}q"), max_results=2, page_token=token, **asked)
            found += [f"{each.name}/{getattr(each, 'version', '')}" for each in page]
            token, pages = page.token, pages + 1
        return {"found": found, "pages": pages}

    ask.note("pages of models", paged, client.search_registered_models, "name ILIKE 'q-%'")
    ask.note(
        "pages of versions", paged, client.search_model_versions, "name LIKE 'q-%'", order_by=["name DESC"]
    )
    client.set_registered_model_alias(OWN + "q-a", "best", "1")
    ask.note(
        "aliases of what was found",
        lambda: client.search_model_versions(f"name='{OWN}q-a'", order_by=["version_number"])[0].aliases,
    )
    ask.get("search without a client", "registered-models/search", filter=f"name = '{OWN}q-C'")


def registered(ask: Asking) -> None:
    """A model from its fit to its use by an alias."""
    from sklearn.linear_model import LogisticRegression

    name = OWN + "clf"
    mlflow.set_experiment(OWN + "registered")
    kept = "name" if NEWEST else "artifact_path"
    with mlflow.start_run() as run:
        model = LogisticRegression(C=0.5).fit(ROWS, LABELS)
        logged = mlflow.sklearn.log_model(model, **{kept: "clf"}, registered_model_name=name)
    ask.note("registered with the model", lambda: logged.registered_model_version)
    ask.note("registered again", lambda: mlflow.register_model(logged.model_uri, name).version)
    ask.note(
        "registered of the run",
        lambda: mlflow.register_model(f"runs:/{run.info.run_id}/clf", name, tags={"a": "b"}).version,
    )
    ask.client.set_registered_model_alias(name, "champion", "1")
    expected = model.predict(ROWS).tolist()
    for step, uri in {
        "by version": f"models:/{name}/2",
        "by alias": f"models:/{name}@champion",
        "by latest": f"models:/{name}/latest",
        "by run": f"runs:/{run.info.run_id}/clf",
    }.items():
        ask.note(
            f"loaded {step}",
            lambda uri=uri: mlflow.sklearn.load_model(uri).predict(ROWS).tolist() == expected,
        )
        ask.note(
            f"loaded {step} as a function",
            lambda uri=uri: mlflow.pyfunc.load_model(uri).predict(ROWS).tolist() == expected,
        )
    ask.note("loaded by no alias", lambda: mlflow.sklearn.load_model(f"models:/{name}@none"))
    ask.note("loaded by no version", lambda: mlflow.sklearn.load_model(f"models:/{name}/99"))

    def downloaded() -> list[str]:
        with tempfile.TemporaryDirectory() as folder:
            where = mlflow.artifacts.download_artifacts(f"models:/{name}/1", dst_path=folder)
            return sorted(each.name for each in Path(where).rglob("*") if each.is_file())

    ask.note("downloaded", downloaded)
    ask.client.transition_model_version_stage(name, "2", "Production")
    ask.note(
        "loaded by stage",
        lambda: mlflow.sklearn.load_model(f"models:/{name}/Production").predict(ROWS).tolist() == expected,
    )
    if NEWEST:
        ask.note(
            "tag of what it became",
            lambda: mlflow.get_logged_model(logged.model_id).tags["mlflow.modelVersions"],
        )
    ask.raw(
        "an artifact that is not there",
        "GET",
        "/model-versions/get-artifact",
        params={"name": name, "version": "1", "path": "no/such"},
    )


def prompts(ask: Asking) -> None:
    if not NEWEST:
        return
    name = OWN + "prompt"
    register = mlflow.genai.register_prompt
    ask.note(
        "register", lambda: register(name, "Hello {{name}}!", commit_message="first", tags={"a": "b"}).version
    )
    ask.note("register again", lambda: register(name, "Hi {{name}}!").version)
    ask.note("load", lambda: mlflow.genai.load_prompt(f"prompts:/{name}/1").template)
    ask.note("alias", mlflow.genai.set_prompt_alias, name, "production", 1)
    ask.note("load by alias", lambda: mlflow.genai.load_prompt(f"prompts:/{name}@production").version)
    ask.note("found", lambda: [each.name for each in mlflow.genai.search_prompts(f"name = '{name}'")])
    ask.note(
        "found among models",
        lambda: [each.name for each in ask.client.search_registered_models(f"name = '{name}'")],
    )
    ask.note(
        "found among versions",
        lambda: [each.name for each in ask.client.search_model_versions(f"name = '{name}'")],
    )
    ask.note("a model of its name", ask.client.create_registered_model, name)
    ask.note(
        "a prompt of a place",
        ask.client.create_model_version,
        name,
        "s3://x/y",
        tags={"mlflow.prompt.is_prompt": "true"},
    )
    ask.note("a version from it", ask.client.create_model_version, OWN + "reg other", f"models:/{name}/1")


def webhooks(ask: Asking) -> None:
    if not NEWEST:
        return
    client = ask.client
    url = "https://1.1.1.1/hook"
    given = {"events": ["model_version.created"], "description": "what for", "secret": "secret"}
    ask.note("create", lambda: told(client.create_webhook("a-hook", url, **given)))
    (made,) = client.list_webhooks()
    ask.note("get", lambda: told(client.get_webhook(made.webhook_id)))
    for step, changed in {
        "name": {"name": "b.hook"},
        "bad name": {"name": "-x"},
        "long name": {"name": "x" * 64},
        "url": {"url": url + "?x=1"},
        "http": {"url": "http://1.1.1.1/"},
        "scheme": {"url": "ftp://1.1.1.1/"},
        "loopback": {"url": "https://127.0.0.1/"},
        "private": {"url": "https://10.0.0.1/"},
        "link-local": {"url": "https://169.254.169.254/"},
        "mapped": {"url": "https://[::ffff:10.0.0.1]/"},
        "no host": {"url": "https:///x"},
        "events": {"events": ["registered_model.created", "model_version_tag.set"]},
        "status": {"status": "DISABLED"},
        "description": {"description": ""},
        "nothing": {},
    }.items():
        ask.note(
            f"change {step}", lambda changed=changed: told(client.update_webhook(made.webhook_id, **changed))
        )
    ask.note("create without events", client.create_webhook, "c", url, [])
    ask.post(
        "create of no such event",
        "webhooks",
        name="c",
        url=url,
        events=[{"entity": "MODEL_VERSION", "action": "SET"}],
    )
    ask.post(
        "create of no such entity", "webhooks", name="c", url=url, events=[{"entity": "CAT", "action": "SET"}]
    )
    ask.post(
        "create without a name",
        "webhooks",
        url=url,
        events=[{"entity": "MODEL_VERSION", "action": "CREATED"}],
    )
    ask.note("list", lambda: [each.name for each in client.list_webhooks()])
    ask.note("get none", client.get_webhook, "none")
    ask.note("change none", client.update_webhook, "none", name="x")
    ask.note("delete none", client.delete_webhook, "none")
    ask.note("test none", client.test_webhook, "none")
    ask.note("delete", client.delete_webhook, made.webhook_id)
    ask.note("deleted", client.get_webhook, made.webhook_id)
    ask.note("list none", lambda: [each.name for each in client.list_webhooks()])


def told(webhook: Any) -> dict[str, Any]:
    """What a webhook is; its events in an order of ours."""
    return {
        "name": webhook.name,
        "url": webhook.url,
        "description": webhook.description,
        "status": str(webhook.status),
        "events": sorted(map(str, webhook.events)),
        "secret": webhook.secret,
    }
