"""Contracts: what each failure does, what is judged beside the version before, and rows that a person lets in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.data.test_validate import ROWS, Rows, sound
from tests.operate.tiny import begin
from tests.products.tiny.orders import FIRST, orders, parquet

import mainspring as ms
from mainspring.data import Batch, Change
from mainspring.data.validate import FAILED, ROW
from mainspring.errors import Invalid
from mainspring.events import EventType
from mainspring.operate.data.add import add_data
from mainspring.operate.data.inferring import infer_dataset
from mainspring.operate.data.publish import Adding, add_batch
from mainspring.operate.data.quarantine import BatchNotFound, release, rows_set_aside, set_aside
from mainspring.operate.data.sources import add_source
from mainspring.operate.data.validation import validation_report
from mainspring.operate.declare import declare
from mainspring.operate.tasks import AddBatch
from mainspring.stores.blobs import FileBlobs
from mainspring.stores.tables import DeltaTables
from mainspring.web.validation import validation_html
from mainspring.workspace import Workspace, open_workspace

DAY = timedelta(days=1)
JANUARY = orders(days=5, per_day=20)
LATER = orders(FIRST + 5 * DAY, days=5, per_day=20)
CHECKS = """
    quarantine=0.2,
    checks=[
        ms.RowChange(at_least=0.5, at_most=2),
        ms.SchemaEvolution(),
        ms.Distribution(columns=("amount", "kind"), at_most=0.7),
        ms.References("kind", "kinds", "kind", severity="quarantine"),
        ms.Freshness("30d"),
    ],
)
"""


def contract(text: str) -> str:
    for old, new in (
        (
            "amount: float = pa.Field(ge=0, le=1_000)",
            "amount: float = pa.Field(\n        ge=0, le=1_000, metadata=ms.severity(le='warn')\n    )",
        ),
        (
            'isin=["a", "b", "c"], nullable=True',
            'isin=["a", "b", "c", "d"], nullable=True, metadata=ms.severity("refuse")',
        ),
        ("    schema=Orders,\n)\n", f"    schema=Orders,{CHECKS}"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


def add(workspace: Workspace, rows: pl.DataFrame, **said: Any) -> Batch:
    return add_batch(workspace, "orders", parquet(rows), actor="ana", **said)


def at(column: str, values: dict[int, object]) -> pl.Expr:
    place = pl.int_range(pl.len())
    changed = pl.col(column)
    for row, value in values.items():
        changed = pl.when(place == row).then(pl.lit(value)).otherwise(changed)
    return changed.alias(column)


def published(workspace: Workspace) -> pl.DataFrame:
    with workspace.database.read() as tx:
        newest = tx.data.newest("orders")
    assert newest is not None
    return workspace.tables.read("orders", newest.table_version).sort("asked_at", "order_id")


def last_event(workspace: Workspace) -> Any:
    with workspace.database.read() as tx:
        return tx.ledger.newest(limit=1)[0]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a contract, whose first batch was refused and then taken, with rows set aside."""
    folder = tmp_path_factory.mktemp("contracts") / "root"
    with begin(folder, contract) as workspace:
        workspace.advance(FIRST + 10 * DAY)
        batch = JANUARY.with_columns(at("amount", {3: -1.0, 4: 2_000.0}), at("kind", {7: "d"}))
        refused = add(workspace, batch)
        assert refused.version is None
        assert "References could not be asked (dataset 'kinds' has no version)" in refused.report.refusal
        kinds = parquet(pl.DataFrame({"kind": ["a", "b", "c"]}))
        add_batch(workspace, "kinds", kinds, actor="ana", adding=Adding(new=True, key=("kind",)))
        # What it was refused for has changed, so that the same bytes are judged anew.
        assert add(workspace, batch).version == 1
        assert add(workspace, batch).version == 1
    return folder


@pytest.fixture
def workspace(kept: Path, tmp_path: Path) -> Iterator[Workspace]:
    with open_workspace(Path(shutil.copytree(kept, tmp_path / "root"))) as workspace:
        yield workspace


def test_a_failure_is_told_sets_a_row_aside_or_refuses_all(workspace: Workspace) -> None:
    kept_rows = published(workspace)
    assert kept_rows.height == 98
    assert kept_rows["amount"].max() == 2_000
    (aside,) = set_aside(workspace, "orders")
    assert (aside.ref, aside.rows, aside.released) == ("orders@v1", 2, None)
    assert {(each["column"], each["check"]) for each in aside.failures} == {
        ("amount", "greater_than_or_equal_to(0)"),
        ("kind", "stands in kinds.kind"),
    }
    rows = rows_set_aside(workspace, "orders", aside.batch[:8])
    assert rows[ROW].to_list() == [3, 7]
    assert rows[FAILED].to_list() == ["amount: greater_than_or_equal_to(0)", "kind: stands in kinds.kind"]
    refused = add(workspace, LATER.with_columns(at("kind", {2: "z"})))
    assert refused.report.refusal.startswith("kind: isin(")
    assert published(workspace).equals(kept_rows)
    told = json.loads(last_event(workspace).data)
    assert (last_event(workspace).type, told["failures"][0]["keys"]) == (
        EventType.BATCH_REFUSED,
        [LATER["order_id"][2]],
    )


def test_a_person_lets_rows_in_once_and_with_a_reason(workspace: Workspace) -> None:
    (aside,) = set_aside(workspace)
    with pytest.raises(Invalid, match="Say why"):
        release(workspace, "orders", aside.batch, actor="bo", reason=" ")
    with pytest.raises(BatchNotFound, match="No batch"):
        release(workspace, "orders", "ffff", actor="bo", reason="it is right")
    let_in = release(workspace, "orders", aside.batch[:10], actor="bo", reason="a refund")
    assert (let_in.version, let_in.report.quarantined) == (2, 0)
    assert {each.severity for each in let_in.report.failures} == {"warn"}
    event = last_event(workspace)
    assert (event.actor, event.reason, json.loads(event.data)["released"]) == ("bo", "a refund", aside.batch)
    assert published(workspace).height == 100
    assert release(workspace, "orders", aside.batch, actor="cy", reason="again") == let_in
    assert set_aside(workspace)[0].released == "orders@v2"
    # How many rows come next is compared with what came, not with what was let in.
    assert add(workspace, LATER).version == 3


def test_rows_whose_key_has_come_meanwhile_are_not_let_in(workspace: Workspace) -> None:
    mended = JANUARY[3:4].with_columns(amount=5.0)
    assert add(workspace, mended, adding=Adding(change=Change.UPSERT)).version is None  # one row is too few
    assert add(workspace, pl.concat([mended, LATER])).version == 2
    (aside,) = set_aside(workspace)
    refused = release(workspace, "orders", aside.batch, actor="bo", reason="it is right")
    assert "was not published before" in refused.report.refusal
    assert set_aside(workspace)[0].released is None


def test_rows_that_are_set_aside_beside_no_change_are_told(workspace: Workspace) -> None:
    again = published(workspace)[:60].vstack(LATER[:1].with_columns(amount=-1.0))
    batch = add(workspace, again, adding=Adding(change=Change.UPSERT))
    assert (batch.version, batch.report.quarantined) == (1, 1)
    assert (last_event(workspace).type, last_event(workspace).subject) == (
        EventType.DATA_SET_ASIDE,
        "orders@v1",
    )
    assert [each.rows for each in set_aside(workspace)] == [2, 1]


def test_a_refusal_by_a_contract_lasts_no_longer_than_the_contract(workspace: Workspace) -> None:
    batch = LATER.with_columns(pl.col("hour") + 1)
    batch = batch.with_columns(at("hour", dict.fromkeys(range(30), 24)))
    assert "rows fail a check" in add(workspace, batch).report.refusal
    file = workspace.settings.root / "product.py"
    file.write_text(file.read_text().replace("ge=0, le=23", "ge=0, le=24"))
    declare(workspace, actor="test")
    assert add(workspace, batch).version == 2


def test_a_key_of_another_width_is_held_against_those_published(workspace: Workspace, tmp_path: Path) -> None:
    rows, tables, blobs = sound(), DeltaTables(tmp_path / "tables"), FileBlobs(tmp_path / "blobs")
    file, version = tmp_path / "rows.parquet", None
    for name, batch in (("first", rows), ("again", rows.with_columns(pl.col("id").cast(pl.Int32)))):
        batch.write_parquet(file)
        task = AddBatch(dataset="rows", file=str(file), table_version=version, key=("id",))
        report = add_data(task, ROWS, tables, blobs).report
        version = 0
        assert ("was not published before" in report.refusal) is (name == "again")


def test_versions_are_judged_beside_the_one_before(workspace: Workspace) -> None:
    before = published(workspace)
    few = add(workspace, LATER[:10])
    assert few.report.refusal == "(rows): are 0.5 to 2 times as many as before (10 come, and 98 before)"
    far = add(workspace, LATER.with_columns(pl.col("amount") + 300, kind=pl.lit("c")))
    assert "at most 0.7 from the version before (Jensen-Shannon)" in far.report.refusal
    workspace.advance(FIRST + 60 * DAY)
    old = add(workspace, LATER)
    assert "has a row of the last 30d" in old.report.refusal
    assert published(workspace).equals(before)
    fresh = orders(FIRST + 50 * DAY, days=5, per_day=20)
    batch = add(workspace, fresh)
    assert batch.version == 2
    found = {each.check.partition(" (")[0]: each.found for each in batch.report.passed if each.found}
    assert found["are 0.5 to 2 times as many as before"] == "100 come, and 98 before"


def test_a_nullable_column_may_come_and_none_that_needs_values(workspace: Workspace) -> None:
    file = workspace.settings.root / "product.py"
    text = file.read_text()
    field = "    hour: int = pa.Field(ge=0, le=23)\n"
    file.write_text(text.replace(field, f"{field}    coupon: str\n"))
    declare(workspace, actor="test")
    with_coupon = LATER.with_columns(coupon=pl.lit("x"))
    refused = add(workspace, with_coupon)
    assert "coupon is new and not nullable" in refused.report.refusal
    file.write_text(text.replace(field, f"{field}    coupon: str = pa.Field(nullable=True)\n"))
    declare(workspace, actor="test")
    assert add(workspace, with_coupon).version == 2
    assert published(workspace)["coupon"].value_counts().sort("coupon").rows() == [(None, 98), ("x", 100)]
    file.write_text(text)
    declare(workspace, actor="test")
    gone = add(workspace, orders(FIRST + 9 * DAY, days=4, per_day=20), adding=Adding(change=Change.REPLACE))
    assert "coupon is gone" in gone.report.refusal


def test_the_report_is_one_page_that_runs_nothing(workspace: Workspace) -> None:
    report = validation_report(workspace, "orders@v1")
    assert (report.batch.ref, report.batch.quarantined, len(report.columns)) == ("orders@v1", 2, 7)
    page = validation_html(report)
    assert page.count("<svg") == 7
    assert JANUARY["order_id"][3] in page
    evil = LATER.with_columns(at("kind", {2: "<script>alert(1)</script>"}))
    add(workspace, evil)
    page = validation_html(validation_report(workspace, "orders"))
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert "default-src 'none'" in page


def test_what_is_inferred_from_a_version_is_declared_and_takes_the_next_batch(workspace: Workspace) -> None:
    code = infer_dataset(workspace, "orders")
    assert "    amount: float = pa.Field(ge=0, le=5000.0)" in code
    compile(code, "orders.py", "exec")


def test_a_table_by_reference_is_judged_by_the_same_checks(tmp_path: Path) -> None:
    with begin(tmp_path / "root", contract) as workspace:
        workspace.advance(FIRST + 10 * DAY)
        kinds = parquet(pl.DataFrame({"kind": ["a", "b", "c"]}))
        add_batch(workspace, "kinds", kinds, actor="ana", adding=Adding(new=True, key=("kind",)))
        table = tmp_path / "orders"
        JANUARY.write_delta(table)
        assert add_source(workspace, "orders", str(table), actor="ana").version == 1
        JANUARY[:20].write_delta(table, mode="overwrite")
        few = add_source(workspace, "orders", str(table), actor="ana")
        assert "20 come, and 100 before" in few.report.refusal


def test_a_file_that_is_added_in_pieces_makes_the_table_that_it_makes_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = sound().with_columns(at("amount", {5: -2.0, 31: 102.0}))
    rows.write_parquet(tmp_path / "rows.parquet", row_group_size=8)
    tables, blobs = DeltaTables(tmp_path / "tables"), FileBlobs(tmp_path / "blobs")
    made = []
    for name, piece in (("once", 1_000), ("pieces", 7)):
        monkeypatch.setattr("mainspring.operate.data.add._PIECE_ROWS", piece)
        task = AddBatch(dataset=name, file=str(tmp_path / "rows.parquet"), table_version=None, key=("id",))
        made.append(add_data(task, ROWS, tables, blobs))
    assert made[0] == made[1]
    assert tables.read("once").sort("id").equals(tables.read("pieces").sort("id"))
    assert tables.read("pieces").height == 39


def test_a_file_that_is_damaged_inside_is_refused_where_that_can_be_seen(tmp_path: Path) -> None:
    file, tables = tmp_path / "rows.parquet", DeltaTables(tmp_path / "tables")
    content = parquet(
        sound(2_000).with_columns(free=pl.int_range(2_000, dtype=pl.Int64).hash().cast(pl.String))
    )
    dataset, refused = ms.Dataset("rows", key="id", event_time="at", schema=Free), 0
    for place in range(100, len(content) - 3_000, 4_001):
        name = f"rows-{place}"
        file.write_bytes(content[:place] + bytes(300) + content[place + 300 :])
        task = AddBatch(dataset=name, file=str(file), table_version=None, key=("id",))
        report = add_data(task, dataset, tables, FileBlobs(tmp_path / "blobs")).report
        assert tables.exists(name) is not bool(report.refusal)
        refused += bool(report.refusal)
    assert refused > 3


class Free(Rows):
    free: str
