"""Starting a rollout by hand: versions that are registered are rolled out without training anything.

It is a cycle of its own, opened where others come to when their version is registered. So the loop carries it on, and
all that is known of rollouts is known of this one.
"""

from __future__ import annotations

__all__ = ["CycleInProgress", "NotStartable", "start_rollout"]

from collections import Counter
from typing import TYPE_CHECKING

from mainspring.errors import Conflict, Faults, Invalid
from mainspring.events import EventType
from mainspring.governance.approval import Standing
from mainspring.loop import Cycle, CycleState, TriggerKind, cycle_id
from mainspring.operate.acts.roll_out import begin
from mainspring.operate.acts.stage import Stage
from mainspring.operate.approve import version_stands
from mainspring.operate.forecast import NothingServes
from mainspring.operate.status import check_product
from mainspring.operate.verify_version import need_all_sound
from mainspring.ref import ModelRef
from mainspring.registry import ModelVersionNotFound
from mainspring.rollouts import Phase
from mainspring.rollouts.choice import chosen_strategy, strategy_faults

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from mainspring.rollouts import Rollout
    from mainspring.stores.sql.database import Transaction
    from mainspring.strategy import Strategy
    from mainspring.workspace import Workspace


class CycleInProgress(Conflict):
    """A product that is in a cycle, so that no other can begin."""

    def __init__(self, product: str, number: int, state: str) -> None:
        super().__init__(product, number, state)
        self.product, self.number, self.state = product, number, state

    def __str__(self) -> str:
        state = self.state.replace("_", " ")
        told = f"{self.product!r} is in cycle {self.number}, which is {state}, and has one at a time"
        if self.state == CycleState.ROLLING_OUT.value:
            return f"{told}: wait for the rollout to end, or end it with `mainspring rollout abort` or `promote`."
        return f"{told}: wait until it is closed. `mainspring explain {self.product}` tells how it stands."


class NotStartable(Conflict):
    """Versions with which no rollout may begin; every reason is told."""

    def __init__(self, product: str, reasons: tuple[str, ...]) -> None:
        super().__init__(product, reasons)
        self.product, self.reasons = product, reasons

    def __str__(self) -> str:
        return f"No rollout of {self.product!r} has begun: {'; '.join(self.reasons)}."


def start_rollout(
    workspace: Workspace,
    product: str,
    versions: Sequence[int],
    *,
    request_id: str,
    actor: str,
    reason: str,
    strategy: Strategy | str | None = None,
    shares: Sequence[float] = (),
    despite: str = "",
) -> Rollout:
    """Begin to roll registered versions out against the champion, now.

    Parameters
    ----------
    workspace : Workspace
        Of the product.
    product : str
        Its name.
    versions : sequence of int
        The challengers.
    request_id : str
        Asked again under the same id, it is the same rollout.
    actor, reason : str
        Who asks, and why.
    strategy, shares
        As for `mainspring.rollouts.choice.chosen_strategy`.
    despite : str
        Why versions are tried again that have done harm before; needed for those.

    Returns
    -------
    Rollout
        As it has begun; asked again, as it is by now.

    Raises
    ------
    UnknownProduct, mainspring.registry.ModelVersionNotFound
        There is no such product, or it has no such version.
    Invalid
        No version is named, one is named twice, or the strategy is none for them or for the product.
    NothingServes, CycleInProgress, NotStartable
        There is no champion to compare with, a cycle is open, or a version is champion or has done harm.
    VersionChanged
        A version is not what was registered.
    """
    need_all_sound(workspace, product, versions)
    with workspace.database.write() as tx:
        check_product(tx, product)
        opened = cycle_id(product, f"rollout {request_id}")
        for known in tx.rollouts.rollouts(product):
            if known.rollout_id == opened:
                return known
        spec = workspace.specs(tx)[product]
        champion = tx.registry.aliases(product).get("champion")
        if champion is None:
            raise NothingServes(product)
        _need_registered(tx, product, versions)
        chosen = chosen_strategy(spec.rollout, versions, strategy, shares)
        columns = {each.name: each for each in spec.inputs}
        if faults := tuple(strategy_faults(chosen, columns, columns, spec.task.losses)):
            raise Faults(f"The strategy {type(chosen).__name__}", faults)
        cycles = tx.loop.cycles(product)
        if cycles and cycles[-1].state is not CycleState.CLOSED:
            raise CycleInProgress(product, cycles[-1].number, cycles[-1].state.value)
        harm = {each: told for each, told in _harm_done(tx, product).items() if each in versions}
        _need_startable(product, versions, champion, {} if despite else harm)
        _need_approved(tx, product, versions, actor, workspace.clock.now())
        stage = Stage(workspace, spec, lambda place: None)
        asked = f"{actor} asked to roll out {', '.join(str(ModelRef(product, each)) for each in versions)}: {reason}"
        cycle = Cycle(
            cycle_id=opened,
            product=product,
            number=1 + max((each.number for each in cycles), default=0),
            trigger=TriggerKind.ON_DEMAND,
            evidence="; ".join(
                [asked, *(f"{told}, and is tried again: {despite}" for told in harm.values())]
            ),
            actor=actor,
            params={},
            data={},
            opened_at=stage.now,
            state=CycleState.ROLLING_OUT,
            version=versions[0],
        )
        tx.loop.open(cycle)
        stage.event(
            tx,
            EventType.CYCLE_STARTED,
            f"{product}/{cycle.number}",
            cycle.evidence,
            actor=actor,
            cycle=cycle.cycle_id,
            trigger=cycle.trigger.value,
            cause=f"rollout {request_id}",
            params={},
            data=[],
            versions=list(versions),
        )
        return begin(stage, tx, cycle, champion, chosen, actor=actor)


def _need_registered(tx: Transaction, product: str, versions: Sequence[int]) -> None:
    if not versions:
        raise Invalid("No version is named: say which are to be rolled out.")
    if twice := [version for version, count in Counter(versions).items() if count > 1]:
        raise Invalid(f"Version {twice[0]} is named twice: each version has units of its own.")
    registered = {each.number for each in tx.registry.versions(product)}
    for version in versions:
        if version not in registered:
            raise ModelVersionNotFound(ModelRef(product, version), max(registered, default=None))


def _need_startable(product: str, versions: Sequence[int], champion: int, harm: Mapping[int, str]) -> None:
    reasons = [f"version {champion} is champion already, and is the control"] if champion in versions else []
    reasons += [f"{told}: say why it is tried again (`despite`)" for told in harm.values()]
    if reasons:
        raise NotStartable(product, tuple(reasons))


def _harm_done(tx: Transaction, product: str) -> dict[int, str]:
    """Which versions were rolled back or taken out of a rollout, and when last; gates let no other be registered."""
    found = {}
    numbers = {cycle.cycle_id: cycle.number for cycle in tx.loop.cycles(product)}
    for rollout in tx.rollouts.rollouts(product):
        gone = rollout.challengers if rollout.phase is Phase.ROLLED_BACK else rollout.dropped
        for version in gone:
            found[version] = f"version {version} did harm in cycle {numbers[rollout.rollout_id]}"
    return found


def _need_approved(
    tx: Transaction, product: str, versions: Sequence[int], starter: str, now: datetime
) -> None:
    found = {
        each: version_stands(tx, tx.registry.get(ModelRef(product, each)), now=now, starter=starter)
        for each in versions
    }
    if missing := tuple(
        f"version {number} is not approved: {each.why}"
        for number, each in found.items()
        if each.standing is not Standing.APPROVED
    ):
        raise NotStartable(product, missing)
