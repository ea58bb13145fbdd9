"""Publishing: a batch becomes the next version whole, or nothing of it is kept and a report says why."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from tests.operate.tiny import head
from tests.products.tiny.orders import FIRST, orders, parquet

from mainspring.data import BatchOutcome
from mainspring.events import EventType
from mainspring.governance import verify
from mainspring.operate.data.datasets import UnknownDataset
from mainspring.operate.data.publish import add_batch
from mainspring.stores.errors import StoreUnavailable
from mainspring.workspace import Workspace

DAY = timedelta(days=1)
JANUARY = orders(days=5)
LATER = orders(FIRST + 5 * DAY, days=5)


def add(workspace: Workspace, content: bytes, **said: Any) -> Any:
    return add_batch(workspace, "orders", content, actor="ana", **said)


def newest(workspace: Workspace) -> Any:
    with workspace.database.read() as tx:
        return tx.data.newest("orders")


def published(workspace: Workspace) -> pl.DataFrame:
    return workspace.tables.read("orders", newest(workspace).table_version).sort("asked_at", "order_id")


def last_event(workspace: Workspace) -> Any:
    with workspace.database.read() as tx:
        return tx.ledger.newest(limit=1)[0]


def test_batches_make_versions_that_never_change(empty: Workspace) -> None:
    first = add(empty, parquet(JANUARY), reason="the first days")
    assert (first.version, first.report.outcome, first.actor) == (1, BatchOutcome.PUBLISHED, "ana")
    assert published(empty).equals(JANUARY)
    version = newest(empty)
    event = last_event(empty)
    assert (event.type, event.subject, event.actor, event.reason) == (
        EventType.DATA_VERSION_PUBLISHED,
        "orders@v1",
        "ana",
        "the first days",
    )
    second = add(empty, parquet(LATER))
    assert (second.version, newest(empty).rows, newest(empty).rows_added) == (2, 1_000, 500)
    assert published(empty).equals(pl.concat([JANUARY, LATER]))
    assert empty.tables.read("orders", version.table_version).sort("asked_at").equals(JANUARY)
    with empty.database.read() as tx:
        assert tx.data.versions("orders")[0] == version
        assert verify(tx.ledger.entries()).sound


def test_the_same_bytes_get_the_same_answer_and_change_nothing(empty: Workspace) -> None:
    batch = add(empty, parquet(JANUARY))
    refusal = add(empty, b"no table")
    before, version = head(empty), newest(empty)
    empty.advance(empty.clock.now() + DAY)
    assert add(empty, parquet(JANUARY), reason="again") == batch
    assert add(empty, b"no table") == refusal
    assert (head(empty), newest(empty)) == (before, version)


def test_rows_that_break_a_check_are_set_aside_and_the_rest_is_published(empty: Workspace) -> None:
    broken = JANUARY.with_columns(amount=pl.when(pl.int_range(pl.len()) < 3).then(-1.0).otherwise("amount"))
    batch = add(empty, parquet(broken))
    assert (batch.version, batch.report.quarantined, newest(empty).rows) == (1, 3, 497)
    assert published(empty).equals(JANUARY[3:])
    data = json.loads(last_event(empty).data)
    assert (data["rows_added"], data["quarantined"]) == (497, 3)
    (failure,) = data["failures"]
    assert (failure["column"], failure["rows"], failure["examples"][0]) == ("amount", 3, [0, "-1.0"])


REFUSED: dict[str, tuple[Callable[[], bytes], str, list[str]]] = {
    "another unit": (
        lambda: parquet(LATER.with_columns(pl.col("amount") * 100)),
        "rows fail a check",
        ["amount"],
    ),
    "nulls in a key": (
        lambda: parquet(LATER.with_columns(order_id=pl.when(pl.int_range(pl.len()) > 2).then("order_id"))),
        "order_id: is never null",
        ["order_id"],
    ),
    "a key twice": (lambda: parquet(pl.concat([LATER, LATER[:2]])), "order_id: is unique", ["order_id"]),
    "keys of before": (
        lambda: parquet(pl.concat([LATER, JANUARY[:2]])),
        "not published before",
        ["order_id"],
    ),
    "other columns": (
        lambda: parquet(LATER.rename({"amount": "amounts"}).drop("kind")),
        "its columns are not those of the schema",
        ["amount", "amounts", "kind"],
    ),
    "no rows": (lambda: parquet(LATER.clear()), "it has no rows", []),
    "no table": (lambda: b"\x00\x01\x02", "it is no Parquet, Arrow, NDJSON or CSV table", []),
    "half a file": (lambda: parquet(LATER)[:2_000], "a Parquet file that was cut off", []),
    "no bytes": (lambda: b"", "it is empty", []),
    "broken JSON": (lambda: b'{"order_id": "1"', "it is no whole NDJSON table", []),
}


def test_a_refused_batch_is_told_whole_and_the_version_before_goes_on(empty: Workspace) -> None:
    add(empty, parquet(JANUARY))
    before = newest(empty)
    for fault, (content, refusal, columns) in REFUSED.items():
        batch = add(empty, content())
        assert batch.version is None, fault
        assert refusal in batch.report.refusal, fault
        assert sorted({failure.column for failure in batch.report.failures}) == columns, fault
        event = last_event(empty)
        assert (event.type, event.subject) == (EventType.BATCH_REFUSED, "orders")
        assert refusal in event.reason
        told = json.loads(event.data)["failures"]
        assert [(each["column"], each["check"], each["rows"]) for each in told] == [
            (each.column, each.check, each.rows) for each in batch.report.failures
        ]
        assert all(
            each["examples"] for each in told if each["check"] not in ("is in the schema", "is in the batch")
        )
        assert newest(empty) == before
        assert published(empty).equals(JANUARY)
    assert not list((empty.settings.state / "incoming").iterdir())
    assert add(empty, parquet(LATER)).version == 2
    assert published(empty).equals(pl.concat([JANUARY, LATER]))


def test_what_was_appended_and_never_recorded_is_taken_back_before_the_next_version(empty: Workspace) -> None:
    # As after a kill between the two: rows in the table that no version names.
    empty.tables.append("orders", LATER, commit_id=None)
    assert newest(empty) is None
    assert add(empty, parquet(JANUARY)).version == 1
    assert published(empty).equals(JANUARY)
    empty.tables.append("orders", LATER, commit_id=None)
    third = orders(FIRST + 10 * DAY, days=1)
    assert add(empty, parquet(third)).version == 2
    assert published(empty).equals(pl.concat([JANUARY, third]))
    assert add(empty, parquet(LATER)).version == 3


@pytest.mark.parametrize(
    "written",
    [
        lambda rows: rows.write_csv().encode(),
        lambda rows: rows.write_ndjson().encode(),
        lambda rows: rows.select(reversed(rows.columns)).write_csv().encode(),
    ],
)
def test_csv_and_ndjson_are_taken_like_parquet(
    empty: Workspace, written: Callable[[pl.DataFrame], bytes]
) -> None:
    # Ids that look like numbers, a column without values, and whole numbers for amounts.
    rows = JANUARY.with_columns(
        order_id=pl.int_range(pl.len()).cast(pl.String).str.zfill(5),
        kind=pl.lit(None, pl.String),
        amount=pl.col("amount").round(),
    )
    batch = add(empty, written(rows))
    assert batch.report.refusal == ""
    assert published(empty).equals(rows)


def test_a_dataset_that_no_product_reads_is_told_with_those_there_are(empty: Workspace) -> None:
    with pytest.raises(UnknownDataset) as refused:
        add_batch(empty, "odrers", b"", actor="ana")
    assert (refused.value.dataset, refused.value.known) == ("odrers", ("orders",))
    assert "orders" in str(refused.value)


def test_a_disk_that_takes_no_batch_is_told_and_nothing_is_lost(empty: Workspace) -> None:
    before = head(empty)
    incoming = empty.settings.state / "incoming"
    incoming.write_text("no folder")
    with pytest.raises(StoreUnavailable, match="Nothing of this act was kept"):
        add(empty, parquet(JANUARY))
    assert head(empty) == before
    incoming.unlink()
    assert add(empty, parquet(JANUARY)).version == 1
