"""`mainspring lineage` and `mainspring impact`."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Command


def test_lineage_is_told_as_a_tree_in_both_directions(root: Path, mainspring: Command) -> None:
    said = mainspring("lineage", "tiny@champion")
    assert said.code == 0
    for told in (
        "Came from",
        "made by run run-",
        "read data version orders@v1",
        "Came to be",
        "serves endpoint tiny",
    ):
        assert told in said.out
    assert "Came to be" not in mainspring("lineage", "tiny@1", "--up").out
    assert mainspring("lineage", "tiny@1", "--down", "--json").json["up"] is None


def test_what_is_too_far_away_is_said_to_be_left_out(root: Path, mainspring: Command) -> None:
    said = mainspring("lineage", "orders@v1", "--down", "--depth", "1")
    assert "… and 1 more" in said.out
    assert "1 relations were not followed" in said.out


def test_what_stands_on_data_is_counted(root: Path, mainspring: Command) -> None:
    said = mainspring("impact", "orders@v1")
    assert "tiny@1" in said.out
    assert "tiny (@1 100%)" in said.out
    assert mainspring("impact", "orders@v1", "--json").json["versions"][0]["itself"] is True


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (["lineage", "nothing@v1"], 3),
        (["impact", "nothing"], 3),
        (["lineage", "tiny@1", "--depth", "0"], 2),
        (["lineage", "tiny@1", "--up", "--down"], 2),
    ],
)
def test_what_cannot_be_followed_is_said(
    root: Path, mainspring: Command, asked: list[str], code: int
) -> None:
    said = mainspring(*asked)
    assert said.code == code
    assert said.err


def test_what_was_champion_at_a_moment_is_told(root: Path, mainspring: Command) -> None:
    said = mainspring("models", "tiny", "--as-of", "2024-01-31T12:00:00Z")
    assert "champion" in said.out
    assert "100%" in said.out
    before = mainspring("models", "tiny", "--as-of", "2024-01-30T12:00:00Z", "--json").json
    assert (before["aliases"], before["shares"]) == ({}, {})
    assert mainspring("models", "tiny", "--as-of", "yesterday").code == 2
    assert mainspring("models", "tiny", "--as-of", "2999-01-01T00:00:00Z").code == 2
    assert mainspring("models", "none", "--as-of", "2024-01-31T12:00:00Z").code == 3


def test_a_card_is_printed_as_markdown_and_edited_from_a_file(root: Path, mainspring: Command) -> None:
    said = mainspring("models", "card", "tiny@champion")
    assert said.out.startswith("# tiny@1\n")
    words = mainspring("models", "card", "tiny@1", "--words").out
    (root / "words.md").write_text(words.replace("Not stated.", "For tests.", 1))
    assert mainspring("models", "card", "tiny@1", "--edit", "words.md").code == 2
    edited = mainspring("models", "card", "tiny@1", "--edit", "words.md", "--reason", "it was asked for")
    assert "For tests." in edited.out
    assert "it was asked for" in edited.out
    history = mainspring("models", "card", "tiny@1", "--json").json["edits"]
    assert [(each["actor"], each["reason"]) for each in history] == [("grace", "it was asked for")]
    assert mainspring("models", "card", "tiny@1", "--edit", "none.md", "--reason", "x").code == 3
    (root / "words.md").write_bytes(b"\xff\xfe\xff")
    assert mainspring("models", "card", "tiny@1", "--edit", "words.md", "--reason", "x").code == 2
    assert mainspring("models", "card", "tiny@9").code == 3
