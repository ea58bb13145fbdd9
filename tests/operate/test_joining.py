"""The join in parts: what a row gets does not depend on which rows it is read with."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from mainspring.features import BoundView, as_of
from mainspring.operate.joining import join_features
from mainspring.product import FeatureViewSpec, Mean
from mainspring.stores.tables import DeltaTables

START = datetime(2024, 1, 1, tzinfo=UTC)
PRICES = FeatureViewSpec(
    "prices",
    "prices",
    entity="place",
    event_time="seen_at",
    ttl="3h",
    features=("price", Mean("price", over="5h", name="price_5h")),
)

moments = st.integers(0, 24 * 60).map(lambda minutes: START + timedelta(minutes=minutes))
places = st.sampled_from(["a", "b", None])
seen = st.lists(st.tuples(places, moments, st.none() | st.floats(-1e6, 1e6)), min_size=1, max_size=30)
asked = st.lists(st.tuples(places, st.none() | moments), min_size=1, max_size=12)


@settings(max_examples=25)
@given(seen=seen, asked=asked, size=st.integers(1, 5), known=moments, at_once=st.sampled_from([500, 1 << 30]))
def test_parts_get_the_features_that_all_rows_together_get(
    seen: list[tuple[str | None, datetime, float | None]],
    asked: list[tuple[str | None, datetime | None]],
    size: int,
    known: datetime,
    at_once: int,
) -> None:
    moment = pl.Datetime("us", "UTC")
    prices = pl.DataFrame(
        seen, schema={"place": pl.String, "seen_at": moment, "price": pl.Float64}, orient="row"
    ).with_row_index("price_id")
    rows = pl.DataFrame(asked, schema={"place": pl.String, "at": moment}, orient="row")
    whole = prices.filter(pl.col("seen_at") <= known).sort("seen_at", "price_id")
    expected = as_of(rows, at="at", views=[BoundView(PRICES, whole)])
    with tempfile.TemporaryDirectory() as folder:
        tables = DeltaTables(Path(folder))
        tables.append("prices", prices, commit_id=None)
        joined = [
            join_features(
                part,
                at="at",
                views=[PRICES],
                keys={"prices": ("price_id",)},
                tables=tables,
                versions={"prices": 0},
                known=known,
                at_once=at_once,  # the entities are taken by parts, too
            )
            for part in rows.iter_slices(size)
        ]
    assert_frame_equal(pl.concat(joined), expected, check_exact=True)
