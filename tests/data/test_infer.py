"""Inferred contracts: they import, and the data that they were inferred from passes them."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mainspring as ms
from mainspring.data import columns_of, judge
from mainspring.data.infer import infer_contract
from mainspring.data.validate import Outcome
from mainspring.data.version import CheckPassed
from mainspring.errors import Faults, Invalid

START = datetime(2024, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=2)


def declared(code: str) -> ms.Dataset:
    """Import a contract as a product file would be."""
    module = ModuleType("inferred")
    sys.modules["inferred"] = module  # where pandera looks for the names of types
    exec(compile(code, "inferred.py", "exec", dont_inherit=True), module.__dict__)
    (dataset,) = [each for each in vars(module).values() if isinstance(each, ms.Dataset)]
    columns_of(dataset)
    return dataset


def passes(rows: pl.LazyFrame) -> list[Outcome]:
    return [Outcome(CheckPassed("(rows)", "is not asked here"))]


NAMES = st.sampled_from(
    [
        "wind",
        "class",
        "weird name",
        "_hidden",
        "Config",
        "str",
        "pl",
        "é",
        "validate",
        "x-y",
        "1st",
        'quo"te',
        "a\\b",
        "column_2",
    ]
)
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    pl.Int64: st.integers(-(2**63), 2**63 - 1),
    pl.Int8: st.integers(-128, 127),
    pl.UInt8: st.integers(0, 255),
    pl.UInt32: st.integers(0, 2**32 - 1),
    pl.Float64: st.floats(),
    pl.Float32: st.floats(width=32),
    pl.String: st.text(max_size=5) | st.sampled_from(["a", "b"]),
    pl.Boolean: st.booleans(),
    pl.Categorical: st.sampled_from(["a", "b", "c"]),
    pl.Null: st.none(),
}


@st.composite
def tables(draw: st.DrawFn) -> pl.DataFrame:
    height = draw(st.integers(1, 45))
    columns = [
        pl.Series("at", [START + timedelta(hours=hour) for hour in range(height)], pl.Datetime("us", "UTC")),
        pl.Series("id", [f"row {number}" for number in range(height)]),
    ]
    for name in draw(st.lists(NAMES, unique=True, max_size=4)):
        kind = draw(st.sampled_from(list(VALUES)))
        of = draw(
            st.lists(
                st.none() | VALUES[kind] if draw(st.booleans()) else VALUES[kind], min_size=1, max_size=6
            )
        )
        columns.append(pl.Series(name, [of[row % len(of)] for row in range(height)], kind))
    return pl.DataFrame(columns)


@settings(max_examples=60, deadline=None)
@given(tables())
def test_what_is_inferred_imports_and_accepts_its_data(rows: pl.DataFrame) -> None:
    dataset = declared(infer_contract(rows, "late-orders", now=NOW))
    judged = judge(rows.lazy(), dataset, beside=passes)
    assert not judged.report.failures
    assert next(judged.pieces(rows.height)).height == rows.height


@pytest.fixture
def shop() -> pl.DataFrame:
    count = 60
    return pl.DataFrame(
        {
            "order_id": [f"o{number}" for number in range(count)],
            "asked_at": [START + timedelta(hours=number) for number in range(count)],
            "kind": ["ab"[number % 2] for number in range(count)],
            "amount": [None if number == 3 else 7.25 * (number % 5) for number in range(count)],
            "ticket": range(count),
        }
    )


def test_the_code_says_types_nulls_domains_ranges_uniqueness_freshness_and_key(shop: pl.DataFrame) -> None:
    code = infer_contract(shop, "orders", now=START + timedelta(days=3))
    for line in (
        "class Orders(pa.DataFrameModel):",
        "    order_id: str\n",
        "    asked_at: Moment\n",
        "    kind: str = pa.Field(isin=['a', 'b'])",
        "    amount: float = pa.Field(ge=0, le=100.0, nullable=True)",
        "    ticket: int = pa.Field(ge=0, le=200, unique=True)",
        "    key='order_id',",
        "    event_time='asked_at',",
        '        ms.Freshness("3d"),',
    ):
        assert line in code
    assert '# ms.Freshness("3d"),  # its newest row is of 2024-01-03' in infer_contract(
        shop, "orders", now=START + timedelta(days=90)
    )


def test_a_pair_of_columns_may_name_a_row(shop: pl.DataFrame) -> None:
    pairs = shop.select("kind", "asked_at").vstack(shop.select(pl.lit("c").alias("kind"), "asked_at"))
    assert "    key=['kind', 'asked_at']," in infer_contract(pairs, "orders", now=NOW)
    twice = shop.select("kind", "asked_at", "amount")
    with pytest.raises(Invalid, match="Neither a column nor a pair"):
        infer_contract(pl.concat([twice, twice]), "orders", now=NOW)


def test_what_no_contract_can_have_is_told_all_at_once(shop: pl.DataFrame) -> None:
    odd = shop.with_columns(
        pl.col("asked_at").dt.replace_time_zone(None).alias("naive"),
        pl.col("asked_at").dt.date().alias("day"),
        pl.lit(1).alias("^all$"),
        pl.lit(2**63, pl.UInt64).alias("huge"),
    )
    with pytest.raises(Faults) as told:
        infer_contract(odd, "orders", now=NOW)
    assert [fault.where for fault in told.value.faults] == [
        "column 'naive'",
        "column 'day'",
        "column '^all$'",
        "column 'huge'",
    ]
    with pytest.raises(Invalid, match="no rows"):
        infer_contract(shop.clear(), "orders", now=NOW)
    with pytest.raises(Invalid, match="when a row was"):
        infer_contract(shop.drop("asked_at"), "orders", now=NOW)
