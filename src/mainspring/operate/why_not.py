"""Why a product's loop starts no cycle now, or started none at a past moment: how each of its triggers stands."""

from __future__ import annotations

__all__ = ["HeldRow", "TriggerRow", "WhyNot", "why_not"]

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from mainspring.clock import parse_time, time_text
from mainspring.errors import Invalid
from mainspring.loop import standings
from mainspring.operate.observe import observe
from mainspring.operate.status import check_product

if TYPE_CHECKING:
    from mainspring.loop import Standing
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
    """

    trigger: str
    kind: str
    ready: bool
    needs: str
    has: str
    causes: list[str]
    held: list[HeldRow]
    parts: list[TriggerRow]


class WhyNot(msgspec.Struct, frozen=True, kw_only=True):
    """How a product's triggers stand at a moment, in the order in which the loop asks them."""

    product: str
    at: datetime
    starts: bool
    triggers: list[TriggerRow]


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
    return WhyNot(
        product=product,
        at=facts.now,
        starts=any(each.ready for each in found),
        triggers=[_row(each) for each in found],
    )


def _row(standing: Standing) -> TriggerRow:
    return TriggerRow(
        trigger=repr(standing.trigger),
        kind=standing.kind,
        ready=standing.ready,
        needs=standing.needs,
        has=standing.has,
        causes=[each.evidence for each in standing.causes],
        held=[HeldRow(by=each.by.value, why=each.why, until=each.until) for each in standing.held],
        parts=[_row(each) for each in standing.parts],
    )
