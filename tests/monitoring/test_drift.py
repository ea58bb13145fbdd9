from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.monitoring import (
    Budget,
    NumberProfile,
    Outcome,
    ProfileKey,
    ProfileMismatch,
    ProfileSet,
    Stream,
    WindowedBetting,
    drift_streams,
    frame,
    profile,
)
from mainspring.monitoring.drift import sliced_drift_streams
from mainspring.monitoring.scores import values_among

budget = Budget(checks=60, alarms=0.05)


def named(streams: tuple[Stream, ...]) -> dict[str, Stream]:
    return {stream.name: stream for stream in streams}


def test_counts_of_an_indicator_are_those_of_the_rows() -> None:
    rng = np.random.default_rng(1)
    before, after = rng.exponential(10.0, 1000), rng.exponential(20.0, 400)
    streams = drift_streams(profile({"delay": before}), [profile({"delay": after})])
    risen = [stream for stream in streams if stream.name.startswith("delay >")]
    assert len(risen) == 9
    for stream in risen:
        edge = float(stream.name.split()[2])
        assert stream.reference == (int((before < edge).sum()), int((before >= edge).sum()))
        assert stream.checks == ((int((after < edge).sum()), int((after >= edge).sum())),)


def mean(stream: Stream, table: Sequence[int]) -> float:
    return float(np.average(stream.lower, weights=table))


def test_scores_say_where_between_the_edges_rows_lie_and_how_far_from_the_middle() -> None:
    rng = np.random.default_rng(3)
    before, wider = rng.normal(0.0, 1.0, 4000), rng.normal(0.0, 2.0, 4000)
    streams = named(
        drift_streams(profile({"x": before}), [profile({"x": wider + 1.0}), profile({"x": wider})])
    )
    assert "x higher" in streams
    for name, stream in streams.items():
        opposite = streams.get(name.replace("higher", "lower").replace("more spread", "less spread"))
        if opposite is None or opposite is stream:
            continue
        assert opposite.lower == pytest.approx([1 - score for score in stream.lower])
        moved, same = (mean(stream, check) - mean(stream, stream.reference) for check in stream.checks)
        assert moved > 0.1
        assert same > 0.1 if "spread" in name else abs(same) < 0.03


def test_a_wider_spread_is_found_before_any_edge_is_passed_more_often() -> None:
    rng = np.random.default_rng(4)
    windows = [profile({"x": rng.normal(0.0, 1.3, 500)}) for _ in range(3)]
    streams = drift_streams(profile({"x": rng.normal(0.0, 1.0, 10_000)}), windows)
    evidence = WindowedBetting().weigh(streams, budget=budget)
    assert evidence.outcome is Outcome.ALARM
    assert evidence.streams[0][0] == "x more spread"


def test_a_constant_column_is_watched_for_values_on_either_side() -> None:
    streams = named(
        drift_streams(profile({"rain": np.zeros(500)}), [profile({"rain": np.array([0.0, 1.0, 2.0])})])
    )
    assert [stream.checks for name, stream in streams.items() if ">" in name] == [((1, 2),)]
    # Two levels are the same two streams again.
    assert not [name for name in streams if "higher" in name or "spread" in name]


def test_rows_without_a_value_count_as_missing_only() -> None:
    streams = named(
        drift_streams(
            profile({"wind": np.array([1.0, 2.0, np.nan])}),
            [profile({"wind": np.ma.array([1.0, 2.0], mask=[True, False])})],
        )
    )
    assert streams["wind missing more often"].reference == (2, 1)
    assert streams["wind missing more often"].checks == ((1, 1),)
    assert all(sum(stream.reference) == 2 for name, stream in streams.items() if "missing" not in name)


def test_categories_have_shares_on_both_sides_and_news() -> None:
    reference = profile({"carrier": ["UA"] * 70 + ["B6"] * 29 + ["OO"]})
    streams = named(drift_streams(reference, [profile({"carrier": ["UA", "UA", "DL", "OO"]})]))
    assert streams["carrier = 'UA' more often"].checks == ((2, 2),)
    assert streams["carrier = 'UA' less often"].checks == ((2, 2),)
    assert streams["carrier = 'B6' less often"].reference == (29, 71)
    # OO was seen once: as many rows of the reference would have been news to the rest of it.
    assert streams["carrier unseen more often"].reference == (99, 1)
    assert streams["carrier unseen more often"].checks == ((3, 1),)


def test_a_flood_of_new_categories_is_an_alarm() -> None:
    reference = profile({"tail": [f"N{n % 50}" for n in range(5000)]})
    calm = profile({"tail": [f"N{n % 50}" for n in range(6000)]})
    flood = profile({"tail": [f"N{n % 50}" for n in range(3000)] + [f"X{n}" for n in range(9000)]})
    quiet = WindowedBetting().weigh(drift_streams(reference, [calm]), budget=budget)
    loud = WindowedBetting().weigh(drift_streams(reference, [calm, flood]), budget=budget)
    assert quiet.outcome is Outcome.QUIET
    assert loud.outcome is Outcome.ALARM
    assert loud.streams[0][0] == "tail unseen more often"


def test_a_column_that_a_check_lacks_has_no_rows_there() -> None:
    reference = profile({"wind": np.arange(500.0), "carrier": ["UA"] * 500})
    streams = drift_streams(reference, [profile({"other": np.arange(5.0)})])
    assert streams
    assert all(stream.rows == 0 for stream in streams)
    evidence = WindowedBetting().weigh(streams, budget=budget)
    assert evidence.outcome is Outcome.INSUFFICIENT_DATA


def test_a_check_of_another_kind_or_frame_is_refused() -> None:
    reference = profile({"wind": np.arange(500.0)})
    with pytest.raises(ProfileMismatch, match=r"'wind'.*categories"):
        drift_streams(reference, [profile({"wind": ["fast"]})])
    with pytest.raises(ProfileMismatch, match=r"'wind'.*offset"):
        drift_streams(
            reference, [profile({"wind": np.arange(5.0)}, {"wind": NumberProfile.none(offset=8.0)})]
        )


def test_texts_vectors_and_lists_are_watched_by_what_each_row_has() -> None:
    rows = pl.DataFrame(
        {
            "note": [f"gate {n} closed late" for n in range(200)],
            "vector": [[float(n % 7), 1.0] for n in range(200)],
            "tags": [["a"] * (n % 3) for n in range(200)],
        }
    )
    shape = frame(rows)
    streams = drift_streams(profile(rows, shape), [profile(rows[:50], shape), profile({}, shape)])
    parts = {stream.name.split("]")[0] + "]" for stream in streams}
    # The elements of one list are not independent, and have no stream.
    assert parts == {
        "note[length]", "note[tokens]", "note[unknown tokens]", "vector[norm]", "vector[0]", "vector[1]", "tags[length]"
    }  # fmt: skip
    assert {stream.column for stream in streams} == {"note", "vector", "tags"}
    assert all(sum(stream.checks[0]) == 50 and sum(stream.checks[1]) == 0 for stream in streams)
    WindowedBetting().weigh(streams, budget=budget)


def test_values_close_together_keep_their_streams_apart() -> None:
    values = 1e9 + np.random.default_rng(2).normal(0.0, 1e-5, 2000)
    streams = drift_streams(
        profile({"t": values}, {"t": NumberProfile.none(offset=1e9)}),
        [profile({"t": values}, {"t": NumberProfile.none(offset=1e9)})],
    )
    WindowedBetting().weigh(streams, budget=budget)


# --- slices --------------------------------------------------------------------------------------------------------

SHAPE = frame({"wind": np.array([0.0]), "kind": ["a"]})
RARE = 0.1


def sliced(
    rng: np.random.Generator, n: int, *, added: float = 0.0, names: Sequence[str] = ("a", "b")
) -> ProfileSet:
    """Rows of a common and of a rare kind that lie apart; `added` moves the rare ones."""
    kind = np.where(rng.random(n) < RARE, names[1], names[0])
    wind = rng.normal(np.where(kind == names[1], 3.0 + added, 0.0), 1.0)
    return ProfileSet(
        {
            ProfileKey("", 0, f"kind={name}"): profile(
                {"wind": wind[kind == name], "kind": kind[kind == name].tolist()}, SHAPE
            )
            for name in sorted(set(kind.tolist()))
        }
    )


def by_kind(reference: ProfileSet, checks: Sequence[ProfileSet], **options: float) -> tuple[Stream, ...]:
    return sliced_drift_streams(reference, checks, frame=SHAPE, attribute="kind", **options)  # type: ignore[arg-type]


def test_what_moves_in_a_tenth_of_the_rows_is_found_there_with_column_and_slice() -> None:
    rng = np.random.default_rng(7)
    reference = sliced(rng, 10_000)
    checks = [sliced(rng, 500) for _ in range(5)] + [sliced(rng, 500, added=1.0) for _ in range(5)]
    evidence = WindowedBetting().weigh(by_kind(reference, checks), budget=budget)
    assert evidence.outcome is Outcome.ALARM
    assert evidence.streams[0][0].startswith("wind ")
    assert evidence.streams[0][0].endswith(" where kind=b")
    assert {stream.column for stream in by_kind(reference, checks)} == {
        "wind where kind=a",
        "wind where kind=b",
    }


def test_slices_that_do_not_move_alarm_no_more_often_than_the_budget_allows() -> None:
    rng = np.random.default_rng(8)
    runs, allowed = 100, Budget(checks=10, alarms=0.2)
    spoken = 0
    for _ in range(runs):
        checks = [sliced(rng, int(size)) for size in rng.integers(100, 400, 10)]
        streams = by_kind(sliced(rng, 5_000), checks, tolerance=0.0)
        spoken += WindowedBetting().weigh(streams, budget=allowed).outcome is Outcome.ALARM
    assert spoken <= runs * allowed.alarms + 3 * math.sqrt(runs * allowed.alarms)


def test_values_that_the_reference_lacks_have_insufficient_data_and_are_named() -> None:
    rng = np.random.default_rng(9)
    reference, known = sliced(rng, 10_000), sliced(rng, 500)
    new = sliced(rng, 500, names=("a", "other"))
    quiet = WindowedBetting().weigh(by_kind(reference, [known, known]), budget=budget)
    lacking = WindowedBetting().weigh(by_kind(reference, [known, new]), budget=budget)
    assert quiet.outcome is Outcome.QUIET
    assert lacking.outcome is Outcome.INSUFFICIENT_DATA
    assert lacking.insufficient == (
        ("wind missing more often where kind=other", "the reference has 0 rows, 100 are needed"),
    )


@given(st.lists(st.sampled_from(["a", "b", "other"]), max_size=30), st.integers(0, 30))
def test_sets_of_profiles_add_up_however_rows_were_split_and_survive_json(kinds: list[str], cut: int) -> None:
    def of(rows: list[tuple[int, str]]) -> ProfileSet:
        return ProfileSet(
            {
                ProfileKey("", 0, f"kind={name}"): profile(
                    {"wind": np.array([float(n) for n, kind in rows if kind == name])}, SHAPE
                )
                for name in sorted({kind for _, kind in rows})
            }
        )

    rows = list(enumerate(kinds))
    whole, merged = of(rows), of(rows[cut:]).merge(of(rows[:cut]))
    assert merged.to_json() == whole.to_json()
    assert ProfileSet.from_json(whole.to_json()) == whole
    assert values_among(whole.slices(), "kind") == tuple(sorted(set(kinds)))
