"""What was deleted a while ago goes with its files; what somebody refers to stays, whatever comes between."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.operate.tiny import begin

from mainspring.governance import verify
from mainspring.operate.asking import Asking
from mainspring.operate.free import Freed, free
from mainspring.operate.log_runs import (
    NewRun,
    create_experiment,
    create_logged_model,
    create_run,
    delete_logged_model,
    log,
    log_given,
    log_read,
    turn_experiment,
    turn_run,
)
from mainspring.operate.register_models import (
    create_model,
    create_version,
    delete_model,
    delete_version,
    point_alias,
    rename_model,
)
from mainspring.operate.version_origins import NewVersion
from mainspring.search import REGISTERED_MODELS, Search, parse_filter
from mainspring.stores.artifact_path import ASIDE, ArtifactPath
from mainspring.tracking.record import Dataset, DatasetInput, Lifecycle, Metric, ModelOutput
from mainspring.tracking.store import ExperimentNotFound, LoggedModelNotFound, RunNotFound
from mainspring.workspace import Workspace, open_workspace

MONTH = timedelta(days=30)


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with begin(tmp_path / "root") as workspace:
        yield workspace


def now_ms(workspace: Workspace) -> int:
    return int(workspace.clock.now().timestamp() * 1000)


def asking(workspace: Workspace) -> Asking:
    return Asking("ada", now_ms(workspace))


def later(workspace: Workspace, days: int = 31) -> None:
    """Let time pass, also for what lies on the disk."""
    workspace.advance(workspace.clock.now() + timedelta(days=days))
    long_ago = (datetime.now(UTC) - timedelta(days=days)).timestamp()
    for path in workspace.artifacts.root.rglob("*"):
        os.utime(path, (long_ago, long_ago))


def put(workspace: Workspace, uri: str, name: str, size: int = 100) -> None:
    path = ArtifactPath.parse(f"{uri.removeprefix('mlflow-artifacts:/')}/{name}")
    with workspace.artifacts.writing(path) as file:
        file.write(b"x" * size)
        file.keep()


def a_run(
    workspace: Workspace, experiment: int = 0, *, files: tuple[str, ...] = ("model/MLmodel", "checkpoint")
) -> str:
    with workspace.database.write() as tx:
        run = create_run(tx, NewRun(experiment_id=experiment, started_ms=1, tags={"t": "1"}))
        log(tx, run.run_id, [Metric(key="m", value=1.0, timestamp_ms=1)], [("p", "1")])
    for name in files:
        put(workspace, run.artifact_uri, name)
    return run.run_id


def a_version(workspace: Workspace, run_id: str, name: str = "served", source: str = "") -> int:
    with workspace.database.write() as tx:
        uri = tx.logged_runs.bare(run_id).artifact_uri
        if not tx.registered_models.search(_named(name)).items:
            create_model(tx, name, "", {}, asking(workspace))
        asked = NewVersion(name=name, source=source or f"{uri}/model", run_id=run_id)
        return create_version(tx, asked, asking(workspace)).number


def _named(name: str) -> Search:
    return Search(condition=parse_filter(f"name = '{name}'", REGISTERED_MODELS), limit=1)


def delete(workspace: Workspace, *run_ids: str) -> None:
    with workspace.database.write() as tx:
        for run_id in run_ids:
            turn_run(tx, run_id, Lifecycle.DELETED, now_ms(workspace))


def files(workspace: Workspace) -> set[str]:
    root = workspace.artifacts.root
    found = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    return {re.sub("[0-9a-f]{32}", "…", path) for path in found}


def freed(workspace: Workspace, **asked: bool) -> tuple[Freed, ...]:
    return free(workspace, older_than=MONTH, actor="ada", **asked)


def events(workspace: Workspace) -> list[tuple[str, str]]:
    with workspace.database.read() as tx:
        assert verify(tx.ledger.entries()).sound
        return [(each.type, each.data) for each in tx.ledger.entries() if each.type == "storage.freed"]


def test_a_deleted_run_goes_after_a_while_and_no_other(workspace: Workspace) -> None:
    old, new, live = a_run(workspace), a_run(workspace), a_run(workspace)
    delete(workspace, old)
    later(workspace)
    delete(workspace, new)
    told = freed(workspace, dry_run=True)
    assert [(each.key, each.files, each.size) for each in told] == [(old, 2, 200)]
    assert len(files(workspace)) == 2
    assert events(workspace) == []
    assert freed(workspace) == told
    assert not (workspace.artifacts.root / "0" / old).exists()
    with workspace.database.read() as tx:
        with pytest.raises(RunNotFound):
            tx.logged_runs.bare(old)
        assert tx.logged_runs.history(old, "m", limit=None, token="").items == ()
        assert {tx.logged_runs.get(each).params["p"] for each in (new, live)} == {"1"}
    ((_, data),) = events(workspace)
    assert '"bytes":200' in data
    assert old in data
    assert freed(workspace) == ()
    assert len(events(workspace)) == 1


def test_a_run_that_is_restored_is_not_old_when_it_is_deleted_again(workspace: Workspace) -> None:
    run = a_run(workspace)
    delete(workspace, run)
    later(workspace)
    with workspace.database.write() as tx:
        turn_run(tx, run, Lifecycle.ACTIVE, now_ms(workspace))
    assert freed(workspace) == ()
    delete(workspace, run)
    assert freed(workspace) == ()
    later(workspace)
    assert len(freed(workspace)) == 1


@pytest.mark.parametrize("source", ["", "runs:/{run}/model"])
def test_files_that_a_version_names_stay_and_the_rest_of_its_run_goes(
    source: str, workspace: Workspace
) -> None:
    run = a_run(workspace)
    number = a_version(workspace, run, source=source.format(run=run))
    with workspace.database.write() as tx:
        point_alias(tx, "served", "champion", number, asking(workspace))
    delete(workspace, run)
    later(workspace)
    (told,) = freed(workspace)
    assert (told.stays, told.files, told.size) == (True, 1, 100)
    assert files(workspace) == {"0/…/artifacts/model/MLmodel"}
    with workspace.database.read() as tx:
        assert tx.logged_runs.get(run).params == {"p": "1"}
    assert freed(workspace) == ()


@pytest.mark.parametrize("how", ["version", "model", "renamed model"])
def test_files_of_a_deleted_version_stay_for_a_while(how: str, workspace: Workspace) -> None:
    run = a_run(workspace, files=("model/MLmodel",))
    number = a_version(workspace, run)
    delete(workspace, run)
    later(workspace)
    with workspace.database.write() as tx:
        match how:
            case "version":
                delete_version(tx, "served", number, asking(workspace))
            case "model":
                delete_model(tx, "served", asking(workspace))
            case "renamed model":
                rename_model(tx, "served", "other", asking(workspace))
                delete_model(tx, "other", asking(workspace))
    later(workspace, days=10)
    assert freed(workspace) == ()
    assert len(files(workspace)) == 1
    later(workspace, days=21)
    assert [each.size for each in freed(workspace)] == [100]
    assert files(workspace) == set()


def test_an_experiment_goes_with_all_that_is_in_it(workspace: Workspace) -> None:
    with workspace.database.write() as tx:
        gone = create_experiment(tx, "gone", "", {"a": "b"}, now_ms(workspace)).experiment_id
    run = a_run(workspace, gone)
    read = DatasetInput(
        dataset=Dataset(name="d", digest="1", source_type="local", source="x"), tags={"a": "b"}
    )
    with workspace.database.write() as tx:
        model = create_logged_model(
            tx, gone, name="m", model_type="", source_run_id=run, params={"a": "b"}, tags={"c": "d"}, now_ms=1
        )
        log_read(tx, run, [read], [model.model_id])
        log_given(tx, run, [ModelOutput(model_id=model.model_id)])
        turn_experiment(tx, gone, Lifecycle.DELETED, now_ms(workspace))
    put(workspace, model.artifact_uri, "MLmodel")
    put(workspace, f"mlflow-artifacts:/{gone}", "something else", 7)
    later(workspace)
    told = freed(workspace)
    assert [each.what for each in told] == ["run", "logged model", "experiment"]
    assert sum(each.size for each in told) == 307
    assert files(workspace) == set()
    with workspace.database.read() as tx:
        for missing, call in (
            (ExperimentNotFound, lambda: tx.experiments.get(gone)),
            (LoggedModelNotFound, lambda: tx.logged_models.get(model.model_id)),
        ):
            with pytest.raises(missing):
                call()
        assert tx.experiments.get(0).name == "Default"


def test_an_experiment_stays_while_a_version_comes_from_one_of_its_runs(workspace: Workspace) -> None:
    with workspace.database.write() as tx:
        kept = create_experiment(tx, "kept", "", {}, now_ms(workspace)).experiment_id
    served, other = a_run(workspace, kept), a_run(workspace, kept)
    a_version(workspace, served)
    with workspace.database.write() as tx:
        turn_experiment(tx, kept, Lifecycle.DELETED, now_ms(workspace))
    later(workspace)
    assert {(each.key, each.stays) for each in freed(workspace)} == {(served, True), (other, False)}
    assert files(workspace) == {f"{kept}/…/artifacts/model/MLmodel"}
    with workspace.database.read() as tx:
        assert tx.experiments.get(kept).name == "kept"


def test_a_deleted_logged_model_goes_unless_a_version_comes_from_it(workspace: Workspace) -> None:
    models = []
    with workspace.database.write() as tx:
        create_model(tx, "served", "", {}, asking(workspace))
        for name in ("kept", "gone"):
            models.append(
                create_logged_model(
                    tx, 0, name=name, model_type="", source_run_id="", params={}, tags={}, now_ms=1
                )
            )
        source = f"models:/{models[0].model_id}"
        create_version(
            tx, NewVersion(name="served", source=source, model_id=models[0].model_id), asking(workspace)
        )
    for model in models:
        put(workspace, model.artifact_uri, "MLmodel")
    with workspace.database.write() as tx:
        for model in models:
            delete_logged_model(tx, model.model_id, now_ms(workspace))
    later(workspace)
    assert [each.name for each in freed(workspace)] == ["gone"]
    with workspace.database.read() as tx:
        assert tx.logged_models.get(models[0].model_id).name == "kept"
    assert len(files(workspace)) == 1


def test_files_that_a_live_run_has_read_stay(workspace: Workspace) -> None:
    read, reader = a_run(workspace, files=("table.csv", "other")), a_run(workspace, files=())
    source = f'{{"uri": "mlflow-artifacts:/0/{read}/artifacts/table.csv"}}'
    dataset = Dataset(name="d", digest="1", source_type="local", source=source)
    with workspace.database.write() as tx:
        log_read(tx, reader, [DatasetInput(dataset=dataset)], [])
    delete(workspace, read)
    later(workspace)
    assert [each.size for each in freed(workspace)] == [100]
    assert files(workspace) == {"0/…/artifacts/table.csv"}


def test_files_of_no_run_go_when_they_are_old(workspace: Workspace) -> None:
    put(workspace, f"mlflow-artifacts:/0/{'a' * 32}/artifacts", "left")
    put(workspace, f"mlflow-artifacts:/5/models/m-{'b' * 32}/artifacts", "left")
    put(workspace, "mlflow-artifacts:/0/traces/tr-1/artifacts", "traces.json")
    put(workspace, "mlflow-artifacts:/of a client", "by path")
    assert freed(workspace) == ()
    later(workspace)
    put(workspace, f"mlflow-artifacts:/0/{'c' * 32}/artifacts", "on its way")
    assert [each.what for each in freed(workspace)] == ["files of nothing"] * 2
    traces, own = "0/traces/tr-1/artifacts/traces.json", "of a client/by path"
    assert files(workspace) == {"0/…/artifacts/on its way", traces, own}


def test_uploads_that_were_never_finished_go(workspace: Workspace) -> None:
    aside = workspace.artifacts.root / ASIDE
    aside.mkdir(parents=True)
    (aside / "old").write_bytes(b"12345")
    later(workspace, days=2)
    (aside / "under way").write_bytes(b"1")
    assert [(each.files, each.size) for each in freed(workspace, dry_run=True)] == [(1, 5)]
    assert [(each.files, each.size) for each in freed(workspace)] == [(1, 5)]
    assert [path.name for path in aside.iterdir()] == ["under way"]


@pytest.mark.slow
def test_killed_anywhere_it_is_finished_by_the_next(workspace: Workspace, tmp_path: Path) -> None:
    runs = [a_run(workspace) for _ in range(3)]
    a_version(workspace, runs[0])
    delete(workspace, *runs)
    later(workspace)
    root, places = workspace.settings.root, tmp_path / "places"
    workspace.close()
    command = [sys.executable, "-m", "tests.operate.free_and_die", str(root), str(places)]
    while (ended := subprocess.run(command, capture_output=True, check=False)).returncode != 0:
        assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    killed_at = places.read_text().splitlines()
    assert len(killed_at) == 3 + len(runs)
    with open_workspace(root) as again:
        assert files(again) == {"0/…/artifacts/model/MLmodel"}
        with again.database.read() as tx:
            assert tx.values.items("freeing:") == {}
            assert tx.logged_runs.bare(runs[0]).run_id == runs[0]
        assert len(events(again)) == 1


def test_a_run_that_is_there_again_keeps_its_files(workspace: Workspace) -> None:
    run = a_run(workspace)
    delete(workspace, run)
    later(workspace)

    def die(place: str) -> None:
        if place == "after the rows are gone":
            raise InterruptedError

    with pytest.raises(InterruptedError):
        free(workspace, older_than=MONTH, actor="ada", boundary=die)
    with workspace.database.write() as tx:
        create_run(tx, NewRun(experiment_id=0, started_ms=1, run_id=run))
    assert freed(workspace) == ()
    assert len(files(workspace)) == 2


@pytest.mark.parametrize("between", ["restored", "registered"])
def test_what_comes_between_plan_and_act_is_seen(
    between: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mainspring.operate import free as module

    run = a_run(workspace)
    delete(workspace, run)
    later(workspace)
    plan: Callable[..., object] = module._plan

    def plan_and_come_between(*of: object) -> object:
        planned = plan(*of)
        with workspace.database.write() as tx:
            if between == "restored":
                turn_run(tx, run, Lifecycle.ACTIVE, now_ms(workspace))
        if between == "registered":
            a_version(workspace, run)
        return planned

    monkeypatch.setattr(module, "_plan", plan_and_come_between)
    assert freed(workspace) == ()
    assert len(files(workspace)) == 2


def test_the_blobs_of_products_are_never_touched(workspace: Workspace) -> None:
    digest = workspace.blobs.put(b"a model")
    later(workspace)
    freed(workspace)
    assert workspace.blobs.get(digest) == b"a model"
