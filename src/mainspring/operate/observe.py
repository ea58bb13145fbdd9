"""Gathering the facts of one product, in one reading of the database."""

from __future__ import annotations

__all__ = ["observe", "observed_of"]

from typing import TYPE_CHECKING

import msgspec

from mainspring.clock import parse_time
from mainspring.loop import AlarmFact, CycleState, Facts, RolloutFact
from mainspring.operate.watch import harm, unanswered
from mainspring.ref import DataRef, ModelRef
from mainspring.rollouts import Mode, Observed, advance

if TYPE_CHECKING:
    from datetime import datetime

    from mainspring.product import ProductSpec
    from mainspring.rollouts import Rollout
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace


def observe(workspace: Workspace, spec: ProductSpec) -> Facts:
    """Read all that the loop decides by."""
    now = workspace.clock.now()
    with workspace.database.read() as tx:
        cycles = tx.loop.cycles(spec.name)
        last = cycles[-1] if cycles else None
        opened = last if last is not None and last.state is not CycleState.CLOSED else None
        newest = {
            dataset.name: version for dataset in spec.datasets if (version := tx.data.newest(dataset.name))
        }
        own = newest.get(spec.data.name)
        champion = tx.registry.aliases(spec.name).get("champion")
        training = next((each for each in reversed(cycles) if each.trains), None)
        trained = training.data.get(spec.data.name) if training else None
        return Facts(
            spec=spec,
            now=now,
            newest={name: version.number for name, version in newest.items()},
            rows=own.rows if own else 0,
            rows_trained=tx.data.get(DataRef(spec.data.name, trained)).rows if trained else 0,
            champion=champion,
            open_cycle=opened,
            last_opened_at=training.opened_at if training else None,
            declared_at=parse_time(tx.values.get(f"declared:{spec.name}") or ""),
            requests=tx.loop.requests(spec.name),
            alarms=_alarms(tx, spec, champion, now),
            rollout=_rollout(tx, spec, now) if opened and opened.state is CycleState.ROLLING_OUT else None,
            held=frozenset(
                key.removeprefix(f"held:{spec.name}:") for key in tx.values.items(f"held:{spec.name}:")
            ),
        )


def _alarms(tx: Transaction, spec: ProductSpec, champion: int | None, now: datetime) -> tuple[AlarmFact, ...]:
    alarms = unanswered(tx, spec.name, champion)
    if champion is None or not alarms:
        return ()
    found = harm(tx, spec, tx.registry.get(ModelRef(spec.name, champion)), now.date())
    return tuple(
        AlarmFact(
            monitor=each.monitor,
            about=each.about,
            at=each.at,
            evidence=each.evidence,
            harm=found if each.about == "drift" else "",
        )
        for each in alarms
    )


def observed_of(tx: Transaction, rollout: Rollout) -> Observed:
    """Read what was seen of a rollout's arms in its present step."""
    step, before = rollout.present, None
    if step is not None and step.mode is Mode.SWITCHED:
        before = tx.rollouts.units(f"{rollout.rollout_id}/{rollout.step - 1}")
    return Observed.of(
        tx.rollouts.units(rollout.step_id),
        rollout.champion,
        before=before,
        measured=tx.rollouts.measurements(rollout.step_id),
    )


def _rollout(tx: Transaction, spec: ProductSpec, now: datetime) -> RolloutFact | None:
    rollout = tx.rollouts.running(spec.name)
    if rollout is None:
        return None
    decision = advance(rollout, observed_of(tx, rollout), now)
    return RolloutFact(
        kind=decision.kind.value,
        reason=decision.reason,
        evidence=tuple(msgspec.to_builtins(each) for each in decision.evidence),
        version=decision.version,
        measurements=msgspec.to_builtins(decision.measurements),
    )
