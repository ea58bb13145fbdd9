"""The pages: what they show, how they are cached, and that nothing of the data can act in them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from tests.operate.tiny import ask, begin
from tests.products.tiny.orders import FIRST, orders, parquet
from tests.web.conftest import HOSTILE, Get

from mainspring.events import Event, EventType
from mainspring.operate import steer
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.ingest import ingest
from mainspring.operate.start_rollout import start_rollout
from mainspring.workspace import Workspace

PAGES = ("/", "/products/tiny", "/products/tiny/cycles/2", "/events", "/events?before=9", "/nowhere")
Of = Callable[[Workspace], Get]

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Parsed(HTMLParser):
    """A page as a browser reads it: its tags, its texts, and whether every tag is closed where it should be."""

    def __init__(self, page: httpx.Response) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(page.text)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes in self.tags if name == tag)


def test_one_product_is_the_first_page(workspace: Workspace, get: Of) -> None:
    page = get(workspace)("/")
    assert page.status_code == 200
    shown = Parsed(page)
    for words in (
        "tiny@1 serves since 2024-01-31 12:00",
        "tiny@2 with 20 % of the units",
        "300 labelled, 100 %",
        "number 2 is in progress",
        "passed all 3 checks",
        "tiny@2 takes over from tiny@1",
        "NoMoreErrors",
        "orders@v1",
        "Champion",
        "rolling out",
    ):
        assert words in shown.text, words
    assert {"now", "head", "work", "quality", "cycles", "alarms", "events"} <= {
        attributes["data-live"] for _, attributes in shown.tags if "data-live" in attributes
    }
    (current,) = (attributes for attributes in shown.all("li") if attributes.get("aria-current") == "step")
    assert current["class"] == "now"


def test_a_damaged_log_is_told_on_the_page(workspace: Workspace, get: Of) -> None:
    shutil.rmtree(workspace.logs / "gateway-0")
    ingest(workspace)
    shown = Parsed(get(workspace)("/products/tiny"))
    assert "mainspring log accept-loss gateway-0 --reason WHY" in shown.text
    assert [each["class"] for each in shown.all("section") if each.get("role") == "alert"] == ["bad"]
    assert "log.damaged" in shown.text.replace(" ", ".")


def test_an_estimate_that_cannot_be_made_says_why(workspace: Workspace, get: Of) -> None:
    shown = Parsed(get(workspace)("/products/tiny"))
    assert "No estimate of the log loss before labels: there are" in shown.text


def test_an_estimate_is_told_with_its_interval_and_its_assumption(tmp_path: Path, get: Of) -> None:
    with begin(tmp_path / "busy") as workspace:
        add_batch(workspace, "orders", parquet(orders(days=30, per_day=200)), actor="ada")
        turn(workspace)
        workspace.advance(FIRST + timedelta(days=30))
        ask(workspace, orders(FIRST + timedelta(days=30), days=1, per_day=300))
        ingest(workspace)
        workspace.advance(FIRST + timedelta(days=31))
        shown = Parsed(get(workspace)("/products/tiny"))
    assert "Estimated log loss, without labels: 0." in shown.text
    assert (
        "on 300 predictions of 2024-01-31 to 2024-01-31; measured on 300 labels of those days 0."
        in shown.text
    )
    assert "It holds if the same inputs have the same outcomes as on the hold-out" in shown.text


def test_quality_is_a_chart_with_a_tooltip_a_day(workspace: Workspace, get: Of) -> None:
    shown = Parsed(get(workspace)("/products/tiny"))
    assert [each["aria-label"] for each in shown.all("svg")].count("Log loss by day") == 2
    assert any(text.startswith("2024-02-02\nv1 0.") for text in shown.texts)


def test_the_story_of_a_cycle_has_its_steps_and_checks(workspace: Workspace, get: Of) -> None:
    shown = Parsed(get(workspace)("/products/tiny/cycles/2"))
    for words in ("params.rounds: 20 -> 25", "reused", "train.rounds=25", "roc_auc at least 0.6", "tiny@2"):
        assert words in shown.text, words


def test_a_cycle_that_only_rolls_out_shows_no_step_that_it_has_not(workspace: Workspace, get: Of) -> None:
    steer.abort(workspace, "tiny", actor="ada", reason="later")
    start_rollout(workspace, "tiny", [2], request_id="r1", actor="ada", reason="again")
    for path in ("/products/tiny", "/products/tiny/cycles/3"):
        shown = Parsed(get(workspace)(path))
        assert "Start Roll out Close" in shown.text
        assert "ada asked to roll out tiny@2: again" in shown.text


def test_events_are_paged_to_the_first(workspace: Workspace, get: Of) -> None:
    numbers: list[int] = []
    path: str | None = "/events"
    while path:
        shown = Parsed(get(workspace)(path))
        cells = [text for text in shown.texts if text.isdecimal()]
        numbers += [int(cell) for cell in cells]
        path = next((each["href"] for each in shown.all("a") if each.get("rel") == "next"), None)
    assert numbers == list(range(numbers[0], 0, -1))
    with workspace.database.write() as tx:
        for number in range(60):
            tx.ledger.append(
                Event(
                    type=EventType.TRIGGER_HELD,
                    subject="tiny",
                    at=workspace.clock.now(),
                    actor="loop",
                    reason=f"reason {number}",
                )
            )
    first = Parsed(get(workspace)("/events"))
    assert len(list(first.all("tr"))) == 51
    (older,) = (each["href"] for each in first.all("a") if each.get("rel") == "next")
    assert older
    assert "reason 9" in Parsed(get(workspace)(older)).text


@pytest.mark.parametrize("path", PAGES)
def test_nothing_of_the_data_can_act_in_a_page(path: str, workspace: Workspace, get: Of) -> None:
    page = get(workspace)(path)
    shown = Parsed(page)
    assert [each.get("src") for each in shown.all("script")] == ["/assets/live.js"]
    assert all(each["src"] == "/assets/icon.svg" for each in shown.all("img"))
    assert not [
        name
        for _, attributes in shown.tags
        for name in attributes
        if name.startswith("on") or name == "style"
    ]
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"


def test_hostile_words_are_shown_as_they_are(workspace: Workspace, get: Of) -> None:
    for path in ("/", "/products/tiny/cycles/2", "/events"):
        assert HOSTILE in "".join(Parsed(get(workspace)(path)).texts)
    for path in ("/%3Cscript%3Ealert(1)%3C/script%3E", "/products/%3Cb%3E", "/events?before=%3Cb%3E"):
        shown = Parsed(get(workspace)(path))
        assert len(list(shown.all("script"))) == 1
        assert not list(shown.all("b"))


@pytest.mark.parametrize("path", PAGES)
def test_every_link_and_asset_is_our_own_and_there(path: str, workspace: Workspace, get: Of) -> None:
    ask_for = get(workspace)
    shown = Parsed(ask_for(path))
    places = {
        place for _, attributes in shown.tags for name in ("href", "src") if (place := attributes.get(name))
    } - {"/v1/openapi.json"}
    for place in places:
        assert place.startswith("/")
        assert ask_for(place).status_code == 200, place


@pytest.mark.parametrize("path", [*PAGES[:-1], "/assets/style.css", "/assets/live.js", "/assets/icon.svg"])
def test_what_a_browser_has_is_not_sent_again(path: str, workspace: Workspace, get: Of) -> None:
    ask_for = get(workspace)
    first = ask_for(path)
    again = ask_for(path, if_none_match=f'"other", W/{first.headers["etag"]}')
    assert (again.status_code, again.content) == (304, b"")
    assert ask_for(path, if_none_match='"other"').status_code == 200


def test_a_page_that_has_changed_is_sent_again(workspace: Workspace, get: Of) -> None:
    ask_for = get(workspace)
    first = ask_for("/")
    with workspace.database.write() as tx:
        tx.ledger.append(
            Event(
                type=EventType.TRIGGER_HELD,
                subject="tiny",
                at=workspace.clock.now(),
                actor="loop",
                reason="the cool-down has not ended",
            )
        )
    again = ask_for("/", if_none_match=first.headers["etag"])
    assert again.status_code == 200
    assert "the cool-down has not ended" in again.text


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("/nowhere", 404, "There is no page at /nowhere."),
        ("/products/nope", 404, "No product named 'nope'. There are: tiny."),
        ("/products/tiny/cycles/9", 404, "No cycle"),
        ("/products/tiny/cycles/x", 404, "No cycle"),
        ("/products/tiny/deeper/still", 404, "There is no page"),
        ("/events?before=0", 400, "no number of an entry"),
        ("/events?before=99999999999999999999", 400, "no number of an entry"),
    ],
)
def test_what_is_not_there_is_told_in_a_page(
    path: str, code: int, words: str, workspace: Workspace, get: Of
) -> None:
    page = get(workspace)(path)
    assert page.status_code == code
    assert page.headers["content-type"].startswith("text/html")
    assert words in Parsed(page).text


def test_the_addresses_of_the_api_and_unknown_assets_are_no_pages(workspace: Workspace, get: Of) -> None:
    ask_for = get(workspace)
    assert not ask_for("/v1/nowhere").headers["content-type"].startswith("text/html")
    assert ask_for("/assets/../pages.py").status_code == 404
    assert ask_for("/assets/__init__.py").status_code == 404


def test_an_empty_workspace_says_how_to_begin(empty: Workspace, get: Of) -> None:
    ask_for = get(empty)
    page = ask_for("/")
    assert page.status_code == 200
    assert "mainspring data add" in Parsed(page).text
    assert "Nothing yet" in Parsed(ask_for("/events")).text


def test_a_product_before_its_first_data_has_a_page(empty: Workspace, workspace: Workspace, get: Of) -> None:
    with workspace.database.read() as tx:
        spec = workspace.specs(tx)["tiny"].to_json()
    with empty.database.write() as tx:
        tx.values.put("product:tiny", spec)
    shown = Parsed(get(empty)("/"))
    assert "No version serves yet" in shown.text
    assert "No label has come yet" in shown.text


def test_several_products_are_an_overview(workspace: Workspace, get: Of) -> None:
    with workspace.database.write() as tx:
        spec = workspace.specs(tx)["tiny"].to_json()
        tx.values.put("product:other", spec.replace('"name":"tiny"', '"name":"other"', 1))
    ask_for = get(workspace)
    shown = Parsed(ask_for("/"))
    assert {"/products/tiny", "/products/other"} <= {each["href"] for each in shown.all("a")}
    assert "none yet" in shown.text
    assert ask_for("/products/other").status_code == 200
