"""Rollouts, their units, measurements and routes in SQL."""

# ruff: noqa: D102 - the methods are those of RolloutStore

from __future__ import annotations

__all__ = ["SqlRolloutStore"]

import json
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, select

from mainspring.clock import parse_time, time_text
from mainspring.digest import canonical_json
from mainspring.errors import Conflict
from mainspring.rollouts.rollout import Phase, Rollout
from mainspring.rollouts.route import Route
from mainspring.rollouts.store import UnitOutcome
from mainspring.rollouts.threshold import Measurement, Result
from mainspring.stores.sql.insert import insert
from mainspring.stores.sql.schema import rollout_measurements, rollout_units, rollouts, routes
from mainspring.stores.sql.texts import fields_of, json_text, numbers, numbers_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection

_IN_PROGRESS = [phase.value for phase in Phase if not phase.final]
_AT_ONCE = 500  # names in one question


@dataclass(frozen=True, slots=True)
class SqlRolloutStore:
    """`mainspring.rollouts.store.RolloutStore` in SQL."""

    connection: Connection

    def put(self, rollout: Rollout) -> None:
        if not rollout.phase.final:
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
            select(table.rollout).where(table.product == product, table.phase.in_(_IN_PROGRESS))
        ).first()
        return _rollout(row) if row else None

    def rollouts(self, product: str | None = None) -> tuple[Rollout, ...]:
        table = rollouts.c
        statement = select(table.rollout).order_by(table.position)
        if product is not None:
            statement = statement.where(table.product == product)
        return tuple(map(_rollout, self.connection.execute(statement)))

    def see_units(self, step_id: str, units: Sequence[UnitOutcome]) -> None:
        if not units:
            return
        merged = self._known(step_id, {unit.unit for unit in units})
        for unit in units:
            known = merged.get(unit.unit)
            merged[unit.unit] = unit if known is None else _merged(known, unit)
        statement = insert(self.connection, rollout_units)
        renewed = {
            name: statement.excluded[name] for name in ("failed", "took_s", "score", "slices", "metrics")
        }
        self.connection.execute(
            statement.on_conflict_do_update(index_elements=["step_id", "unit"], set_=renewed),
            [
                fields_of(unit)
                | {
                    "step_id": step_id,
                    "slices": json_text(unit.slices),
                    "metrics": numbers_text(unit.metrics),
                }
                for unit in merged.values()
            ],
        )

    def units(self, step_id: str) -> tuple[UnitOutcome, ...]:
        table = rollout_units.c
        rows = self.connection.execute(
            select(rollout_units).where(table.step_id == step_id).order_by(table.version, table.unit)
        )
        return tuple(map(_unit, rows))

    def measure(self, step_id: str, threshold: str, measurement: Measurement) -> None:
        statement = insert(self.connection, rollout_measurements)
        self.connection.execute(
            statement.on_conflict_do_nothing(),
            {
                "step_id": step_id,
                "threshold": threshold,
                "at": time_text(measurement.at),
                "value": measurement.value,
                "result": measurement.result.value,
            },
        )

    def measurements(self, step_id: str) -> Mapping[str, tuple[Measurement, ...]]:
        table = rollout_measurements.c
        rows = self.connection.execute(
            select(rollout_measurements).where(table.step_id == step_id).order_by(table.threshold, table.at)
        )
        found: dict[str, list[Measurement]] = defaultdict(list)
        for row in rows:
            found[row.threshold].append(
                Measurement(at=parse_time(row.at), value=row.value, result=Result(row.result))
            )
        return {name: tuple(each) for name, each in found.items()}

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

    def _known(self, step_id: str, names: set[str]) -> dict[str, UnitOutcome]:
        table = rollout_units.c
        return {
            row.unit: _unit(row)
            for some in _pieces(sorted(names))
            for row in self.connection.execute(
                select(rollout_units).where(table.step_id == step_id, table.unit.in_(some))
            )
        }


def _merged(known: UnitOutcome, seen: UnitOutcome) -> UnitOutcome:
    """What is known of a unit after it was seen again: what came first stays."""
    return replace(
        known,
        failed=known.failed or seen.failed,
        took_s=seen.took_s if known.took_s is None else known.took_s,
        score=seen.score if known.score is None else known.score,
        slices={**seen.slices, **known.slices},
        metrics={**seen.metrics, **known.metrics},
    )


def _pieces(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), _AT_ONCE):
        yield names[start : start + _AT_ONCE]


def _rollout(row: Row[Any]) -> Rollout:
    return Rollout.from_dict(json.loads(row.rollout))


def _unit(row: Row[Any]) -> UnitOutcome:
    return UnitOutcome(
        unit=row.unit,
        version=row.version,
        failed=bool(row.failed),
        took_s=row.took_s,
        score=row.score,
        slices=json.loads(row.slices),
        metrics=numbers(row.metrics),
    )
