"""Versions and aliases as tags of a real repository, and what tags of others ask for."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.operate.tiny import begin
from tests.products.tiny.orders import orders, parquet

from mainspring.operate.asking import Asking
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.git import GitFailed
from mainspring.operate.git_tags import read_tags, write_tags
from mainspring.operate.log_runs import NewRun, create_run
from mainspring.operate.made_with import COMMIT
from mainspring.operate.register_models import NewVersion, create_model, create_version, point_alias
from mainspring.operate.request import request_training
from mainspring.workspace import Workspace, open_workspace

BY = Asking("ana", 1_704_067_200_000)


WHO = {
    f"GIT_{role}_{what}": told
    for role in ("AUTHOR", "COMMITTER")
    for what, told in (("NAME", "ana"), ("EMAIL", "ana@example.org"))
}


def git(folder: Path, *arguments: str, at: datetime | None = None) -> str:
    when = {"GIT_COMMITTER_DATE": at.isoformat()} if at else {}
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | WHO | when)
    return done.stdout.strip()


def tags(folder: Path) -> list[str]:
    return git(folder, "tag", "--list").splitlines()


def at_once(text: str) -> str:
    canary = 'ms.Canary(steps=(0.2, 0.5, 1.0), bake="1d", minimum_units=20)'
    assert canary in text
    return text.replace(canary, "ms.AllAtOnce()")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a product whose two versions come from two commits, and a client's model with two more."""
    root = tmp_path_factory.mktemp("tagged") / "root"
    with begin(
        root,
        lambda text: text.replace(
            'ms.Canary(steps=(0.2, 0.5, 1.0), bake="1d", minimum_units=20)', "ms.AllAtOnce()"
        ),
    ) as workspace:
        git(root, "init", "-q")
        (root / ".gitignore").write_text(".mainspring\n")
        add_batch(workspace, "orders", parquet(orders(days=30)), actor="test")
        for number in (1, 2):
            git(root, "add", ".")
            git(root, "commit", "-q", "--allow-empty", "-m", f"number {number}")
            if number == 2:
                params = {"train.rounds": 21}
                request_training(
                    workspace, "tiny", request_id="2", actor="ana", reason="to see", params=params
                )
            turn(workspace)
            with workspace.database.write() as tx:
                if number == 1:
                    create_model(tx, "trees", "", {}, BY)
                asked = NewRun(
                    experiment_id=0, started_ms=BY.now_ms, tags={COMMIT: git(root, "rev-parse", "HEAD")}
                )
                run = create_run(tx, asked)
                create_version(tx, NewVersion(name="trees", source="s3://b/m", run_id=run.run_id), BY)
    return root


@pytest.fixture
def workspace(made: Path, tmp_path: Path) -> Iterator[Workspace]:
    with open_workspace(Path(shutil.copytree(made, tmp_path / "root"))) as workspace:
        yield workspace


def root(workspace: Workspace) -> Path:
    return workspace.settings.root


def point(workspace: Workspace, alias: str, number: int | None) -> None:
    with workspace.database.write() as tx:
        point_alias(tx, "trees", alias, number, BY)


def aliases(workspace: Workspace) -> dict[str, int]:
    with workspace.database.read() as tx:
        return dict(tx.registered_models.get("trees").aliases)


def test_versions_are_tagged_at_their_commits_and_aliases_where_they_point(workspace: Workspace) -> None:
    point(workspace, "blue", 1)
    told = write_tags(workspace, root(workspace), actor="ana")
    assert told.left == []
    assert tags(root(workspace)) == [
        "tiny#champion#1", "tiny@v1.0.0", "tiny@v2.0.0", "trees#blue#1", "trees@v1.0.0", "trees@v2.0.0",
    ]  # fmt: skip
    first, second = (git(root(workspace), "rev-parse", f"HEAD~{back}") for back in (1, 0))
    at = {name: git(root(workspace), "rev-parse", f"{name}^{{commit}}") for name in tags(root(workspace))}
    assert (at["tiny@v1.0.0"], at["tiny@v2.0.0"], at["tiny#champion#1"]) == (first, second, second)
    assert (at["trees@v1.0.0"], at["trees#blue#1"]) == (first, first)
    assert git(root(workspace), "cat-file", "-t", "tiny@v1.0.0") == "tag"


def test_tagging_again_adds_what_has_changed_and_nothing_else(workspace: Workspace) -> None:
    point(workspace, "blue", 1)
    write_tags(workspace, root(workspace), actor="ana")
    assert write_tags(workspace, root(workspace), actor="ana").done == []
    before = {*tags(root(workspace))}
    point(workspace, "blue", 2)
    write_tags(workspace, root(workspace), actor="ana")
    assert {*tags(root(workspace))} - before == {"trees#blue#2"}
    point(workspace, "blue", None)
    write_tags(workspace, root(workspace), actor="ana")
    assert {*tags(root(workspace))} - before == {"trees#blue#2", "trees#blue!#3"}
    assert write_tags(workspace, root(workspace), actor="ana").done == []


def test_what_cannot_be_tagged_is_told_and_the_rest_is_tagged(workspace: Workspace) -> None:
    with workspace.database.write() as tx:
        create_model(tx, "Not A Tag", "", {}, BY)
        create_version(tx, NewVersion(name="trees", source="s3://b/m"), BY)
        run = create_run(tx, NewRun(experiment_id=0, started_ms=1, tags={COMMIT: "ab" * 20}))
        create_version(tx, NewVersion(name="trees", source="s3://b/m", run_id=run.run_id), BY)
        run = create_run(tx, NewRun(experiment_id=0, started_ms=1, tags={COMMIT: "--output=x"}))
        create_version(tx, NewVersion(name="trees", source="s3://b/m", run_id=run.run_id), BY)
    point(workspace, "Up", 1)
    told = write_tags(workspace, root(workspace), actor="ana")
    assert "trees@v2.0.0" in tags(root(workspace))
    found = "\n".join(told.left)
    for part in (
        "Not A Tag: such a name", "trees@Up: such a name", "trees@3: its run names no commit",
        "trees@4: its commit abababababab is not", "trees@5: its commit",
    ):  # fmt: skip
        assert part in found


def tag(workspace: Workspace, name: str, commit: str, message: str = "please") -> None:
    git(root(workspace), "tag", "-a", name, "-m", message, commit, at=datetime(2030, 1, 1, tzinfo=UTC))


def test_a_tag_of_another_moves_a_clients_alias_once(workspace: Workspace) -> None:
    write_tags(workspace, root(workspace), actor="ana")
    tag(workspace, "trees#prod#7", "HEAD~1")
    assert read_tags(workspace, root(workspace), actor="ci").left == []
    assert aliases(workspace) == {"prod": 1}
    point(workspace, "prod", 2)
    assert read_tags(workspace, root(workspace), actor="ci").done == []
    assert aliases(workspace) == {"prod": 2}
    tag(workspace, "trees#prod!#8", "HEAD")
    read_tags(workspace, root(workspace), actor="ci")
    assert aliases(workspace) == {}
    with workspace.database.read() as tx:
        moved = [
            each for each in tx.ledger.entries() if each.type == "model.alias.moved" and each.actor == "ci"
        ]
    assert len(moved) == 2


def test_what_was_tagged_here_asks_for_nothing(workspace: Workspace) -> None:
    point(workspace, "blue", 1)
    write_tags(workspace, root(workspace), actor="ana")
    point(workspace, "blue", 2)
    assert read_tags(workspace, root(workspace), actor="ci").done == []
    assert aliases(workspace) == {"blue": 2}


def test_a_tag_asks_for_a_rollout_of_a_products_version_and_makes_no_champion_itself(
    workspace: Workspace,
) -> None:
    write_tags(workspace, root(workspace), actor="ana")
    tag(workspace, "tiny#champion#9", "HEAD~1")
    tag(workspace, "tiny#staging#10", "HEAD~1")
    told = read_tags(workspace, root(workspace), actor="ci")
    assert told.done == ["tiny#champion#9: version 1 is rolled out"]
    assert "a tag can ask for another champion and nothing else" in told.left[0]
    with workspace.database.read() as tx:
        cycle = tx.loop.cycles("tiny")[-1]
        assert tx.registry.aliases("tiny")["champion"] == 2
    assert (cycle.actor, cycle.version, cycle.outcome) == ("ci", 1, None)
    turn(workspace)
    with workspace.database.read() as tx:
        assert tx.registry.aliases("tiny")["champion"] == 1
        assert len(tx.loop.cycles("tiny")) == 3
    assert read_tags(workspace, root(workspace), actor="ci").done == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("trees#prod#1", "no version is tagged at its commit"),
        ("nobody#prod#1", "there is no model of that name"),
    ],
)
def test_a_tag_that_means_nothing_here_is_told(workspace: Workspace, name: str, told: str) -> None:
    git(root(workspace), "commit", "-q", "--allow-empty", "-m", "another")
    write_tags(workspace, root(workspace), actor="ana")
    tag(workspace, name, "HEAD")
    assert told in read_tags(workspace, root(workspace), actor="ci").left[0]
    assert aliases(workspace) == {}


def test_nothing_that_the_repository_configures_is_run(workspace: Workspace, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    hook = root(workspace) / ".git" / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {ran}\n")
    hook.chmod(0o755)
    for key, value in (("core.fsmonitor", str(hook)), ("tag.gpgSign", "true"), ("gpg.program", str(hook))):
        git(root(workspace), "config", key, value)
    ran.unlink(missing_ok=True)
    write_tags(workspace, root(workspace), actor="ana")
    read_tags(workspace, root(workspace), actor="ana")
    assert "tiny@v1.0.0" in tags(root(workspace))
    assert not ran.exists()


def test_a_folder_without_a_repository_is_told(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    for act in (read_tags, write_tags):
        with pytest.raises(GitFailed, match="not a git repository"):
            act(workspace, tmp_path / "plain", actor="ana")
