"""What was looked up is held against what training joins, and where they differ it is said why."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl
import pytest
from tests.operate.shop import MOMENT, declaration
from tests.operate.tiny import begin
from tests.products.tiny.orders import FIRST, parquet

from mainspring.data import Change
from mainspring.errors import NotFound
from mainspring.features.online import Value, snapshot_name, use
from mainspring.monitoring.record import Fetched, PredictionRecord
from mainspring.operate.data.publish import Adding, add_batch
from mainspring.operate.declare import declare
from mainspring.operate.online_skew import Reason, online_skew
from mainspring.stores.segments import SegmentWriter
from mainspring.workspace import Workspace

HOUR = timedelta(hours=1)
BEGIN = FIRST + timedelta(days=40)


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """A shop whose profiles are in the online store, and whose log holds who was looked up."""
    with begin(tmp_path, lambda _: declaration(online="store", pii=False)) as workspace:
        workspace.advance(BEGIN)
        yield workspace


def add(
    workspace: Workspace, *rows: tuple[int, str, datetime, float | None], change: Change = Change.APPEND
) -> None:
    schema = {"row_id": pl.Int64, "customer": pl.String, "at": MOMENT, "amount": pl.Float64}
    content = parquet(pl.DataFrame(rows, schema=schema, orient="row"))
    assert add_batch(workspace, "customers", content, actor="test", adding=Adding(change=change)).version


def ask(workspace: Workspace, *names: str) -> None:
    """Look up as a gateway does, and log it."""
    with workspace.database.read() as tx:
        [spec] = workspace.specs(tx).values()
    [view] = spec.online
    now = workspace.clock.now()
    entities: list[Value] = [*names]
    found = use(view, entities, workspace.online.read(snapshot_name(view), names, now), now)
    ids = [f"{name} {now:%d %H}" for name in names]
    with SegmentWriter(workspace.logs / "gateway-0") as writer:
        writer.append(
            [
                PredictionRecord(
                    at=now,
                    product="tiny",
                    route=1,
                    ids=ids,
                    units=ids,
                    versions=[1] * len(ids),
                    scores=[0.5] * len(ids),
                    inputs={"hour": [1] * len(ids), "kind": ["a"] * len(ids), "customer": [*names]},
                    features={"profile": Fetched(found.at, found.columns)},
                )
            ]
        )


def test_what_was_looked_up_is_what_is_joined_until_rows_come_late_or_are_changed(
    workspace: Workspace,
) -> None:
    add(
        workspace,
        (1, "ann", BEGIN - 2 * HOUR, 1.0),
        (2, "bob", BEGIN - 2 * HOUR, 2.0),
        (3, "old", BEGIN - timedelta(days=31), 3.0),
        (4, "eve", BEGIN - 2 * HOUR, None),
        (5, "soon", BEGIN + HOUR, 5.0),
        (6, "dan", BEGIN - timedelta(days=20), 6.0),
    )
    ask(workspace, "ann", "bob", "old", "eve", "soon", "none", "dan")
    workspace.advance(BEGIN + 2 * HOUR)
    ask(workspace, "soon")
    [sound] = online_skew(workspace)
    assert (sound.product, sound.view, sound.feature) == ("tiny", "profile", "amount")
    assert (sound.rows, sound.equal, sound.different, sound.sound) == (8, 8, 0, True)

    add(workspace, (7, "ann", BEGIN - HOUR, 7.0), (8, "none", BEGIN - HOUR, 8.0))
    add(workspace, (2, "bob", BEGIN - 2 * HOUR, 2.5), change=Change.UPSERT)
    root = workspace.settings.root
    (root / "product.py").write_text((root / "product.py").read_text().replace('ttl="30d"', 'ttl="10d"'))
    declare(workspace, actor="test")
    [found] = online_skew(workspace, "tiny")
    assert found.reasons == {Reason.CORRECTED: 1, Reason.EXPIRED: 1, Reason.LATE: 2}
    assert (found.rows, found.different, found.sound) == (8, 4, False)
    told = {each.entity: each for each in found.examples}
    assert (told["ann"].looked_up, told["ann"].joined) == (1.0, 7.0)
    assert (told["ann"].looked_up_of, told["ann"].joined_of) == (BEGIN - 2 * HOUR, BEGIN - HOUR)
    assert (told["none"].looked_up, told["none"].joined, told["none"].reason) == (None, 8.0, Reason.LATE)
    assert (told["bob"].looked_up, told["bob"].joined) == (2.0, 2.5)
    assert (told["dan"].looked_up, told["dan"].joined) == (6.0, None)

    add(workspace, (1, "eve", BEGIN - 2 * HOUR, None), change=Change.REPLACE)
    [gone] = online_skew(workspace, until=BEGIN)
    assert gone.reasons == {Reason.REMOVED: 3}  # of ann, bob and dan; the others had no value


def test_what_cannot_be_compared_is_said_and_not_taken_for_well(tmp_path: Path) -> None:
    with begin(tmp_path, lambda _: declaration(online="store")) as workspace:
        add(workspace, (1, "ann", FIRST, 1.0))
        [nothing] = online_skew(workspace)
        assert (nothing.why, nothing.sound) == ("no prediction has looked it up", False)
        record = PredictionRecord(
            at=FIRST, product="tiny", route=1, ids=["a"], units=["a"], versions=[1], scores=[0.5],
            inputs={"hour": [1], "kind": ["a"]}, redacted=["customer"],
            features={"profile": Fetched([FIRST], {"amount": [1.0]})},
        )  # fmt: skip
        with SegmentWriter(workspace.logs / "gateway-0") as writer:
            writer.append([record])
        [hidden] = online_skew(workspace)
        assert (hidden.why, hidden.sound) == ("the log does not hold customer", False)
        assert msgspec.json.encode(hidden)
        with pytest.raises(NotFound):
            online_skew(workspace, "tinny")
