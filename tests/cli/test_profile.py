from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

from tests.cli.conftest import Command
from tests.operate.tiny import ask
from tests.products.tiny.orders import FIRST, orders, parquet

from mainspring.operate.ingest import ingest
from mainspring.workspace import open_workspace

NEXT = FIRST + timedelta(days=30)


def test_a_data_version_is_profiled_against_another_and_by_slice(root: Path, mainspring: Command) -> None:
    Path("february.parquet").write_bytes(parquet(orders(NEXT, days=1)))
    mainspring("data", "add", "orders", "february.parquet")
    alone = mainspring("data", "profile", "orders@v1")
    assert alone.code == 0
    assert "PSI" not in alone.out
    said = mainspring("data", "profile", "orders@v2", "--against", "orders@v1", "--by", "kind")
    assert (said.code, said.err) == (0, "")
    assert "orders@v2, kind = a" in said.out
    assert "PSI" in said.out
    rows = mainspring("data", "profile", "orders@v2", "--against", "orders@v1", "--json").json
    (row,) = rows
    assert (row["of"], row["against"], row["slice"]) == ("orders@v2", "orders@v1", "")
    amount = next(part for part in row["columns"] if part["column"] == "amount")
    assert amount["rows"] == row["rows"]
    value, low, high = amount["effects"]["kolmogorov_smirnov"]
    assert 0 <= low <= value <= high <= 1


def test_what_cannot_be_profiled_is_said(root: Path, mainspring: Command) -> None:
    for arguments, code, words in [
        (["orders@v9"], 3, "its newest is v1"),
        (["orders@v1", "--by", "nope"], 3, "There are: "),
        (["orders@v1", "--since", "2024-01-01"], 2, "has no days"),
        (["tiny@1", "--by", "kind"], 2, "leave --by out"),
        (["tiny@1"], 3, "no profile of tiny@1"),
        (["tiny@1", "--since", "yesterday"], 2, "yesterday"),
        (["nope@1"], 3, "There are: tiny"),
        (["tiny"], 2, "is not a ref"),
        (["orders@golden"], 3, "no tag or branch"),
    ]:
        said = mainspring("data", "profile", *arguments)
        assert (said.code, said.out) == (code, ""), arguments
        assert words in said.err


def test_what_a_version_was_asked_is_compared_with_training_and_with_the_days_before(
    root: Path, mainspring: Command
) -> None:
    with open_workspace(root) as workspace:
        for day in range(1, 4):
            at = FIRST + timedelta(days=30 + day, hours=12)
            workspace.advance(at)
            rows = orders(at, days=1, per_day=50, seed=day)
            ask(
                workspace,
                rows if day < 3 else rows.with_columns(amount=rows["amount"] * 1000),
                labelled=False,
            )
            ingest(workspace)
    first = (FIRST + timedelta(days=31)).date()
    said = mainspring("data", "profile", "tiny@champion")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("tiny@1: 150 rows against training")
    last = day_of(first, 2), day_of(first, 3)
    (row,) = mainspring(
        "data", "profile", "tiny@1", "--since", last[0], "--until", last[1], "--against", "previous", "--json"
    ).json
    assert (row["rows"], row["rows_against"]) == (50, 50)
    amount = next(part for part in row["columns"] if part["column"] == "amount")
    assert "units_changed" in [name for name, _ in amount["found"]]
    hour = next(part for part in row["columns"] if part["column"] == "hour")
    assert hour["kind"] == "integer"
    (row,) = mainspring("data", "profile", "tiny@1", "--against", f"{first}..{last[0]}", "--json").json
    assert row["rows_against"] == 100
    long = mainspring(
        "data", "profile", "tiny@1", "--since", "0001-01-02", "--until", "9999-12-31", "--against", "previous"
    )
    assert long.code == 3
    wrong = mainspring("data", "profile", "tiny@1", "--against", "yesterday")
    assert wrong.code == 2
    assert "is no window" in wrong.err


def day_of(first: date, later: int) -> str:
    return str(first + timedelta(days=later))
