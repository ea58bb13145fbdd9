"""What it costs to validate five million rows of twelve columns with seventeen checks, and a table beyond the memory.

    python benchmarks/validation.py [--json] [--rows N] [--large-rows N] [--limit-mb N] [--without-great-expectations]

The same seventeen checks, one of them that ids are unique, are asked by `judge`, by bare pandera, and by Great
Expectations on pandas, in an environment made by uv in `.peers/`; of each the rows are in memory when the clock begins,
and once all are sound and once a thousandth of the rows fails two checks. Beside the times, a process of its own
validates a Parquet file of more rows than fit in the memory that it may have, and tells the most that it had.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import pandera.errors
import pandera.polars as pa
import polars as pl
from environments import python_of

import mainspring as ms
from mainspring.data import judge

HERE = Path(__file__).parent
LEAST, GREATEST = -1_000, 1_000
KINDS, REGIONS = ["a", "b", "c", "d"], [f"region-{number}" for number in range(20)]
WITHIN: dict[str, Any] = {"in_range": {"min_value": LEAST, "max_value": GREATEST}}
TURNS = 3


class Rows(pa.DataFrameModel):
    """Seven columns without nulls, six ranges, two domains, a pattern, and ids that are unique."""

    id: int = pa.Field(unique=True)
    at: Annotated[pl.Datetime, "us", "UTC"]
    amount: float = pa.Field(**WITHIN)
    price: float = pa.Field(nullable=True, **WITHIN)
    quantity: int = pa.Field(**WITHIN)
    kind: str = pa.Field(isin=KINDS)
    region: str = pa.Field(isin=REGIONS)
    code: str = pa.Field(nullable=True, str_matches="^[A-Z][0-9]{4}$")
    flag: bool
    score: float = pa.Field(nullable=True, **WITHIN)
    latitude: float = pa.Field(nullable=True, **WITHIN)
    longitude: float = pa.Field(nullable=True, **WITHIN)


ROWS = ms.Dataset("rows", key="id", event_time="at", schema=Rows)


def make(rows: int, first: int = 0) -> pl.DataFrame:
    chance = np.random.default_rng(first)
    numbers = {
        name: chance.normal(0, 50, rows) for name in ("amount", "price", "score", "latitude", "longitude")
    }
    codes = [f"{letter}{number:04}" for letter in "ABCDE" for number in range(1_000)]
    return pl.DataFrame(
        {
            "id": np.arange(first, first + rows),
            "at": pl.Series(1_700_000_000_000_000 + np.arange(first, first + rows)).cast(
                pl.Datetime("us", "UTC")
            ),
            "quantity": chance.integers(0, 100, rows),
            "kind": pl.Series(KINDS).gather(chance.integers(0, len(KINDS), rows)),
            "region": pl.Series(REGIONS).gather(chance.integers(0, len(REGIONS), rows)),
            "code": pl.Series(codes).gather(chance.integers(0, len(codes), rows)),
            "flag": chance.random(rows) < 0.5,
            **numbers,
        }
    ).select(*Rows.to_schema().columns)


def broken(rows: pl.DataFrame) -> pl.DataFrame:
    """A thousandth of the rows with an amount beyond its range and a kind that there is not."""
    bad = pl.int_range(pl.len()) % 1_000 == 7
    return rows.with_columns(
        pl.when(bad).then(5_000.0).otherwise("amount").alias("amount"),
        pl.when(bad).then(pl.lit("z")).otherwise("kind").alias("kind"),
    )


def timed(act: Callable[[], Any]) -> float:
    took = []
    for _ in range(TURNS):
        begun = time.perf_counter()
        act()
        took.append(time.perf_counter() - begun)
    return median(took)


def ours(rows: pl.DataFrame) -> None:
    report = judge(rows.lazy(), ROWS).report
    assert not report.refusal, report.refusal


def bare(rows: pl.DataFrame) -> None:
    with suppress(pandera.errors.SchemaErrors):
        Rows.validate(rows, lazy=True)


def great_expectations(file: Path) -> float:
    asked = json.dumps([str(file), LEAST, GREATEST, KINDS, REGIONS])
    script = HERE / "peers" / "validate_with_great_expectations.py"
    ran = subprocess.run([python_of("great-expectations"), script, asked], capture_output=True, text=True)
    if ran.returncode:
        sys.exit(ran.stderr[-2_000:])
    return float(json.loads(ran.stdout.splitlines()[-1])["s"])


def measure(place: Path, rows: int, *, peer: bool) -> dict[str, float]:
    found: dict[str, float] = {"rows": rows}
    sound = make(rows)
    for name, table in (("sound", sound), ("broken", broken(sound))):
        found[f"{name}_ours_s"], found[f"{name}_pandera_s"] = (
            timed(partial(ours, table)),
            timed(partial(bare, table)),
        )
        found[f"{name}_times_pandera"] = found[f"{name}_ours_s"] / found[f"{name}_pandera_s"]
        if peer:
            table.write_parquet(place / "rows.parquet")
            found[f"{name}_great_expectations_s"] = great_expectations(place / "rows.parquet")
            found[f"{name}_faster_than_great_expectations"] = (
                found[f"{name}_great_expectations_s"] / found[f"{name}_ours_s"]
            )
    return found


def measure_large(place: Path, rows: int, limit_mb: int) -> dict[str, float]:
    file, piece = place / "large", 1_000_000
    file.mkdir()
    size = 0
    for first in range(0, rows, piece):
        some = broken(make(min(piece, rows - first), first))
        size += some.estimated_size()
        some.write_parquet(file / f"{first:012}.parquet")
        del some
    begun = time.perf_counter()
    ran = subprocess.run(
        [sys.executable, __file__, "--validate", str(file)], capture_output=True, text=True, check=True
    )
    told = json.loads(ran.stdout.splitlines()[-1])
    return {
        "large_rows": rows,
        "large_mb_in_memory": size / 1e6,
        "large_s": time.perf_counter() - begun,
        "large_peak_mb": told["peak_mb"],
        "large_begin_mb": told["begin_mb"],
        "large_failing": told["failing"],
        "limit_mb": limit_mb,
        "large_times_limit": size / 1e6 / limit_mb,
    }


def validate_large(file: Path) -> None:
    begin = most_mb()
    report = judge(pl.scan_parquet(file / "*.parquet"), ROWS).report
    print(json.dumps({"begin_mb": begin, "peak_mb": most_mb(), "failing": report.quarantined}))


def most_mb() -> float:
    """The most memory that this process had; what `getrusage` tells is also that of who began it."""
    told = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return float(told["VmHWM"].split()[0]) / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--large-rows", type=int, default=56_000_000)
    parser.add_argument("--limit-mb", type=int, default=1_100)
    parser.add_argument("--without-great-expectations", action="store_true")
    parser.add_argument("--validate", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.validate:
        validate_large(asked.validate)
        return
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        found = measure(place, asked.rows, peer=not asked.without_great_expectations)
        if asked.large_rows:
            found |= measure_large(place, asked.large_rows, asked.limit_mb)
    if asked.json:
        print(json.dumps(found, indent=2))
    else:
        for name, value in found.items():
            print(f"{name.replace('_', ' '):45} {value:>16,.2f}")


if __name__ == "__main__":
    main()
