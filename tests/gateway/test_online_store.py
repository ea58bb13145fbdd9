"""Features of views that say so are looked up in the online store, as they would be in a snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.gateway.conftest import INPUTS, Process, Workspace, model, running
from tests.gateway.test_online import HOUR, NOW, PLANES, SEEN, TAILNUM, asked, scores

from mainspring.clock import time_text
from mainspring.features.online import snapshot_name
from mainspring.features.store import Row
from mainspring.monitoring.record import Fetched
from mainspring.rollouts.route import Route
from mainspring.stores.online import open_online

STORED = msgspec.structs.replace(PLANES, online="store")
NAME = snapshot_name(STORED)


def write(folder: Path, *rows: tuple[str, datetime, list[Any]]) -> None:
    store = open_online(f"sqlite:///{folder}/online.db")
    store.write(
        f"{NAME}:1",
        [Row(entity, at, at, tuple(values)) for entity, at, values in rows],
        NOW,
    )
    published = store.published(NAME)
    store.publish(NAME, f"{NAME}:1", published.version + 1 if published else 1, after=published)
    store.close()


def begun(folder: Path) -> Workspace:
    workspace = Workspace(folder)
    workspace.put_routes(
        Route(
            product="late",
            number=1,
            champion=workspace.add_version(1, model()),
            salt="rollout-1",
            inputs=INPUTS,
            online=(STORED,),
            entities=(TAILNUM,),
        )
    )
    return workspace


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, Process]]:
    workspace = begun(tmp_path_factory.mktemp("stored"))
    write(workspace.folder, *SEEN)
    with running(workspace, time_text(NOW)) as process:
        yield workspace, process


def test_while_the_store_is_away_callers_are_told_and_those_who_send_the_features_are_answered(
    tmp_path: Path,
) -> None:
    workspace = begun(tmp_path)
    (workspace.folder / "online.db").mkdir()
    with running(workspace, time_text(NOW)) as gateway:
        reply = gateway.infer(asked("N1", "N2"))
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
        told = reply.json()["error"]
        assert "The values of feature view planes cannot be looked up: The online store" in told
        assert "Send distance, holiday, or ask again in a moment." in told
        lines = gateway.client.get("/metrics").text.splitlines()
        assert 'mainspring_lookups_total{product="late",view="planes",status="STORE_AWAY"} 2' in lines
        assert gateway.client.get("/v2/health/ready").status_code == 200
        assert scores(gateway.infer(asked("N1", distance=[0.0], holiday=[False]))) == [0.5]
        # It is back, and empty: that is told as something else, and not taken for entities that are not there.
        (workspace.folder / "online.db").rmdir()
        reply = gateway.infer(asked("N1"))
        assert reply.status_code == 503
        assert "There are no values of feature view planes to look up yet" in reply.json()["error"]
        write(workspace.folder, *SEEN)
        assert gateway.infer(asked("N1")).status_code == 200


def test_what_is_found_is_used_and_logged_with_its_time_and_status(stored: tuple[Workspace, Process]) -> None:
    workspace, gateway = stored
    sent = gateway.infer({"inputs": {"hour": [7], "carrier": ["UA"], "distance": [500.0], "holiday": [True]}})
    found = scores(gateway.infer(asked("N1", "N2", "OLD", "NONE", "SOON", None)))
    assert found[:1] == scores(sent)
    assert workspace.predictions[-1].features == {
        "planes": Fetched(
            [NOW - HOUR, NOW - HOUR, NOW - 4 * HOUR, None, None, None],
            {
                "distance": [500.0, None, None, None, None, None],
                "holiday": [True, False, None, None, None, None],
            },
        )
    }
    lines = gateway.client.get("/metrics").text.splitlines()
    assert any('view="planes",status="OUTSIDE_MAX_AGE"} ' in line for line in lines)


def test_a_row_is_used_as_soon_as_it_is_written(stored: tuple[Workspace, Process]) -> None:
    workspace, gateway = stored
    before = scores(gateway.infer(asked("N7")))
    write(workspace.folder, ("N7", NOW, [900.0, True]))
    assert scores(gateway.infer(asked("N7"))) != before
