"""Rollouts, their units and routes in SQL."""

# ruff: noqa: D102 - the methods are those of RolloutStore

from __future__ import annotations

__all__ = ["SqlRolloutStore"]

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, case, func, or_, select

from mainspring.digest import canonical_json
from mainspring.errors import Conflict
from mainspring.rollouts.rollout import Phase, Rollout
from mainspring.rollouts.route import Route
from mainspring.rollouts.store import UnitOutcome
from mainspring.stores.sql.insert import insert
from mainspring.stores.sql.schema import rollout_units, rollouts, routes
from mainspring.stores.sql.texts import fields_of, numbers, numbers_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class SqlRolloutStore:
    """`mainspring.rollouts.store.RolloutStore` in SQL."""

    connection: Connection

    def put(self, rollout: Rollout) -> None:
        if rollout.phase is Phase.RUNNING:
            other = self.running(rollout.product)
            if other is not None and other.rollout_id != rollout.rollout_id:
                raise Conflict(
                    f"{rollout.product} is in rollout {other.rollout_id}, and a product has one rollout at a time. "
                    "Wait until it has ended."
                )
        statement = insert(self.connection, rollouts)
        renewed = {name: statement.excluded[name] for name in ("phase", "rollout")}
        self.connection.execute(
            statement.on_conflict_do_update(index_elements=["rollout_id"], set_=renewed),
            {
                "rollout_id": rollout.rollout_id,
                "product": rollout.product,
                "phase": rollout.phase.value,
                "rollout": canonical_json(rollout.to_dict()),
            },
        )

    def running(self, product: str) -> Rollout | None:
        table = rollouts.c
        row = self.connection.execute(
            select(table.rollout).where(table.product == product, table.phase == Phase.RUNNING.value)
        ).first()
        return _rollout(row) if row else None

    def rollouts(self, product: str | None = None) -> tuple[Rollout, ...]:
        table = rollouts.c
        statement = select(table.rollout).order_by(table.position)
        if product is not None:
            statement = statement.where(table.product == product)
        return tuple(map(_rollout, self.connection.execute(statement)))

    def see_units(self, step_id: str, units: Sequence[UnitOutcome]) -> None:
        if units:
            statement = insert(self.connection, rollout_units)
            known, seen = rollout_units.c, statement.excluded
            merged = {
                "failed": or_(known.failed, seen.failed),
                "took_s": func.coalesce(known.took_s, seen.took_s),
                "loss": case((known.loss == _NOTHING, seen.loss), else_=known.loss),
            }
            self.connection.execute(
                statement.on_conflict_do_update(index_elements=["step_id", "unit"], set_=merged),
                [fields_of(unit) | {"step_id": step_id, "loss": numbers_text(unit.loss)} for unit in units],
            )

    def units(self, step_id: str) -> tuple[UnitOutcome, ...]:
        table = rollout_units.c
        rows = self.connection.execute(
            select(rollout_units).where(table.step_id == step_id).order_by(table.arm, table.unit)
        )
        return tuple(map(_unit, rows))

    def put_route(self, route: Route) -> None:
        statement = insert(self.connection, routes)
        renewed = {name: statement.excluded[name] for name in ("number", "route")}
        self.connection.execute(
            statement.on_conflict_do_update(index_elements=["product"], set_=renewed),
            {"product": route.product, "number": route.number, "route": route.to_json()},
        )

    def routes(self) -> tuple[Route, ...]:
        rows = self.connection.execute(select(routes.c.route).order_by(routes.c.product))
        return tuple(Route.from_json(row.route) for row in rows)


_NOTHING = numbers_text({})


def _rollout(row: Row[Any]) -> Rollout:
    return Rollout.from_dict(json.loads(row.rollout))


def _unit(row: Row[Any]) -> UnitOutcome:
    return UnitOutcome(
        unit=row.unit, arm=row.arm, failed=bool(row.failed), took_s=row.took_s, loss=numbers(row.loss)
    )
