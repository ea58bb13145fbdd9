"""How long a lookup of features takes: 1 and 100 entities, 10 features, in each store, beside Feast's on the same rows.

    python benchmarks/online_read.py [--json] [--entities N] [--turns N] [--without-feast]

Timed is from the entities to checked values with their statuses: the store's read and what decides which values may be
used; of Feast `get_online_features(…).to_dict()`. The floor is SQLite itself: one `SELECT` of the same rows, one value
for each entity, unpacked by nobody. Redis and PostgreSQL are those that the tests ask, and left out where none answers;
Feast has an environment made by uv in `.peers/`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import load
import numpy as np
import polars as pl
from environments import HERE, python_of

from mainspring.errors import MainspringError
from mainspring.features.online import Snapshot, look_up, pack, use
from mainspring.features.store import OnlineStore, Row
from mainspring.product import FeatureViewSpec
from mainspring.stores.online import open_online

FEATURES = 10
COUNTS = (1, 100)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SEEN = NOW - timedelta(hours=1)
REDIS = os.environ.get("MAINSPRING_TEST_REDIS", "redis://127.0.0.1:6379/9")
POSTGRESQL = os.environ.get("MAINSPRING_TEST_POSTGRES", "postgresql://127.0.0.1:5432/test")
VIEW = FeatureViewSpec(
    "account",
    "accounts",
    entity="customer",
    event_time="at",
    ttl="3650d",
    features=tuple(f"f{n}" for n in range(FEATURES)),
    online="store",
)
BAR = 3.0


def timed(read: Callable[[list[str]], object], entities: Sequence[str], turns: int) -> dict[int, float]:
    """Median microseconds of a read, by the number of entities."""
    chance, found = random.Random(1), {}
    for count in COUNTS:
        took = []
        for turn in range(turns + turns // 10):
            asked = chance.sample(entities, count)
            begun = time.perf_counter()
            read(asked)
            if turn >= turns // 10:
                took.append(time.perf_counter() - begun)
        found[count] = statistics.median(took) * 1e6
    return found


def in_store(
    url: str, entities: list[str], values: list[tuple[float, ...]], turns: int
) -> tuple[float, dict[int, float]]:
    """Seconds to write all entities, and microseconds to read some."""
    store = open_online(url)
    try:
        begun = time.perf_counter()
        fill(store, entities, values)
        wrote = time.perf_counter() - begun

        def read(asked: list[str]) -> None:
            found = use(VIEW, asked, store.read("benchmark", asked, NOW), NOW)
            assert None not in found.columns["f0"]

        return wrote, timed(read, entities, turns)
    finally:
        store.write("benchmark:none", [], NOW)
        store.publish("benchmark", "benchmark:none", 0, after=store.published("benchmark"))
        store.close()


def fill(store: OnlineStore, entities: list[str], values: list[tuple[float, ...]]) -> None:
    for first in range(0, len(entities), 20_000):
        piece = slice(first, first + 20_000)
        rows = [Row(name, SEEN, SEEN, of) for name, of in zip(entities[piece], values[piece], strict=True)]
        store.write("benchmark:1", rows, NOW)
    assert store.publish("benchmark", "benchmark:1", 1, after=store.published("benchmark"))


def in_snapshot(entities: list[str], columns: list[list[float]], turns: int) -> dict[int, float]:
    snapshot = Snapshot(pack(VIEW.feature_names, NOW, entities, [SEEN] * len(entities), columns))
    return timed(lambda asked: look_up(VIEW, snapshot, asked, NOW), entities, turns)


def floor(folder: Path, entities: list[str], values: list[tuple[float, ...]], turns: int) -> dict[int, float]:
    with sqlite3.connect(folder / "floor.db") as database:
        database.execute("CREATE TABLE rows (entity TEXT PRIMARY KEY, content BLOB) WITHOUT ROWID")
        packed = ((name, np.array(of).tobytes()) for name, of in zip(entities, values, strict=True))
        database.executemany("INSERT INTO rows VALUES (?, ?)", packed)

    def read(asked: list[str]) -> None:
        marks = ",".join("?" * len(asked))
        found = database.execute(
            f"SELECT entity, content FROM rows WHERE entity IN ({marks})", asked
        ).fetchall()
        assert len(found) == len(asked)

    return timed(read, entities, turns)


def on_feast(folder: Path, file: Path, where: str, turns: int) -> dict[int, float]:
    folder.mkdir()
    script = HERE / "peers" / "on_feast.py"
    ran = subprocess.run(
        [python_of("feast"), script, folder, file, str(FEATURES), where, str(turns)],
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise load.Failed(ran.stderr[-400:])
    return {int(count): took for count, took in json.loads(ran.stdout.splitlines()[-1]).items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--entities", type=int, default=100_000)
    parser.add_argument("--turns", type=int, default=1_000)
    parser.add_argument("--without-feast", action="store_true")
    asked = parser.parse_args()
    entities = [f"C-{n:08}" for n in range(asked.entities)]
    matrix = np.random.default_rng(0).normal(size=(asked.entities, FEATURES))
    values, columns = [*map(tuple, matrix.tolist())], matrix.T.tolist()
    reads: dict[str, dict[int, float]] = {}
    wrote: dict[str, float] = {}
    left_out: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        reads["floor"] = floor(folder, entities, values, asked.turns)
        reads["snapshot"] = in_snapshot(entities, columns, asked.turns)
        for name, url in (
            ("sqlite", f"sqlite:///{folder / 'online.db'}"),
            ("redis", REDIS),
            ("postgresql", POSTGRESQL),
        ):
            try:
                wrote[name], reads[name] = in_store(url, entities, values, asked.turns)
            except MainspringError as error:
                left_out[name] = str(error)
        if not asked.without_feast:
            file = folder / "entities.parquet"
            frame = pl.DataFrame(
                {"customer": entities, **dict(zip(VIEW.feature_names, columns, strict=True))}
            )
            frame.with_columns(pl.lit(SEEN, pl.Datetime("us", "UTC")).alias("at")).write_parquet(file)
            redis = urlsplit(REDIS)
            for name, where in (
                ("feast on sqlite", "sqlite"),
                ("feast on redis", f"{redis.hostname}:{redis.port or 6379},db={redis.path[1:] or 0}"),
            ):
                try:
                    turns = max(20, asked.turns // 10)
                    reads[name] = on_feast(folder / name.replace(" ", "-"), file, where, turns)
                except load.Failed as error:
                    left_out[name] = str(error)
    ratios = {
        f"{peer} / {name}": reads[peer][100] / reads[name][100]
        for name in ("snapshot", "sqlite", "redis", "postgresql")
        for peer in ("feast on sqlite", "feast on redis")
        if name in reads and peer in reads
    }
    if asked.json:
        json.dump({"entities": asked.entities, "features": FEATURES, "microseconds": reads, "written_s": wrote,
                   "ratios_at_100": ratios, "left_out": left_out}, sys.stdout, indent=2)  # fmt: skip
        return
    print(f"{asked.entities:,} entities, {FEATURES} features; median microseconds of a lookup\n")
    print(f"{'':18}{'1 entity':>12}{'100 entities':>14}{'written in':>12}")
    for name, took in reads.items():
        seconds = f"{wrote[name]:10.1f} s" if name in wrote else ""
        print(f"{name:18}{took[1]:12,.0f}{took[100]:14,.0f}{seconds}")
    for name, why in left_out.items():
        print(f"{name:18}left out: {why}")
    print()
    for name, ratio in ratios.items():
        bar = f"   (bar {BAR:g})" if name in ("feast on sqlite / sqlite", "feast on sqlite / redis") else ""
        print(f"{name:32}{ratio:8.1f}{bar}")


if __name__ == "__main__":
    main()
