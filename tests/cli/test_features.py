"""Commands on features: what each prints, as JSON, and with which exit code."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tests.cli.conftest import Command
from tests.operate.shop import customers, declaration
from tests.operate.test_online_skew import ask
from tests.operate.tiny import begin
from tests.products.tiny.orders import FIRST

from mainspring.workspace import open_workspace

SEEN = FIRST + timedelta(days=20)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    begin(tmp_path, lambda _: declaration(online="store", pii=False)).close()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_rows_are_pushed_written_and_compared_with_what_was_looked_up(
    shop: Path, mainspring: Command
) -> None:
    assert "no data yet" in mainspring("features", "materialize").out
    assert mainspring("features", "materialize", "profile", "--json").json[0]["version"] is None
    none = mainspring("features", "skew", "--json")
    assert (none.code, none.json["sound"]) == (1, False)
    assert "no prediction has looked it up" in none.json["features"][0]["why"]
    Path("rows.parquet").write_bytes(customers(0, at=SEEN, ann=10.0, bob=20.0))
    said = mainspring("features", "push", "profile", "rows.parquet", "--reason", "the first day")
    assert (said.code, said.out) == (0, "customers@v1: 2 rows added, 0 set aside.\n")
    assert mainspring("features", "push", "profil", "rows.parquet").code == 3
    Path("bad.csv").write_text("row_id,customer\n1,ann\n")
    bad = mainspring("features", "push", "profile", "bad.csv")
    assert bad.code == 1
    assert "were refused, and nothing of them is kept" in bad.err
    assert mainspring("features", "materialize", "--json").json == [
        {"view": "profile", "source": "customers", "version": 1, "whole": False, "written": 0, "older": 0}
    ]
    assert mainspring("features", "materialize", "--since", "yesterday").code == 2
    with open_workspace(shop) as workspace:
        ask(workspace, "ann", "eve")
    sound = mainspring("features", "skew", "tiny")
    assert sound.code == 0
    assert "profile" in sound.out
    Path("late.parquet").write_bytes(customers(5, at=SEEN, eve=7.0))
    assert mainspring("features", "push", "profile", "late.parquet").code == 0
    late = mainspring("features", "skew")
    assert late.code == 1
    assert all(word in late.out for word in ("1 late", "eve", "7"))


def test_views_are_listed_and_shown_with_what_their_features_hold(shop: Path, mainspring: Command) -> None:
    assert "no data yet" in mainspring("features", "list").out
    assert mainspring("features", "show", "profile", "--json").json[0]["features"][0]["statistics"] == []
    Path("rows.parquet").write_bytes(customers(0, at=SEEN, ann=10.0, bob=20.0, eve=30.0))
    assert mainspring("features", "push", "profile", "rows.parquet").code == 0
    (listed,) = mainspring("features", "list", "--json").json
    assert (listed["source"], listed["rows"], listed["online"]) == ("customers@v1", 3, "store")
    assert (listed["features"], listed["used"], listed["ttl"]) == (["amount"], ["amount"], "30d")
    assert listed["newest"].startswith(SEEN.strftime("%Y-%m-%d"))
    said = mainspring("features", "show", "profile").out
    assert all(word in said for word in ("by customer", "customers@v1", "at most 30d old", "amount", "20"))
    (shown,) = mainspring("features", "show", "profile", "--json").json
    (feature,) = shown["features"]
    assert (feature["of"], feature["used"], feature["statistics"][0]["nulls"]) == ("amount", True, 0)
    unknown = mainspring("features", "show", "profil")
    assert unknown.code == 3
    assert "profile" in unknown.err


def test_what_feast_cannot_tell_is_one_sentence(shop: Path, mainspring: Command) -> None:
    said = mainspring("import", "feast", "nowhere")
    assert said.code == 2
    assert "there is no such folder" in said.err
