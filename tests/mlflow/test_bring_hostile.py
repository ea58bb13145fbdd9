"""A server that fails, dies, lies or attacks: what is good is brought, the rest is told, nothing else is touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.mlflow.foreign import API, ID, Foreign, experiment, filled, run, serving
from tests.operate.tiny import begin

from mainspring.operate.declare import declare
from mainspring.operate.free import free
from mainspring.operate.mlflow.bring import bring
from mainspring.operate.mlflow.server import MlflowServer, NoServer, ServerConfused, ServerUnreachable
from mainspring.operate.mlflow.tally import Moved
from mainspring.stores.artifact_path import ASIDE, ArtifactPath
from mainspring.workspace import Workspace, open_workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with begin(tmp_path / "root") as workspace:
        yield workspace


def brought(workspace: Workspace, uri: str) -> Moved:
    with MlflowServer.at(uri) as server:
        return bring(workspace, replace(server, waits_s=(0.0, 0.0)), actor="ada")


def files_of(workspace: Workspace) -> set[str]:
    root = workspace.artifacts.root
    found = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    return {path for path in found if not path.startswith(ASIDE)}


def counted(workspace: Workspace, run_id: str) -> int:
    with workspace.database.read() as tx:
        return len(tx.logged_runs.history(run_id, "m", limit=None, token="").items)


def test_a_fault_that_passes_is_waited_for(workspace: Workspace) -> None:
    foreign, failed = filled(), set[str]()

    def before(path: str, asked: dict[str, Any]) -> tuple[int, Any] | None:
        if path not in failed:
            failed.add(path)
            return 503, {"error_code": "TEMPORARILY_UNAVAILABLE"}
        return None

    foreign.before = before
    with serving(foreign) as uri:
        found = brought(workspace, uri)
    assert found.differences == []
    assert found.counts["runs"] == 3
    assert len(failed) > 5


def test_what_fails_for_good_is_told_and_brought_later(workspace: Workspace) -> None:
    foreign = filled()
    foreign.before = lambda path, asked: (
        (500, {"message": "no disk"}) if (path, asked.get("path")) == ("/get-artifact", "a.bin") else None
    )
    with serving(foreign) as uri:
        found = brought(workspace, uri)
        assert len(found.differences) == 3
        assert all("'a.bin' was not brought" in told and "no disk" in told for told in found.differences)
        assert len(files_of(workspace)) == 3
        foreign.before = lambda path, asked: None
        assert brought(workspace, uri).differences == []
    assert len(files_of(workspace)) == 6


def test_a_server_that_dies_midway_is_gone_on_with(workspace: Workspace) -> None:
    foreign = filled(20)

    def before(path: str, asked: dict[str, Any]) -> None:
        if foreign.asked["/get-artifact"] > 15:
            raise ConnectionError

    foreign.before = before  # type: ignore[assignment]
    with serving(foreign) as uri:
        with pytest.raises(ServerUnreachable, match="goes on where it was"):
            brought(workspace, uri)
        received = foreign.asked["/get-artifact"]
        foreign.before = lambda path, asked: None
        found = brought(workspace, uri)
        assert foreign.asked["/get-artifact"] < 40 + 20, "what was received is asked for again"
    assert received > 10
    assert found.differences == []
    assert (found.counts["runs"], found.counts["files"], found.counts["points"]) == (20, 40, 60)


@pytest.mark.slow
def test_an_import_that_is_killed_is_gone_on_with_and_doubles_nothing(tmp_path: Path) -> None:
    foreign = filled(60)
    foreign.before = lambda path, asked: time.sleep(0.01)  # type: ignore[func-returns-value]
    root = tmp_path / "root"
    with begin(root) as workspace:
        journals = workspace.settings.state / "imports"
    with serving(foreign) as uri:
        command = [sys.executable, "-m", "mainspring.cli.main", "import", "mlflow", uri, "--root", str(root)]
        for lines in (5, 60, 120):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            while (
                process.poll() is None
                and sum(len(f.read_bytes().splitlines()) for f in journals.glob("*")) < lines
            ):
                time.sleep(0.005)
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    # Of what was under way at a kill, a little is asked for twice.
    assert foreign.asked["/get-artifact"] < 120 + 3 * 30
    with open_workspace(root) as workspace:
        assert len(files_of(workspace)) == 120
        assert all(counted(workspace, ID(number)) == 3 for number in range(1, 61))
        assert (
            workspace.artifacts.root.joinpath("7", ID(60), "artifacts", "a.bin").read_bytes()
            == b"\x3c" * 100_000
        )


def test_a_file_that_comes_damaged_is_not_kept(workspace: Workspace) -> None:
    foreign = filled(1)
    foreign.listed[ID(1)] = [{"path": "a.bin", "file_size": 100_001}, {"path": "b.txt", "file_size": 1}]
    with serving(foreign) as uri:
        found = brought(workspace, uri)
    assert ["100,001 bytes, and 100,000 came" in told for told in found.differences] == [True]
    assert files_of(workspace) == {f"7/{ID(1)}/artifacts/b.txt"}


def test_a_file_that_is_damaged_here_is_brought_again(workspace: Workspace) -> None:
    foreign = filled(1)
    with serving(foreign) as uri:
        brought(workspace, uri)
        kept = workspace.artifacts.root / "7" / ID(1) / "artifacts" / "a.bin"
        kept.write_bytes(b"x" * 100_000)
        assert brought(workspace, uri).differences == []
    assert kept.read_bytes() == b"\x01" * 100_000


def test_a_file_more_here_is_a_difference(workspace: Workspace) -> None:
    with serving(filled(1)) as uri:
        brought(workspace, uri)
        with workspace.artifacts.writing(ArtifactPath.parse(f"7/{ID(1)}/artifacts/more/c")) as file:
            file.write(b"c")
            file.keep()
        (told,) = brought(workspace, uri).differences
    assert "'more/c' is here, and was not there" in told


@pytest.mark.parametrize(
    "path",
    [
        "../../../../escaped",
        "/escaped",
        "..%2f..%2f..%2f..%2fescaped",
        "%252e%252e/%252e%252e/escaped",
        "a/../../../../../escaped",
        "..\\..\\escaped",
        "c:/escaped",
        "x/" * 200 + "escaped",
        "n" * 300,
        ".mainspring-uploads/escaped",
        "",
        "in a folder/that was not listed",
    ],
)
def test_no_path_of_a_server_leads_out_of_a_runs_folder(
    path: str, workspace: Workspace, tmp_path: Path
) -> None:
    foreign = filled(1)
    foreign.files[ID(1)][path] = b"bad"
    before = set(tmp_path.rglob("*escaped*"))
    with serving(foreign) as uri:
        found = brought(workspace, uri)
    assert len(found.differences) == 1
    assert files_of(workspace) == {f"7/{ID(1)}/artifacts/a.bin", f"7/{ID(1)}/artifacts/b.txt"}
    assert set(tmp_path.rglob("*escaped*")) == before


def test_two_spellings_of_one_path_are_told(workspace: Workspace) -> None:
    foreign = filled(1)
    foreign.files[ID(1)] = {"a b": b"1", "a%20b": b"2"}
    with serving(foreign) as uri:
        (told,) = brought(workspace, uri).differences
    assert "another has the same path" in told


@pytest.mark.parametrize(
    "bad",
    [
        run("../../escaped"),
        run("a/b"),
        run(""),
        run(1, start_time=2**70),
        run(1, start_time=-5),
        run(1, status="DANCING"),
        run(1, lifecycle_stage="undead"),
        {"info": 7},
        "no run at all",
        None,
    ],
)
def test_a_run_that_cannot_be_is_told_and_the_others_are_brought(bad: Any, workspace: Workspace) -> None:
    foreign = filled(3)
    foreign.runs[0] = bad
    with serving(foreign) as uri:
        found = brought(workspace, uri)
    assert found.differences
    with workspace.database.read() as tx:
        assert [tx.logged_runs.get(ID(number)).params["p"] for number in (2, 3)] == ["2", "3"]


def test_entries_that_cannot_be_kept_are_told_and_the_others_are_brought(workspace: Workspace) -> None:
    foreign = filled(1)
    foreign.runs = [
        run(1, params={"ok": "1", "../p": "2", "q" * 300: "3"}, tags={"nul": "a\0b", "fine": "4"})
    ]
    foreign.history[ID(1), "m"].append({"key": "m", "value": 1.0, "timestamp": 2**70, "step": 0})
    with serving(foreign) as uri:
        found = brought(workspace, uri)
    assert len(found.differences) >= 6
    with workspace.database.read() as tx:
        kept = tx.logged_runs.get(ID(1))
    assert (dict(kept.params), dict(kept.tags)) == ({"ok": "1"}, {"fine": "4"})
    assert counted(workspace, ID(1)) == 3


def test_a_point_that_is_told_twice_is_one(workspace: Workspace) -> None:
    foreign = filled(1)
    foreign.history[ID(1), "m"] *= 2
    with serving(foreign) as uri:
        found = brought(workspace, uri)
    assert found.differences == []
    assert found.counts["points"] == 3


def test_a_run_of_ours_is_not_overwritten_by_one_of_its_id(workspace: Workspace) -> None:
    with serving(filled(1)) as uri:
        brought(workspace, uri)
    foreign = Foreign(
        runs=[run(1, params={"p": "stolen"}, experiment_id="8")], experiments=[experiment(8, "others")]
    )
    with serving(foreign) as uri:
        found = brought(workspace, uri)
    assert any("another run has its id here" in told for told in found.differences)
    with workspace.database.read() as tx:
        kept = tx.logged_runs.get(ID(1))
    assert (kept.params["p"], kept.experiment_id) == ("1", 7)


def test_an_experiments_id_that_is_taken_becomes_the_next(workspace: Workspace) -> None:
    with workspace.database.write() as tx:
        for number in range(1, 9):
            tx.experiments.add(f"ours {number}", None, {}, 1)
    with serving(filled(1)) as uri:
        assert brought(workspace, uri).differences == []
        assert brought(workspace, uri).differences == []
    with workspace.database.read() as tx:
        theirs = tx.experiments.named("theirs")
        assert (theirs.experiment_id, theirs.artifact_location) == (9, "mlflow-artifacts:/9")
        assert tx.logged_runs.get(ID(1)).artifact_uri == f"mlflow-artifacts:/9/{ID(1)}/artifacts"
    assert files_of(workspace) == {f"9/{ID(1)}/artifacts/a.bin", f"9/{ID(1)}/artifacts/b.txt"}


def test_what_has_changed_there_since_is_taken_over(workspace: Workspace) -> None:
    foreign = filled(1)
    foreign.runs = [run(1, status="RUNNING", end_time=0, tags={"a": "1"})]
    with serving(foreign) as uri:
        brought(workspace, uri)
        foreign.runs = [run(1, tags={"a": "2", "b": "3"})]
        assert brought(workspace, uri).differences == []
    with workspace.database.read() as tx:
        kept = tx.logged_runs.get(ID(1))
    assert (kept.status.value, kept.ended_ms, dict(kept.tags)) == ("FINISHED", 2_000, {"a": "2", "b": "3"})


def version(name: str, number: object, source: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "version": str(number), "source": source, "current_stage": "None"} | fields


def test_models_that_cannot_be_are_told_and_the_others_are_brought(workspace: Workspace) -> None:
    foreign = filled(1)
    foreign.models = [
        {
            "name": "good",
            "aliases": [{"alias": "champion", "version": "1"}, {"alias": "latest", "version": "1"}],
        },
        {"name": "a/b"},
        {"name": "tiny"},
        {"name": ""},
        {"nothing": 1},
    ]
    within = f"mlflow-artifacts:/7/{ID(1)}/artifacts/model"
    foreign.versions = [
        version("good", 1, within, run_id=ID(1)),
        version("good", 2, "mlflow-artifacts:/7/../../secret", run_id=ID(1)),
        version("good", 3, "mlflow-artifacts:/0/of another/artifacts", run_id=ID(1)),
        version("good", 0, within),
        version("good", 2**40, within),
        version("good", 4, within, run_id=ID(1), current_stage="Backstage"),
        version("good", 5, "dbfs:/models/x"),
    ]
    with serving(foreign) as uri:
        found = brought(workspace, uri)
        again = brought(workspace, uri)
    assert sorted(again.differences) == sorted(found.differences)
    told = "\n".join(found.differences)
    for said in ("'a/b'", "'tiny': it was not brought: a product here", "'latest'", "good@2 was not brought"):
        assert said in told
    with workspace.database.read() as tx:
        places = {number: tx.registered_versions.get("good", number).location for number in (1, 3, 5)}
        assert tx.registered_models.get("good").aliases == {"champion": 1}
        assert not tx.registered_models.get("tiny").aliases
    assert places == {
        1: within,
        3: f"{uri}/api/2.0/mlflow-artifacts/artifacts/0/of another/artifacts",
        5: "dbfs:/models/x",
    }


def test_pages_that_go_round_in_a_circle_end(workspace: Workspace) -> None:
    foreign = filled(1)
    foreign.before = lambda path, asked: (
        (200, {"experiments": [], "next_page_token": "again"})
        if path == f"{API}/experiments/search"
        else None
    )
    with serving(foreign) as uri, pytest.raises(ServerConfused, match="circle"):
        brought(workspace, uri)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"experiments": 7}', b"[" * 100_000])
def test_what_is_no_mlflow_server_is_told(body: bytes, workspace: Workspace) -> None:
    foreign = Foreign(before=lambda path, asked: (200, body))
    with serving(foreign) as uri, pytest.raises(ServerConfused, match="MLflow tracking server"):
        brought(workspace, uri)


@pytest.mark.parametrize("uri", ["sqlite:///mlflow.db", "./mlruns", "databricks", "http://", "ftp://x", ""])
def test_an_address_of_a_store_is_no_server(uri: str) -> None:
    with pytest.raises(NoServer, match="begins with http"):
        MlflowServer.at(uri)


def test_a_password_is_not_told(workspace: Workspace) -> None:
    with serving(filled(1)) as uri:
        found = brought(workspace, uri.replace("http://", "http://ada:secret@"))
    assert "secret" not in found.url
    journals = list((workspace.settings.state / "imports").iterdir())
    assert all("secret" not in journal.read_text() for journal in journals)


@pytest.mark.server("postgresql")
def test_on_postgresql_all_is_brought_and_freed_as_well(postgresql_url: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    begin(root).close()
    with (root / "mainspring.toml").open("a") as file:
        file.write(f'database = "{postgresql_url}"\n')
    foreign = filled(5)
    foreign.experiments = [
        experiment(912_345_678_901_234_567, "huge"),
        experiment(7, "theirs", lifecycle_stage="deleted"),
    ]
    foreign.models = [{"name": "good", "aliases": [{"alias": "champion", "version": "1"}]}]
    foreign.versions = [version("good", 1, f"mlflow-artifacts:/7/{ID(1)}/artifacts/b.txt", run_id=ID(1))]
    with open_workspace(root) as workspace:
        declare(workspace, actor="test")
        with serving(foreign) as uri:
            assert brought(workspace, uri).differences == []
            assert brought(workspace, uri).differences == []
        with workspace.database.write() as tx:
            assert tx.experiments.add("ours", None, {}, 1).experiment_id == 8
        gone = free(workspace, older_than=timedelta(0), actor="ada")
        assert {(each.key, each.files, each.stays) for each in gone} == {
            (ID(1), 1, True),
            *((ID(number), 2, False) for number in range(2, 6)),
        }
        assert files_of(workspace) == {f"7/{ID(1)}/artifacts/b.txt"}
