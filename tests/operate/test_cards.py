"""Cards: put together from what is recorded, edited with a reason, and never losing what was said before."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.operate.tiny import begin
from tests.products.tiny.orders import orders, parquet

from mainspring.errors import Invalid
from mainspring.events import EventType
from mainspring.governance import Card, Table, declared_words, markdown, verify
from mainspring.operate.cards import CARD_LIMIT, card, edit_card
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.declare import DeclarationInvalid, declare
from mainspring.ref import ModelRef
from mainspring.registry import ModelVersionNotFound
from mainspring.workspace import Workspace, open_workspace

FIRST = ModelRef("tiny", 1)
DECLARED = """    "tiny",
    owners=["payments@example.org"],
    intended_use="Whom to remind.",
    limits="Not for new customers.",
    license="Apache-2.0",
"""
SLICED = 'ms.AtLeast("roc_auc", 0.5, slices=("kind",)),\n        ms.NotWorseThan('


def said(text: str) -> str:
    return text.replace('    "tiny",\n', DECLARED).replace("ms.NotWorseThan(", SLICED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cards") / "root"
    with begin(root, said) as workspace:
        add_batch(workspace, "orders", parquet(orders()), actor="ada")
        turn(workspace)
    return root


@pytest.fixture
def ours(folder: Path, tmp_path: Path) -> Iterator[Workspace]:
    with open_workspace(Path(shutil.copytree(folder, tmp_path / "root"))) as workspace:
        yield workspace


def table(of: Card, title: str) -> list[tuple[str, ...]]:
    (found,) = (each for each in of.tables if each.title == title)
    return list(found.rows)


def test_a_card_tells_what_was_declared_and_what_is_recorded(ours: Workspace) -> None:
    found = card(ours, ModelRef("tiny", "champion"))
    assert found.ref == "tiny@1"
    assert found.words == declared_words(
        ["payments@example.org"], "Whom to remind.", "Not for new customers.", "Apache-2.0"
    )
    assert (found.facts["aliases"], found.facts["task"]) == ("champion", "BinaryClassification of late")
    assert [row[:2] for row in table(found, "Data")] == [("orders@v1", "3,000")]
    metrics = {(name, on) for name, on, _ in table(found, "Metrics on the hold-out")}
    assert {("log_loss", "overall"), ("roc_auc", "kind=a"), ("roc_auc", "kind=b")} <= metrics
    assert {row[2] for row in table(found, "Gates")} == {"passed"}
    assert ("input", "amount") in {row[:2] for row in table(found, "Inputs and outputs")}
    assert found.edits == ()
    text = markdown(found)
    assert text.startswith("# tiny@1\n")
    assert "## Limits\n\nNot for new customers." in text


def test_an_edit_replaces_the_words_and_keeps_those_before_in_the_history(ours: Workspace) -> None:
    before = card(ours, FIRST)
    edit_card(ours, FIRST, "## Limits\n\nNone known.", actor="ada", reason="it was tried")
    found = edit_card(
        ours, FIRST, "## Limits\n\nNot at night.", actor="grace", reason="it was tried at night"
    )
    assert found.words == "## Limits\n\nNot at night."
    assert [(each.actor, each.reason) for each in found.edits] == [
        ("ada", "it was tried"),
        ("grace", "it was tried at night"),
    ]
    assert found.edits[0].words == "## Limits\n\nNone known."
    assert (found.facts, found.tables) == (before.facts, before.tables)
    assert "it was tried at night" in markdown(found)
    with ours.database.read() as tx:
        assert verify(tx.ledger.entries()).sound
        newest = tx.ledger.newest(limit=1)[0]
    assert (newest.type, newest.subject, newest.actor) == (EventType.MODEL_CARD_EDITED, "tiny@1", "grace")


def test_a_card_keeps_what_was_declared_when_its_version_was_registered(ours: Workspace) -> None:
    file = Path(ours.settings.root) / "product.py"
    file.write_text(file.read_text().replace("Whom to remind.", "Whom to sue."))
    declare(ours, actor="ada")
    assert "Whom to remind." in card(ours, FIRST).words


def test_a_version_of_which_nobody_said_anything_says_so(trained: Path) -> None:
    with open_workspace(trained) as workspace:
        assert card(workspace, FIRST).words.count("Not stated.") == 4
        with workspace.database.read() as tx:
            assert "card" not in tx.registry.get(FIRST).lineage


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("", "why"),
        (" \n", "why"),
        ("text", ""),
        ("text", " "),
        ("a\0b", "why"),
        ("x" * (CARD_LIMIT + 1), "why"),
    ],
)
def test_an_edit_that_cannot_be_kept_changes_nothing(ours: Workspace, words: str, reason: str) -> None:
    with pytest.raises(Invalid):
        edit_card(ours, FIRST, words, actor="ada", reason=reason)
    assert card(ours, FIRST).edits == ()


def test_there_is_no_card_of_what_is_not_there(ours: Workspace) -> None:
    for ref in (ModelRef("tiny", 9), ModelRef("none", 1), ModelRef("tiny", "none")):
        with pytest.raises(ModelVersionNotFound):
            card(ours, ref)
        with pytest.raises(ModelVersionNotFound):
            edit_card(ours, ref, "words", actor="ada", reason="why")


def test_owners_in_one_text_are_refused_with_how_to_write_them(ours: Workspace) -> None:
    file = Path(ours.settings.root) / "product.py"
    file.write_text(file.read_text().replace('["payments@example.org"]', '"payments@example.org"'))
    with pytest.raises(DeclarationInvalid, match=r"owners: is one text. Write a list"):
        declare(ours, actor="ada")


texts = st.text(st.characters(blacklist_categories=["Cs"]), max_size=40)


@given(texts, texts, texts)
def test_what_is_known_is_text_in_a_document_whatever_signs_it_holds(
    name: str, value: str, cell: str
) -> None:
    """No tag, no link, no further line or cell."""
    plain = Card(
        ref="tiny@1", words="W", facts={name: value}, tables=(Table("T", ("A", "B"), ((cell, "b"),)),)
    )
    lines = markdown(plain).splitlines()
    assert not [line for line in lines if re.search(r"<|(?<!\\)\]\(", line)]
    rows = [line for line in markdown(plain).split("\n") if line.startswith("|")]
    assert len(rows) == 3
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", rows[-1])) == 3
