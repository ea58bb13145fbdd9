"""Runs and finished steps in SQL."""

# ruff: noqa: D102 - the methods are those of RunStore

from __future__ import annotations

__all__ = ["SqlRunStore"]

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Row, select

from mainspring.clock import parse_time, time_text
from mainspring.digest import canonical_json
from mainspring.pipelines.plan import StepKey
from mainspring.pipelines.run import Run, RunNotFound, RunState, StepRecord
from mainspring.stores.sql.insert import add, insert
from mainspring.stores.sql.schema import runs, steps
from mainspring.stores.sql.texts import fields_of, json_text, numbers, numbers_text

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mainspring.digest import Digest


@dataclass(frozen=True, slots=True)
class SqlRunStore:
    """`mainspring.pipelines.run.RunStore` in SQL."""

    connection: Connection

    def put(self, run: Run) -> None:
        row = fields_of(run) | {
            "state": run.state.value,
            "params": json_text(run.params),
            "data": canonical_json(run.data),
            "started_at": time_text(run.started_at),
            "metrics": numbers_text(run.metrics),
            "steps": canonical_json([dict(step) for step in run.steps]),
        }
        statement = insert(self.connection, runs)
        renewed = {name: statement.excluded[name] for name in row if name != "run_id"}
        self.connection.execute(statement.on_conflict_do_update(index_elements=["run_id"], set_=renewed), row)

    def get(self, run_id: str) -> Run:
        row = self.connection.execute(select(runs).where(runs.c.run_id == run_id)).first()
        if row is None:
            raise RunNotFound(run_id)
        return _run(row)

    def runs(self, product: str | None = None, *, limit: int = 100) -> tuple[Run, ...]:
        statement = select(runs).order_by(runs.c.position.desc()).limit(limit)
        if product is not None:
            statement = statement.where(runs.c.product == product)
        return tuple(map(_run, self.connection.execute(statement)))

    def add_step(self, record: StepRecord) -> StepRecord:
        self.get(record.run_id)
        row = {
            "digest": record.key.digest,
            "step": record.key.step,
            "key": msgspec.json.encode(record.key, order="deterministic").decode(),
            "output": record.output,
            "run_id": record.run_id,
            "reason": record.reason,
        }
        if add(self.connection, steps, row):
            return record
        return self.find_step(record.key.digest) or record

    def find_step(self, key: Digest) -> StepRecord | None:
        row = self.connection.execute(select(steps).where(steps.c.digest == key)).first()
        return _record(row) if row else None

    def earlier_steps(self, product: str, step: str) -> tuple[StepRecord, ...]:
        rows = self.connection.execute(
            select(steps)
            .join(runs)
            .where(runs.c.product == product, steps.c.step == step)
            .order_by(steps.c.position)
        )
        return tuple(map(_record, rows))


def _run(row: Row[Any]) -> Run:
    return Run(
        run_id=row.run_id,
        product=row.product,
        cycle_id=row.cycle_id,
        state=RunState(row.state),
        params=json.loads(row.params),
        data=tuple(json.loads(row.data)),
        started_at=parse_time(row.started_at),
        metrics=numbers(row.metrics),
        steps=tuple(json.loads(row.steps)),
        error=row.error,
    )


def _record(row: Row[Any]) -> StepRecord:
    return StepRecord(
        key=msgspec.json.decode(row.key, type=StepKey),
        output=row.output,
        run_id=row.run_id,
        reason=row.reason,
    )
