"""Gathering the facts of one product, in one reading of the database."""

from __future__ import annotations

__all__ = ["observe", "observed_of"]

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from mainspring.clock import parse_time
from mainspring.data import MAIN
from mainspring.events import EventType
from mainspring.loop import AlarmFact, ApprovalFact, CycleState, DataFact, Facts, RolloutFact
from mainspring.operate.approve import version_stands
from mainspring.operate.event_time import dated_datasets, newest_row
from mainspring.operate.watch import blind, harm
from mainspring.ref import DataRef, ModelRef
from mainspring.rollouts import Mode, Observed, advance

if TYPE_CHECKING:
    from datetime import datetime

    from mainspring.data import DataVersion
    from mainspring.loop import Cycle
    from mainspring.product import ProductSpec
    from mainspring.rollouts import Rollout
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace


def observe(workspace: Workspace, spec: ProductSpec, at: datetime | None = None) -> Facts:
    """Read all that the loop decides by.

    Parameters
    ----------
    workspace : Workspace
        Of the product.
    spec : ProductSpec
        Its declaration.
    at : datetime, optional
        A past moment, whose facts are to be told. What has been recorded since is left out, with one exception: labels
        count as they are known today. No rollout is read then, and of a cycle that was open no more than that it was.
    """
    now = at or workspace.clock.now()
    with workspace.database.read() as tx:
        cycles = tx.loop.cycles(spec.name)
        if at is not None:
            cycles = tuple(_as_of(each, at) for each in cycles if each.opened_at <= at)
        last = cycles[-1] if cycles else None
        versions = {
            dataset.name: version
            for dataset in spec.datasets
            if (version := _newest(tx, dataset.name, at)) is not None
        }
        training = next((each for each in reversed(cycles) if each.trains), None)
        trained = {
            name: tx.data.get(DataRef(name, number))
            for name, number in (training.data if training else {}).items()
            if name in versions
        }
        champion = tx.registry.aliases(spec.name).get("champion") if at is None else _champion(tx, spec, at)
        taken_up = {cycle.cycle_id for cycle in cycles}
        rolling = at is None and last is not None and last.state is CycleState.ROLLING_OUT
        facts = Facts(
            spec=spec,
            now=now,
            data={
                name: DataFact(
                    version=version.number,
                    rows=version.rows,
                    rows_trained=_trained(tx, version, trained.get(name)),
                )
                for name, version in versions.items()
            },
            champion=champion,
            cycles=cycles,
            declared_at=parse_time(tx.values.get(f"declared:{spec.name}") or ""),
            requests=tuple(
                each
                for each in tx.loop.requests(spec.name, waiting=at is None)
                if at is None or (each.at <= at and each.cycle_id not in taken_up)
            ),
            blind=blind(tx, spec, now),
            alarms=_alarms(workspace, tx, spec, champion, training.opened_at if training else None, now),
            rollout=_rollout(tx, spec, now) if rolling else None,
            approval=_approval(tx, last, now) if at is None and last is not None else None,
            held=frozenset(
                key.removeprefix(f"held:{spec.name}:") for key in tx.values.items(f"held:{spec.name}:")
            ),
        )
    # Rows are read for the triggers that ask for their event time alone, and with the database let go.
    dated = {
        dataset.name: replace(
            facts.data[dataset.name],
            newest=newest_row(workspace.tables, dataset, versions.get(dataset.name)),
            newest_trained=newest_row(workspace.tables, dataset, trained.get(dataset.name)),
        )
        for dataset in dated_datasets(spec)
        if dataset.name in versions
    }
    return replace(facts, data={**facts.data, **dated})


def _as_of(cycle: Cycle, at: datetime) -> Cycle:
    """Give a cycle as it stood: of one that was open, that it had started."""
    if cycle.closed_at is None or cycle.closed_at <= at:
        return cycle
    return replace(cycle, state=CycleState.STARTED, outcome=None, reason="", closed_at=None)


def _newest(tx: Transaction, dataset: str, at: datetime | None) -> DataVersion | None:
    if at is None:
        return tx.data.newest(dataset)
    versions = [each for each in tx.data.versions(dataset) if each.branch == MAIN and each.published_at <= at]
    return versions[-1] if versions else None


def _trained(tx: Transaction, version: DataVersion, trained: DataVersion | None) -> int:
    """Count the rows that the last training has seen as they are; those that were changed since are new ones."""
    if trained is None or trained.number == version.number:
        return trained.rows if trained else 0
    since = [
        each
        for each in tx.data.versions(version.dataset)
        if each.branch == MAIN and trained.number < each.number <= version.number
    ]
    return max(1, version.rows - sum(each.rows_added + each.rows_changed for each in since))


def _champion(tx: Transaction, spec: ProductSpec, at: datetime) -> int | None:
    """Version that served at a moment, as the ledger tells of promotions."""
    promoted = None
    for entry in tx.ledger.entries():
        if entry.type == EventType.ROLLOUT_PROMOTED and parse_time(entry.at) <= at:
            ref = ModelRef.parse(entry.subject)
            if ref.product == spec.name:
                promoted = int(ref.version)
    return promoted


def _alarms(
    workspace: Workspace,
    tx: Transaction,
    spec: ProductSpec,
    champion: int | None,
    since: datetime | None,
    now: datetime,
) -> tuple[AlarmFact, ...]:
    """Alarms about the champion since the last training started; what was said of an earlier version is over."""
    alarms = [
        each
        for each in tx.monitoring.alarms(spec.name, since=since)
        if each.version == champion and (since is None or each.at > since) and each.at <= now
    ]
    if champion is None or not alarms:
        return ()
    version = tx.registry.get(ModelRef(spec.name, champion))
    found = harm(tx, spec, version, now.date(), workspace.blobs)
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


def _approval(tx: Transaction, cycle: Cycle, now: datetime) -> ApprovalFact | None:
    if cycle.state is not CycleState.REGISTERED or cycle.version is None:
        return None
    found = version_stands(tx, tx.registry.get(ModelRef(cycle.product, cycle.version)), now=now)
    return ApprovalFact(standing=found.standing.value, reason=found.why)


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
