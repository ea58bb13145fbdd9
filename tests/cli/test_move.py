"""`import mlflow`, `export mlflow`, `gc` and folders of experiments, as they are typed."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Command
from tests.mlflow.foreign import ID, filled, serving

from mainspring.operate.log_runs import turn_run
from mainspring.tracking.record import Lifecycle
from mainspring.workspace import open_workspace


def test_an_import_tells_counts_and_digests_of_both_sides(root: Path, mainspring: Command) -> None:
    with serving(filled(3)) as uri:
        dry = mainspring("import", "mlflow", uri, "--dry-run")
        assert (dry.code, "Nothing was changed" in dry.out) == (0, True)
        assert not (root / ".mainspring" / "artifacts" / "7").exists()
        said = mainspring("import", "mlflow", uri)
        assert said.code == 0, said.err
        assert "Both sides are alike" in said.out
        told = mainspring("import", "mlflow", uri, "--json").json
    assert told["differences"] == []
    (theirs,) = told["compared"]
    assert theirs["from"] == theirs["to"]
    assert theirs["to"]["counts"] == {
        "runs": 3,
        "params": 3,
        "tags": 0,
        "datasets": 0,
        "points": 9,
        "files": 6,
        "bytes": 300_006,
    }
    assert "tracking.imported" in mainspring("ledger", "list").out
    assert ID(2)[:8] in mainspring("runs", "find", "params.p = '2'").out


def test_a_difference_is_named_and_told_by_the_exit_code(root: Path, mainspring: Command) -> None:
    foreign = filled(1)
    foreign.files[ID(1)]["../../escaped"] = b"bad"
    with serving(foreign) as uri:
        said = mainspring("import", "mlflow", uri)
    assert said.code == 1
    assert "differs: experiment 'theirs'" in said.out
    assert "escaped" in said.out


def test_what_is_no_server_is_misuse_and_one_that_is_down_is_a_failure(
    root: Path, mainspring: Command
) -> None:
    said = mainspring("import", "mlflow", "sqlite:///mlflow.db")
    assert (said.code, "mlflow server --backend-store-uri sqlite:///mlflow.db" in said.err) == (2, True)
    with serving(filled(1)) as uri:
        pass
    said = mainspring("export", "mlflow", uri)
    assert (said.code, "does not answer" in said.err) == (5, True)


def test_gc_tells_what_would_go_and_then_frees_it(root: Path, mainspring: Command) -> None:
    with serving(filled(2)) as uri:
        mainspring("import", "mlflow", uri)
    with open_workspace(root) as workspace, workspace.database.write() as tx:
        turn_run(tx, ID(1), Lifecycle.DELETED, 0)
    assert mainspring("gc", "--older-than", "soon").code == 2
    dry = mainspring("gc", "--dry-run")
    assert "100,001 bytes in 2 files would be freed." in dry.out
    assert (root / ".mainspring" / "artifacts" / "7" / ID(1)).exists()
    told = mainspring("gc", "--json").json
    assert (told["bytes"], told["files"], [each["key"] for each in told["gone"]]) == (100_001, 2, [ID(1)])
    assert not (root / ".mainspring" / "artifacts" / "7" / ID(1)).exists()
    assert (root / ".mainspring" / "artifacts" / "7" / ID(2)).exists()
    assert mainspring("runs", "show", ID(1)).code == 3
    assert "0 bytes in 0 files were freed." in mainspring("gc").out
    assert "storage.freed" in mainspring("ledger", "list").out


def test_folders_are_listed_moved_and_archived(root: Path, mainspring: Command) -> None:
    with open_workspace(root) as workspace, workspace.database.write() as tx:
        for name in ("team/a", "team/deep/b"):
            tx.experiments.add(name, None, {}, 1)
    assert "team/" in mainspring("runs", "folders").out
    assert [row["path"] for row in mainspring("runs", "folders", "team", "--json").json] == [
        "team/deep",
        "team/a",
    ]
    assert mainspring("runs", "move", "team", "shared").code == 0
    assert "archive/shared/deep/b" in mainspring("runs", "archive", "shared").out
    assert mainspring("runs", "folders", "shared").code == 3
    assert mainspring("runs", "move", "archive/shared", "archive/shared/deeper").code == 2
