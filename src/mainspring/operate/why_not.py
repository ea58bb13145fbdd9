"""Why a product's loop starts no cycle now, or started none at a past moment: how each of its triggers stands."""

from __future__ import annotations

__all__ = ["CycleBudgetRow", "HeldRow", "TriggerRow", "WhyNot", "why_not"]

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from mainspring.clock import parse_time, time_text
from mainspring.errors import Invalid
from mainspring.loop import cool_down_of, spent_cycles, standings
from mainspring.loop.schedule import quiet_until
from mainspring.operate.observe import observe
from mainspring.operate.status import check_product
from mainspring.triggers import QuietHours

if TYPE_CHECKING:
    from mainspring.loop import Facts, Standing
    from mainspring.stores.sql.database import Transaction
    from mainspring.triggers import CycleBudget
    from mainspring.workspace import Workspace


class HeldRow(msgspec.Struct, frozen=True, kw_only=True):
    """Something that holds a trigger back; `until` is empty where that depends on something else than time."""

    by: str
    why: str
    until: datetime | None


class TriggerRow(msgspec.Struct, frozen=True, kw_only=True):
    """How a trigger stands; `causes` say why it would start a cycle, and what holds it back it is told in any case.

    `kind` is what the trigger of its cycle is called, such as `on_schedule` or `all_of`; an `any_of` gives a cycle the
    kinds of its parts.

    Attributes
    ----------
    near : float, optional
        What there is of what it needs, as a share from 0 to 1, where it counts something.
    told : str
        Why it starts a cycle or does not, in a sentence.
    last_fired : datetime, optional
        When it last started a cycle, as it is declared today. None where it has not, for the parts of a combination,
        and where that was before there was a record of which of several triggers it was.
    next_due : datetime, optional
        Of a schedule: its next moment.
    cool_down : str, optional
        How long it waits after a cycle has started: its own time, or the product's. None for a person's request, and
        for the parts of a combination.
    """

    trigger: str
    kind: str
    ready: bool
    needs: str
    has: str
    causes: list[str]
    held: list[HeldRow]
    parts: list[TriggerRow]
    near: float | None
    told: str
    last_fired: datetime | None
    next_due: datetime | None
    cool_down: str | None


class CycleBudgetRow(msgspec.Struct, frozen=True, kw_only=True):
    """A product's cycle budget: how many cycles it allows in `per`, has spent in the one that ends now, and has left.

    `seconds` is what training and judging took in those, as it is measured by today; the budget does not count it.
    """

    at_most: int
    per: str
    spent: int
    left: int
    seconds: float


class WhyNot(msgspec.Struct, frozen=True, kw_only=True):
    """How a product's triggers stand at a moment, in the order in which the loop asks them.

    `quiet_until` is set during quiet hours. Without a cycle budget, none is declared.
    """

    product: str
    at: datetime
    starts: bool
    triggers: list[TriggerRow]
    quiet_hours: list[QuietHours]
    quiet_until: datetime | None
    cycle_budget: CycleBudgetRow | None


def why_not(workspace: Workspace, product: str, at: datetime | None = None) -> WhyNot:
    """Say of every trigger why it starts a cycle or not, by the rules that the loop decides by.

    Parameters
    ----------
    workspace : Workspace
        Of the product.
    product : str
        Its name.
    at : datetime, optional
        A past moment, by default now. Triggers are asked as they are declared today, about what was recorded by then;
        the labels alone by which harm is shown are those that are known today.

    Raises
    ------
    UnknownProduct
        No file declares it.
    Invalid
        The moment lies in the future, or before the product was declared.
    """
    with workspace.database.read() as tx:
        check_product(tx, product)
        spec = workspace.specs(tx)[product]
        declared = parse_time(tx.values.get(f"declared:{product}") or "")
    now = workspace.clock.now()
    if at is not None and at > now:
        raise Invalid(f"{time_text(at)} lies in the future: it is {time_text(now)} in this workspace.")
    if at is not None and at < declared:
        raise Invalid(
            f"Nothing is known of {product!r} at {time_text(at)}: it was declared at {time_text(declared)}."
        )
    facts = observe(workspace, spec, at)
    found = standings(facts)
    with workspace.database.read() as tx:
        fired = _fired(tx, facts)
        budget = _budget_row(tx, spec.cycle_budget, facts) if spec.cycle_budget else None
    return WhyNot(
        product=product,
        at=facts.now,
        starts=any(each.ready for each in found),
        triggers=[
            _row(each, fired.get(repr(each.trigger)), cool_down_of(each.trigger, spec)) for each in found
        ],
        quiet_hours=list(spec.quiet_hours),
        quiet_until=quiet_until(spec.quiet_hours, facts.now),
        cycle_budget=budget,
    )


def _fired(tx: Transaction, facts: Facts) -> dict[str, datetime]:
    """When each trigger last started a cycle, by how it is declared."""
    key = f"fired:{facts.spec.name}:"
    numbers = {int(name.removeprefix(key)): declared for name, declared in tx.values.items(key).items()}
    return {numbers[each.number]: each.opened_at for each in facts.cycles if each.number in numbers}


def _budget_row(tx: Transaction, budget: CycleBudget, facts: Facts) -> CycleBudgetRow:
    spent = spent_cycles(budget, facts)
    took = (tx.values.items(f"seconds:{each.cycle_id}:").values() for each in spent)
    return CycleBudgetRow(
        at_most=budget.at_most,
        per=budget.per,
        spent=len(spent),
        left=max(0, budget.at_most - len(spent)),
        seconds=sum(float(text) for texts in took for text in texts),
    )


def _row(standing: Standing, fired: datetime | None = None, cool_down: str | None = None) -> TriggerRow:
    return TriggerRow(
        trigger=repr(standing.trigger),
        kind=standing.kind,
        ready=standing.ready,
        needs=standing.needs,
        has=standing.has,
        causes=[each.evidence for each in standing.causes],
        held=[HeldRow(by=each.by.value, why=each.why, until=each.until) for each in standing.held],
        parts=[_row(each) for each in standing.parts],
        near=standing.near,
        told=standing.sentence,
        last_fired=fired,
        next_due=standing.next_due,
        cool_down=cool_down,
    )
