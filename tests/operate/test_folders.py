"""Folders of experiments are moved whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.operate.tiny import begin

from mainspring.errors import Invalid, Refused
from mainspring.operate.experiment_folders import archive_folder, folder_rows, move_folder
from mainspring.tracking.folders import NoFolder
from mainspring.tracking.store import ExperimentTaken
from mainspring.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with begin(tmp_path / "root") as workspace:
        with workspace.database.write() as tx:
            for name in ("team/a", "team/deep/b", "other/a", "tiny"):
                tx.experiments.add(name, None, {}, 1)
        yield workspace


def names(workspace: Workspace) -> set[str]:
    with workspace.database.read() as tx:
        return {name for _, name, _ in tx.experiments.names()}


def test_a_folder_is_archived_and_brought_back(workspace: Workspace) -> None:
    before = names(workspace)
    assert archive_folder(workspace, "team/") == {
        "team/a": "archive/team/a",
        "team/deep/b": "archive/team/deep/b",
    }
    assert [row.path for row in folder_rows(workspace)] == ["other", "archive", "Default", "tiny"]
    with pytest.raises(Invalid, match="archive already"):
        archive_folder(workspace, "archive/team")
    move_folder(workspace, "archive/team", "team")
    assert names(workspace) == before


def test_where_one_name_is_taken_none_is_moved(workspace: Workspace) -> None:
    before = names(workspace)
    with pytest.raises(ExperimentTaken):
        move_folder(workspace, "team", "other")
    assert names(workspace) == before


def test_the_experiment_of_a_product_stays(workspace: Workspace) -> None:
    with pytest.raises(Refused, match="product 'tiny'"):
        archive_folder(workspace, "tiny")


def test_a_folder_that_is_not_there_is_told(workspace: Workspace) -> None:
    with pytest.raises(NoFolder):
        folder_rows(workspace, "nowhere")
