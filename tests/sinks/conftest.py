"""A workspace whose monitors have spoken since its route was there, and receivers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.operate.tiny import train_first
from tests.operate.watching import live, moved
from tests.sinks.receiving import Mailbox, Receiver, mailbox, receiver

from mainspring.settings import Settings
from mainspring.sinks.alert import Alert, Message
from mainspring.sinks.deliver import deliver
from mainspring.sinks.route import Route, Stdout
from mainspring.workspace import Workspace, open_workspace

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
Open = Callable[..., Workspace]


def no_picture(workspace: Workspace, alarm_id: str) -> None:
    return None


def with_routes(root: Path, **routes: Route) -> Workspace:
    settings = replace(Settings.load(root, {}), alerts=routes, page_url="https://ml.example.org/")
    return open_workspace(root, settings)


@pytest.fixture(scope="session")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two routes are there, and then monitors speak."""
    folder = train_first(tmp_path_factory.mktemp("spoken") / "root")
    with with_routes(folder, ops=Stdout(), spare=Stdout()) as workspace:
        deliver(workspace, no_picture, NOW)
        assert live(workspace, range(1, 12), moved).keys() >= {"input_drift", "prediction_drift"}
    return folder


@pytest.fixture
def opened(spoken: Path, tmp_path: Path) -> Iterator[Open]:
    """Open a copy of that workspace with other routes of the same names."""
    root = Path(shutil.copytree(spoken, tmp_path / "root"))
    with ExitStack() as stack:
        yield lambda **routes: stack.enter_context(with_routes(root, **routes))


@pytest.fixture
def heard() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with mailbox() as made:
        yield made


def alert(number: int = 1, **changed: str) -> Alert:
    fields = {
        "event_id": f"{number:032x}",
        "type": "alarm.raised",
        "actor": "input_drift",
        "reason": "changed since about 2026-02-27: kind = '<!channel>' more often & more",
        "product": "tiny",
        "alarm_id": f"{number:012x}",
        "monitor": "input_drift",
        "state": "suspected",
        "advice": "Look at the blamed columns.",
        "url": f"https://ml.example.org/products/tiny/alarms/{number:012x}",
    }
    return Alert(at=NOW, version=1, **(fields | changed))


def message(*alerts: Alert, picture: str = "") -> Message:
    alerts = alerts or (alert(),)
    return Message(alerts=alerts, pictures={alerts[0].alarm_id: picture} if picture else {})
