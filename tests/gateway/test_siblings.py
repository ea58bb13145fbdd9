"""Several gateways at one port: a scrape tells of all that are alive, whichever of them answers it."""

from __future__ import annotations

import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.conftest import Process, Workspace, body, running, wait_until
from tests.gateway.test_http import SAMPLE

from mainspring.gateway.metrics import Metrics, merged

NAMES = ("gateway-0", "gateway-1")
SCRAPES = 12


def ask(gateway: Process, path: str = "/v2/health/live") -> httpx.Response:
    """Ask over a connection of its own, so that either gateway may answer."""
    return httpx.get(f"http://127.0.0.1:{gateway.port}{path}", timeout=30)


def who(gateway: Process) -> set[str]:
    return {ask(gateway).headers["mainspring-gateway"] for _ in range(20)}


@contextmanager
def two(workspace: Workspace) -> Iterator[tuple[Process, Process]]:
    with (
        running(workspace, f"--name={NAMES[0]}") as first,
        running(workspace, f"--name={NAMES[1]}", port=first.port) as second,
    ):
        wait_until(lambda: who(first) == set(NAMES))
        yield first, second


def scrape(gateway: Process) -> dict[str, float]:
    """Every sample of a scrape, which is checked to be one that Prometheus reads."""
    text = ask(gateway, "/metrics").text
    heads = [line for line in text.split("\n") if line.startswith("# ")]
    assert len(set(heads)) == len(heads), "each name is described once"
    samples = samples_of(text)
    assert all(SAMPLE.fullmatch(line) and 'gateway="' in line for line in samples)
    found = {name: float(value) for name, value in (line.rsplit(" ", 1) for line in samples)}
    assert len(found) == len(samples), "no series comes twice"
    return found


def gateways(samples: dict[str, float]) -> set[str]:
    """Who tells anything; who does not is down."""
    telling = {
        name
        for each in samples
        if not each.startswith("mainspring_gateway_up")
        for name in re.findall('gateway="([^"]*)"', each)
    }
    up = {name: value for each, value in samples.items() for name in re.findall(r'way_up\{.*"(.*)"\}', each)}
    assert telling == {name for name, value in up.items() if value == 1}
    return telling


def down(samples: dict[str, float]) -> list[str]:
    return [
        each for each, value in samples.items() if each.startswith("mainspring_gateway_up") and value == 0
    ]


def answered(samples: dict[str, float]) -> float:
    return sum(value for name, value in samples.items() if name.startswith("mainspring_requests_total"))


def test_every_scrape_counts_what_all_gateways_have_answered_and_never_goes_back(
    workspace: Workspace,
) -> None:
    with two(workspace) as (gateway, _):
        before: dict[str, float] = {}
        for sent in range(1, SCRAPES + 1):
            url = f"http://127.0.0.1:{gateway.port}/v2/models/late/infer"
            assert httpx.post(url, json=body(), timeout=30).status_code == 200
            samples = scrape(gateway)
            assert gateways(samples) == set(NAMES)
            assert answered(samples) == sent
            for name, value in before.items():
                assert "_total" not in name or samples[name] >= value, name
            before = samples
        per_gateway = {
            name: value for name, value in before.items() if name.startswith("mainspring_requests")
        }
        assert sum(per_gateway.values()) == SCRAPES


def test_one_that_was_killed_is_down_and_its_successor_counts_anew(workspace: Workspace) -> None:
    with two(workspace) as (first, second):
        second.end(signal.SIGKILL)
        samples = scrape(first)
        assert gateways(samples) == {NAMES[0]}
        assert down(samples) == [f'mainspring_gateway_up{{gateway="{NAMES[1]}"}}']
        with running(workspace, f"--name={NAMES[1]}", port=first.port) as again:
            wait_until(lambda: who(first) == set(NAMES))
            assert gateways(scrape(first)) == set(NAMES)
            assert again.end(signal.SIGTERM)[0] == 0
        samples = scrape(first)
        assert gateways(samples) == {NAMES[0]}
        assert not down(samples), "it has shut down in order"
        assert not (workspace.log / NAMES[1] / "metrics.address").exists()


def test_one_that_is_stuck_is_down(workspace: Workspace) -> None:
    with (
        running(workspace, f"--name={NAMES[0]}") as gateway,
        closing(socket.create_server(("127.0.0.1", 0))) as stuck,
    ):
        publish(workspace, f"{stuck.getsockname()[1]} f00")
        samples = scrape(gateway)
        assert gateways(samples) == {NAMES[0]}
        assert down(samples) == ['mainspring_gateway_up{gateway="gateway-7"}']


def publish(workspace: Workspace, address: str) -> None:
    file = workspace.log / "gateway-7" / "metrics.address"
    file.parent.mkdir(exist_ok=True)
    file.write_text(address)


@pytest.mark.parametrize("said", [b"", b"somebody else\n# HELP a b\n# TYPE a counter\na 1\n", b"\xff\n"])
def test_who_listens_by_chance_where_one_listened_before_it_died_is_not_taken_for_it(
    workspace: Workspace, said: bytes
) -> None:
    with (
        running(workspace, f"--name={NAMES[0]}") as gateway,
        closing(socket.create_server(("127.0.0.1", 0))) as stranger,
    ):
        publish(workspace, f"{stranger.getsockname()[1]} f00")

        def speak() -> None:
            connection, _ = stranger.accept()
            with connection:
                connection.sendall(said)

        thread = threading.Thread(target=speak)
        thread.start()
        assert gateways(scrape(gateway)) == {NAMES[0]}
        thread.join()
        for nonsense in ("", "x", "1 2 3", "99999999 f00"):
            publish(workspace, nonsense)
            assert gateways(scrape(gateway)) == {NAMES[0]}


def test_a_gateway_alone_tells_its_metrics_without_a_label(workspace: Workspace) -> None:
    with running(workspace) as gateway:
        assert "gateway=" not in ask(gateway, "/metrics").text
        assert [each.name for each in Path(workspace.log).glob("metrics*")] == []


labels = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


@given(st.dictionaries(labels, st.lists(st.tuples(labels, st.sampled_from([200, 400]))), max_size=3))
def test_merging_loses_no_sample_and_mixes_none_up(sent: dict[str, list[tuple[str, int]]]) -> None:
    texts, expected = {}, 0
    for gateway, requests in sent.items():
        metrics = Metrics()
        for product, status in requests:
            metrics.answered(product, status)
        texts[gateway] = "\n".join(metrics._lines(())) + "\n"
        expected += len(set(requests)) + 1  # that it is up
    told = samples_of(merged(texts))
    assert len(told) == expected
    assert sorted(told) == sorted(
        line for name, text in texts.items() for line in samples_of(merged({name: text}))
    )


def samples_of(text: str) -> list[str]:
    return [line for line in text.split("\n") if line and not line.startswith("# ")]
