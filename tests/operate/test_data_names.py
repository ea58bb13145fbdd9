"""Tags and branches: each names one version, and a branch is nobody's until it is merged."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from tests.operate.tiny import head
from tests.products.tiny.orders import FIRST, orders, parquet

from mainspring.data import DataNameNotFound, DataVersionNotFound
from mainspring.errors import Invalid, NotFound
from mainspring.operate.data.datasets import find_version
from mainspring.operate.data.names import (
    MainHasMoved,
    NameInUse,
    begin_branch,
    merge_branch,
    tag_version,
    unname,
)
from mainspring.operate.data.publish import Adding, add_batch
from mainspring.operate.request import request_training
from mainspring.ref import DataAddress
from mainspring.workspace import Workspace

DAY = timedelta(days=1)


def add(workspace: Workspace, day: int, branch: str = "main") -> int:
    rows = orders(FIRST + day * DAY, days=1)
    batch = add_batch(workspace, "orders", parquet(rows), actor="ana", adding=Adding(branch=branch))
    assert batch.version is not None
    return batch.version


def number(workspace: Workspace, address: str) -> int:
    with workspace.database.read() as tx:
        return find_version(tx, DataAddress.parse(address)).number


def days(workspace: Workspace, address: str) -> list[int]:
    with workspace.database.read() as tx:
        version = find_version(tx, DataAddress.parse(address))
    found = workspace.tables.read("orders", version.table_version)
    assert found.height == version.rows
    return sorted(
        found.select(((pl.col("asked_at") - FIRST) / DAY).floor().cast(pl.Int64)).to_series().unique()
    )


def tag(workspace: Workspace, address: str, name: str, *, move: bool = False) -> int:
    return tag_version(workspace, DataAddress.parse(address), name, actor="ana", move=move).number


def test_a_tag_stays_until_it_is_moved_on_purpose(empty: Workspace) -> None:
    add(empty, 0)
    assert tag(empty, "orders", "golden") == 1
    add(empty, 1)
    assert (number(empty, "orders"), number(empty, "orders@golden")) == (2, 1)
    before = head(empty)
    assert tag(empty, "orders@v1", "golden") == 1
    assert head(empty) == before
    with pytest.raises(NameInUse, match="--move"):
        tag(empty, "orders@v2", "golden")
    tag(empty, "orders@v2", "golden", move=True)
    assert number(empty, "orders@golden") == 2
    unname(empty, "orders", "golden", actor="ana")
    with pytest.raises(DataNameNotFound, match="There are: main"):
        number(empty, "orders@golden")


def test_versions_are_found_by_time_and_by_digest(empty: Workspace) -> None:
    first = empty.clock.now()
    add(empty, 0)
    empty.advance(first + 3 * DAY)
    add(empty, 1)
    with empty.database.read() as tx:
        digest = tx.data.versions("orders")[0].digest
    assert number(empty, f"orders@{(first + DAY).date()}") == 1
    assert number(empty, f"orders@{first.date()}") == 1
    assert number(empty, f"orders@{(first + 3 * DAY).date()}") == 2
    assert number(empty, f"orders@sha256:{digest[:12]}") == 1
    for address in (f"orders@{(first - DAY).date()}", "orders@sha256:00000000", "orders@v9", "nope@golden"):
        with pytest.raises(NotFound):
            number(empty, address)


def test_what_is_added_on_a_branch_no_product_reads_until_it_is_merged(empty: Workspace) -> None:
    add(empty, 0)
    begin_branch(empty, DataAddress("orders"), "trial", actor="ana")
    assert number(empty, "orders@trial") == 1
    assert [add(empty, 1, "trial"), add(empty, 2, "trial")] == [2, 3]
    assert days(empty, "orders") == [0]
    assert days(empty, "orders@trial") == [0, 1, 2]
    merged = merge_branch(empty, "orders", "trial", actor="ana")
    assert (merged.number, merged.rows, merged.rows_added) == (4, 300, 200)
    assert days(empty, "orders") == [0, 1, 2]
    assert merge_branch(empty, "orders", "trial", actor="ana") == merged
    assert add(empty, 3, "trial") == 5
    assert merge_branch(empty, "orders", "trial", actor="ana").number == 6
    assert add(empty, 4) == 7
    assert days(empty, "orders") == [0, 1, 2, 3, 4]


def test_branches_side_by_side_keep_to_themselves(empty: Workspace) -> None:
    add(empty, 0)
    for name in ("a", "b"):
        begin_branch(empty, DataAddress("orders"), name, actor="ana")
    for day, branch in ((1, "a"), (2, "b"), (3, "main"), (4, "a"), (5, "main")):
        add(empty, day, branch)
    assert days(empty, "orders@a") == [0, 1, 4]
    assert days(empty, "orders@b") == [0, 2]
    assert days(empty, "orders") == [0, 3, 5]
    with pytest.raises(MainHasMoved, match="orders@v1"):
        merge_branch(empty, "orders", "a", actor="ana")
    assert days(empty, "orders") == [0, 3, 5]


def test_names_that_are_taken_or_mean_something_else_are_refused(empty: Workspace) -> None:
    with pytest.raises(DataVersionNotFound):
        tag(empty, "orders", "golden")
    add(empty, 0)
    begin_branch(empty, DataAddress("orders"), "trial", actor="ana")
    with pytest.raises(NameInUse, match="is a branch"):
        tag(empty, "orders", "trial", move=True)
    for name in ("main", "v7", "2024-01-01"):
        with pytest.raises(Invalid):
            tag(empty, "orders", name)
    with pytest.raises(DataNameNotFound):
        add(empty, 1, "nope")
    assert number(empty, "orders") == 1


def test_a_cycle_may_be_asked_for_by_any_address(empty: Workspace) -> None:
    add(empty, 0)
    tag(empty, "orders", "golden")
    add(empty, 1)
    asked = request_training(
        empty, "tiny", request_id="1", actor="ana", reason="", data=[DataAddress.parse("orders@golden")]
    )
    assert asked.data == {"orders": 1}
