"""Webhooks are told at least once, in order, signed, and only where they may be; one that is down holds up nobody."""

from __future__ import annotations

import base64
import hmac
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.api.conftest import Api
from tests.operate.tiny import begin
from tests.sinks.receiving import Receiver, closed_port, receiver

from mainspring.api import build_app
from mainspring.operate.asking import Asking
from mainspring.operate.register_models import (
    create_model,
    delete_version,
    point_alias,
    tag_model,
    tag_version,
)
from mainspring.operate.register_models import create_version as register
from mainspring.operate.version_origins import NewVersion
from mainspring.registry.webhook import EVENTS, Webhook
from mainspring.settings import Settings
from mainspring.sinks import guarded
from mainspring.sinks.background import Background
from mainspring.sinks.guarded import NotSent, post_guarded
from mainspring.sinks.news import tell_news
from mainspring.workspace import Workspace, open_workspace

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
BY = Asking("ana", 1_700_000_000_000)
P = "/api/2.0/mlflow/webhooks"


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    begin(tmp_path / "root").close()
    settings = replace(Settings.load(tmp_path / "root", {}), webhook_hosts="127.0.0.1", interval_s=0.05)
    with open_workspace(tmp_path / "root", settings) as workspace:
        yield workspace


def hook(workspace: Workspace, url: str, *events: str, name: str = "hook", **fields: Any) -> Webhook:
    webhook = Webhook(
        webhook_id=name,
        name=name,
        url=url,
        events=events or tuple(EVENTS),
        created_ms=1,
        updated_ms=1,
        **fields,
    )
    with workspace.database.write() as tx:
        tx.webhooks.put(webhook)
    return webhook


def register_models(workspace: Workspace, *names: str) -> None:
    with workspace.database.write() as tx:
        for name in names:
            create_model(tx, name, "", {}, BY)


def names(heard: Receiver) -> list[str]:
    return [document["data"]["name"] for document in heard.documents]


def signature(headers: dict[str, str], content: bytes, secret: str) -> str:
    """What a receiver computes to see that it is from here."""
    signed = b".".join(
        (headers["x-mlflow-delivery-id"].encode(), headers["x-mlflow-timestamp"].encode(), content)
    )
    return f"v1,{base64.b64encode(hmac.digest(secret.encode(), signed, 'sha256')).decode()}"


def test_what_happens_is_told_signed_and_once(workspace: Workspace, heard: Receiver) -> None:
    hook(workspace, heard.url, secret="whisper")
    register_models(workspace, "a")
    for _ in range(3):
        tell_news(workspace, NOW)
    ((headers, content),) = heard.came
    assert headers["x-mlflow-signature"] == signature(headers, content, "whisper")
    assert abs(int(headers["x-mlflow-timestamp"]) - time.time()) < 60
    assert headers["content-type"] == "application/json"
    assert heard.documents == [
        {
            "entity": "registered_model",
            "action": "created",
            "timestamp": "2023-11-14T22:13:20+00:00",
            "data": {"name": "a", "tags": {}, "description": ""},
        }
    ]


def test_without_a_secret_nothing_is_signed(workspace: Workspace, heard: Receiver) -> None:
    hook(workspace, heard.url)
    register_models(workspace, "a")
    tell_news(workspace, NOW)
    ((headers, _),) = heard.came
    assert "x-mlflow-signature" not in headers


def test_every_change_has_its_event(workspace: Workspace, heard: Receiver) -> None:
    hook(workspace, heard.url)
    mark = {"mlflow.prompt.is_prompt": "true"}
    text = {"mlflow.prompt.text": "Hello"} | mark
    with workspace.database.write() as tx:
        create_model(tx, "m", "d", {"a": "1"}, BY)
        register(tx, NewVersion(name="m", source="s3://b/m", run_id="r", tags={"a": "1"}), BY)
        tag_version(tx, "m", 1, "b", "2", BY)
        tag_version(tx, "m", 1, "b", None, BY)
        tag_version(tx, "m", 1, "b", None, BY)  # is not there, and is no change
        tag_model(tx, "m", "b", "2", BY)  # of models, webhooks are told no tags
        point_alias(tx, "m", "best", 1, BY)
        point_alias(tx, "m", "best", None, BY)
        delete_version(tx, "m", 1, BY)
        create_model(tx, "p", "", mark, BY)
        register(tx, NewVersion(name="p", source="dummy-source", tags=text | {"own": "1"}), BY)
        tag_model(tx, "p", "b", "2", BY)
        tag_model(tx, "p", "b", None, BY)
        tag_version(tx, "p", 1, "b", "2", BY)
        point_alias(tx, "p", "live", 1, BY)
        point_alias(tx, "p", "live", None, BY)
    tell_news(workspace, NOW)
    version = {"name": "m", "version": "1"}
    prompt = {"name": "p", "version": "1"}
    made = {"source": "s3://b/m", "run_id": "r", "tags": {"a": "1"}, "description": None}
    expected: list[tuple[str, dict[str, object]]] = [
        ("registered_model.created", {"name": "m", "tags": {"a": "1"}, "description": "d"}),
        ("model_version.created", version | made),
        ("model_version_tag.set", version | {"key": "b", "value": "2"}),
        ("model_version_tag.deleted", version | {"key": "b"}),
        ("model_version_alias.created", version | {"alias": "best"}),
        ("model_version_alias.deleted", {"name": "m", "alias": "best"}),
        ("prompt.created", {"name": "p", "tags": {}, "description": ""}),
        ("prompt_version.created", prompt | {"template": "Hello", "tags": {"own": "1"}, "description": None}),
        ("prompt_tag.set", {"name": "p", "key": "b", "value": "2"}),
        ("prompt_tag.deleted", {"name": "p", "key": "b"}),
        ("prompt_version_tag.set", prompt | {"key": "b", "value": "2"}),
        ("prompt_alias.created", prompt | {"alias": "live"}),
        ("prompt_alias.deleted", {"name": "p", "alias": "live"}),
    ]
    assert [(f"{each['entity']}.{each['action']}", each["data"]) for each in heard.documents] == expected
    for event, told in expected:
        assert told.keys() == EVENTS[event].keys()


def test_a_cycle_tells_of_its_version_and_its_champion(tmp_path: Path, heard: Receiver) -> None:
    import tests.operate.tiny as tiny

    with begin(tmp_path / "root") as workspace:
        hook(workspace, heard.url)
        tiny.add_batch(workspace, "orders", tiny.parquet(tiny.orders(days=30)), actor="test")
        tiny.turn(workspace)
        settings = replace(workspace.settings, webhook_hosts="*")
        tell_news(replace(workspace, settings=settings), NOW)
    told = [(f"{each['entity']}.{each['action']}", each["data"]) for each in heard.documents]
    assert [event for event, _ in told] == ["model_version.created", "model_version_alias.created"]
    assert told[0][1]["source"] == "mainspring:/tiny@1"
    assert told[1][1] == {"name": "tiny", "alias": "champion", "version": "1"}


def test_what_was_refused_is_not_told(workspace: Workspace, heard: Receiver) -> None:
    hook(workspace, heard.url)
    register_models(workspace, "a")
    api = Api(build_app(workspace))
    assert api.post("/api/2.0/mlflow/registered-models/create", json={"name": "a"}).status_code == 400
    tell_news(workspace, NOW)
    assert names(heard) == ["a"]


def test_a_webhook_that_is_down_is_told_later_in_order_and_keeps_nobody_waiting(
    workspace: Workspace, heard: Receiver
) -> None:
    hook(workspace, f"http://127.0.0.1:{closed_port()}/", name="down")
    hook(workspace, heard.url)
    register_models(workspace, "a", "b")
    tell_news(workspace, NOW)
    assert names(heard) == ["a", "b"]
    with workspace.database.read() as tx:
        assert tx.webhooks.waiting(NOW) == ()
        (waiting,) = tx.webhooks.waiting(NOW + timedelta(seconds=10))
    assert (waiting.webhook_id, waiting.attempts) == ("down", 1)
    assert waiting.error == "It could not be reached: ConnectionRefusedError."
    hook(workspace, heard.url, name="down")
    heard.came.clear()
    tell_news(workspace, NOW + MINUTE)
    assert names(heard) == ["a", "b"]


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_who_cannot_take_it_now_is_told_again_under_the_same_id(
    workspace: Workspace, heard: Receiver, status: int
) -> None:
    hook(workspace, heard.url)
    register_models(workspace, "a", "b")
    heard.statuses = [status]
    tell_news(workspace, NOW)
    assert names(heard) == ["a"]
    tell_news(workspace, NOW + MINUTE)
    assert names(heard) == ["a", "a", "b"]
    ids = [headers["x-mlflow-delivery-id"] for headers, _ in heard.came]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize("status", [400, 404, 410, 302])
def test_what_is_refused_for_good_is_not_told_again(
    workspace: Workspace, heard: Receiver, status: int
) -> None:
    hook(workspace, heard.url)
    register_models(workspace, "a", "b")
    heard.statuses = [status]
    tell_news(workspace, NOW)
    assert names(heard) == ["a", "b"]


def test_the_pauses_grow_and_have_an_end(workspace: Workspace) -> None:
    hook(workspace, f"http://127.0.0.1:{closed_port()}/")
    register_models(workspace, "a")
    now, pauses = NOW, []
    for _ in range(9):
        tell_news(workspace, now)
        again = now
        while True:
            again += timedelta(seconds=10)
            with workspace.database.read() as tx:
                if tx.webhooks.waiting(again):
                    break
        pauses.append((again - now).total_seconds())
        now = again
    assert pauses == [10, 20, 40, 80, 160, 320, 640, 900, 900]
    with workspace.database.write() as tx:
        (waiting,) = tx.webhooks.waiting(now)
        tx.webhooks.put_failed(waiting.delivery_id, attempts=299, retry_at=now, error="away")
    tell_news(workspace, now)
    with workspace.database.read() as tx:
        assert tx.webhooks.waiting(now + timedelta(days=9)) == ()


def test_who_is_killed_while_telling_has_it_told_by_the_next(workspace: Workspace, heard: Receiver) -> None:
    hook(workspace, heard.url)
    register_models(workspace, "a", "b")
    heard.statuses = [202, 0]  # the second is never answered
    root = workspace.settings.root
    teller = subprocess.Popen([sys.executable, "-m", "tests.sinks.tell_news", str(root)])
    try:
        assert heard.arrived.acquire(timeout=60)
        until = time.monotonic() + 20
        while heard.statuses and time.monotonic() < until:
            time.sleep(0.01)
        assert not heard.statuses, "the second was not sent"
        teller.send_signal(signal.SIGKILL)
    finally:
        teller.kill()
        teller.wait()
    tell_news(workspace, NOW)
    assert names(heard) == ["a", "b"]


def test_a_thread_tells_while_the_control_plane_runs(workspace: Workspace, heard: Receiver) -> None:
    hook(workspace, heard.url)
    with Background(workspace, "webhooks", lambda now: tell_news(workspace, now)):
        register_models(workspace, "a")
        assert heard.arrived.acquire(timeout=20)
    assert names(heard) == ["a"]


@contextmanager
def resolving(monkeypatch: pytest.MonkeyPatch, *answers: str) -> Iterator[list[str]]:
    """Answer for the network's name server, one answer after the other, and note who was connected to."""
    connected: list[str] = []
    given = iter(answers)

    def found(host: str, port: int, *_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(given), port))]

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        connected.append(address[0])
        raise ConnectionRefusedError

    with monkeypatch.context() as patched:
        patched.setattr(guarded.socket, "getaddrinfo", found)
        patched.setattr(guarded.socket, "create_connection", connect)
        yield connected


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1"])
def test_a_name_of_a_network_within_is_not_even_connected_to(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    with resolving(monkeypatch, address) as connected, pytest.raises(NotSent, match="webhook_hosts"):
        post_guarded("https://hooks.example.org/", b"", {}, anywhere=False, timeout_s=5)
    assert connected == []


def test_a_name_is_looked_up_once_so_that_a_second_answer_leads_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with resolving(monkeypatch, "1.1.1.1", "127.0.0.1") as connected, pytest.raises(NotSent):
        post_guarded("https://hooks.example.org/", b"", {}, anywhere=False, timeout_s=5)
    assert connected == ["1.1.1.1"]


def test_who_may_be_told_over_http_no_more_is_not_told(workspace: Workspace) -> None:
    hook(workspace, "http://hooks.example.org/")
    register_models(workspace, "a")
    tell_news(workspace, NOW)
    with workspace.database.read() as tx:
        (waiting,) = tx.webhooks.waiting(NOW + MINUTE)
    assert "over http" in waiting.error


@pytest.mark.parametrize(
    "host", ["127.1", "2130706433", "0x7f.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"]
)
def test_no_spelling_of_this_machine_is_told(host: str) -> None:
    with pytest.raises(NotSent):
        post_guarded(f"http://{host}:1/", b"", {}, anywhere=False, timeout_s=5)


def test_who_answers_slowly_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            link, _ = server.accept()
            with link:
                try:
                    while True:
                        link.sendall(b"H")
                        time.sleep(0.1)
                except OSError:
                    pass

        threading.Thread(target=drip, daemon=True).start()
        started = time.monotonic()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(NotSent, match=r"within 0\.5 seconds"):
            post_guarded(url, b"", {}, anywhere=True, timeout_s=0.5)
        assert time.monotonic() - started < 5


def test_a_certificate_that_is_not_the_hosts_is_refused(heard: Receiver) -> None:
    with pytest.raises(NotSent, match="SSL"):
        post_guarded(heard.url.replace("http:", "https:"), b"", {}, anywhere=True, timeout_s=5)
    assert heard.came == []


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for `localhost` with its key, which nobody has signed but itself."""
    file = tmp_path / "localhost.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    subprocess.run(
        [*command.split(), "-keyout", file, "-out", f"{file}.crt"], check=True, capture_output=True
    )
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


@pytest.mark.skipif(
    shutil.which("openssl") is None, reason="openssl, which makes the certificate, is not there"
)
def test_a_host_is_told_over_tls_if_its_certificate_is_of_its_name(
    monkeypatch: pytest.MonkeyPatch, certificate: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with receiver(context) as heard:
        url = heard.url.replace("http://127.0.0.1", "https://localhost")
        with pytest.raises(NotSent, match="SSLCertVerificationError"):
            post_guarded(url, b"{}", {}, anywhere=True, timeout_s=5)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert post_guarded(url, b"{}", {}, anywhere=True, timeout_s=5).status == 202
        with pytest.raises(NotSent, match="SSLCertVerificationError"):
            post_guarded(url.replace("localhost", "127.0.0.1"), b"{}", {}, anywhere=True, timeout_s=5)
    ((headers, content),) = heard.came
    assert (headers["host"], content) == (url.split("/")[2], b"{}")


@pytest.fixture
def api(workspace: Workspace) -> Api:
    return Api(build_app(workspace))


def created(api: Api, url: str, **fields: Any) -> Any:
    given = {"name": "hook", "url": url, "events": [{"entity": "MODEL_VERSION", "action": "CREATED"}]}
    return api.post(P, json=given | fields)


def test_a_webhook_is_made_changed_listed_and_deleted(api: Api, workspace: Workspace) -> None:
    made = created(api, "https://example.org/x", secret="whisper", description="d").json()["webhook"]
    assert made == {
        "webhook_id": made["webhook_id"],
        "name": "hook",
        "description": "d",
        "url": "https://example.org/x",
        "events": [{"entity": "MODEL_VERSION", "action": "CREATED"}],
        "status": "ACTIVE",
        "creation_timestamp": made["creation_timestamp"],
        "last_updated_timestamp": made["creation_timestamp"],
    }
    at = f"{P}/{made['webhook_id']}"
    assert api.get(at).json()["webhook"] == made
    changed = api("PATCH", at, json={"status": "DISABLED", "name": "other"}).json()["webhook"]
    assert (changed["status"], changed["name"], changed["url"]) == ("DISABLED", "other", made["url"])
    with workspace.database.read() as tx:
        assert tx.webhooks.get(made["webhook_id"]).secret == "whisper"
    api("PATCH", at, json={"secret": "", "description": ""})
    with workspace.database.read() as tx:
        assert tx.webhooks.get(made["webhook_id"]).secret == ""
    second = created(api, "https://example.org/y").json()["webhook"]
    page = api.get(P, params={"max_results": 1}).json()
    rest = api.get(P, params={"max_results": 1, "page_token": page["next_page_token"]}).json()
    assert [each["webhook_id"] for each in page["webhooks"] + rest["webhooks"]] == [
        second["webhook_id"],
        made["webhook_id"],
    ]
    assert api("DELETE", at).json() == {}
    for verb, sent in (("GET", {}), ("PATCH", {"json": {}}), ("DELETE", {})):
        assert api(verb, at, **sent).status_code == 404
    assert api.post(f"{at}/test", json={}).status_code == 404


def test_a_secret_is_told_to_nobody(api: Api, workspace: Workspace) -> None:
    made = created(api, "https://example.org/token/x?key=y", secret="whisper")
    at = f"{P}/{made.json()['webhook']['webhook_id']}"
    told = [
        made,
        api.get(at),
        api.get(P),
        api("PATCH", at, json={"secret": "whisper"}),
        api.get("/v1/events"),
    ]
    assert all("whisper" not in answer.text for answer in told)
    with workspace.database.read() as tx:
        kept = [entry for entry in tx.ledger.entries() if entry.type.startswith("webhook.")]
        assert "whisper" not in repr(tx.webhooks.page(limit=9, token=""))
    assert [entry.type for entry in kept] == ["webhook.created", "webhook.changed"]
    assert all("token" not in entry.data and '"host":"example.org"' in entry.data for entry in kept)


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "http://example.org/"},
        {"url": "https://169.254.169.254/latest"},
        {"url": "https://localhost/"},
        {"url": "nowhere"},
        {"name": "-"},
        {"events": []},
        {"events": [{"entity": "MODEL_VERSION", "action": "SET"}]},
        {"events": [{"entity": "CAT", "action": "SET"}]},
        {"status": "ASLEEP"},
    ],
)
def test_a_webhook_that_cannot_be_told_is_refused(api: Api, fields: dict[str, Any]) -> None:
    answer = created(api, fields.pop("url", "https://example.org/"), **fields)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert api.get(P).json() == {}


def test_a_test_sends_an_example_at_once(api: Api, heard: Receiver) -> None:
    made = created(api, heard.url, secret="whisper").json()["webhook"]
    at = f"{P}/{made['webhook_id']}/test"
    heard.statuses = [202, 500]
    assert api.post(at, json={}).json() == {
        "result": {"success": True, "response_status": 202, "response_body": ""}
    }
    failed = api.post(at, json={"event": {"entity": "PROMPT", "action": "CREATED"}}).json()["result"]
    assert failed == {"success": False, "response_status": 500, "response_body": ""}
    assert [each["data"]["name"] for each in heard.documents] == ["example_model", "example_prompt"]
    headers, content = heard.came[0]
    assert headers["x-mlflow-signature"] == signature(headers, content, "whisper")
    wrong = api.post(at, json={"event": {"entity": "CAT", "action": "CREATED"}})
    assert wrong.status_code == 400


def test_a_test_tells_why_nothing_could_be_sent(api: Api) -> None:
    made = created(api, f"http://127.0.0.1:{closed_port()}/").json()["webhook"]
    result = api.post(f"{P}/{made['webhook_id']}/test", json={}).json()["result"]
    assert result == {"success": False, "error_message": "It could not be reached: ConnectionRefusedError."}
