"""A year of flights, replayed against a running mainspring: this script is nothing but its client.

It starts `mainspring up` in a folder of its own and then lets 2013 happen. Every hour it asks the gateway for the
flights that leave in two hours, and brings the labels of those that have landed: some late, those of cancelled
flights never. Every week it hands in what has become known. Every morning it moves the workspace's clock, and the loop
turns. Twice somebody asks for a model, and once a batch is spoiled on its way. Everything else mainspring does alone.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from flights import flights, weather
from product import product
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from summary import Summary, summarise, write_page

from mainspring.client import Answered, Client
from mainspring.features import BoundView, as_of
from mainspring.product import FeatureViewSpec

HERE = Path(__file__).resolve().parent
SEED = 2013
BEGIN = datetime(2013, 2, 1, 6, tzinfo=UTC)
NEW_YEAR = datetime(2014, 1, 1, tzinfo=UTC)
END = datetime(2014, 1, 4, 6, tzinfo=UTC)  # when the last labels have come
MORNING = 6  # in UTC: after midnight in New York, when nothing flies

LATE_LABELS = 0.1
"""Share of the labels that come up to three days after the landing."""

SPOILED = datetime(2013, 6, 7, MORNING, tzinfo=UTC)
"""When the batch of the week comes with seconds for minutes, and without some keys."""

REQUESTS = {
    datetime(2013, 9, 10, MORNING, tzinfo=UTC): (
        "on the same data: is its last month enough to learn from?",
        {"prepare.window": "30d"},
        True,
    ),
    datetime(2013, 10, 4, MORNING, tzinfo=UTC): (
        "let the model know each plane by its tail number",
        {"train.fleet": True},
        False,
    ),
}
"""What somebody asks for, and whether on the data of the last cycle: a model that is worse, and one with a fault that
shows only when it is served."""

TYPES = {pl.String: "BYTES", pl.Int64: "INT64", pl.Float64: "FP64"}


@dataclass(slots=True)
class World:
    """The year as it happens: what is asked, what lands, and what becomes known.

    Attributes
    ----------
    asked : dict
        By hour, the rows that are asked then, inputs and `row`.
    landed : dict
        By hour, the rows whose labels come then: (row, late, landed_at).
    weeks : list
        (moment, flights, weather) of each weekly batch.
    """

    asked: dict[datetime, pl.DataFrame]
    landed: dict[datetime, list[tuple[int, bool, datetime]]]
    weeks: list[tuple[datetime, pl.DataFrame, pl.DataFrame]]
    ids: dict[int, str] = field(default_factory=dict)


def build_world(until: datetime, *, shuffled: bool) -> World:
    """Lay out the year, with each flight's features as they were known when it was asked."""
    year, sky = flights(), weather()
    views = [
        BoundView(
            FeatureViewSpec(
                view.name, view.source.name, view.entity, view.event_time, view.ttl, tuple(view.features)
            ),
            sky if view.source.name == "weather" else year,
        )
        for view in product.features
    ]
    served = as_of(year, at="predict_at", views=views)
    if shuffled:
        year = served = shuffle(served)
    served = served.filter(
        pl.col("predict_at").is_between(BEGIN, min(until, NEW_YEAR), closed="left")
    ).with_row_index("row")
    asked = {
        key[0]: rows.select("row", *product.inputs)
        for key, rows in served.group_by("predict_at", maintain_order=True)
    }
    chance = random.Random(SEED)
    landed: dict[datetime, list[tuple[int, bool, datetime]]] = defaultdict(list)
    for row, late, at in (
        served.filter(pl.col("late").is_not_null()).select("row", "late", "landed_at").iter_rows()
    ):
        known = at + timedelta(hours=chance.uniform(1, 72)) if chance.random() < LATE_LABELS else at
        landed[known.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)].append((row, late, at))
    return World(asked, landed, list(_weeks(year, sky, until)))


def shuffle(rows: pl.DataFrame) -> pl.DataFrame:
    """Give each row, with its features and its outcome, the place in time of another one."""
    order = list(range(rows.height))
    random.Random(SEED).shuffle(order)
    moved = rows["predict_at"].gather(order) - rows["predict_at"]
    times = ("predict_at", "scheduled_departure", "departed_at", "landed_at", "closed_at")
    return rows.with_columns(pl.col(times) + moved).sort("predict_at", "flight_id")


def _weeks(
    year: pl.DataFrame, sky: pl.DataFrame, until: datetime
) -> Iterator[tuple[datetime, pl.DataFrame, pl.DataFrame]]:
    before, moment = datetime(2012, 12, 31, tzinfo=UTC), BEGIN
    while moment <= until:
        known = pl.col("closed_at").is_between(before, moment, closed="right")
        seen = pl.col("observed_at").is_between(before, moment, closed="right")
        yield moment, year.filter(known), sky.filter(seen)
        before, moment = moment, moment + timedelta(days=7)


def spoil(batch: pl.DataFrame) -> pl.DataFrame:
    """Make of a good batch one with a column in another unit, and nulls in its key."""
    return batch.with_columns(
        pl.col("dep_delay") * 60,
        pl.when(pl.int_range(pl.len()) % 97 == 0).then(None).otherwise("flight_id").alias("flight_id"),
    )


def parquet(frame: pl.DataFrame) -> bytes:
    """Bytes of a Parquet file."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, statistics=False)
    return buffer.getvalue()


def happen(
    client: Client, world: World, until: datetime, progress: Progress, *, shuffled: bool, planted: bool
) -> list[str]:
    """Let the year happen, hour by hour, with faults and requests planted in it or without; gives what was refused."""
    refused: list[str] = []
    hours = int((until - BEGIN).total_seconds()) // 3600
    task = progress.add_task("February", total=hours)
    weeks = {moment: (rows, sky) for moment, rows, sky in world.weeks}
    waiting: tuple[datetime, pl.DataFrame] | None = None
    for hour in range(hours + 1):
        now = BEGIN + timedelta(hours=hour)
        if now.hour == MORNING:
            client.move_clock(now)
            if waiting is not None and waiting[0] <= now:
                client.add_batch("flights", parquet(waiting[1]), reason="the week's flights, exported again")
                waiting = None
            if now in weeks:
                rows, sky = weeks[now]
                if not shuffled:
                    client.add_batch("weather", parquet(sky), reason="the week's weather")
                if now == SPOILED and planted:
                    refused.append(_refusal(client, "flights", parquet(spoil(rows))))
                    waiting = (now + timedelta(days=1), rows)
                else:
                    client.add_batch("flights", parquet(rows), reason="the week's flights")
            if now in REQUESTS and planted:
                reason, params, again = REQUESTS[now]
                data = client.get(f"/v1/products/{product.name}/cycles")[-1]["data"] if again else []
                client.train(
                    product.name, reason=reason, params=params, data=data, request_id=f"{now:%Y-%m-%d}"
                )
            client.move_clock(now + timedelta(minutes=1))
            progress.update(task, description=f"{now:%d %B}")
        if labels := world.landed.get(now):
            known = [(world.ids[row], late, at) for row, late, at in labels if row in world.ids]
            if known:
                client.label(
                    [
                        {"prediction_id": name, "value": late, "known_at": at.isoformat()}
                        for name, late, at in known
                    ],
                    now=now,
                )
        if (rows := world.asked.get(now)) is not None:
            ask(client, world, now, rows)
        progress.advance(task)
    return refused


def ask(client: Client, world: World, now: datetime, rows: pl.DataFrame) -> None:
    """Ask, airport by airport, for an hour's flights, and keep the ids under which their labels will come."""
    for (origin,), here in rows.group_by("origin", maintain_order=True):
        columns = {
            name: (TYPES[here.schema[name].base_type()], here[name].to_list()) for name in product.inputs
        }
        answers = client.predict(product.name, columns, request_id=f"{now:%Y%m%dT%H}-{origin}", now=now)
        for row, answer in zip(here["row"], answers, strict=True):
            world.ids[row] = answer.prediction_id


def _refusal(client: Client, dataset: str, content: bytes) -> str:
    try:
        client.add_batch(dataset, content, reason="the week's flights")
    except Answered as answer:
        lines = [str(answer)]
        for failure in answer.body["report"]["failures"]:
            examples = ", ".join(f"row {row}: {value}" for row, value in failure["examples"][:3])
            lines.append(f"  {failure['column']}: {failure['check']}, {failure['rows']:,} rows ({examples})")
        return "\n".join(lines)
    return ""


@contextmanager
def mainspring_up(folder: Path, *, shuffled: bool, policy: str = "") -> Iterator[dict[str, str]]:
    """Run `mainspring up` in a new workspace that lives in the data's time, maybe under another policy."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    files = (
        {"control.py": "product.py", "product.py": "late_arrivals.py"}
        if shuffled
        else {"product.py": "product.py"}
    )
    for source, name in files.items():
        shutil.copy(HERE / source, folder / name)
    if policy:
        overlay = folder / ".mainspring" / "policies" / f"{product.name}.py"
        overlay.parent.mkdir(parents=True)
        overlay.write_text(policy)
    (folder / "mainspring.toml").write_text(
        f'clock = "2013-02-01T00:00:00Z"\nseed = {SEED}\nport = 0\ngateway_port = 0\n'
    )
    command = [sys.executable, "-m", "mainspring.cli", "up", "--root", str(folder), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=folder)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            sys.exit(process.wait() or 1)
        yield json.loads(line)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def main(arguments: Sequence[str]) -> int:
    """Replay the year, print and write what came of it, and say by the exit status whether it is as promised."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--keep", action="store_true", help="leave mainspring running with its page afterwards"
    )
    parser.add_argument("--until", type=datetime.fromisoformat, help="stop earlier, such as 2013-04-01")
    parser.add_argument(
        "--folder", type=Path, default=Path(".demo/late-arrivals"), help="the workspace; made anew"
    )
    parser.add_argument(
        "--shuffled", action="store_true", help="the control: the same rows, shuffled in time"
    )
    options = parser.parse_args(arguments)
    until = options.until.replace(tzinfo=UTC, hour=MORNING) if options.until else END
    console = Console()
    if not console.is_terminal:
        console.width = 160  # a file has no window to fit in
    started = time.monotonic()
    with console.status("laying out the year"):
        world = build_world(until, shuffled=options.shuffled)
    columns = (TextColumn("{task.description:<13}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with mainspring_up(options.folder.resolve(), shuffled=options.shuffled) as up:
        console.print(f"mainspring is up: its page is {up['url']}")
        with (
            Client(up["url"], up["gateway_url"], actor="airline") as client,
            Progress(*columns, console=console, disable=not console.is_terminal) as progress,
        ):
            refused = happen(
                client, world, until, progress, shuffled=options.shuffled, planted=not options.shuffled
            )
            summary: Summary = summarise(client, options.folder.resolve(), refused)
        page = options.folder / "report.html"
        write_page(summary, page)
        summary.print(console)
        console.print(
            f"\nreplayed in {time.monotonic() - started:.0f} s; the report with its plots is {page}"
        )
        faults = summary.faults_shuffled() if options.shuffled else summary.faults(whole=until == END)
        for fault in faults:
            console.print(f"[bold red]not as promised:[/] {fault}")
        if options.keep:
            console.print(f"mainspring goes on running at {up['url']}; end it with Ctrl-C")
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
            signal.sigwait({signal.SIGINT, signal.SIGTERM})
    return 1 if faults else 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    sys.exit(main(sys.argv[1:]))
