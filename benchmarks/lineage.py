"""What lineage costs: walks, impacts, and what held at a moment, over thousands of versions and runs.

    python benchmarks/lineage.py FOLDER

makes a workspace in a new folder: one trained version of the tests' tiny product, and records beside it of 1,000 data
versions, 500 more model versions, 20,000 logged runs and 200,000 events.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.operate.tiny import train_first

from mainspring.digest import digest_of
from mainspring.events import Event, EventType
from mainspring.operate.as_of import as_of
from mainspring.operate.lineage import impact, lineage
from mainspring.ref import DataRef, ModelRef
from mainspring.tracking.record import Dataset, DatasetInput, Run
from mainspring.workspace import Workspace, open_workspace

DATA, VERSIONS, RUNS, EVENTS = 1_000, 500, 20_000, 200_000


def fill(workspace: Workspace) -> None:
    with workspace.database.write() as tx:
        first, data = tx.registry.get(ModelRef("tiny", 1)), tx.data.get(DataRef("orders", 1))
        run, digests = tx.runs.get(first.run_id), [data.digest]
        for number in range(2, DATA + 1):
            version = replace(data, number=number, digest=digest_of(str(number).encode()))
            tx.data.add(version)
            digests.append(version.digest)
        for number in range(2, VERSIONS + 2):
            of = {"run_id": f"run-{number:012}", "cycle_id": f"{number:012}", "data": (f"orders@v{number}",)}
            tx.runs.put(replace(run, **of))
            tx.registry.add(replace(first, number=number, **of))
        for number in range(RUNS):
            run_id = f"{number:032x}"
            tx.logged_runs.add(
                Run(run_id=run_id, experiment_id=0, name="x", started_ms=1, artifact_uri="s3://bucket/x")
            )
            digest = digests[number % DATA][:36]
            given = Dataset(name="orders", digest=digest, source_type="local", source="{}")
            tx.logged_runs.read(run_id, [DatasetInput(dataset=given)], [])
        for number in range(EVENTS):
            moved = number % 400 == 0
            tx.ledger.append(
                Event(
                    type=EventType.ROLLOUT_PROMOTED if moved else EventType.SEGMENT_SEALED,
                    subject=f"tiny@{1 + number % VERSIONS}" if moved else f"log/gateway-0/{number}",
                    at=data.published_at + timedelta(seconds=number),
                    actor="loop",
                    reason="so",
                    data={"cycle": "x", "before": 1},
                )
            )
    workspace.advance(data.published_at + timedelta(seconds=EVENTS))


def measure(name: str, call: Callable[[], object]) -> None:
    took = []
    for _ in range(3):
        begun = time.perf_counter()
        call()
        took.append(time.perf_counter() - begun)
    print(f"{name}: {1000 * min(took):,.0f} ms")


if __name__ == "__main__":
    with open_workspace(train_first(Path(sys.argv[1]))) as workspace:
        fill(workspace)
        measure("up from a model version", lambda: lineage(workspace, "tiny@300"))
        measure("both ways from the first data version", lambda: lineage(workspace, "orders@v1"))
        measure("what stands on the first data version", lambda: impact(workspace, "orders@v1"))
        measure("what stands on the 990th", lambda: impact(workspace, "orders@v990"))
        then = workspace.clock.now() - timedelta(hours=12)
        measure("what was champion at a moment", lambda: as_of(workspace, "tiny", then))
