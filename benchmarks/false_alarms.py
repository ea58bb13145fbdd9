"""False alarms through the real loop: products of which nothing changes, watched day by day.

    python benchmarks/false_alarms.py [--streams 250] [--separate 5] [--late 20] [--json]

A stream is a deployment: a version's reference is drawn, then it serves for the period of the alarm budget, and nothing
changes. Each day its answers and their labels are written to a gateway's log, `ingest` counts them, the clock
moves, and `watch` lets every monitor look: SQLite, segments, blobs, alarms and ledger are the real ones, and only the
model is left out, whose answers are drawn. The monitors stand at the edge of what is promised: they tolerate nothing.

- *60 columns*: a product with 57 inputs (truth values, kinds, numbers), the answer and two losses, in four monitors
  which share the budget; 5 days of 60 rows.
- *60 monitors*: fifteen products of one input and four monitors each, with a fifteenth of the budget.
- *Moved*: the first again, with one of its 57 inputs moved halfway, to show that it would be heard.
- *Late labels*: 21 days of 200 answers, a fifth of them positive. Labels come within a week: the positive ones first,
  the negative ones first, or all but three in ten, which never come. The monitor of log loss waits for them
  (`labels_within="7d"`); beside it the naive one takes what has come so far as it is (`"0d"`).

The bar: of the streams at most the budget has a false alarm, plus three standard deviations of so many coins. A naive
monitor and a moved input have none. Seeds are fixed.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from mainspring.digest import digest_of
from mainspring.monitoring import LossTable, frame, profile
from mainspring.monitoring.record import LabelEntry, LabelRecord, PredictionRecord
from mainspring.monitors import FalseAlarms, InputDrift, Monitor, PredictionDrift, Quality
from mainspring.operate.declare import declare
from mainspring.operate.ingest import ingest
from mainspring.operate.judging import PREDICTION, Reference
from mainspring.operate.watch import watch
from mainspring.product import ProductSpec
from mainspring.registry import ModelVersion
from mainspring.stores.segments import SegmentWriter
from mainspring.workspace import Workspace, open_workspace

Columns = dict[str, NDArray[Any]]
Delays = Callable[[np.random.Generator, NDArray[np.bool_]], NDArray[np.float64]]

BEGIN = datetime(2024, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
DAYS, ROWS = 5, 60
LATE_DAYS, LATE_ROWS, LATE_SCORES = 21, 200, (1.0, 4.0)
BUDGET = 0.2
FLAGS, KINDS, NUMBERS = (
    [f"{kind}_{n:02}" for n in range(count)] for kind, count in (("flag", 45), ("kind", 8), ("number", 4))
)
REFERENCES = (200, 1_000, 5_000, 50_000)
PRODUCTS = 15
IN_ONE_WORKSPACE = 25
LEVELS = ("a", "b", "c")
SHOWN = Console(stderr=True)

PRODUCT = f"""
from typing import Annotated

import pandera.polars as pa
import polars as pl

import mainspring as ms

Moment = Annotated[pl.Datetime, "us", "UTC"]


class Rows(pa.DataFrameModel):
    row_id: str
    asked_at: Moment
    late: bool = pa.Field(nullable=True, metadata=ms.known_at("settled_at"))
    settled_at: Moment = pa.Field(metadata=ms.known_at("settled_at"))
    {"; ".join(f"{name}: int" for name in FLAGS)}
    {"; ".join(f"{name}: str" for name in KINDS)}
    {"; ".join(f"{name}: float" for name in NUMBERS)}


@ms.step
def train(examples: pl.DataFrame) -> ms.Fitted:
    raise NotImplementedError


product = ms.Product(
    "still",
    task=ms.BinaryClassification(label="late"),
    data=ms.Dataset("rows", key="row_id", event_time="asked_at", known_at="settled_at", schema=Rows),
    inputs={[*FLAGS, *KINDS, *NUMBERS]},
    pipeline=ms.Pipeline([train]),
    gates=[ms.AtLeast("roc_auc", 0.5)],
)
"""
MONITORS = (
    InputDrift(tolerance=0.0),
    PredictionDrift(tolerance=0.0),
    Quality("log_loss", tolerance=0.0),
    Quality("brier", tolerance=0.0),
)


class World:
    """What a version is asked: each has rates of its own."""

    def __init__(
        self, random: np.random.Generator, inputs: Sequence[str], scores: tuple[float, float] | None
    ) -> None:
        self.random = random
        self.rates = {name: random.uniform(0.02, 0.98) for name in inputs if name in FLAGS}
        self.shares = {name: random.dirichlet([2.0] * len(LEVELS)) for name in inputs if name in KINDS}
        self.numbers = [name for name in inputs if name in NUMBERS]
        self.scores = scores or random.uniform(0.5, 4.0, 2)

    def move(self) -> None:
        """Let one input be what it was not."""
        name, rate = next(iter(self.rates.items()))
        self.rates[name] = rate + 0.3 if rate < 0.5 else rate - 0.3

    def rows(self, count: int) -> tuple[Columns, NDArray[np.float64], NDArray[np.bool_]]:
        """Inputs, answers and outcomes, which come as often as the answers say."""
        random = self.random
        columns: Columns = {
            **{name: (random.random(count) < rate).astype(int) for name, rate in self.rates.items()},
            **{name: random.choice(LEVELS, count, p=share) for name, share in self.shares.items()},
            **{name: random.normal(size=count) for name in self.numbers},
        }
        scores = random.beta(*self.scores, count)
        return columns, scores, random.random(count) < scores


def reference_of(world: World, rows: int) -> Reference:
    """What the judge keeps of a hold-out of so many rows."""
    columns, scores, outcomes = world.rows(rows)
    # As `read_columns` would give them: so many rows are not to become lists and arrays again.
    read = {
        name: values.tolist() if name in KINDS else values.astype(float) for name, values in columns.items()
    }
    return Reference(
        inputs=profile(read, frame(read)).to_json(),
        predictions=profile({PREDICTION: scores}).to_json(),
        losses={
            loss: LossTable.of(loss, probability=scores, outcome=outcomes).to_json()
            for loss in ("log_loss", "brier")
        },
    )


def promote(workspace: Workspace, spec: ProductSpec, number: int, reference: Reference) -> None:
    """Register a version, and let it serve."""
    nothing = digest_of(b"")
    version = ModelVersion(
        product=spec.name, number=number, cycle_id="", run_id="", artifact=nothing, native=nothing, signature="{}",
        data=(), reference=workspace.blobs.put(msgspec.json.encode(reference)), reason="drawn",
        registered_at=workspace.clock.now(),
    )  # fmt: skip
    with workspace.database.write() as tx:
        tx.registry.add(version)
        tx.registry.move(
            spec.name, "champion", expected=tx.registry.aliases(spec.name).get("champion"), to=number
        )


def at_once(random: np.random.Generator, outcomes: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.zeros(len(outcomes))


def positives_first(random: np.random.Generator, outcomes: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.where(outcomes, 0, random.integers(1, 7, len(outcomes))).astype(float)


def positives_last(random: np.random.Generator, outcomes: NDArray[np.bool_]) -> NDArray[np.float64]:
    return positives_first(random, ~outcomes)


def some_never(random: np.random.Generator, outcomes: NDArray[np.bool_]) -> NDArray[np.float64]:
    delays = random.integers(0, 7, len(outcomes)).astype(float)
    return np.where(random.random(len(outcomes)) < 0.3, math.inf, delays)


class Loop:
    """A workspace in which versions serve one after the other."""

    def __init__(self, workspace: Workspace, spec: ProductSpec) -> None:
        self.workspace, self.spec = workspace, spec
        self.day = self.number = 0

    def serve(
        self,
        seed: Sequence[int],
        reference: int,
        *,
        inputs: Sequence[str],
        monitors: Sequence[Monitor] = MONITORS,
        budget: float = BUDGET,
        days: int = DAYS,
        rows: int = ROWS,
        scores: tuple[float, float] | None = None,
        delays: Delays = at_once,
        moved: bool = False,
    ) -> bool:
        """Let a version serve for the period of the budget; says whether any monitor has raised an alarm."""
        workspace, allowed = self.workspace, FalseAlarms(per=f"{days}d", at_most=budget)
        spec = msgspec.structs.replace(self.spec, monitors=tuple(monitors), alarm_budget=allowed)
        world = World(np.random.default_rng(seed), inputs, scores)
        self.number += 1
        self._to_next_day()
        watch(workspace, spec)  # the days before are no concern of the new version
        promote(workspace, spec, self.number, reference_of(world, reference))
        coming: dict[int, list[LabelEntry]] = defaultdict(list)
        alarms = 0
        for day in range(days):
            if moved and day == days // 2:
                world.move()
            columns, answers, outcomes = world.rows(rows)
            now = workspace.clock.now()
            ids = [f"{self.number}-{day}-{row}" for row in range(rows)]
            for name, outcome, delay in zip(ids, outcomes, delays(world.random, outcomes), strict=True):
                if math.isfinite(delay):
                    coming[day + int(delay)].append(LabelEntry(name, bool(outcome), now + delay * DAY))
            asked = PredictionRecord(
                at=now, product=spec.name, route=1, ids=ids, units=ids, versions=[self.number] * rows,
                scores=answers.tolist(), inputs={name: values.tolist() for name, values in columns.items()},
            )  # fmt: skip
            with SegmentWriter(workspace.logs / "gateway-0") as writer:
                writer.append([asked, LabelRecord(at=now, labels=coming.pop(day, []))])
            ingest(workspace)
            self._to_next_day()
            alarms += len(watch(workspace, spec))
        return alarms > 0

    def wide(self, n: int, *, reference: int, inputs: Sequence[str]) -> bool:
        """One product with many inputs."""
        return self.serve((1, reference, n), reference, inputs=inputs)

    def fifteen(self, n: int, *, reference: int) -> bool:
        """Products of one input that share the budget; says whether any of them has raised an alarm."""
        return any(
            self.serve((2, reference, n, product), reference, inputs=FLAGS[:1], budget=BUDGET / PRODUCTS)
            for product in range(PRODUCTS)
        )

    def late(self, n: int, *, monitors: Sequence[Monitor], delays: Delays) -> bool:
        """A product whose labels come late."""
        return self.serve(
            (4, n),
            5_000,
            inputs=FLAGS[:1],
            monitors=monitors,
            days=LATE_DAYS,
            rows=LATE_ROWS,
            scores=LATE_SCORES,
            delays=delays,
        )

    def _to_next_day(self) -> None:
        self.day += 1
        self.workspace.advance(BEGIN + self.day * DAY)


def row(name: str, alarmed: Sequence[bool], **more: Any) -> dict[str, Any]:
    """What came of some streams."""
    share = sum(alarmed) / len(alarmed)
    bound = BUDGET + 3 * math.sqrt(BUDGET * (1 - BUDGET) / len(alarmed))
    return {
        "what": name,
        "streams": len(alarmed),
        "alarmed": share,
        "bound": bound,
        "met": share <= bound,
        **more,
    }


@contextmanager
def new_loop() -> Iterator[Loop]:
    """Give a loop in a workspace of its own."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "product.py").write_text(PRODUCT)
        (Path(folder) / "mainspring.toml").write_text(f'clock = "{BEGIN:%Y-%m-%dT%H:%M:%SZ}"\n')
        with open_workspace(Path(folder)) as workspace:
            declare(workspace, actor="benchmark")
            with workspace.database.read() as tx:
                spec = workspace.specs(tx)["still"]
            yield Loop(workspace, spec)


def measured(streams: int, separate: int, late: int) -> dict[str, Any]:
    """All tables; `streams` and `separate` for each size of the reference, and `late` for each way of labels."""
    started = time.perf_counter()
    everything = [*FLAGS, *KINDS, *NUMBERS]

    def some(what: str, count: int, serve: Callable[[Loop, int], bool], **more: Any) -> dict[str, Any]:
        told, alarmed = ", ".join([what, *map(str, more.values())]), []
        with Progress(console=SHOWN) as progress:
            task = progress.add_task(told, total=count)
            # Deployments of years in one workspace would fill its folders with what none of them asks for.
            for first in range(0, count, IN_ONE_WORKSPACE):
                with new_loop() as loop:
                    for n in range(first, min(count, first + IN_ONE_WORKSPACE)):
                        alarmed.append(serve(loop, n))
                        progress.advance(task)
        found = row(what, alarmed, **more)
        SHOWN.print(json.dumps(found))
        return found

    delayed = [
        some(
            delays.__name__.replace("_", " "),
            late,
            partial(
                Loop.late, monitors=[Quality("log_loss", tolerance=0.0, labels_within=within)], delays=delays
            ),
            waits=within,
        )
        for delays in (positives_first, positives_last, some_never)
        for within in ("7d", "0d")
    ]
    moved = some(
        "one of 57 inputs moved by .3",
        max(1, streams // 50),
        lambda loop, n: loop.serve((3, n), 5_000, inputs=everything, moved=True),
        reference=5_000,
    )
    monitors = [
        some("60 monitors", separate, partial(Loop.fifteen, reference=rows), reference=rows)
        for rows in REFERENCES
    ]
    columns = [
        some("60 columns", streams, partial(Loop.wide, reference=rows, inputs=everything), reference=rows)
        for rows in REFERENCES
    ]
    seconds = round(time.perf_counter() - started)
    return {
        "budget": BUDGET,
        "still": columns + monitors,
        "moved": moved,
        "late": delayed,
        "seconds": seconds,
    }


def tables(found: Mapping[str, Any]) -> str:
    """As Markdown."""
    lines = [
        "| monitored | reference, rows | streams | budget | with a false alarm | bound | |",
        "|" + "---|" * 7,
    ]
    for each in found["still"]:
        lines.append(
            f"| {each['what']} | {each['reference']:,} | {each['streams']} | {found['budget']:.0%} "
            f"| {each['alarmed']:.1%} | {each['bound']:.1%} | {'met' if each['met'] else 'missed'} |"
        )
    moved = found["moved"]
    lines.append(f"\n{moved['what']}: heard in {moved['alarmed']:.0%} of {moved['streams']} streams.")
    lines += ["\n| labels | monitor | streams | with a false alarm | bound | |", "|" + "---|" * 6]
    for each in found["late"]:
        waits = each["waits"] != "0d"
        said = ("met" if each["met"] else "missed") if waits else ""
        lines.append(
            f"| {each['what']} | {'waits a week' if waits else 'naive'} | {each['streams']} | {each['alarmed']:.1%} "
            f"| {each['bound']:.1%} | {said} |"
        )
    lines.append(f"\n{found['seconds']} s.")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", type=int, default=250, help="for each size of the reference")
    parser.add_argument(
        "--separate", type=int, default=5, help="of 60 monitors, for each size of the reference"
    )
    parser.add_argument("--late", type=int, default=20, help="for each way in which labels come")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    asked = parser.parse_args()
    found = measured(asked.streams, asked.separate, asked.late)
    print(json.dumps(found) if asked.json else tables(found))


if __name__ == "__main__":
    main()
