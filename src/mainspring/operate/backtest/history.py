"""What was recorded of a product, as far as a replay needs it, in the order in which it came."""

from __future__ import annotations

__all__ = ["History", "NothingRecorded", "read_history"]

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from mainspring.clock import parse_time
from mainspring.errors import Invalid
from mainspring.events import EventType
from mainspring.operate.compact import prediction_log
from mainspring.operate.log_table import truth
from mainspring.operate.status import check_product
from mainspring.operate.turns import NotedTurn, noted_turns

if TYPE_CHECKING:
    import polars as pl

    from mainspring.data import DataVersion
    from mainspring.loop import Cycle, TrainingRequest
    from mainspring.monitoring import Alarm
    from mainspring.pipelines import Run, StepRecord
    from mainspring.product import ProductSpec
    from mainspring.registry import ModelVersion
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace

_DAY = timedelta(days=1)
_ALL = 2**31 - 1
_BY_PEOPLE = (
    EventType.ROLLOUT_PAUSED,
    EventType.ROLLOUT_RESUMED,
    EventType.ROLLOUT_APPROVED,
    EventType.ROLLOUT_ABORTED,
)


class NothingRecorded(Invalid):
    """A product of which there is nothing to replay."""

    def __init__(self, product: str) -> None:
        super().__init__(product)
        self.product = product

    def __str__(self) -> str:
        return (
            f"Nothing is recorded of {self.product!r} that could be replayed: its loop has not turned yet. Start "
            "`mainspring up`, add data and ask for predictions first."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What was recorded of a product.

    Attributes
    ----------
    spec : ProductSpec
        As it is declared now.
    driven : bool
        Whether recorded data drove the clock.
    declared_at : datetime
        When it became known.
    values : mapping of str to str
        The code and the environment that its steps ran with.
    turns : tuple of NotedTurn
        At which the loop is to turn.
    data : tuple of (int, DataVersion)
        What was published, with the number of the ledger's entry about it.
    requests : tuple of (int, TrainingRequest)
        What people asked for, likewise.
    versions : tuple of ModelVersion
        That were registered.
    runs, steps : tuple
        What was trained: equal steps need not run again.
    cycles, alarms : tuple
        What the loop did, and what monitors said.
    seconds : mapping of str to float
        By cycle, what its training and judging took.
    rows : polars.DataFrame
        What was asked, in the order of time.
    labels : polars.DataFrame
        Labels of these rows in the order in which they came, each with its `place` among those of all products.
    truth : polars.DataFrame
        `prediction_id` and `value` of the label that counts in the end.
    by_people : int
        Acts on rollouts by people, which are not replayed.
    """

    spec: ProductSpec
    driven: bool
    declared_at: datetime
    values: Mapping[str, str]
    turns: tuple[NotedTurn, ...]
    data: tuple[tuple[int, DataVersion], ...]
    requests: tuple[tuple[int, TrainingRequest], ...]
    versions: tuple[ModelVersion, ...]
    runs: tuple[Run, ...]
    steps: tuple[StepRecord, ...]
    cycles: tuple[Cycle, ...]
    alarms: tuple[Alarm, ...]
    seconds: Mapping[str, float]
    rows: pl.DataFrame
    labels: pl.DataFrame
    truth: pl.DataFrame
    by_people: int


def read_history(workspace: Workspace, product: str) -> History:
    """Read what is recorded of a product.

    Raises
    ------
    UnknownProduct
        No file declares it.
    NothingRecorded
        Its loop has not turned.
    mainspring.stores.segments.SegmentCorrupt
        A part of the prediction log is damaged, and nobody has accepted its loss.
    """
    rows, labels = _log(workspace, product)
    with workspace.database.read() as tx:
        spec = workspace.specs(tx)[product]
        declared_at = parse_time(tx.values.get(f"declared:{product}") or "")
        turns = _turns(noted_turns(tx), declared_at, workspace.clock.now())
        if not turns:
            raise NothingRecorded(product)
        published, asked, people = _numbers(tx, spec)
        steps = ("examples", *(each.name for each in spec.steps))
        cycles = tx.loop.cycles(product)
        return History(
            spec=spec,
            driven=workspace.settings.driven,
            declared_at=declared_at,
            values={name: tx.values.get(name) or "" for name in ("environment", "code")},
            turns=turns,
            data=tuple(
                (published.get(str(version.ref), 0), version)
                for dataset in spec.datasets
                for version in tx.data.versions(dataset.name)
            ),
            requests=tuple(
                (asked.get(each.request_id, 0), each)
                for each in tx.loop.requests(product, waiting=False)
                if each.offer is None  # a policy is about what is trained
            ),
            versions=tx.registry.versions(product),
            runs=tx.runs.runs(product, limit=_ALL)[::-1],
            steps=tuple(step for name in steps for step in tx.runs.earlier_steps(product, name)),
            cycles=cycles,
            alarms=tx.monitoring.alarms(product),
            seconds={
                each.cycle_id: sum(map(float, tx.values.items(f"seconds:{each.cycle_id}:").values()))
                for each in cycles
            },
            rows=rows,
            labels=labels,
            truth=truth(labels).select("prediction_id", "value"),
            by_people=people,
        )


def _log(workspace: Workspace, product: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    with workspace.database.read() as tx:
        check_product(tx, product)
    rows, labels = prediction_log(workspace, product)
    # Turns tell how many labels they had read, of whichever product.
    placed = labels.sort("at", maintain_order=True).with_row_index("place")
    own = rows.select("prediction_id").drop_nulls()
    return rows, placed.join(own, on="prediction_id", how="semi", maintain_order="left")


def _numbers(tx: Transaction, spec: ProductSpec) -> tuple[dict[str, int], dict[str, int], int]:
    """Places in the ledger of what was published, by ref, and asked, by id; and the number of acts by people."""
    published: dict[str, int] = {}
    asked: dict[str, int] = {}
    people = 0
    for entry in tx.ledger.entries():
        if entry.type == EventType.DATA_VERSION_PUBLISHED:
            published[entry.subject] = entry.number
        elif entry.type == EventType.TRAINING_REQUESTED and entry.subject == spec.name:
            asked[msgspec.json.decode(entry.data)["request"]] = entry.number
        elif entry.type in _BY_PEOPLE and entry.subject.startswith(f"{spec.name}@"):
            people += 1
    return published, asked, people


def _turns(noted: tuple[NotedTurn, ...], begin: datetime, now: datetime) -> tuple[NotedTurn, ...]:
    """Turns since the beginning; for the days before the first that was noted, one at midnight."""
    first = noted[0].at if noted else now
    midnight = begin.replace(hour=0, minute=0, second=0, microsecond=0) + _DAY
    earlier = []
    while midnight + _DAY < first:
        earlier.append(NotedTurn(at=midnight, entries=0, own_instant=False, labels=-1))
        midnight += _DAY
    return (*earlier, *(each for each in noted if each.at >= begin))
