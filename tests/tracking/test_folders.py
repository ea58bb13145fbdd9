"""Folders of experiments: every experiment is in one place, and what is moved can be moved back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.errors import Invalid
from mainspring.tracking.folders import NoFolder, listing, moved

NAMES = st.sets(st.text("ab/", min_size=1, max_size=6), max_size=12)


@given(NAMES)
def test_walking_all_folders_finds_every_experiment_once(names: set[str]) -> None:
    found: list[str] = []

    def walk(folder: str) -> int:
        here = listing(names, folder)
        found.extend(here.experiments)
        inner = {path: walk(path) for path in here.folders}
        assert inner == dict(here.folders)
        return len(here.experiments) + sum(inner.values())

    walk("")
    assert sorted(found) == sorted(names)


@given(NAMES)
def test_what_is_moved_can_be_moved_back(names: set[str]) -> None:
    for source in {name.partition("/")[0] for name in names} - {""}:
        there = moved(names, source, f"archive/{source}")
        assert there.keys() == {name for name in names if name == source or name.startswith(f"{source}/")}
        assert moved(there.values(), f"archive/{source}", source) == {new: old for old, new in there.items()}


@pytest.mark.parametrize("to", ["", "team", "team/", "team/deeper"])
def test_a_folder_is_not_moved_into_itself(to: str) -> None:
    with pytest.raises(Invalid):
        moved(["team/a"], "team", to)


@pytest.mark.parametrize("source", ["", "/", "tea", "team/b"])
def test_what_is_not_there_is_not_moved(source: str) -> None:
    with pytest.raises(NoFolder):
        moved(["team/a"], source, "other")
