"""How long the point-in-time join takes: 100 k entities, 1 M rows of 10 features, a ttl of 7 days, beside Feast's.

    python benchmarks/feature_join.py [--json] [--entities N] [--rows N] [--turns N] [--without-feast]

Each reads the feature rows from one Parquet file and gives a data frame. The floor is the bare sorted as-of join of
polars, put back in the order of the rows. Feast's stores have an environment made by uv in `.peers/`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import load
import numpy as np
import polars as pl
from environments import HERE, python_of

from mainspring.features.join import BoundView, as_of
from mainspring.product import FeatureViewSpec

FEATURES, DAYS = 10, 30
NAMES = tuple(f"f{n}" for n in range(FEATURES))
VIEW = FeatureViewSpec("account", "accounts", entity="customer", event_time="at", ttl="7d", features=NAMES)
BARS = {"feast dask / ours": ">= 8", "feast duckdb / ours": "> 1", "ours / floor": "<= 1.5"}


def times(chance: np.random.Generator, count: int) -> pl.Series:
    micros = chance.integers(0, DAYS * 86_400_000_000, count)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return pl.select(pl.lit(start) + pl.Series(micros).cast(pl.Duration("us"))).to_series()


def ours(rows: pl.DataFrame, file: Path) -> pl.DataFrame:
    return as_of(rows, at="event_timestamp", views=[BoundView(VIEW, pl.read_parquet(file))])


def floor(rows: pl.DataFrame, file: Path) -> pl.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it cannot check what is sorted here
        return (
            rows.with_row_index("place").sort("event_timestamp")
            .join_asof(pl.read_parquet(file).sort("at"), left_on="event_timestamp", right_on="at", by="customer",
                       tolerance=timedelta(days=7))
            .sort("place").select(*rows.columns, *NAMES)
        )  # fmt: skip


def timed(join: Callable[[pl.DataFrame, Path], pl.DataFrame], rows: pl.DataFrame, file: Path) -> float:
    begun = time.perf_counter()
    joined = join(rows, file)
    took = time.perf_counter() - begun
    assert joined.select(rows.columns).equals(rows)
    return took


def on_feast(kind: str, folder: Path, rows: Path, file: Path, expected: tuple[int, int]) -> float:
    own = folder / kind
    own.mkdir()
    script = HERE / "peers" / "on_feast_offline.py"
    command = [python_of("feast_offline"), script, own, rows, file, str(FEATURES), kind]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise load.Failed(ran.stderr[-400:])
    found = json.loads(ran.stdout.splitlines()[-1])
    if (found["rows"], found["found"]) != expected:
        print(f"feast {kind} answers {found['rows']:,} rows, {found['found']:,} of them with features; "
              f"ours {expected[0]:,} and {expected[1]:,}", file=sys.stderr)  # fmt: skip
    return float(found["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--entities", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--without-feast", action="store_true")
    asked = parser.parse_args()
    chance = np.random.default_rng(0)
    rows = pl.DataFrame(
        {"customer": np.arange(asked.entities), "event_timestamp": times(chance, asked.entities)}
    )
    seconds: dict[str, float] = {}
    left_out: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        file, entities = folder / "features.parquet", folder / "rows.parquet"
        pl.DataFrame(
            {"customer": chance.integers(0, asked.entities, asked.rows), "at": times(chance, asked.rows),
             **{name: chance.normal(size=asked.rows) for name in NAMES}}
        ).write_parquet(file)  # fmt: skip
        rows.write_parquet(entities)
        joined = ours(rows, file)
        assert joined.equals(floor(rows, file))
        # In turns, so that what else the machine does falls on both.
        pairs = [(timed(ours, rows, file), timed(floor, rows, file)) for _ in range(asked.turns)]
        seconds["ours"], seconds["floor"] = (min(taken) for taken in zip(*pairs, strict=True))
        expected = (len(joined), len(joined) - joined["f0"].null_count())
        for kind in () if asked.without_feast else ("dask", "duckdb"):
            try:
                seconds[f"feast {kind}"] = on_feast(kind, folder, entities, file, expected)
            except load.Failed as error:
                left_out[f"feast {kind}"] = str(error)
    ratios = {"ours / floor": seconds["ours"] / seconds["floor"]}
    ratios |= {
        f"{name} / ours": took / seconds["ours"] for name, took in seconds.items() if name[:5] == "feast"
    }
    if asked.json:
        json.dump({"entities": asked.entities, "rows": asked.rows, "features": FEATURES, "seconds": seconds,
                   "ratios": ratios, "left_out": left_out}, sys.stdout, indent=2)  # fmt: skip
        return
    print(
        f"{asked.entities:,} rows asked of {asked.rows:,} feature rows, {FEATURES} features; best of some turns\n"
    )
    for name, took in seconds.items():
        print(f"{name:22}{took:8.2f} s")
    for name, why in left_out.items():
        print(f"{name:22}left out: {why}")
    print()
    for name, ratio in ratios.items():
        print(f"{name:22}{ratio:8.1f}   (bar {BARS[name]})")


if __name__ == "__main__":
    main()
