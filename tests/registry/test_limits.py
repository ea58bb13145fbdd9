"""What may be registered, and what a webhook may be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mainspring.fit import Unfit
from mainspring.registry.limits import check_alias, check_model_name, check_new_alias, check_tag, stage_of
from mainspring.registry.prompts import prompts_apart
from mainspring.registry.registered import Stage
from mainspring.registry.webhook import EVENTS, check_webhook, is_public
from mainspring.search import MODEL_VERSIONS, AllOf, Negation, parse_filter
from mainspring.testing.contracts import WebhookStoreContract

HOOK = WebhookStoreContract.first


@pytest.mark.parametrize("name", ["a", "A b", "ü-モデル.a", "a@b", "...", "n" * 256])
def test_a_name_is_taken(name: str) -> None:
    check_model_name(name)


@pytest.mark.parametrize("name", ["", "  ", "a/b", "a:b", ".", "..", "n" * 257, "a\0b"])
def test_a_name_is_refused(name: str) -> None:
    with pytest.raises(Unfit):
        check_model_name(name)


@pytest.mark.parametrize("alias", ["latest", "LATEST", "v1", "V22"])
def test_an_alias_that_reads_as_something_else_can_be_asked_for_and_not_set(alias: str) -> None:
    check_alias(alias)
    with pytest.raises(Unfit, match="reserved"):
        check_new_alias(alias)


@pytest.mark.parametrize("alias", ["champion", "v1a", "a_b-c", "ü", "1", "a" * 255])
def test_an_alias_is_taken(alias: str) -> None:
    check_new_alias(alias)


@pytest.mark.parametrize("alias", ["", "a b", "a/b", "a.b", "a\n", "a" * 256])
def test_an_alias_is_refused(alias: str) -> None:
    with pytest.raises(Unfit):
        check_alias(alias)


def test_a_tag_has_a_key_as_elsewhere_and_a_value_of_100_000_characters() -> None:
    check_tag("a.b/c d", "v" * 100_000)
    for key, value in (("a", "v" * 100_001), ("a,b", ""), ("../a", ""), ("k" * 251, ""), ("a", "\0")):
        with pytest.raises(Unfit):
            check_tag(key, value)


def test_a_stage_is_read_in_any_case() -> None:
    assert [stage_of(text) for text in ("none", "STAGING", "Production")] == [
        Stage.NONE,
        Stage.STAGING,
        Stage.PRODUCTION,
    ]
    with pytest.raises(Unfit, match="None, Staging, Production, Archived"):
        stage_of("nowhere")


PROMPT = "tags.`mlflow.prompt.is_prompt`"
WANTED = parse_filter(f"{PROMPT} = 'true'", MODEL_VERSIONS)


@pytest.mark.parametrize(
    "text", [f"{PROMPT} = 'true'", f"{PROMPT} != 'false'", f"name = 'a' AND {PROMPT} = 'TRUE'"]
)
def test_who_asks_for_prompts_finds_them(text: str) -> None:
    found = prompts_apart(parse_filter(text, MODEL_VERSIONS))
    assert found == WANTED or (isinstance(found, AllOf) and WANTED in found.parts)
    assert Negation(WANTED) not in getattr(found, "parts", ())


@pytest.mark.parametrize(
    "text", ["", "name = 'a'", f"{PROMPT} != 'true'", f"{PROMPT} = 'false'", f"NOT {PROMPT} = 'true'"]
)
def test_who_does_not_ask_for_prompts_finds_none(text: str) -> None:
    found = prompts_apart(parse_filter(text, MODEL_VERSIONS))
    assert isinstance(found, AllOf)
    assert found.parts[-1] == Negation(WANTED)


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "-a"},
        {"name": "a" * 64},
        {"name": ""},
        {"name": "a\n"},
        {"events": ()},
        {"events": ("model_version.set",)},
        {"url": ""},
        {"url": "https:///hook"},
        {"url": "https://example.org:0/"},
        {"url": "https://example.org:x/"},
        {"url": "https://[/"},
        {"url": "https://example.org/a b"},
        {"url": "http://example.org/"},
        {"url": "ftp://example.org/"},
        {"url": "file:///etc"},
        {"url": "https://ana:secret@example.org/"},
        {"url": "https://localhost/"},
        {"url": "https://127.0.0.1/"},
        {"url": "https://10.0.0.1/"},
        {"url": "https://169.254.169.254/"},
        {"url": "https://[::1]/"},
        {"url": "https://[::ffff:10.0.0.1]/"},
        {"url": "https://example.org/" + "a" * 2048},
        {"description": "d" * 5001},
        {"secret": "a\0b"},
    ],
)
def test_a_webhook_that_cannot_be_told_is_refused(changed: dict[str, object]) -> None:
    check_webhook(HOOK, unguarded="")
    with pytest.raises(Unfit):
        check_webhook(replace(HOOK, **changed), unguarded="")


def test_hosts_that_the_settings_name_may_be_told_without_tls_and_within() -> None:
    for url in ("http://127.0.0.1:8000/", "http://Hooks.internal/", "https://10.0.0.1/"):
        check_webhook(replace(HOOK, url=url), unguarded="127.0.0.1, hooks.internal,10.0.0.1")
        check_webhook(replace(HOOK, url=url), unguarded="*")
        with pytest.raises(Unfit):
            check_webhook(replace(HOOK, url=url), unguarded="hooks")
    with pytest.raises(Unfit):
        check_webhook(replace(HOOK, url="ftp://hooks.internal/"), unguarded="*")


def test_every_event_can_be_asked_for() -> None:
    check_webhook(replace(HOOK, events=tuple(EVENTS)), unguarded="")


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"])
def test_an_address_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1"),
        *("::ffff:127.0.0.1", "64:ff9b::10.0.0.1", "2002:7f00:1::", "2001:db8::1"),
    ],
)
def test_an_address_is_not_public(address: str) -> None:
    assert not is_public(address)
