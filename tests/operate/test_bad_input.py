"""Bad input through the whole loop: each fault has an outcome with a name, and costs no alarm that nothing pays for."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import polars as pl
import pytest
from msgspec.structs import replace
from tests.operate.tiny import PRODUCT, ask, begin, train_first
from tests.operate.watching import DAY, live, spec
from tests.products.tiny.orders import FIRST, orders, parquet

from mainspring.monitoring import Profile
from mainspring.monitoring.operation import OperationTable
from mainspring.monitoring.record import Failure, Fetched, LabelEntry, LabelRecord, Packed, PredictionRecord
from mainspring.operate.alarms import replay
from mainspring.operate.compact import GROUP, compact, prediction_log
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.day_tables import MetricSums
from mainspring.operate.declare import declare
from mainspring.operate.ingest import ingest, log_counts
from mainspring.operate.log_table import STRAYS
from mainspring.operate.review import review
from mainspring.operate.status import product_status
from mainspring.operate.watch import looks, watch
from mainspring.stores.segments import SegmentWriter
from mainspring.workspace import Workspace, open_workspace

NOON = FIRST + 31 * DAY + timedelta(hours=12)


def counts(workspace: Workspace) -> dict[str, int]:
    with workspace.database.read() as tx:
        return log_counts(tx, "tiny")


def outcome(workspace: Workspace, monitor: str) -> tuple[str, str]:
    """What came of a monitor's last look, and in which words."""
    with workspace.database.read() as tx:
        seen = looks(tx, "tiny", monitor)
    assert seen is not None
    return seen.outcome, seen.told


def tables(workspace: Workspace, kind: str) -> dict[str, str]:
    with workspace.database.read() as tx:
        return {str(day): text for day, text in tx.monitoring.tables("tiny", 1, kind).items()}


def state(workspace: Workspace) -> dict[str, dict[str, str]]:
    return {kind: tables(workspace, kind) for kind in ("profile", "scores", "log_loss", "operation")}


# --- what comes in a column ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "column"),
    [
        (lambda rows: rows.with_columns(amount=pl.lit(120.0)), "amount"),
        (lambda rows: rows.with_columns(kind=pl.lit(None, pl.String)), "kind"),
        (lambda rows: rows.with_columns(amount=pl.lit(None, pl.Float64)), "amount"),
        (lambda rows: rows.with_columns(amount=pl.col("amount") * 1000), "amount"),
        (lambda rows: rows.with_columns(kind=pl.format("kind {}", pl.int_range(pl.len()))), "kind"),
    ],
    ids=["constant", "a text that is missing", "a number that is missing", "another unit", "new categories"],
)
def test_a_broken_column_is_an_alarm_that_blames_it_and_comes_out_the_same_again(
    workspace: Workspace, change: Callable[[pl.DataFrame], pl.DataFrame], column: str
) -> None:
    spoken = live(workspace, range(1, 5), change)
    _, alarm = spoken["input_drift"]
    assert alarm.change is not None
    assert alarm.change.blame[0].feature == column
    assert alarm.advice
    assert replay(workspace, alarm.alarm_id).same
    turn(workspace)


def test_categories_without_end_take_no_more_room_than_some_thousand(workspace: Workspace) -> None:
    workspace.advance(NOON)
    sizes = []
    for day, levels in enumerate((5_000, 40_000)):
        rows = orders(NOON - timedelta(hours=12) + day * DAY, days=1, per_day=levels)
        rows = rows.with_columns(kind=pl.format("kind {}", pl.int_range(pl.len())))
        workspace.advance(NOON + day * DAY)
        ask_together(workspace, rows)
        ingest(workspace)
        sizes.append(len(tables(workspace, "profile")[f"{(NOON + day * DAY).date()}"]))
    assert sizes[1] < 1.5 * sizes[0]
    workspace.advance(NOON + 2 * DAY)
    assert "input_drift" in {alarm.monitor for alarm in watch(workspace, spec(workspace))}


def test_a_column_that_was_constant_in_training_is_quiet_while_it_stays_so(tmp_path: Path) -> None:
    def constant(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(hour=pl.lit(7))

    with begin(tmp_path / "root") as workspace:
        add_batch(workspace, "orders", parquet(constant(orders())), actor="test")
        turn(workspace)
        assert live(workspace, range(1, 6), constant) == {}
        assert outcome(workspace, "input_drift")[0] == "quiet"
        assert "input_drift" in live(workspace, range(6, 9))


def ask_together(workspace: Workspace, rows: pl.DataFrame) -> None:
    """Log one request of many rows, all answered 0.3."""
    with SegmentWriter(workspace.logs / "gateway-0") as writer:
        writer.append([request(workspace, rows)])
        writer.roll()


def request(workspace: Workspace, rows: pl.DataFrame, at: timedelta = timedelta(0)) -> PredictionRecord:
    ids = rows["order_id"].to_list()
    return PredictionRecord(
        at=workspace.clock.now() + at,
        product="tiny",
        route=1,
        ids=ids,
        units=ids,
        versions=[1] * len(ids),
        scores=[0.3] * len(ids),
        inputs={name: rows[name].to_list() for name in ("amount", "hour", "kind")},
    )


# --- records that are damaged ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: replace(record, scores=record.scores[:-1]),
        lambda record: replace(record, ids=[]),
        lambda record: replace(record, units=[*record.units, "one more"]),
        lambda record: replace(record, inputs=record.inputs | {"hour": [3]}),
        lambda record: replace(record, inputs=record.inputs | {"hour": Packed("INT64", bytes(8 * 10 + 1))}),
        lambda record: replace(record, shadow={"2": [0.5]}),
        lambda record: replace(record, failures=[Failure(10, 1, "it was told to")]),
        lambda record: replace(record, features={"view": Fetched([None], {"seen": [1] * 10})}),
    ],
    ids=["scores", "ids", "units", "inputs", "packed", "shadow", "failures", "features"],
)
def test_a_record_with_lists_of_unequal_length_is_named_and_the_others_count(
    workspace: Workspace, damage: Callable[[PredictionRecord], PredictionRecord]
) -> None:
    workspace.advance(NOON)
    rows = orders(FIRST + 31 * DAY, days=1)
    records = [request(workspace, rows[start : start + 10]) for start in range(0, 30, 10)]
    with SegmentWriter(workspace.logs / "gateway-0") as writer:
        writer.append([records[0], damage(records[1]), records[2]])
        writer.roll()
        for each in range(GROUP):
            writer.append([request(workspace, rows[30 + each : 31 + each])])
            writer.roll()
    done = turn(workspace)
    assert done.records == 3 + GROUP
    status = product_status(workspace, "tiny")
    assert (status.uncounted, status.predictions) == ({"damaged_records": 1}, 20 + GROUP)
    log, _ = prediction_log(workspace, "tiny")
    assert log.height == 20 + GROUP
    [stray] = workspace.predictions.read(STRAYS)["record"]
    assert msgspec.json.decode(stray, type=PredictionRecord) == damage(records[1])


# --- types that are declared anew while the version before serves ----------------------------------------------------

REDECLARED = {
    "amount: float = pa.Field(ge=0, le=1_000)": {
        "a text": "amount: str",
        "an integer": "amount: int = pa.Field(ge=0, le=1_000)",
    },
    'kind: str = pa.Field(isin=["a", "b", "c"], nullable=True)': {
        "a number": "kind: float = pa.Field(nullable=True)",
        "a truth value": "kind: bool = pa.Field(nullable=True)",
    },
}


def redeclare(workspace: Workspace, before: str, after: str) -> None:
    text = (PRODUCT / "product.py").read_text()
    assert before in text
    (workspace.settings.root / "product.py").write_text(text.replace(before, after))
    declare(workspace, actor="test")


@pytest.mark.parametrize(
    ("before", "after"),
    [pytest.param(before, each, id=name) for before, to in REDECLARED.items() for name, each in to.items()],
)
def test_what_a_version_answers_counts_by_its_own_types_after_an_input_was_declared_anew(
    workspace: Workspace, tmp_path: Path, before: str, after: str
) -> None:
    rows = orders(FIRST + 31 * DAY, days=1)
    with open_workspace(Path(shutil.copytree(workspace.settings.root, tmp_path / "undeclared"))) as other:
        other.advance(NOON)
        ask(other, rows)
        ingest(other)
        expected = state(other)
    workspace.advance(NOON)
    ask(workspace, rows[:40])
    redeclare(workspace, before, after)
    ask(workspace, rows[40:], log="gateway-1")
    ingest(workspace)
    assert state(workspace) == expected
    found = product_status(workspace, "tiny").uncounted
    assert found["redeclared_values"] > 0
    assert "mistyped_values" not in found


@pytest.mark.parametrize(
    ("before", "after"),
    [pytest.param(before, each, id=name) for before, to in REDECLARED.items() for name, each in to.items()],
)
def test_the_tables_hold_every_value_of_an_input_that_was_declared_anew(
    workspace: Workspace, before: str, after: str
) -> None:
    workspace.advance(NOON)
    days = [orders(FIRST + (31 + day) * DAY, days=1, per_day=20) for day in range(GROUP + 2)]
    ask(workspace, days[0])
    redeclare(workspace, before, after)
    for rows in days[1:]:
        ask(workspace, rows)
    ingest(workspace)
    in_segments, _ = prediction_log(workspace, "tiny")
    assert compact(workspace) == GROUP
    log, labels = prediction_log(workspace, "tiny")
    order = ["prediction_id"]
    assert log.sort(order).equals(in_segments.sort(order))
    assert (log.height, labels.height) == (20 * len(days), 20 * len(days))
    asked = pl.concat(days).sort("order_id")
    for name in ("amount", "kind"):
        assert log.sort(order)[name].cast(asked.schema[name]).to_list() == asked[name].to_list()
    # The version that has answered them is asked again with what it was asked with.
    [month] = review(workspace, "tiny")
    assert month.frozen == pytest.approx(month.served, abs=1e-6)


def test_values_of_another_type_than_a_version_takes_are_missing_and_named_and_stop_nothing(
    workspace: Workspace,
) -> None:
    workspace.advance(NOON)
    rows = orders(FIRST + 31 * DAY, days=1)
    strange = request(workspace, rows[:10])
    strange.inputs["amount"] = ["much"] * 4 + [None] * 2 + [5.0] * 4
    strange.inputs["hour"] = [2.5] * 10
    with SegmentWriter(workspace.logs / "gateway-0") as writer:
        writer.append([strange, request(workspace, rows[10:])])
        writer.roll()
    ask(workspace, orders(FIRST + 32 * DAY, days=1, per_day=5), log="gateway-0")
    ingest(workspace)
    kept = Profile.from_json(tables(workspace, "profile")[f"{NOON.date()}"])
    assert (kept.rows, kept.columns["amount"].missing) == (105, 6)
    assert product_status(workspace, "tiny").uncounted["mistyped_values"] == 4
    assert product_status(workspace, "tiny").uncounted["redeclared_values"] == 14
    log, _ = prediction_log(workspace, "tiny")
    assert log["amount"].to_list().count("much") == 4
    assert log["hour"].to_list().count(2.5) == 10


# --- when it comes, and how often ----------------------------------------------------------------------------------


def test_a_segment_that_is_there_twice_counts_once_and_is_named(workspace: Workspace) -> None:
    workspace.advance(NOON)
    ask(workspace, orders(FIRST + 31 * DAY, days=1))
    ingest(workspace)
    before = state(workspace)
    (segment,) = (workspace.logs / "gateway-0").glob("*.log")
    for copy in ("gateway-1", "gateway-2"):
        (workspace.logs / copy).mkdir()
        shutil.copy(segment, workspace.logs / copy / "00000001.log")
    ingest(workspace)
    assert state(workspace) == before
    assert (counts(workspace)["repeated_predictions"], counts(workspace)["repeated_labels"]) == (200, 200)


def test_a_segment_that_is_read_after_its_ids_are_forgotten_does_not_count_and_is_named(
    workspace: Workspace,
) -> None:
    workspace.advance(NOON)
    ask(workspace, orders(FIRST + 31 * DAY, days=1))
    ingest(workspace)
    before = state(workspace)
    (segment,) = (workspace.logs / "gateway-0").glob("*.log")
    workspace.advance(NOON + 92 * DAY)
    ingest(workspace)  # forgets what has its label
    (workspace.logs / "gateway-1").mkdir()
    shutil.copy(segment, workspace.logs / "gateway-1" / "00000001.log")
    ingest(workspace)
    ingest(workspace)
    assert state(workspace) == before
    assert counts(workspace)["predictions_too_old"] == 100
    with workspace.database.read() as tx:
        assert log_counts(tx, None) == {"labels_without_prediction": 100}


def test_a_request_that_nobody_could_answer_counts_its_failures_once_and_is_named(
    workspace: Workspace,
) -> None:
    workspace.advance(NOON)
    unanswered = [
        msgspec.structs.replace(
            request(workspace, orders(FIRST + 31 * DAY, days=1)[:3]),
            ids=[],
            versions=[],
            scores=[],
            failures=[Failure(row, 1, "it broke") for row in range(3)],
            latency_s=seconds,
        )
        for seconds in (0.25, 0.5)
    ]
    for gateway in ("gateway-0", "gateway-1"):
        with SegmentWriter(workspace.logs / gateway) as writer:
            writer.append([*unanswered, unanswered[0]])
        ingest(workspace)
        (text,) = tables(workspace, "operation").values()
        assert OperationTable.from_json(text).failed == 6
        assert prediction_log(workspace, "tiny")[0].height == 6
    assert counts(workspace)["repeated_predictions"] == 3 + 9


def test_clocks_that_run_fast_or_slow_are_named_and_stop_nothing(workspace: Workspace) -> None:
    live(workspace, range(1, 4))
    rows = orders(FIRST + 34 * DAY, days=1, seed=1).sample(fraction=1.0, shuffle=True, seed=1)
    with SegmentWriter(workspace.logs / "gateway-1") as writer:
        writer.append(
            [
                request(workspace, rows[:10], timedelta(days=2)),
                request(workspace, rows[10:30], -timedelta(days=2)),
                request(workspace, rows[30:60]),
            ]
        )
        now = workspace.clock.now()
        early = [LabelEntry(each, False, now - timedelta(days=9)) for each in rows["order_id"][30:35]]
        ahead = [LabelEntry(each, False, now + timedelta(days=9)) for each in rows["order_id"][35:37]]
        writer.append([LabelRecord(at=now, labels=[*early, *ahead])])
    ingest(workspace)
    found = counts(workspace)
    assert found["predictions_of_the_future"] == 10
    assert found["predictions_of_days_looked_at"] == 20
    assert found["labels_known_before_asked"] == 5
    assert found["labels_known_in_the_future"] == 2
    assert live(workspace, range(4, 7)) == {}


# --- labels ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["banana", "true", 2, 0.5])
def test_a_label_of_another_product_is_named_and_is_no_outcome(
    workspace: Workspace, value: str | float
) -> None:
    workspace.advance(NOON)
    rows = orders(FIRST + 31 * DAY, days=1)
    ask(workspace, rows, labelled=False)
    ingest(workspace)
    before = state(workspace)
    with SegmentWriter(workspace.logs / "gateway-1") as writer:
        at = workspace.clock.now()
        writer.append([LabelRecord(at=at, labels=[LabelEntry(each, value, at) for each in rows["order_id"]])])
    ingest(workspace)
    assert counts(workspace)["unfitting_labels"] == 100
    assert state(workspace) == before


def test_a_business_metric_beyond_all_sums_is_named_and_stops_nothing(workspace: Workspace) -> None:
    workspace.advance(NOON)
    rows = orders(FIRST + 31 * DAY, days=1)
    ask(workspace, rows, labelled=False)
    at = workspace.clock.now()
    values = [1e200, -1e16, "much", 1e15, -1e15, 5e12]
    with SegmentWriter(workspace.logs / "gateway-1") as writer:
        brought = [
            LabelEntry(each, value, at, metric="paid")
            for each, value in zip(rows["order_id"], values, strict=False)
        ]
        writer.append([LabelRecord(at=at, labels=brought)])
    ingest(workspace)
    assert counts(workspace)["unfitting_labels"] == 3
    (sums,) = tables(workspace, "metric:paid").values()
    assert msgspec.json.decode(sums, type=MetricSums).rows == 3


def test_of_labels_that_contradict_each_other_the_first_stays_and_the_others_are_named(
    workspace: Workspace,
) -> None:
    workspace.advance(NOON)
    rows = orders(FIRST + 31 * DAY, days=1)
    ask(workspace, rows)
    ingest(workspace)
    before = state(workspace)
    at = workspace.clock.now()
    with SegmentWriter(workspace.logs / "gateway-1") as writer:
        for _ in range(2):
            writer.append(
                [
                    LabelRecord(
                        at=at,
                        labels=[
                            LabelEntry(each, not late, at + timedelta(hours=1))
                            for each, late in zip(rows["order_id"], rows["late"], strict=True)
                        ],
                    )
                ]
            )
    ingest(workspace)
    assert state(workspace) == before
    assert counts(workspace)["outdated_labels"] == 200


# --- what is damaged ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "blinded"),
    [("profile", {"input_drift", "prediction_drift"}), ("log_loss", {"quality:log_loss"})],
)
def test_a_damaged_table_blinds_the_monitors_that_read_it_and_no_other(
    workspace: Workspace, kind: str, blinded: set[str]
) -> None:
    live(workspace, range(1, 4))
    with workspace.database.write() as tx:
        days = tx.monitoring.tables("tiny", 1, kind)
        tx.monitoring.put_table("tiny", 1, kind, max(days), '{"damaged": [1')
    workspace.advance(FIRST + 34 * DAY + timedelta(hours=12))
    turn(workspace)
    monitors = [each.name for each in spec(workspace).monitors]
    assert {outcome(workspace, each)[0] for each in blinded} == {"could_not_judge"}
    assert "could_not_judge" not in {outcome(workspace, each)[0] for each in monitors if each not in blinded}
    assert product_status(workspace, "tiny").budget


def test_what_cannot_be_prepared_for_a_monitor_blinds_that_one_alone(tmp_path: Path) -> None:
    root = train_first(
        tmp_path / "root", lambda text: text.replace("monitors=[", "monitors=[ms.AttributionDrift(), ")
    )
    with open_workspace(root) as workspace:
        live(workspace, range(1, 3))
        with workspace.database.write() as tx:
            tx.monitoring.put_table("tiny", 1, "rows", (FIRST + 32 * DAY).date(), "[]")
        workspace.advance(FIRST + 33 * DAY + timedelta(hours=12))
        turn(workspace)
        assert outcome(workspace, "attribution_drift")[0] == "could_not_judge"
        assert outcome(workspace, "input_drift")[0] == "quiet"


# --- what it is compared with ---------------------------------------------------------------------------------------


def test_a_reference_that_is_too_small_is_named_and_never_an_alarm(tmp_path: Path) -> None:
    root = train_first(tmp_path / "root", lambda text: text.replace("rows=2_000", "rows=1"), per_day=3)
    with open_workspace(root) as workspace:
        assert live(workspace, range(1, 5), lambda rows: rows.head(3)) == {}
        for name in ("quality:log_loss", "input_drift"):
            came, told = outcome(workspace, name)
            assert came == "insufficient_data"
            assert "reference" in told


def test_a_monitor_of_a_column_that_the_version_never_had_says_so_and_keeps_no_other_from_looking(
    workspace: Workspace,
) -> None:
    live(workspace, range(1, 3))
    text = (PRODUCT / "product.py").read_text()
    sliced = text.replace(
        'ms.Quality("log_loss", tolerance=0.02),',
        'ms.Quality("log_loss", tolerance=0.02),\n        ms.Quality("accuracy", slices=("hour",)),',
    )
    (workspace.settings.root / "product.py").write_text(sliced)
    declare(workspace, actor="test")
    live(workspace, range(3, 5))
    assert outcome(workspace, "quality:accuracy")[0] == "insufficient_data"
    assert "hour" in outcome(workspace, "quality:accuracy")[1]
    assert outcome(workspace, "input_drift")[0] == "quiet"
