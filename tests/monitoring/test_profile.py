from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, date, datetime
from functools import partial, reduce
from multiprocessing import get_context
from random import Random
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.monitoring import (
    CategoryProfile,
    EmbeddingProfile,
    Kind,
    ListProfile,
    NumberProfile,
    Profile,
    ProfileKey,
    ProfileMismatch,
    TextProfile,
    frame,
    merge,
    profile,
    profile_slices,
)

Row = tuple[float | None, str | None]
numbers = st.one_of(st.none(), st.floats(), st.sampled_from([0.0, -0.0, 1.0, math.inf, -math.inf, math.nan]))
names = st.one_of(st.none(), st.sampled_from(["UA", "B6", "DL"]), st.text(max_size=3))
tables = st.lists(st.tuples(numbers, names), max_size=30)


def number_array(values: Sequence[float | None]) -> np.ndarray:
    return np.ma.array(
        [0.0 if value is None else value for value in values],
        mask=[value is None for value in values],
        dtype=np.float64,
    )


def profile_of(rows: Sequence[Row], offset: float = 0.0) -> Profile:
    columns = {"wind": number_array([wind for wind, _ in rows]), "carrier": [carrier for _, carrier in rows]}
    return profile(columns, {"wind": NumberProfile.none(offset=offset)})


def wind(values: Sequence[float], offset: float = 0.0) -> NumberProfile:
    return NumberProfile.none(offset=offset).count(np.array(values, dtype=np.float64))


def carrier(values: Sequence[str | None]) -> CategoryProfile:
    column = profile({"carrier": values}).columns["carrier"]
    assert isinstance(column, CategoryProfile)
    return column


@given(tables, tables, st.floats(-1e3, 1e3))
def test_the_profile_of_a_union_is_the_merge_of_the_profiles(
    a: list[Row], b: list[Row], offset: float
) -> None:
    union = profile_of(a + b, offset)
    assert merge(profile_of(a, offset), profile_of(b, offset)) == union
    assert merge(profile_of(b, offset), profile_of(a, offset)).to_json() == union.to_json()


@given(tables, tables, tables)
def test_profiles_merge_in_any_grouping(a: list[Row], b: list[Row], c: list[Row]) -> None:
    x, y, z = map(profile_of, (a, b, c))
    assert merge(merge(x, y), z) == merge(x, merge(y, z)) == merge(z, x, y)


@given(tables, st.floats(-1e300, 1e300))
def test_a_profile_reads_back_as_it_was_written(rows: list[Row], offset: float) -> None:
    written = profile_of(rows, offset)
    assert Profile.from_json(written.to_json()) == written


FIRST_FORMAT = (
    '{"columns":{"carrier":{"folded":[],"level":0,"named":{"B6":1,"UA":2},"nulls":1},'
    '"wind":{"counts":[1,1],"missing":[1,1],"offset":0.0,"range":[3.0,5.0],"steps":[49160,12]}},"format":1,"rows":4}'
)


def test_a_profile_that_mainspring_0_1_kept_is_read_and_goes_on() -> None:
    kept = Profile.from_json(FIRST_FORMAT)
    rows: dict[str, np.ndarray | list[str | None]] = {
        "wind": np.ma.array([3.0, 5.0, math.nan, 0.0], mask=[False, False, False, True]),
        "carrier": ["UA", "B6", None, "UA"],
    }
    assert kept == profile(rows)
    more = profile({"wind": np.array([4.0]), "carrier": ["DL"]}, kept.frame)
    assert merge(kept, more).columns["wind"].rows == 5
    assert Profile.from_json(merge(kept, more).to_json()) == merge(more, kept)


def test_a_profile_of_another_format_is_refused() -> None:
    with pytest.raises(ProfileMismatch, match="format 7"):
        Profile.from_json('{"format":7,"rows":0,"columns":{}}')


def test_too_many_categories_are_folded_in_the_same_way_in_any_order() -> None:
    rng = np.random.default_rng(7)
    # A few names come often and most only once: the whole has too many, each part has not.
    rows = [f"tail-{n}" for n in (rng.pareto(0.4, 30_000) * 10).astype(np.int64)]
    whole = carrier(rows)
    parts = [carrier(rows[start : start + 3_000]) for start in range(0, len(rows), 3_000)]
    shuffled = [parts[n] for n in rng.permutation(len(parts))]
    assert whole.level > 0
    assert {part.level for part in parts} == {0}
    assert len(whole.named) <= 4096
    assert whole.rows == len(rows)
    assert reduce(CategoryProfile.merge, parts) == whole
    assert reduce(CategoryProfile.merge, shuffled) == whole
    halves = reduce(CategoryProfile.merge, parts[:5]), reduce(CategoryProfile.merge, parts[5:])
    assert halves[0].merge(halves[1]) == whole


def test_a_folded_category_keeps_honest_bounds() -> None:
    rows = [f"tail-{n}" for n in range(10_000)] + ["tail-1"] * 500 + ["tail-2"] * 500 + ["tail-3"] * 500
    folded = carrier(rows)
    for name in ("tail-1", "tail-2", "tail-3"):
        low, high = folded.bounds(name)
        assert low <= 501 <= high
    known = carrier(["UA", "B6"])
    assert known.bounds("UA") == (1, 1)
    assert 0.9 * len(rows) < folded.surely_unseen(known) <= len(rows)
    assert carrier(["UA", "DL", "DL", None]).surely_unseen(known) == 2


@given(
    st.lists(st.floats(-1e300, 1e300, allow_subnormal=False), min_size=1),
    st.floats(0, 1),
    st.sampled_from([0.0, 1.0, -1e6, 0.1, 1e300]),
)
def test_a_quantile_lies_within_its_interval(values: list[float], share: float, offset: float) -> None:
    low, high = wind(values, offset).quantile(share)
    true = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    assert low <= true <= high


@given(st.lists(st.floats(allow_nan=False, allow_subnormal=False), min_size=1))
def test_ranks_are_exact_at_bucket_edges(values: list[float]) -> None:
    column = wind(values)
    for key, _ in column.buckets:
        assert column.at_most(key) == sum(value <= column.edge(key) for value in values)


@given(st.floats(1e-300, 1e300))
def test_a_bucket_is_at_most_a_sixteenth_wide(value: float) -> None:
    lower, upper = NumberProfile(buckets=wind([value]).buckets).ends()
    assert lower[0] <= value <= upper[0]
    assert upper[0] - lower[0] <= lower[0] / 16


def test_nulls_nan_and_infinities_are_counted_apart() -> None:
    column = profile_of([(None, None), (math.nan, None), (math.inf, "UA"), (-math.inf, "UA"), (2.0, "B6")])
    speed, airline = column.columns["wind"], column.columns["carrier"]
    assert isinstance(speed, NumberProfile)
    assert (speed.nulls, speed.nans, speed.valid, speed.low, speed.high) == (1, 1, 3, 2.0, 2.0)
    assert speed.quantile(0.0) == (-math.inf, -math.inf)
    assert speed.quantile(1.0) == (math.inf, math.inf)
    assert (airline.rows, airline.missing) == (5, 2)


def test_an_offset_makes_buckets_narrow_where_the_mean_is_large_against_the_spread() -> None:
    values = np.random.default_rng(3).normal(1e6, 1.0, 2_000)
    offsets = frame({"x": values, "name": ["a"] * 2_000})
    plain, shifted = wind(values.tolist()), wind(values.tolist(), offsets["x"].offset)
    assert len(plain.buckets) <= 2
    width = [high - low for low, high in (plain.quantile(0.5), shifted.quantile(0.5))]
    assert width[1] < width[0] / 4
    assert profile({"x": values, "name": ["b"] * 2_000}, offsets).frame == offsets


@given(st.lists(st.floats(), max_size=20))
def test_any_numbers_have_a_finite_offset_and_lose_no_row_to_it(values: list[float]) -> None:
    columns = {"x": np.array(values, dtype=np.float64)}
    shape = frame(columns)
    assert math.isfinite(shape["x"].offset)
    assert profile(columns, shape).columns["x"].rows == len(values)


# --- kinds -------------------------------------------------------------------------------------------------------

SCHEMA = {
    "wind": pl.Float64,
    "seats": pl.Int64,
    "late": pl.Boolean,
    "carrier": pl.String,
    "departure": pl.Datetime("us", "UTC"),
    "note": pl.String,
    "vector": pl.List(pl.Float64),
    "tags": pl.List(pl.String),
    "legs": pl.List(pl.Int64),
}
words = st.lists(st.sampled_from(["gate", "closed", "late", "Fog", "42", "出発", "é"]), max_size=6).map(
    " ".join
)
moments = st.datetimes(timezones=st.just(UTC))
COLUMNS: dict[str, st.SearchStrategy[Any]] = {
    "wind": st.floats(width=32),
    "seats": st.integers(-(2**63), 2**63 - 1) | st.integers(0, 5),
    "late": st.booleans(),
    "carrier": st.sampled_from(["UA", "B6", "DL"]) | st.text(max_size=3),
    "departure": moments,
    "note": words,
    "vector": st.lists(st.floats(width=32), min_size=1, max_size=3),
    "tags": st.lists(st.sampled_from(["a", "b"]), max_size=3),
    "legs": st.lists(st.integers(-9, 9), max_size=3),
}
windows = st.lists(
    st.fixed_dictionaries({name: st.none() | each for name, each in COLUMNS.items()}), max_size=12
)
REFERENCE = pl.DataFrame(
    {
        "wind": [1.0, 2.5, None, 4.0],
        "seats": [180, 180, 76, None],
        "late": [True, False, False, None],
        "carrier": ["UA", "UA", "B6", "UA"],
        "departure": [datetime(2024, 1, day, 12, tzinfo=UTC) for day in (1, 2, 3, 4)],
        "note": ["gate closed on time", "gate 42 was closed late", "fog all over the gate", None],
        "vector": [[0.6, 0.8], [1.0, 0.0], None, [0.0, -1.0]],
        "tags": [["a"], [], ["a", "b"], None],
        "legs": [[1], [2, 3], [], None],
    },
    schema=SCHEMA,
)
FRAME = frame(REFERENCE)


def table(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA)


def test_the_reference_tells_the_kind_of_each_column() -> None:
    kinds = {name: getattr(column, "kind", type(column)) for name, column in FRAME.items()}
    assert kinds == {
        "wind": Kind.NUMBER,
        "seats": Kind.INTEGER,
        "late": Kind.BOOLEAN,
        "carrier": CategoryProfile,
        "departure": Kind.DATETIME,
        "note": TextProfile,
        "vector": EmbeddingProfile,
        "tags": ListProfile,
        "legs": ListProfile,
    }
    assert profile(REFERENCE, FRAME).frame == FRAME


@given(windows, st.integers(0, 12), st.randoms())
def test_any_split_order_and_merge_of_all_kinds_gives_the_same_bytes(
    rows: list[dict[str, Any]], cut: int, random: Random
) -> None:
    whole = profile(table(rows), FRAME)
    pieces = [profile(table(part), FRAME) for part in (rows[:cut], rows[cut:])]
    assert merge(*pieces).to_json() == merge(*reversed(pieces)).to_json() == whole.to_json()
    shuffled = random.sample(rows, len(rows))
    assert profile(table(shuffled), FRAME).to_json() == whole.to_json()
    singly = [profile(table([row]), FRAME) for row in shuffled]
    assert merge(profile(table([]), FRAME), *singly).to_json() == whole.to_json()
    assert Profile.from_json(whole.to_json()) == whole


@given(windows)
def test_every_row_is_counted_in_every_column(rows: list[dict[str, Any]]) -> None:
    for column in profile(table(rows), FRAME).columns.values():
        assert column.rows == len(rows)
        assert 0 <= column.missing <= len(rows)


@given(
    st.lists(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.lists(st.integers())
        | st.just({"a": 1}),
        max_size=8,
    )
)
def test_whatever_comes_in_a_column_is_counted(values: list[Any]) -> None:
    columns = profile(dict.fromkeys(SCHEMA, values), FRAME).columns
    assert all(column.rows == len(values) for column in columns.values())
    nulls = sum(value is None for value in values)
    assert all(next(iter(column.parts.values())).nulls == nulls for column in columns.values())


def test_a_task_of_its_own_gives_the_profile_of_its_piece() -> None:
    pieces = [REFERENCE[:2], REFERENCE[2:]]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        profiles = list(pool.map(partial(profile, frame=FRAME), pieces))
    assert merge(*profiles) == profile(REFERENCE, FRAME)


def test_few_whole_numbers_are_counted_one_by_one_and_many_in_buckets() -> None:
    seats = NumberProfile.none(Kind.INTEGER)
    few = seats.count(np.array([180, 76, 180]))
    assert few.values == ((76.0, 1), (180.0, 2))
    assert few.quantile(0.5) == (180.0, 180.0)
    left, right = seats.count(np.arange(0, 700)), seats.count(np.arange(600, 1300))
    assert left.values is not None
    assert left.merge(right).values is None
    assert left.merge(right).merge(few) == few.merge(right).merge(left)
    assert left.merge(right).valid == 1400
    # The values that the log has are floats.
    assert seats.count(np.array([180.0, 76.0, 180.0])) == few


def test_what_is_out_of_the_range_of_the_reference_is_counted() -> None:
    wind = NumberProfile.none(limits=(0.0, 10.0)).count(np.array([-1.0, 0.0, 10.0, 11.0, math.inf, math.nan]))
    assert (wind.below, wind.above, wind.infinities, wind.nans) == (1, 2, 1, 1)


def test_a_frame_may_have_columns_of_any_type() -> None:
    rows = pl.DataFrame(
        {
            "price": pl.Series(["1.50", None], dtype=pl.String).cast(pl.Decimal(10, 2)),
            "seats": pl.Series([3, None], dtype=pl.UInt8),
            "cabin": pl.Series(["eco", None], dtype=pl.Categorical),
            "pair": pl.Series([[1.0, 2.0], None], dtype=pl.Array(pl.Float32, 2)),
            "place": pl.Series([{"x": 1}, None]),
            "day": [date(2024, 1, 1), None],
            "nothing": [None, None],
        }
    )
    columns = profile(rows, frame(rows)).columns
    values = {name: column.rows - column.missing for name, column in columns.items()}
    # A structure is of no kind that is profiled, and said to be of another type.
    assert values == {"price": 1, "seats": 1, "cabin": 1, "pair": 1, "place": 0, "day": 1, "nothing": 0}
    assert all(column.rows == 2 for column in columns.values())
    assert {name for name, column in columns.items() if isinstance(column, EmbeddingProfile)} == {"pair"}
    assert Profile.from_json(profile(rows).to_json()) == profile(rows)


def test_a_value_of_another_type_is_counted_as_such() -> None:
    columns = profile(
        {
            "wind": ["2.5", "fast", None],
            "late": [True, "no", None],
            "vector": [[1.0, 2.0], [1.0], [1.0, None]],
            "tags": [["a"], "a", None],
            "carrier": ["UA", {"name": "UA"}, 7],
            "departure": [1, 2, 3],
        },
        FRAME,
    ).columns
    mistyped = {name: next(iter(column.parts.values())).mistyped for name, column in columns.items()}
    assert mistyped == {"wind": 1, "late": 1, "vector": 2, "tags": 1, "carrier": 1, "departure": 3}


def test_a_moment_is_the_same_in_any_unit_and_zone() -> None:
    moments = pl.Series([datetime(2024, 1, 1, 12, tzinfo=UTC), None])
    shown = [
        moments,
        moments.dt.cast_time_unit("ms"),
        moments.dt.convert_time_zone("Asia/Tokyo"),
        moments.dt.replace_time_zone(None),
    ]
    assert len({profile({"at": each}, {"at": FRAME["departure"]}).to_json() for each in shown}) == 1
    day = profile({"at": pl.Series([date(2024, 1, 1)])}).columns["at"]
    assert isinstance(day, NumberProfile)
    assert day.low == datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1e6


def test_a_text_is_counted_by_length_tokens_and_what_the_vocabulary_lacks() -> None:
    note = profile({"note": ["Gate closed", "gate fermé 東京", "", None]}, FRAME).columns["note"]
    assert isinstance(note, TextProfile)
    assert note.length.values == ((0.0, 1), (11.0, 1), (13.0, 1))
    assert note.tokens.values == ((0.0, 1), (2.0, 1), (4.0, 1))
    assert note.missing == 1
    assert (note.unknown.low, note.unknown.high, note.unknown.valid) == (0.0, 0.75, 2)
    assert dict(note.characters) == {
        "letters": 21,
        "capitals": 1,
        "digits": 0,
        "spaces": 3,
        "punctuation": 0,
        "beyond ASCII": 3,
    }


def test_a_vector_is_counted_by_component_and_norm() -> None:
    vectors = np.array([[3.0, 4.0], [0.0, 1.0], [math.nan, 1.0]])
    column = profile({"vector": vectors}, FRAME).columns["vector"]
    assert isinstance(column, EmbeddingProfile)
    assert (column.norm.low, column.norm.high, column.norm.nans) == (1.0, 5.0, 1)
    assert [each.high for each in column.components] == [3.0, 4.0]
    assert profile({"vector": vectors.tolist()}, FRAME).columns["vector"] == column
    assert profile({"vector": np.zeros((3, 5))}, FRAME).columns["vector"].missing == 3


def test_a_list_is_counted_by_length_and_elements() -> None:
    tags = profile({"tags": [["a", "c"], [], None]}, FRAME).columns["tags"]
    assert isinstance(tags, ListProfile)
    assert tags.length.values == ((0.0, 1), (2.0, 1))
    assert isinstance(tags.elements, CategoryProfile)
    assert (tags.elements.valid, tags.elements.unseen) == (2, 1)


def test_a_million_categories_take_no_more_room_than_some_thousand() -> None:
    known = CategoryProfile(known=("UA", "B6"))
    rng = np.random.default_rng(1)
    codes = rng.permutation(1_000_000)
    pieces = [
        known.count({"UA": 10, **{f"tail-{code}": 1 for code in part.tolist()}})
        for part in np.array_split(codes, 10)
    ]
    whole = merge(*(Profile(rows=piece.rows, columns={"tail": piece}) for piece in pieces)).columns["tail"]
    assert isinstance(whole, CategoryProfile)
    assert whole.level > 0
    assert len(whole.named) <= 4097
    assert len(whole.folded) <= 256
    assert (whole.valid, whole.unseen, whole.bounds("UA")) == (1_000_100, 1_000_000, (100, 100))
    backwards = merge(*(Profile(rows=piece.rows, columns={"tail": piece}) for piece in reversed(pieces)))
    assert backwards.columns["tail"] == whole
    assert whole.surely_unseen(known.count({"UA": 1, "B6": 1})) == 1_000_000


def test_values_a_thousand_times_as_large_are_counted_and_none_is_lost() -> None:
    metres = np.random.default_rng(2).normal(1000.0, 1.0, 5000)
    shape = frame({"height": metres})
    millimetres = profile({"height": metres * 1000.0}, shape).columns["height"]
    assert isinstance(millimetres, NumberProfile)
    assert (millimetres.valid, millimetres.above) == (5000, 5000)
    low, high = millimetres.quantile(0.5)
    assert low <= np.median(metres) * 1000 <= high


def test_profiles_are_kept_by_segment_version_and_slice() -> None:
    rows = REFERENCE.drop_nulls("carrier")
    by = {"carrier": ["UA", "B6"]}
    pieces = [
        profile_slices(rows[:2], FRAME, segment="monday", version=1, by=by),
        profile_slices(rows[2:], FRAME, segment="tuesday", version=2, by=by),
    ]
    both = pieces[0].merge(pieces[1])
    assert both == pieces[1].merge(pieces[0])
    assert both.slices() == ("", "carrier = B6", "carrier = UA")
    assert both.of_slice() == profile(rows, FRAME)
    assert both.of_slice("carrier = UA") == profile(rows.filter(rows["carrier"] == "UA"), FRAME)
    assert both.of_slice("carrier = DL").rows == 0
    again = pieces[0].merge(pieces[0])
    assert again.profiles[ProfileKey("monday", 1)].rows == 4


# --- refused -----------------------------------------------------------------------------------------------------


def test_a_column_that_is_not_of_numbers_is_refused() -> None:
    with pytest.raises(ProfileMismatch, match="'x' cannot"):
        profile({"x": np.array(["a", "b"])})
    with pytest.raises(ProfileMismatch, match="3 rows"):
        profile({"x": np.zeros(2), "y": ["a", "b", "c"]})


def test_profiles_of_another_frame_or_kind_do_not_merge() -> None:
    values = np.array([1.0, 2.0])
    with pytest.raises(ProfileMismatch, match=r"'x'.*offset"):
        merge(profile({"x": values}), profile({"x": values}, {"x": NumberProfile.none(offset=1.0)}))
    with pytest.raises(ProfileMismatch, match="categories"):
        merge(profile({"x": values}), profile({"x": ["a", "b"]}))


def test_a_column_that_one_profile_lacks_is_kept() -> None:
    merged = merge(profile({"x": np.array([1.0])}), profile({"y": ["a"]}))
    assert merged.rows == 2
    assert sorted(merged.columns) == ["x", "y"]
