"""The page of an alarm: its figures, a chart of what changed, and a picture that stands by itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from msgspec import structs
from tests.operate.tiny import train_first
from tests.operate.watching import live, moved
from tests.web.conftest import Get
from tests.web.test_pages import Parsed

from mainspring.monitoring import Alarm
from mainspring.monitors import Staleness
from mainspring.operate.status import product_status
from mainspring.web.alarms import picture_of
from mainspring.workspace import Workspace, open_workspace


@pytest.fixture(scope="module")
def noticed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = train_first(tmp_path_factory.mktemp("noticed") / "root")
    with open_workspace(folder) as workspace:
        live(workspace, range(1, 6))
        live(workspace, range(6, 11), moved)
    return folder


@pytest.fixture
def alarmed(noticed: Path, tmp_path: Path) -> Iterator[Workspace]:
    with open_workspace(Path(shutil.copytree(noticed, tmp_path / "alarmed"))) as workspace:
        yield workspace


def drift(workspace: Workspace) -> Alarm:
    with workspace.database.read() as tx:
        return next(each for each in tx.monitoring.alarms("tiny") if each.monitor == "input_drift")


def test_the_page_of_an_alarm_says_what_it_saw_and_what_to_do(
    alarmed: Workspace, get: Callable[[Workspace], Get]
) -> None:
    alarm = drift(alarmed)
    address = f"/products/tiny/alarms/{alarm.alarm_id}"
    product = Parsed(get(alarmed)("/products/tiny"))
    assert address in [each["href"] for each in product.all("a")]
    assert "of 30" in product.text
    page = get(alarmed)(address)
    assert page.status_code == 200
    shown = Parsed(page)
    assert alarm.change is not None
    for words in (alarm.evidence, alarm.advice, str(alarm.change.since), "alarm.raised"):
        assert words in shown.text
    assert len(list(shown.all("svg"))) == 2


def test_the_page_of_the_budget_tells_what_is_spent_and_left_and_draws_it_by_day(
    alarmed: Workspace, get: Callable[[Workspace], Get]
) -> None:
    product = Parsed(get(alarmed)("/products/tiny"))
    assert "/products/tiny/alarm-budget" in [each["href"] for each in product.all("a")]
    page = get(alarmed)("/products/tiny/alarm-budget")
    assert page.status_code == 200
    shown = Parsed(page)
    rows = product_status(alarmed, "tiny").budget
    spent, left = (sum(getattr(row, name) for row in rows) for name in ("spent", "left"))
    assert (
        f"False alarms in 30 days: 1 declared, {spent:.4g} spent by looking, {left:.4g} left." in shown.text
    )
    for row in rows:
        assert f"{row.looks} of 30" in shown.text
        assert f"{row.spent:.4g}" in shown.text
    assert [each["aria-label"] for each in shown.all("svg")] == [
        "False alarms expected at most of the looks since the period began, by monitor"
    ] * 2
    assert f"/products/tiny/alarms/{drift(alarmed).alarm_id}" in [each["href"] for each in shown.all("a")]
    assert any("input_drift has spoken" in text for text in shown.texts)


def test_a_product_whose_monitors_do_not_bet_has_a_page_of_its_budget_without_a_chart(
    alarmed: Workspace, get: Callable[[Workspace], Get]
) -> None:
    for monitors, said in (
        ((Staleness("45d"),), "days: 0 declared, 0 spent"),
        ((), "No monitor is declared"),
    ):
        with alarmed.database.write() as tx:
            spec = structs.replace(alarmed.specs(tx)["tiny"], monitors=monitors)
            tx.values.put("product:tiny", spec.to_json())
        page = get(alarmed)("/products/tiny/alarm-budget")
        assert page.status_code == 200
        shown = Parsed(page)
        assert said in shown.text
        assert list(shown.all("svg")) == []
    assert get(alarmed)("/products/tony/alarm-budget").status_code == 404


def test_an_alarm_of_another_product_has_no_page_there(
    alarmed: Workspace, get: Callable[[Workspace], Get]
) -> None:
    for address in (f"/products/other/alarms/{drift(alarmed).alarm_id}", "/products/tiny/alarms/x"):
        assert get(alarmed)(address).status_code == 404


def test_the_picture_of_an_alarm_is_an_svg_document_with_its_style(alarmed: Workspace) -> None:
    drawn = picture_of(alarmed, drift(alarmed).alarm_id)
    assert drawn is not None
    picture = ElementTree.fromstring(drawn)
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    assert picture[0].tag.endswith("style")
    assert picture.attrib["width"] == "860"


def test_an_alarm_whose_tables_are_gone_has_a_page_without_a_chart(
    alarmed: Workspace, get: Callable[[Workspace], Get]
) -> None:
    alarm = drift(alarmed)
    assert alarm.grounds is not None
    alarmed.blobs.path(alarm.grounds).unlink()
    assert picture_of(alarmed, alarm.alarm_id) is None
    page = get(alarmed)(f"/products/tiny/alarms/{alarm.alarm_id}")
    assert page.status_code == 200
    assert list(Parsed(page).all("svg")) == []
