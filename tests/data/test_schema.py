"""The schema check: rows that break it are set aside and told, and a batch that is not what it should be is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any

import pandera.polars as pa
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mainspring as ms
from mainspring.data import BatchOutcome, BatchReport, columns_of, validate
from mainspring.errors import Faults
from mainspring.product import ColumnSpec

Moment = Annotated[pl.Datetime, "us", "UTC"]
START = datetime(2024, 1, 1, tzinfo=UTC)


class Readings(pa.DataFrameModel):
    station: str = pa.Field(isin=["north", "south"])
    at: Moment
    wind: float = pa.Field(ge=0, le=200, nullable=True)
    gusts: int = pa.Field(ge=0)
    calm: bool = pa.Field(nullable=True, metadata=ms.known_at("closed"))
    closed: Moment = pa.Field(nullable=True)


READINGS = ms.Dataset(
    "readings", key=["station", "at"], event_time="at", known_at="closed", schema=Readings, quarantine=0.2
)


def readings(rows: int = 10, **changed: Any) -> pl.DataFrame:
    frame = pl.DataFrame(
        {
            "station": ["north", "south"] * (rows // 2) + ["north"] * (rows % 2),
            "at": [START + timedelta(hours=row) for row in range(rows)],
            "wind": [float(row % 30) for row in range(rows)],
            "gusts": [row % 7 for row in range(rows)],
            "calm": [row % 2 == 0 for row in range(rows)],
            "closed": [START + timedelta(hours=row + 1) for row in range(rows)],
        },
        schema={
            "station": pl.String,
            "at": pl.Datetime("us", "UTC"),
            "wind": pl.Float64,
            "gusts": pl.Int64,
            "calm": pl.Boolean,
            "closed": pl.Datetime("us", "UTC"),
        },
    )
    return frame.with_columns(**changed)


def at_row(column: str, row: int, value: object) -> dict[str, pl.Expr]:
    return {column: pl.when(pl.int_range(pl.len()) == row).then(pl.lit(value)).otherwise(pl.col(column))}


def refused(frame: pl.DataFrame, **given: Any) -> BatchReport:
    rows, report = validate(frame, READINGS, **given)
    assert report.outcome is BatchOutcome.REFUSED
    assert rows.is_empty()
    assert report.quarantined == 0
    return report


def test_a_sound_batch_passes_whole_in_the_order_of_the_schema() -> None:
    batch = readings()
    rows, report = validate(batch.select(reversed(batch.columns)), READINGS)
    assert rows.equals(batch)
    assert report == BatchReport(rows=10, quarantined=0, failures=(), passed=report.passed)


def test_the_schema_gives_the_columns_with_their_protocol_types() -> None:
    assert columns_of(READINGS) == (
        ColumnSpec("station", "BYTES", False),
        ColumnSpec("at", "TIMESTAMP", False),
        ColumnSpec("wind", "FP64", True),
        ColumnSpec("gusts", "INT64", False),
        ColumnSpec("calm", "BOOL", True, "closed"),
        ColumnSpec("closed", "TIMESTAMP", True),
    )


def test_the_schema_says_which_columns_may_not_be_logged() -> None:
    class People(pa.DataFrameModel):
        email: str = pa.Field(metadata=ms.pii(hash=True))
        born: int = pa.Field(metadata=ms.pii(as_input=True) | ms.known_at("closed"))
        closed: Annotated[pl.Datetime, "us", "UTC"]

    assert columns_of(ms.Dataset("people", key="email", event_time="closed", schema=People)) == (
        ColumnSpec("email", "BYTES", False, pii="hash", forbidden="it is about a person (ms.pii())"),
        ColumnSpec("born", "INT64", False, "closed", "drop"),
        ColumnSpec("closed", "TIMESTAMP", False),
    )


def test_only_texts_can_be_hashed() -> None:
    class People(pa.DataFrameModel):
        born: int = pa.Field(metadata=ms.pii(hash=True))

    with pytest.raises(Faults, match="is to be hashed, and is no text"):
        columns_of(ms.Dataset("people", key="born", event_time="born", schema=People))


# --- single rows ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value", "check"),
    [
        ("wind", 1048.0, "less_than_or_equal_to"),
        ("wind", float("nan"), "less_than_or_equal_to"),
        ("gusts", -1, "greater_than_or_equal_to"),
        ("station", "west", "isin"),
        ("gusts", None, "not_nullable"),
    ],
)
def test_a_row_that_breaks_a_check_is_set_aside_alone_and_told(
    column: str, value: object, check: str
) -> None:
    batch = readings(**at_row(column, 3, value))
    rows, report = validate(batch, READINGS)
    assert (report.outcome, report.rows, report.quarantined) == (BatchOutcome.PUBLISHED, 10, 1)
    assert rows.equals(pl.concat([batch[:3], batch[4:]]))
    (failure,) = report.failures
    assert (failure.column, failure.rows, failure.fatal) == (column, 1, False)
    assert check in failure.check
    (example,) = failure.examples
    assert (example[0], example[1].lower()) == (3, str(value).lower())


def test_a_row_that_breaks_two_checks_is_set_aside_once_and_told_twice() -> None:
    rows, report = validate(readings(**at_row("wind", 3, -1.0), **at_row("gusts", 3, -1)), READINGS)
    assert (rows.height, report.quarantined) == (9, 1)
    assert [(failure.column, failure.rows) for failure in report.failures] == [("gusts", 1), ("wind", 1)]


def test_of_many_failing_rows_some_are_shown() -> None:
    batch = readings(100, wind=pl.when(pl.int_range(pl.len()) < 20).then(900.0).otherwise(pl.col("wind")))
    rows, report = validate(batch, READINGS)
    (failure,) = report.failures
    assert (rows.height, failure.rows, len(failure.examples)) == (80, 20, 5)
    assert failure.examples[0] == (0, "900.0")


def test_more_failing_rows_than_may_be_set_aside_refuse_the_batch() -> None:
    batch = readings(100, wind=pl.when(pl.int_range(pl.len()) < 21).then(900.0).otherwise(pl.col("wind")))
    report = refused(batch)
    assert "21 of 100 rows fail a check" in report.refusal
    assert "20.0%" in report.refusal
    assert report.failures[0].column == "wind"


@given(bad=st.sets(st.integers(0, 29)))
def test_what_passes_and_what_is_set_aside_make_up_the_batch(bad: set[int]) -> None:
    batch = readings(30, gusts=pl.Series([-5 if row in bad else 5 for row in range(30)]))
    rows, report = validate(batch, READINGS)
    if len(bad) > 6:
        assert report.refusal
        assert rows.is_empty()
    else:
        assert report.quarantined == len(bad)
        assert rows["at"].to_list() == [at for row, at in enumerate(batch["at"]) if row not in bad]
    assert sum(failure.rows for failure in report.failures) == len(bad)


# --- columns -------------------------------------------------------------------------------------------------------


def test_missing_and_unknown_columns_are_all_told() -> None:
    report = refused(readings().rename({"wind": "winds"}).drop("calm"))
    assert report.refusal == "its columns are not those of the schema"
    assert {(failure.column, failure.check, failure.fatal) for failure in report.failures} == {
        ("winds", "is in the schema", True),
        ("wind", "is in the batch", True),
        ("calm", "is in the batch", True),
    }


@pytest.mark.parametrize(
    ("column", "values", "found"),
    [
        ("wind", pl.col("wind").cast(pl.String), "String"),
        ("gusts", pl.col("gusts").cast(pl.Float64), "Float64"),
        ("calm", pl.lit("yes"), "String"),
        ("at", pl.col("at").dt.replace_time_zone(None), "Datetime"),
        ("at", pl.col("at").dt.date(), "Date"),
        ("station", pl.lit(1), "Int32"),
    ],
)
def test_a_mistyped_column_is_told_with_examples(column: str, values: pl.Expr, found: str) -> None:
    batch = readings(**{column: values})
    (failure,) = refused(batch).failures
    assert failure.column == column
    assert f"not {found}" in failure.check
    assert failure.examples[0] == (0, str(batch[column][0]))


@pytest.mark.parametrize(
    "changed",
    [
        {"wind": pl.col("wind").cast(pl.Int32)},
        {"wind": pl.col("wind").cast(pl.Float32)},
        {"gusts": pl.col("gusts").cast(pl.UInt8)},
        {"at": pl.col("at").dt.convert_time_zone("America/New_York")},
        {"at": pl.col("at").cast(pl.Datetime("ns", "UTC"))},
        {"at": pl.col("at").dt.strftime("%Y-%m-%dT%H:%M:%SZ")},
        {"at": pl.col("at").dt.convert_time_zone("Asia/Kolkata").dt.strftime("%Y-%m-%d %H:%M:%S.%f%:z")},
    ],
)
def test_what_means_the_same_is_taken_for_the_same(changed: dict[str, pl.Expr]) -> None:
    rows, report = validate(readings(**changed), READINGS)
    assert not report.failures
    assert rows.equals(readings())


def test_a_column_without_any_value_may_have_any_type() -> None:
    nothing = [
        pl.lit(None).alias("wind"),
        pl.lit(None, pl.String).alias("calm"),
        pl.lit(None, pl.Int8).alias("closed"),
    ]
    rows, report = validate(readings().with_columns(nothing), READINGS)
    assert not report.failures
    assert rows.schema == readings().schema
    assert rows.select("wind", "calm", "closed").null_count().row(0) == (10, 10, 10)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("gusts", pl.Series([1, 2, 3, 2**63], dtype=pl.UInt64)),
        ("at", pl.Series([*(f"2024-01-01T0{hour}:00:00Z" for hour in range(3)), "2024-01-01T03:00:00"])),
        ("at", pl.Series([*(f"2024-01-01T0{hour}:00:00Z" for hour in range(3)), "soon"])),
    ],
)
def test_a_value_that_cannot_be_read_as_its_type_refuses_the_batch(column: str, values: pl.Series) -> None:
    (failure,) = refused(readings(4, **{column: values})).failures
    assert failure.check.startswith("can be read as")
    assert (failure.column, failure.rows, failure.examples) == (column, 1, ((3, str(values[3])),))


def test_a_batch_without_rows_is_refused() -> None:
    assert refused(readings(0)).refusal == "it has no rows"


# --- keys ----------------------------------------------------------------------------------------------------------


def test_a_null_in_a_key_refuses_the_batch_with_the_rows() -> None:
    report = refused(readings(**at_row("station", 4, None)))
    failure = report.failures[0]
    assert (failure.column, failure.check, failure.rows) == ("station, at", "is never null", 1)
    assert failure.examples == ((4, f"None, {START + timedelta(hours=4)}"),)
    assert "station, at: is never null" in report.refusal


def test_a_repeated_key_refuses_the_batch_with_the_rows() -> None:
    batch = readings()
    failure = refused(pl.concat([batch, batch[2:3]])).failures[0]
    assert (failure.check, failure.rows) == ("is unique in the batch", 2)
    assert [row for row, _ in failure.examples] == [2, 10]


def test_a_key_that_was_published_before_refuses_the_batch() -> None:
    batch = readings()
    failure = refused(batch, published_keys=batch[6:].select("at", "station")).failures[0]
    assert (failure.check, failure.rows) == ("was not published before", 4)
    assert validate(batch[:6], READINGS, published_keys=batch[6:].select("station", "at"))[1].refusal == ""


def test_all_that_is_wrong_with_keys_and_rows_is_told_at_once() -> None:
    batch = readings(**at_row("wind", 1, 900.0), **at_row("station", 4, None))
    report = refused(pl.concat([batch, batch[2:3]]), published_keys=batch[8:9].select("station", "at"))
    assert {failure.check for failure in report.failures if failure.fatal} == {
        "is never null",
        "is unique in the batch",
        "was not published before",
    }
    assert any(failure.column == "wind" for failure in report.failures)
    assert report.failures[0].fatal


# --- schemas -------------------------------------------------------------------------------------------------------


def test_a_schema_that_is_no_pandera_model_is_told() -> None:
    with pytest.raises(Faults, match="no pandera model"):
        columns_of(ms.Dataset("d", key="k", event_time="at", schema={"k": str}))


def test_a_column_of_a_type_that_no_model_can_have_is_told() -> None:
    class Odd(pa.DataFrameModel):
        k: str
        span: pl.Duration
        inner: pl.Struct = pa.Field(dtype_kwargs={"fields": {"a": pl.Int64}})

    with pytest.raises(Faults) as told:
        columns_of(ms.Dataset("d", key="k", event_time="at", schema=Odd))
    assert [fault.where for fault in told.value.faults] == ["column 'span'", "column 'inner'"]


def test_a_moment_in_another_offset_is_the_same_moment() -> None:
    local = START.astimezone(timezone(timedelta(hours=-5))).isoformat()
    rows, _ = validate(readings(2, at=pl.Series([local, "2024-01-01T01:00:00+00:00"])), READINGS)
    assert rows["at"].to_list() == [START, START + timedelta(hours=1)]
