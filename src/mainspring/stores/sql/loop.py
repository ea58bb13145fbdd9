"""Cycles and training requests in SQL."""

# ruff: noqa: D102 - the methods are those of LoopStore

from __future__ import annotations

__all__ = ["SqlLoopStore"]

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Row, select, update

from mainspring.clock import parse_time, time_text
from mainspring.digest import canonical_json
from mainspring.errors import Conflict
from mainspring.loop.cycle import (
    Cycle,
    CycleNotFound,
    CycleOutcome,
    CycleState,
    Offer,
    StaleCycle,
    TrainingRequest,
    TriggerKind,
)
from mainspring.stores.sql.insert import add
from mainspring.stores.sql.schema import cycles, training_requests
from mainspring.stores.sql.texts import (
    fields_of,
    json_text,
    moment_or_none,
    numbers,
    numbers_text,
    text_or_none,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class SqlLoopStore:
    """`mainspring.loop.cycle.LoopStore` in SQL."""

    connection: Connection

    def open(self, cycle: Cycle) -> None:
        if add(self.connection, cycles, _cycle_row(cycle)):
            return
        in_progress = self.connection.execute(
            select(cycles.c.cycle_id).where(cycles.c.product == cycle.product, cycles.c.state != "closed")
        ).scalar()
        if in_progress not in (None, cycle.cycle_id):
            raise Conflict(
                f"{cycle.product} is in cycle {in_progress}, and a product has one cycle at a time. "
                "Wait until it is closed."
            )
        raise Conflict(
            f"Cycle {cycle.cycle_id} or number {cycle.number} of {cycle.product} was opened before. "
            "Read the cycles again, then decide."
        )

    def move(self, cycle: Cycle, *, expected: CycleState) -> None:
        moved = self.connection.execute(
            update(cycles)
            .where(cycles.c.cycle_id == cycle.cycle_id, cycles.c.state == expected.value)
            .values(_cycle_row(cycle))
        )
        if moved.rowcount == 0:
            raise StaleCycle(cycle.cycle_id, expected, self.get(cycle.cycle_id).state)

    def get(self, cycle_id: str) -> Cycle:
        row = self.connection.execute(select(cycles).where(cycles.c.cycle_id == cycle_id)).first()
        if row is None:
            raise CycleNotFound(cycle_id)
        return _cycle(row)

    def cycles(self, product: str | None = None) -> tuple[Cycle, ...]:
        statement = select(cycles).order_by(cycles.c.product, cycles.c.number)
        if product is not None:
            statement = statement.where(cycles.c.product == product)
        return tuple(map(_cycle, self.connection.execute(statement)))

    def request(self, request: TrainingRequest) -> TrainingRequest:
        row = fields_of(request) | {
            "params": json_text(request.params),
            "data": json_text(request.data),
            "at": time_text(request.at),
            "offer": _offer_text(request.offer),
        }
        add(self.connection, training_requests, row)
        table = training_requests.c
        found = self.connection.execute(
            select(training_requests).where(table.request_id == request.request_id)
        )
        return _request(found.one())

    def requests(self, product: str, *, waiting: bool = True) -> tuple[TrainingRequest, ...]:
        table = training_requests.c
        statement = select(training_requests).where(table.product == product).order_by(table.position)
        if waiting:
            statement = statement.where(table.cycle_id.is_(None))
        return tuple(map(_request, self.connection.execute(statement)))

    def take_up(self, request_id: str, cycle_id: str) -> None:
        table = training_requests
        self.connection.execute(
            update(table).where(table.c.request_id == request_id).values(cycle_id=cycle_id)
        )


def _cycle_row(cycle: Cycle) -> dict[str, Any]:
    return fields_of(cycle) | {
        "trigger": cycle.trigger.value,
        "parts": canonical_json([each.value for each in cycle.parts]),
        "params": json_text(cycle.params),
        "data": json_text(cycle.data),
        "opened_at": time_text(cycle.opened_at),
        "state": cycle.state.value,
        "outcome": cycle.outcome and cycle.outcome.value,
        "closed_at": text_or_none(cycle.closed_at),
        "metrics": numbers_text(cycle.metrics),
        "offer": _offer_text(cycle.offer),
    }


def _cycle(row: Row[Any]) -> Cycle:
    return Cycle(
        **{
            **row._mapping,
            "trigger": TriggerKind(row.trigger),
            "parts": tuple(map(TriggerKind, json.loads(row.parts))),
            "params": json.loads(row.params),
            "data": json.loads(row.data),
            "opened_at": parse_time(row.opened_at),
            "state": CycleState(row.state),
            "outcome": row.outcome and CycleOutcome(row.outcome),
            "closed_at": moment_or_none(row.closed_at),
            "metrics": numbers(row.metrics),
            "offer": _offer(row.offer),
        }
    )


def _request(row: Row[Any]) -> TrainingRequest:
    return TrainingRequest(
        request_id=row.request_id,
        product=row.product,
        params=json.loads(row.params),
        data=json.loads(row.data),
        actor=row.actor,
        reason=row.reason,
        at=parse_time(row.at),
        cycle_id=row.cycle_id,
        offer=_offer(row.offer),
    )


def _offer_text(offer: Offer | None) -> str | None:
    return None if offer is None else msgspec.json.encode(offer, order="deterministic").decode()


def _offer(text: str | None) -> Offer | None:
    return None if text is None else msgspec.json.decode(text, type=Offer)
