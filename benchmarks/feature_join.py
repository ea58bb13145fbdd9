"""How long the point-in-time join takes: 100 k entities, 1 M rows of 10 features, a ttl of 7 days, beside Feast's.

    python benchmarks/feature_join.py [--json] [--entities N] [--rows N] [--turns N] [--without-feast] [--large-rows N]

Each reads the feature rows from one Parquet file and gives a data frame. The floor is the bare sorted as-of join of
polars, put back in the order of the rows. Feast's stores have an environment made by uv in `.peers/`.

*Known later* is the same join where each row says when it became known, *wide* one of 1,000 features beside its floor.
*Large* is a table that takes four times the memory that the join may have, read in parts; a process of its own tells
the most that it had.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import load
import msgspec
import numpy as np
import polars as pl
from environments import HERE, python_of

from mainspring.features.join import BoundView, as_of
from mainspring.operate.joining import join_features
from mainspring.product import FeatureViewSpec
from mainspring.stores.tables import DeltaTables

FEATURES, DAYS, WIDE, WIDE_ROWS = 10, 30, 1_000, 100_000
LIMIT_MB = 1_100
NAMES = tuple(f"f{n}" for n in range(FEATURES))
VIEW = FeatureViewSpec("account", "accounts", entity="customer", event_time="at", ttl="7d", features=NAMES)
BARS = {"feast dask / ours": ">= 8", "feast duckdb / ours": "> 1", "ours / floor": "<= 1.5"}


def times(chance: np.random.Generator, count: int) -> pl.Series:
    micros = chance.integers(0, DAYS * 86_400_000_000, count)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return pl.select(pl.lit(start) + pl.Series(micros).cast(pl.Duration("us"))).to_series()


def ours(rows: pl.DataFrame, file: Path, view: FeatureViewSpec = VIEW) -> pl.DataFrame:
    return as_of(rows, at="event_timestamp", views=[BoundView(view, pl.read_parquet(file))])


def floor(rows: pl.DataFrame, file: Path, names: Sequence[str] = NAMES) -> pl.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it cannot check what is sorted here
        return (
            rows.with_row_index("place").sort("event_timestamp")
            .join_asof(pl.read_parquet(file).sort("at"), left_on="event_timestamp", right_on="at", by="customer",
                       tolerance=timedelta(days=7))
            .sort("place").select(*rows.columns, *names)
        )  # fmt: skip


def timed(join: Callable[[pl.DataFrame, Path], pl.DataFrame], rows: pl.DataFrame, file: Path) -> float:
    begun = time.perf_counter()
    joined = join(rows, file)
    took = time.perf_counter() - begun
    assert joined.select(rows.columns).equals(rows)
    return took


def wide(rows: pl.DataFrame, folder: Path, chance: np.random.Generator) -> tuple[float, float]:
    """Seconds of a join of many features, and of its floor."""
    names = tuple(f"w{n}" for n in range(WIDE))
    file = folder / "wide.parquet"
    pl.DataFrame(
        {"customer": chance.integers(0, len(rows), WIDE_ROWS), "at": times(chance, WIDE_ROWS),
         **{name: chance.normal(size=WIDE_ROWS).astype(np.float32) for name in names}}
    ).write_parquet(file)  # fmt: skip
    view = msgspec.structs.replace(VIEW, features=names)
    joins = partial(ours, view=view), partial(floor, names=names)
    own, bare = (min(timed(join, rows, file) for _ in range(3)) for join in joins)
    return own, bare


def large(folder: Path, entities: int, rows: int) -> dict[str, float]:
    """The most memory of a join in parts, of a table that takes four times as much."""
    chance, piece = np.random.default_rng(1), 1_000_000

    def pieces() -> Iterator[pl.DataFrame]:
        for first in range(0, rows, piece):
            count = min(piece, rows - first)
            yield pl.DataFrame(
                {"row": np.arange(first, first + count), "customer": chance.integers(0, entities, count),
                 "at": times(chance, count), **{name: chance.normal(size=count) for name in NAMES}}
            )  # fmt: skip

    DeltaTables(folder / "large").append("accounts", pieces(), commit_id=None)
    ran = subprocess.run(
        [sys.executable, __file__, "--join", folder, "--entities", str(entities)],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    told: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return told | {"table_mb": rows * (FEATURES + 3) * 8 / 1e6, "limit_mb": LIMIT_MB}


def join_large(folder: Path) -> None:
    rows, begun = pl.read_parquet(folder / "rows.parquet"), time.perf_counter()
    tables = DeltaTables(folder / "large")
    joined = join_features(
        rows, at="event_timestamp", views=[VIEW], keys={"accounts": ("row",)}, tables=tables,
        versions={"accounts": 0}, known=datetime(2027, 1, 1, tzinfo=UTC), at_once=LIMIT_MB * 1_000_000 // 4,
    )  # fmt: skip
    assert joined.select(rows.columns).equals(rows)
    assert joined["f0"].null_count() < joined.height / 10
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(
        json.dumps(
            {"peak_mb": float(status["VmHWM"].split()[0]) / 1e3, "seconds": time.perf_counter() - begun}
        )
    )


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
    parser.add_argument("--large-rows", type=int, default=43_000_000)
    parser.add_argument("--join", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.join:
        join_large(asked.join)
        return
    chance = np.random.default_rng(0)
    rows = pl.DataFrame(
        {"customer": np.arange(asked.entities), "event_timestamp": times(chance, asked.entities)}
    )
    seconds: dict[str, float] = {}
    left_out: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        file, entities = folder / "features.parquet", folder / "rows.parquet"
        at = times(chance, asked.rows)
        delay = pl.Series(chance.integers(0, 86_400_000_000, asked.rows)).cast(pl.Duration("us"))
        pl.DataFrame(
            {"customer": chance.integers(0, asked.entities, asked.rows), "at": at,
             **{name: chance.normal(size=asked.rows) for name in NAMES}, "told": at + delay}
        ).write_parquet(file)  # fmt: skip
        rows.write_parquet(entities)
        joined = ours(rows, file)
        assert joined.equals(floor(rows, file))
        # In turns, so that what else the machine does falls on both.
        pairs = [(timed(ours, rows, file), timed(floor, rows, file)) for _ in range(asked.turns)]
        seconds["ours"], seconds["floor"] = (min(taken) for taken in zip(*pairs, strict=True))
        later = msgspec.structs.replace(VIEW, known_at="told")
        seconds["known later"] = min(timed(partial(ours, view=later), rows, file) for _ in range(asked.turns))
        seconds["wide"], seconds["wide floor"] = wide(rows, folder, chance)
        expected = (len(joined), len(joined) - joined["f0"].null_count())
        for kind in () if asked.without_feast else ("dask", "duckdb"):
            try:
                seconds[f"feast {kind}"] = on_feast(kind, folder, entities, file, expected)
            except load.Failed as error:
                left_out[f"feast {kind}"] = str(error)
        beyond = large(folder, asked.entities, asked.large_rows) if asked.large_rows else {}
    ratios = {
        "ours / floor": seconds["ours"] / seconds["floor"],
        "known later / ours": seconds["known later"] / seconds["ours"],
        "wide / its floor": seconds["wide"] / seconds["wide floor"],
    }
    ratios |= {
        f"{name} / ours": took / seconds["ours"] for name, took in seconds.items() if name[:5] == "feast"
    }
    if asked.json:
        json.dump({"entities": asked.entities, "rows": asked.rows, "features": FEATURES, "seconds": seconds,
                   "ratios": ratios, "left_out": left_out, "large": beyond}, sys.stdout, indent=2)  # fmt: skip
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
        print(f"{name:22}{ratio:8.1f}{f'   (bar {BARS[name]})' if name in BARS else ''}")
    if beyond:
        print(
            f"\na table of {beyond['table_mb']:,.0f} MB, {beyond['table_mb'] / LIMIT_MB:.1f} times the limit of "
            f"{LIMIT_MB:,} MB: {beyond['seconds']:.0f} s with at most {beyond['peak_mb']:,.0f} MB, "
            f"{'met' if beyond['peak_mb'] <= LIMIT_MB else 'missed'}"
        )


if __name__ == "__main__":
    main()
