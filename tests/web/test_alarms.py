"""The page of an alarm: its figures, a chart of what changed, and a picture that stands by itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests.operate.tiny import train_first
from tests.operate.watching import live, moved
from tests.web.conftest import Get
from tests.web.test_pages import Parsed

from mainspring.monitoring import Alarm
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
