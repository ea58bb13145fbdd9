"""The page of lineage."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import pytest
from tests.web.conftest import HOSTILE, Get
from tests.web.test_pages import Parsed

from mainspring.operate.asking import Asking
from mainspring.operate.cards import edit_card
from mainspring.operate.log_runs import NewRun, create_experiment, create_run, log_read
from mainspring.operate.register_models import create_model, create_version
from mainspring.operate.version_origins import NewVersion
from mainspring.ref import ModelRef
from mainspring.tracking.record import Dataset, DatasetInput
from mainspring.workspace import Workspace

Of = Callable[[Workspace], Get]


@pytest.mark.parametrize("ref", ["tiny@1", "tiny@champion", "orders@v1"])
def test_a_page_tells_both_directions_and_what_stands_on_it(workspace: Workspace, get: Of, ref: str) -> None:
    reply = get(workspace)(f"/lineage?ref={quote(ref)}")
    page = Parsed(reply)
    assert reply.status_code == 200
    links = {each.get("href") for each in page.all("a")}
    assert {"/lineage?ref=tiny%401", "/products/tiny"} <= links
    assert "/lineage?ref=orders%40v1" in links or ref == "orders@v1"
    assert "What it came from" in page.texts
    assert len(list(page.all("script"))) == 1  # that of every page, without which it can be read


def test_every_ref_on_a_page_has_a_page(workspace: Workspace, get: Of) -> None:
    for start in ("/lineage?ref=tiny%401", "/", "/products/tiny/cycles/1"):
        for link in {str(each.get("href")) for each in Parsed(get(workspace)(start)).all("a")}:
            if link.startswith(("/lineage", "/experiments/", "/products/")):
                assert get(workspace)(link).status_code == 200, link


def test_a_ref_of_nothing_has_no_page(workspace: Workspace, get: Of) -> None:
    for ref in ("", "nothing", HOSTILE, "orders@v99", "\0"):
        reply = get(workspace)(f"/lineage?ref={quote(ref)}")
        assert reply.status_code == 404
        Parsed(reply)
        assert "<script>alert" not in reply.text


def test_what_clients_wrote_is_text_and_nothing_else(empty: Workspace, get: Of) -> None:
    with empty.database.write() as tx:
        home = create_experiment(tx, "e", "", {}, 5).experiment_id
        tags = {"mlflow.source.git.commit": HOSTILE, "mlflow.source.name": HOSTILE}
        run = create_run(
            tx, NewRun(experiment_id=home, name=HOSTILE, started_ms=1, user_id=HOSTILE, tags=tags)
        )
        given = Dataset(name=HOSTILE, digest=HOSTILE[:36], source_type=HOSTILE, source="{}")
        log_read(tx, run.run_id, [DatasetInput(dataset=given)], [])
        name = HOSTILE.replace("/", "").replace(":", "")
        create_model(tx, name, "", {}, Asking("ana", 5))
        asked = NewVersion(name=name, source=f"runs:/{run.run_id}/m", run_id=run.run_id, description=HOSTILE)
        create_version(tx, asked, Asking("ana", 5))
    for ref in (run.run_id, f"{name}@1"):
        page = Parsed(get(empty)(f"/lineage?ref={quote(ref, safe='')}"))
        assert HOSTILE in page.texts
        assert len(list(page.all("script"))) == 1
        assert [each.get("src") for each in page.all("img")] == ["/assets/icon.svg"]


def test_a_runs_page_leads_to_its_lineage(workspace: Workspace, get: Of) -> None:
    with workspace.database.read() as tx:
        run = tx.runs.runs()[-1]
        home = tx.logged_runs.bare(run.run_id).experiment_id
    page = Parsed(get(workspace)(f"/experiments/{home}/runs/{run.run_id}"))
    assert f"/lineage?ref={run.run_id}" in {each.get("href") for each in page.all("a")}


def test_who_served_when_is_told_on_a_page(workspace: Workspace, get: Of) -> None:
    page = Parsed(get(workspace)("/models/tiny"))
    assert "tiny@2" in page.text
    assert "20 %" in page.text.replace("\N{NO-BREAK SPACE}", " ")
    then = Parsed(get(workspace)("/models/tiny?at=2024-01-31T12:30"))
    assert "As of 2024-01-31T12:30" in then.text
    for day in ("2024-01-31", "2024-01-30 10:00", "2024-02-01T00:00:00-05:00"):
        assert f"As of {day}" in Parsed(get(workspace)(f"/models/tiny?at={quote(day)}")).text
    for wrong in ("soon", HOSTILE, "2999-01-01", "\0"):
        reply = get(workspace)(f"/models/tiny?at={quote(wrong)}")
        assert reply.status_code == 200
        assert "Now" in Parsed(reply).texts
        assert "<script>alert" not in reply.text
    assert get(workspace)(f"/models/{quote(HOSTILE, safe='')}").status_code == 404


def test_a_card_is_shown_with_its_history_as_text(workspace: Workspace, get: Of) -> None:
    path = "/models/tiny/versions/1"
    assert "As it was declared." in Parsed(get(workspace)(path)).text
    words = f"## Limits\n\n{HOSTILE} [x](javascript:alert(1))"
    edit_card(workspace, ModelRef("tiny", 1), words, actor=HOSTILE, reason=HOSTILE)
    edit_card(workspace, ModelRef("tiny", 1), "better", actor="ada", reason="too hostile")
    reply = get(workspace)(path)
    page = Parsed(reply)
    assert words in page.texts
    assert "too hostile" in page.text
    assert len(list(page.all("script"))) == 1
    assert [each.get("src") for each in page.all("img")] == ["/assets/icon.svg"]
    assert not [each for each in page.all("a") if str(each.get("href")).startswith("javascript")]
    assert get(workspace)("/models/tiny/versions/champion").status_code == 200
    for wrong in ("9", "x y", quote(HOSTILE, safe="")):
        assert get(workspace)(f"/models/tiny/versions/{wrong}").status_code in (400, 404)
