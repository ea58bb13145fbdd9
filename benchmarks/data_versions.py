"""What a new data version costs: 20,000 small files with one changed, and a table of five million rows with 1 % more.

    python benchmarks/data_versions.py [--json] [--files N] [--rows N] [--without-dvc]

Beside each figure of ours stands, from the same run and disk, what cannot be avoided: to read, hash and copy the files;
to look at each of them again; to write the new rows as Parquet. DVC's command does the same to the same files, in an
environment made by uv in `.peers/`; ours is timed as a command, too, and as a call in a program that runs. Of ours
everything is on disk before a clock stops, of DVC's what it syncs by itself.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from environments import python_of

from mainspring.operate.data.publish import Adding
from mainspring.operate.data.sources import add_source
from mainspring.operate.declare import declare
from mainspring.workspace import Workspace, open_workspace

PRODUCT = Path(__file__).parents[1] / "tests" / "products" / "tiny"


def timed(act: Callable[[], Any]) -> float:
    os.sync()
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def begin(folder: Path) -> Workspace:
    folder.mkdir(parents=True)
    shutil.copy(PRODUCT / "product.py", folder)
    workspace = open_workspace(folder)
    declare(workspace, actor="benchmark")
    workspace.workers.begin()
    return workspace


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


# --- files ---------------------------------------------------------------------------------------------------------


def make_files(folder: Path, files: int) -> None:
    chance = random.Random(0)
    for number in range(files):
        path = folder / f"{number % 200:03}" / f"{number:06}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(chance.randrange(1_000, 8_000)))


def hash_and_copy(folder: Path, to: Path) -> None:
    to.mkdir()
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            (to / hashlib.sha256(content).hexdigest()).write_bytes(content)
    os.sync()


def look(folder: Path) -> None:
    for inside, _, names in os.walk(folder):
        for name in names:
            Path(inside, name).stat()


def change_one(folder: Path, turn: int) -> None:
    (folder / "007" / "000007.bin").write_bytes(random.Random(turn).randbytes(5_000))


def run(*command: object, cwd: Path) -> None:
    ran = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True)
    if ran.returncode:
        sys.exit(f"{command[:3]} ended with {ran.returncode}:\n{ran.stderr[-2000:]}")


def measure_files(place: Path, files: int, *, dvc: bool) -> dict[str, float]:
    photos = place / "photos"
    make_files(photos, files)
    time.sleep(3)  # what was written just now may be written to again unseen, and would be read twice
    found = {
        "files": files,
        "megabytes": size_of(photos) / 1e6,
        "hash_and_copy_s": timed(lambda: hash_and_copy(photos, place / "copies")),
        "look_at_each_s": timed(lambda: look(photos)),
    }
    with begin(place / "called") as workspace:

        def add() -> None:
            add_source(workspace, "photos", str(photos), actor="benchmark", adding=Adding(new=True))

        found["call_first_s"] = timed(add)
        time.sleep(3)
        before = size_of(workspace.settings.state / "files"), size_of(workspace.settings.state / "tables")
        change_one(photos, 1)
        found["call_again_s"] = timed(add)
        after = size_of(workspace.settings.state / "files"), size_of(workspace.settings.state / "tables")
        found["call_again_bytes_of_contents"] = after[0] - before[0]
        found["call_again_bytes_of_tables"] = after[1] - before[1]
    begin(place / "commanded").close()
    command = (sys.executable, "-m", "mainspring.cli", "data", "add", "photos", photos, "--new")
    found["command_first_s"] = timed(lambda: run(*command, cwd=place / "commanded"))
    time.sleep(3)
    change_one(photos, 2)
    found["command_again_s"] = timed(lambda: run(*command, cwd=place / "commanded"))
    if dvc:
        program = python_of("dvc").parent / "dvc"
        (place / "dvc").mkdir()
        shutil.copytree(photos, place / "dvc" / "photos")
        run(program, "init", "--no-scm", "--quiet", cwd=place / "dvc")
        run(program, "config", "core.analytics", "false", cwd=place / "dvc")
        time.sleep(3)
        dvc_add = (program, "add", "--quiet", "photos")
        found["dvc_first_s"] = timed(lambda: run(*dvc_add, cwd=place / "dvc"))
        time.sleep(3)
        change_one(place / "dvc" / "photos", 3)
        found["dvc_again_s"] = timed(lambda: run(*dvc_add, cwd=place / "dvc"))
    return found


# --- rows ----------------------------------------------------------------------------------------------------------


def make_rows(first: int, rows: int) -> pl.DataFrame:
    chance = np.random.default_rng(first)
    at = np.datetime64("2024-01-01T00:00:00", "us") + np.arange(first, first + rows) * np.timedelta64(
        1_000_000, "us"
    )
    numbers = {f"x{n}": chance.normal(size=rows) for n in range(5)}
    return pl.DataFrame(
        {
            "id": np.arange(first, first + rows),
            "at": at,
            "carrier": pl.Series(["UA", "AA", "B6", "DL", "EV"]).gather(chance.integers(0, 5, rows)),
            "tail": [f"N{n}" for n in chance.integers(0, 4_000, rows)],
            "delay": chance.integers(-30, 300, rows),
            "late": chance.random(rows) < 0.2,
            **numbers,
            "note": pl.Series(["", "weather", "crew", None]).gather(chance.integers(0, 4, rows)),
        }
    ).with_columns(pl.col("at").dt.replace_time_zone("UTC"))


def write_parquet(rows: pl.DataFrame, file: Path) -> None:
    rows.write_parquet(file, compression="zstd")
    with file.open("rb") as opened:
        os.fsync(opened.fileno())


def measure_rows(place: Path, rows: int) -> dict[str, float]:
    with begin(place / "table") as workspace:
        state = workspace.settings.state
        write_parquet(make_rows(0, rows), place / "first.parquet")
        adding = Adding(new=True, key=("id",))
        found: dict[str, float] = {
            "rows": rows,
            "columns": 12,
            "first_s": timed(
                lambda: add_source(
                    workspace, "trips", str(place / "first.parquet"), actor="benchmark", adding=adding
                )
            ),
        }
        more = max(1, rows // 100)
        written, added = [], []
        for turn in range(5):
            piece, file = make_rows(rows + turn * more, more), place / f"{turn}.parquet"
            written.append(timed(lambda piece=piece, file=file: write_parquet(piece, file)))  # type: ignore[misc]
            before = size_of(state)
            added.append(
                timed(lambda file=file: add_source(workspace, "trips", str(file), actor="benchmark"))  # type: ignore[misc]
            )
            found["append_bytes"], found["parquet_bytes"] = size_of(state) - before, file.stat().st_size
        found["append_s"], found["parquet_s"] = sorted(added)[2], sorted(written)[2]
    return found


# --- figures -------------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--without-dvc", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        of_rows = measure_rows(Path(folder) / "rows", asked.rows) if asked.rows else {}
    with tempfile.TemporaryDirectory() as folder:
        of_files = measure_files(Path(folder), asked.files, dvc=not asked.without_dvc) if asked.files else {}
    if asked.json:
        print(json.dumps({"files": of_files, "rows": of_rows}, indent=2))
        return
    for name, value in {**of_files, **of_rows}.items():
        print(f"{name:32} {value:14,.3f}")
    if of_files:
        floor, again = of_files["hash_and_copy_s"], of_files["look_at_each_s"]
        print(f"first time, call / hash and copy       {of_files['call_first_s'] / floor:8.2f}")
        print(f"after one change, call / look at each  {of_files['call_again_s'] / again:8.2f}")
        for name in ("first", "again") if "dvc_first_s" in of_files else ():
            print(
                f"{name}, DVC / our command  {of_files[f'dvc_{name}_s'] / of_files[f'command_{name}_s']:8.2f}"
            )
    if of_rows:
        print(f"1 % more rows, append / Parquet, time  {of_rows['append_s'] / of_rows['parquet_s']:8.2f}")
        print(
            f"1 % more rows, append / Parquet, bytes {of_rows['append_bytes'] / of_rows['parquet_bytes']:8.2f}"
        )


if __name__ == "__main__":
    main()
