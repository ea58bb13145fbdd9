"""What a backtest takes, beside the recording that it replays.

    python benchmarks/backtest.py [--until 2013-05-01] [--policy FILE ...] [--folder FOLDER] [--json]

The recording is the demo's: `mainspring up` with the example's product file, asked and labelled hour by hour over HTTP.
The backtest turns the same loop again with the declared policy, which must do again what it did, bit for bit, and then
with each policy that is given. Told are seconds, predictions a second, and the ratio of the recording's seconds to
theirs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.progress import Progress

EXAMPLE = Path(__file__).parents[1] / "examples" / "late-arrivals"
sys.path.insert(0, str(EXAMPLE))

import replay  # noqa: E402
from product import product  # noqa: E402

from mainspring.client import Client  # noqa: E402
from mainspring.operate.backtest import Backtest, backtest  # noqa: E402
from mainspring.workspace import open_workspace  # noqa: E402


def record(folder: Path, until: datetime) -> float:
    """Let the time happen as in the demo; gives what it took, in seconds, without laying out the year."""
    world = replay.build_world(until, shuffled=False)
    started = time.perf_counter()
    with (
        replay.mainspring_up(folder, shuffled=False) as up,
        Client(up["url"], up["gateway_url"], actor="airline") as client,
        Progress(disable=True) as progress,
    ):
        replay.happen(client, world, until, progress, shuffled=False, planted=True)
    return time.perf_counter() - started


def measured(folder: Path, until: datetime, policies: list[Path]) -> dict[str, Any]:
    recorded_s = record(folder, until)
    began: dict[str, float] = {}

    def tell(policy: str, share: float, what: str) -> None:
        began.setdefault(policy, time.perf_counter())

    with open_workspace(folder) as workspace:
        found: Backtest = backtest(workspace, product.name, policies, tell)
    ends = [*list(began.values())[1:], time.perf_counter()]
    took = {name: end - start for (name, start), end in zip(began.items(), ends, strict=True)}
    again = found.found_again
    return {
        "predictions": found.rows,
        "recorded_s": recorded_s,
        "again": f"{again.cycles_again} of {again.cycles} cycles, {again.alarms_again} of {again.alarms} alarms",
        "rows": [
            {
                "policy": each.policy,
                "retrains": each.retrains,
                "loss": each.loss,
                "better_by": each.better_by,
                "seconds": took[each.policy],
                "predictions_per_s": found.rows / took[each.policy],
                "ratio": recorded_s / took[each.policy],
            }
            for each in found.policies
        ],
    }


def table(found: dict[str, Any]) -> str:
    """As Markdown."""
    lines = [
        "| | retrains | log loss | better by | seconds | predictions/s | the recording took |",
        "|---|" + "---:|" * 6,
        f"| recorded | | | | {found['recorded_s']:.0f} "
        f"| {found['predictions'] / found['recorded_s']:,.0f} | 1.00x |",
    ]
    for row in found["rows"]:
        better = "" if row["better_by"] is None else f"{row['better_by']:+.4f}"
        lines.append(
            f"| {row['policy']} | {row['retrains']} | {row['loss']:.4f} | {better} | {row['seconds']:.0f} "
            f"| {row['predictions_per_s']:,.0f} | {row['ratio']:.2f}x |"
        )
    return "\n".join([*lines, f"\n{found['predictions']:,} predictions; the same again: {found['again']}."])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--until", type=datetime.fromisoformat, help="record up to then; by default the year")
    parser.add_argument("--policy", type=Path, action="append", default=[], help="a policy to try as well")
    parser.add_argument("--folder", type=Path, help="where the workspace is made, and left")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    asked = parser.parse_args()
    until = asked.until.replace(tzinfo=UTC, hour=replay.MORNING) if asked.until else replay.END
    with tempfile.TemporaryDirectory() as scratch:
        found = measured((asked.folder or Path(scratch) / "year").resolve(), until, asked.policy)
    print(json.dumps(found) if asked.json else table(found))


if __name__ == "__main__":
    main()
