"""`score`: what it says, under which names, and with which exit code."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from tests.cli.conftest import Command

from mainspring.operate.score_data import Scoring


def test_score_publishes_once_and_says_the_same_again(root: Path, mainspring: Command) -> None:
    said = mainspring("score", "tiny", "--data", "orders", "--reason", "letters")
    assert (said.code, said.out) == (0, "tiny-scores@v1: 3,000 rows of orders@v1 scored by tiny@1.\n")
    assert said.err == ""
    again = mainspring("score", "tiny@champion", "--data", "orders@v1")
    assert again.code == 0
    assert "has the answers of tiny@1 to 3,000 rows of orders@v1 already" in again.out
    found = mainspring("score", "tiny@1", "--data", "orders", "--json").json
    assert found.keys() == set(Scoring.__struct_fields__)
    assert (found["ref"], found["reused"], found["rows"]) == ("tiny-scores@v1", True, 3_000)
    shown = mainspring("data", "show", "tiny-scores@v1", "--json").json["version"]
    assert (shown["rows"], shown["actor"]) == (3_000, "grace")
    assert "grace" in mainspring("data", "show", "tiny-scores@v1").out
    assert "tiny-scores@v1" in mainspring("data", "list", "tiny-scores").out
    assert "letters" in mainspring("ledger", "list", "--subject", "tiny-scores@v1").out


def test_a_selection_with_columns_can_be_had_as_a_file(root: Path, mainspring: Command) -> None:
    said = mainspring(
        "score", "tiny", "--data", "orders", "--since", "2024-01-29", "--until", "2024-01-30T12:00",
        "--columns", "kind,hour", "--columns", "amount", "--output", "late.parquet", "--json",
    )  # fmt: skip
    assert said.code == 0, said.err
    assert (said.json["rows"], said.json["columns"]) == (150, ["kind", "hour", "amount"])
    assert said.json["since"] == "2024-01-29T00:00:00Z"
    rows = pl.read_parquet("late.parquet")
    assert rows.height == 150
    assert rows.columns[-3:] == ["kind", "hour", "amount"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nope", "--data", "orders"], 3, "There are: tiny"),
        (["tiny@9", "--data", "orders"], 3, "its newest is 1"),
        (["tiny", "--data", "nope"], 3, "There are: orders"),
        (["tiny", "--data", "orders@v9"], 3, "its newest is v1"),
        (["tiny", "--data", "orders@1"], 2, "is not a ref"),
        (["tiny", "--data", "orders", "--since", "soon"], 2, "'soon' is no day"),
        (["tiny", "--data", "orders", "--output", "nowhere/late.parquet"], 2, "cannot be written"),
        (["tiny", "--data", "orders", "--output", "late.csv"], 2, "ends in .parquet"),
        (["tiny", "--data", "orders", "--columns", "size,colour"], 2, "2 faults"),
        (["tiny", "--data", "orders", "--since", "2030-01-01"], 1, "nothing to score"),
        (["tiny"], 2, "--data"),
    ],
)
def test_what_cannot_be_scored_is_told_why(
    arguments: list[str], code: int, words: str, root: Path, mainspring: Command
) -> None:
    said = mainspring("score", *arguments)
    assert (said.code, said.out) == (code, "")
    assert words in said.err


def test_an_engine_that_is_none_is_misuse(
    root: Path, mainspring: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINSPRING_ENGINE", "spark")
    said = mainspring("score", "tiny", "--data", "orders")
    assert said.code == 2
    assert "'local' and 'ray'" in said.err
