"""Validation: our one pass agrees with pandera's, severities do what they say, and nothing is skipped silently."""

# ruff: noqa: N805 - pandera makes class methods of them

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import pandera.polars as pa
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mainspring as ms
from mainspring.data import columns_of, judge, validate
from mainspring.data.validate import FAILED, ROW
from mainspring.data.version import BatchReport
from mainspring.errors import Faults, Invalid

Moment = Annotated[pl.Datetime, "us", "UTC"]
START = datetime(2024, 1, 1, tzinfo=UTC)


class Rows(pa.DataFrameModel):
    id: int
    at: Moment
    amount: float = pa.Field(ge=0, le=100, nullable=True, metadata=ms.severity("quarantine", le="warn"))
    kind: str = pa.Field(isin=["a", "b"], metadata=ms.severity("refuse", nullable="quarantine"))
    code: int = pa.Field(unique=True, nullable=True, ne=13)
    note: str = pa.Field(nullable=True, str_length={"max_value": 3})

    @pa.check("amount")
    def even(cls, data: Any) -> pl.LazyFrame:
        return data.lazyframe.select(pl.col(data.key) % 2 == 0)

    @pa.check("code", ignore_na=False)
    def positive(cls, data: Any) -> pl.LazyFrame:
        return data.lazyframe.select(pl.col(data.key) > 0)

    @pa.dataframe_check
    def amounts_below_codes(cls, data: Any) -> pl.LazyFrame:
        return data.lazyframe.select(pl.col("amount") <= pl.col("code") * 50)

    class Config:
        metadata = ms.severity("warn")


ROWS = ms.Dataset("rows", key="id", event_time="at", schema=Rows, quarantine=1.0)


def rows(values: Sequence[tuple[Any, ...]]) -> pl.DataFrame:
    schema = {"amount": pl.Float64, "kind": pl.String, "code": pl.Int64, "note": pl.String}
    frame = pl.DataFrame(values, schema=schema, orient="row")
    return frame.select(
        pl.int_range(pl.len()).alias("id"),
        pl.lit(START).dt.cast_time_unit("us").alias("at") + pl.duration(hours=pl.int_range(pl.len())),
        pl.all(),
    )


def sound(count: int = 40) -> pl.DataFrame:
    return rows([(2.0 * (i % 10), "ab"[i % 2], i + 100, "abc") for i in range(count)])


def at(column: str, row: int, value: object) -> pl.Expr:
    return pl.when(pl.int_range(pl.len()) == row).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)


def told(report: BatchReport) -> set[tuple[str, str, str]]:
    return {(each.column, each.check, each.severity) for each in report.failures}


# --- pandera is the oracle -----------------------------------------------------------------------------------------

CELLS = st.tuples(
    st.none() | st.sampled_from([-2.0, 0.0, 3.0, 4.0, 100.0, 102.0, float("nan"), float("inf")]),
    st.sampled_from(["a", "b", "c", None]),
    st.none() | st.integers(-1, 15),
    st.none() | st.sampled_from(["", "abc", "abcd", "äöü"]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(CELLS, min_size=2, max_size=12))
def test_what_fails_is_what_pandera_says_fails_row_by_row(values: list[tuple[Any, ...]]) -> None:
    frame = rows(values)
    columns_of(ROWS)
    try:
        Rows.validate(frame, lazy=True)
        expected, bare = {}, set()
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases.group_by("check").agg(pl.col("index"))
        expected = {check: len(index) for check, index in cases.iter_rows() if None not in index}
        bare = set(error.failure_cases["check"])
    found = {each.check: each.rows for each in judge(frame.lazy(), ROWS).report.failures}
    assert found.keys() == bare
    assert {check: found[check] for check in expected} == expected


@settings(max_examples=40, deadline=None)
@given(st.lists(CELLS, min_size=1, max_size=30), st.integers(1, 7))
def test_rows_read_in_pieces_of_a_file_are_judged_as_in_one_piece(
    tmp_path_factory: pytest.TempPathFactory, values: list[tuple[Any, ...]], piece: int
) -> None:
    frame = rows(values).with_columns(kind=pl.col("kind").fill_null("a").replace("c", "b"))
    file: Path = tmp_path_factory.getbasetemp() / "pieces.parquet"
    frame.write_parquet(file, row_group_size=piece)
    from_file, whole = judge(pl.scan_parquet(file), ROWS), judge(frame.lazy(), ROWS)
    assert from_file.report == whole.report
    if not whole.report.refusal:
        pieces = list(from_file.pieces(piece))
        assert pl.concat(pieces).equals(next(whole.pieces(frame.height)))
        aside = whole.set_aside.height if whole.set_aside is not None else 0
        assert sum(each.height for each in pieces) + aside == frame.height


def test_a_check_of_a_whole_column_is_asked_of_the_whole_column(tmp_path: Path) -> None:
    class Steady(pa.DataFrameModel):
        id: int
        at: Moment
        wind: float = pa.Field(metadata=ms.severity("warn"))

        @pa.check("wind")
        def mean_is_small(cls, data: Any) -> pl.LazyFrame:
            return data.lazyframe.select(pl.col(data.key).mean() < 1)

        @pa.check("wind")
        def no_row_is_far_from_the_mean(cls, data: Any) -> pl.LazyFrame:
            return data.lazyframe.select((pl.col(data.key) - pl.col(data.key).mean()).abs() < 5)

    steady = ms.Dataset("steady", key="id", event_time="at", schema=Steady)
    frame = sound().select("id", "at", wind=pl.int_range(pl.len()).cast(pl.Float64) / 40)
    frame.write_parquet(tmp_path / "f.parquet", row_group_size=3)
    assert not judge(pl.scan_parquet(tmp_path / "f.parquet"), steady).report.failures
    shifted = frame.with_columns(at("wind", 39, 90.0))
    shifted.write_parquet(tmp_path / "f.parquet", row_group_size=3)
    report = judge(pl.scan_parquet(tmp_path / "f.parquet"), steady).report
    assert [(each.check, each.rows) for each in report.failures] == [
        ("mean_is_small", 40),
        ("no_row_is_far_from_the_mean", 1),
    ]


# --- severities ----------------------------------------------------------------------------------------------------


def test_each_check_does_what_its_severity_says() -> None:
    batch = (
        sound()
        .with_columns(at("amount", 3, 150.0))
        .with_columns(at("amount", 5, -2.0), at("note", 7, "long"))
    )
    kept, report = validate(batch, ROWS)
    assert told(report) == {
        ("amount", "less_than_or_equal_to(100)", "warn"),
        ("amount", "greater_than_or_equal_to(0)", "quarantine"),
        ("note", "str_length(None, 3)", "quarantine"),
    }
    assert report.quarantined == 2
    assert kept["id"].to_list() == [row for row in range(40) if row not in (5, 7)]
    refused = judge(batch.with_columns(at("kind", 9, "z")).lazy(), ROWS)
    assert refused.report.refusal == "kind: isin(['a', 'b'])"
    assert refused.report.quarantined == 0
    assert refused.set_aside is None


def test_rows_that_are_set_aside_are_kept_as_they_came_with_what_they_failed() -> None:
    batch = sound().with_columns(at("amount", 5, -3.0), at("note", 5, "long"))
    judged = judge(batch.lazy(), ROWS)
    assert judged.set_aside is not None
    assert judged.set_aside.drop(ROW, FAILED).equals(batch[5:6])
    assert judged.set_aside[FAILED].to_list() == [
        "amount: even; amount: greater_than_or_equal_to(0); note: str_length(None, 3)"
    ]


def test_failures_name_the_keys_of_their_examples() -> None:
    report = judge(
        sound().with_columns(at("amount", 5, -2.0)).with_columns(pl.col("id") + 1000).lazy(), ROWS
    ).report
    (failure,) = report.failures
    assert (failure.examples, failure.keys) == (((5, "-2.0"),), ("1005",))


def test_every_check_is_in_the_report_passed_or_failed() -> None:
    report = judge(sound().with_columns(at("amount", 5, -2.0)).lazy(), ROWS).report
    asked = {(each.column, each.check) for each in (*report.passed, *report.failures)}
    assert len(asked) == len(report.passed) + len(report.failures) == 13
    assert ("(rows)", "amounts_below_codes") in asked
    assert ("id", "names each row, once") in asked


def test_panderas_own_warnings_are_warnings_here() -> None:
    class Warned(pa.DataFrameModel):
        id: int
        at: Moment
        amount: float = pa.Field(le=5, raise_warning=True)

    dataset = ms.Dataset("warned", key="id", event_time="at", schema=Warned)
    kept, report = validate(sound().select("id", "at", "amount"), dataset)
    assert kept.height == 40
    assert [each.severity for each in report.failures] == ["warn"]


# --- nothing is skipped ----------------------------------------------------------------------------------------------


def test_a_check_that_cannot_be_asked_refuses_whatever_its_severity() -> None:
    class Broken(pa.DataFrameModel):
        id: int
        at: Moment
        amount: float = pa.Field(metadata=ms.severity("warn"))

        @pa.check("amount")
        def raises(cls, data: Any) -> pl.LazyFrame:
            raise ZeroDivisionError("no reason")

        @pa.check("amount")
        def asks_for_another(cls, data: Any) -> pl.LazyFrame:
            return data.lazyframe.select(pl.col("nowhere") > 0)

        @pa.check("amount")
        def says_no_truth(cls, data: Any) -> pl.LazyFrame:
            return data.lazyframe.select(pl.col(data.key) * 2)

        @pa.check("amount")
        def answers_for_some(cls, data: Any) -> pl.LazyFrame:
            return data.lazyframe.select((pl.col(data.key) >= 0).head(3))

        @pa.check("amount")
        def is_sound(cls, data: Any) -> pl.LazyFrame:
            return data.lazyframe.select(pl.col(data.key) >= 0)

    dataset = ms.Dataset("broken", key="id", event_time="at", schema=Broken)
    report = judge(sound().select("id", "at", "amount").lazy(), dataset).report
    assert len(report.failures) == 4
    assert {each.severity for each in report.failures} == {"refuse"}
    for why in (
        "ZeroDivisionError: no reason",
        "nowhere",
        "values of Float64",
        "it gives 3 values of Boolean",
    ):
        assert why in report.refusal
    assert ("amount", "is_sound") in {(each.column, each.check) for each in report.passed}


def test_checks_that_look_beyond_a_batch_are_not_passed_by_leaving_them_out() -> None:
    dataset = ms.Dataset("rows", key="id", event_time="at", schema=Rows, checks=[ms.RowChange()])
    report = judge(sound().lazy(), dataset).report
    assert report.refusal == "(rows): RowChange could not be asked: there is nothing to compare with"


def test_what_of_a_model_would_not_be_heeded_is_refused_at_declaration() -> None:
    class Odd(pa.DataFrameModel):
        id: int
        at: Moment
        many: float = pa.Field(alias="x_.*", regex=True)
        wrong: float = pa.Field(ge=0, metadata=ms.severity(gt="warn"))
        none: float = pa.Field(metadata=ms.severity(nullable="warn"))

        class Config:
            drop_invalid_rows = True
            metadata = ms.severity(nothing="warn")

    with pytest.raises(Faults) as told_:
        columns_of(ms.Dataset("odd", key="id", event_time="at", schema=Odd))
    text = str(told_.value)
    for fault in (
        "match a pattern",
        "a severity to 'gt'",
        "only warns of nulls",
        "to 'nothing'",
        "drop_inv",
    ):
        assert fault in text


@pytest.mark.parametrize(
    "declare",
    [
        lambda: ms.severity("ignore"),  # type: ignore[arg-type]
        lambda: ms.severity(ge="drop"),  # type: ignore[arg-type]
        lambda: ms.RowChange(at_least=2, at_most=1),
        lambda: ms.RowChange(at_least=float("nan")),
        lambda: ms.RowChange(severity="quarantine"),
        lambda: ms.Distribution(columns=()),
        lambda: ms.Distribution(columns=("a",), at_most=float("nan")),
        lambda: ms.Freshness("soon"),
        lambda: ms.References("a", "b", "c", severity="perhaps"),  # type: ignore[arg-type]
        lambda: ms.forbidden_as_feature(" "),
    ],
)
def test_declarations_that_cannot_be_meant_are_refused(declare: Any) -> None:
    with pytest.raises(Invalid):
        declare()


def test_values_that_are_about_persons_stay_out_of_the_report() -> None:
    class People(pa.DataFrameModel):
        email: str = pa.Field(str_contains="@", metadata=ms.pii())
        at: Moment
        born: int = pa.Field(ge=1900, metadata=ms.pii() | ms.severity("warn"))
        visits: int = pa.Field(ge=0)

    people = ms.Dataset("people", key="email", event_time="at", schema=People, quarantine=0.5)
    batch = pl.DataFrame(
        {
            "email": [f"ann{number}@example.org" for number in range(8)],
            "at": [START] * 8,
            "born": [1890, *range(1990, 1997)],
            "visits": [-1, *range(7)],
        }
    ).with_columns(at("email", 3, "bob"))
    for rows in (
        batch,
        batch.with_columns(email=pl.lit("ann0@example.org")),
        batch.with_columns(born=pl.lit("bob")),
    ):
        report = judge(rows.lazy(), people).report
        assert report.failures
        assert not any(word in str(report) for word in ("ann0", "bob", "1890"))
    assert "-1" in str(judge(batch.lazy(), people).report)
