"""Profiles of parts: what the processes of this machine or a cluster count comes to what one of them would."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.products.tiny.orders import FIRST, parquet

from mainspring.monitoring import ProfileSet, frame, profile_slices
from mainspring.operate.data.publish import Adding, add_batch
from mainspring.operate.profile_part import Count, Counted, Freeze, Frozen, Table, answer
from mainspring.operate.profiling import profile_data
from mainspring.operate.tasks import Failed
from mainspring.ref import DataAddress
from mainspring.stores.tables import DeltaTables
from mainspring.workspace import Workspace

ROWS = 400
TABLE = Table(dataset="orders", number=3, version=3)


def rows() -> pl.DataFrame:
    number = pl.int_range(ROWS, eager=True)
    return pl.DataFrame(
        {
            "amount": (number * 7 % 101) / 3.0,
            "count": number % 5,
            "kind": pl.Series([None, "a", "b", "ü"] * (ROWS // 4)),
            "at": pl.Series([FIRST] * ROWS, dtype=pl.Datetime("us", "UTC")),
            "note": [f"the order {each} came late to us" for each in range(ROWS)],
        }
    )


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("state")
    tables = DeltaTables(folder / "tables")
    for number, piece in enumerate(rows().iter_slices(ROWS // 4)):
        tables.append("orders", piece, commit_id=("test", number))
    return folder


def ask(state: Path, question: Freeze | Count) -> Frozen | Counted | Failed:
    return msgspec.json.decode(
        answer(str(state), msgspec.json.encode(question)), type=Frozen | Counted | Failed
    )


@settings(max_examples=20)
@given(cuts=st.sets(st.integers(1, ROWS - 1), max_size=6), backwards=st.booleans())
def test_parts_come_to_the_whole_wherever_it_is_cut(state: Path, cuts: set[int], backwards: bool) -> None:
    whole = rows()
    frozen = [
        ask(state, Freeze(table=TABLE, columns=some, by=("kind", "at")))
        for some in (("amount", "count", "note"), ("at", "kind"))
    ]
    columns = {name: column for each in frozen for name, column in each.columns.items()}
    assert columns == frame(whole)
    slices = {name: values for each in frozen for name, values in each.slices.items()}
    edges = [0, *sorted(cuts), ROWS]
    parts = [
        ask(state, Count(table=TABLE, columns=columns, slices=slices, first=first, rows=last - first))
        for first, last in pairwise(edges)
    ]
    assert len({part.order for part in parts}) == 1
    counted = [ProfileSet.from_json(part.profiles) for part in (parts[::-1] if backwards else parts)]
    merged = counted[0]
    for each in counted[1:]:
        merged = merged.merge(each)
    by = {"kind": ["a", "b", "ü"], "at": [whole["at"][0]]}
    assert (
        merged.to_json() == profile_slices(whole, frame(whole), segment="orders", version=3, by=by).to_json()
    )


def test_a_part_that_cannot_be_read_is_an_answer(state: Path) -> None:
    gone = Table(dataset="orders", number=9, version=9)
    assert isinstance(ask(state, Freeze(table=gone, columns=("amount",), by=())), Failed)


def test_many_rows_are_counted_by_workers_as_few_are_here(empty: Workspace) -> None:
    many = pl.DataFrame({"id": pl.int_range(250_000, eager=True) % 1_000})
    add_batch(empty, "many", parquet(many), actor="ana", adding=Adding(new=True))
    (row,) = profile_data(empty, DataAddress.parse("many@v1"))
    (part,) = row.columns
    assert (row.rows, part.rows, part.kind) == (250_000, 250_000, "integer")
    low, high = part.quantiles["0.5"]
    assert low <= 499 <= high
