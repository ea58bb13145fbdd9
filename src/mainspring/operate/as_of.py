"""What held at a moment: where a model's aliases pointed, and which share of an endpoint each version served."""

from __future__ import annotations

__all__ = ["AsOf", "as_of", "history"]

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from mainspring.clock import parse_time, time_text
from mainspring.errors import Invalid
from mainspring.events import EventType
from mainspring.registry.history import CHANGES, Names, names_after
from mainspring.registry.registered import RegisteredModelNotFound
from mainspring.rollouts.history import MOVES, Served

if TYPE_CHECKING:
    from mainspring.governance import Entry
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace


class AsOf(msgspec.Struct, frozen=True, kw_only=True):
    """What held of a model from an event on, until the next one.

    Attributes
    ----------
    model : str
        As it is called now, or was called then if nothing is called so now.
    since : datetime or None
        When the event was; None before the first.
    event : int
        Its number in the ledger; 0 before the first.
    actor, reason : str
        Who did it, and why.
    called : str
        What the model was called then.
    aliases : dict of str to int
        The version that each alias pointed to.
    endpoint : str or None
        Where versions were served; None of a client's model, and before the first promotion.
    shares : dict of str to float
        By version its share of the endpoint's units, as the route said.
    shadow : dict of str to float
        The version that was asked without answering, and its share of the units.
    rollout : str or None
        The cycle of the rollout in progress, by its id.
    phase : str or None
        Where that stood.
    """

    model: str
    since: datetime | None = None
    event: int = 0
    actor: str = ""
    reason: str = ""
    called: str
    aliases: dict[str, int] = {}
    endpoint: str | None = None
    shares: dict[str, float] = {}
    shadow: dict[str, float] = {}
    rollout: str | None = None
    phase: str | None = None


def history(workspace: Workspace, model: str) -> list[AsOf]:
    """Give all that ever held of a model, oldest first, as the ledger has it.

    Parameters
    ----------
    workspace : Workspace
    model : str
        A product, or a model that a client has registered.

    Raises
    ------
    mainspring.registry.registered.RegisteredModelNotFound
        There is none, and never was.
    """
    with workspace.database.read() as tx:
        return _history(tx, model)


def as_of(workspace: Workspace, model: str, at: datetime) -> AsOf:
    """Give what held of a model at a moment: what the last event that is dated then or before has left.

    Raises
    ------
    mainspring.registry.registered.RegisteredModelNotFound
        There is none, and never was.
    Invalid
        The moment has not come.
    """
    if at > workspace.clock.now():
        raise Invalid(f"{time_text(at)} has not come: it is {time_text(workspace.clock.now())}.")
    past = [each for each in history(workspace, model) if each.since is not None and each.since <= at]
    return past[-1] if past else AsOf(model=model, called=model)


def _history(tx: Transaction, model: str) -> list[AsOf]:
    try:
        product = tx.registered_models.get(model).product
    except RegisteredModelNotFound:
        product = False
        if not (found := list(_of_client(tx, model))):
            raise
        return found
    return list(_of_product(tx, model) if product else _of_client(tx, model))


def _of_product(tx: Transaction, model: str) -> Iterator[AsOf]:
    served = Served()
    for entry in tx.lineage.happened(MOVES, model):
        version = int(entry.subject.rpartition("@")[2])
        served = served.after(EventType(entry.type), version, parse_time(entry.at), _data(entry))
        yield AsOf(
            **_by(entry, model),
            called=model,
            aliases=served.aliases,
            endpoint=None if served.champion is None else model,
            shares={str(each): share for each, share in served.shares.items()},
            shadow={str(each): share for each, share in served.shadow.items()},
            rollout=served.rollout.rollout_id if served.rollout else None,
            phase=served.phase.value if served.phase else None,
        )


def _of_client(tx: Transaction, model: str) -> Iterator[AsOf]:
    """What is called so now, under whatever name it had; else what was called so once."""
    entries = list(tx.lineage.happened(CHANGES))
    names: list[str] = []  # after each entry
    name = model
    for entry in reversed(entries):
        names.append(name)
        if entry.type == EventType.MODEL_RENAMED and entry.subject == name:
            name = str(_data(entry)["before"])
    known: Names = {}
    before: object = None
    for entry, called in zip(entries, reversed(names), strict=True):
        known = names_after(known, EventType(entry.type), entry.subject, _data(entry))
        aliases = known.get(called)
        if (called, aliases) != before and (aliases is not None or before is not None):
            before = called, aliases
            yield AsOf(**_by(entry, model), called=called, aliases=dict(aliases or {}))


def _by(entry: Entry, model: str) -> dict[str, Any]:
    return {
        "model": model,
        "since": parse_time(entry.at),
        "event": entry.number,
        "actor": entry.actor,
        "reason": entry.reason,
    }


def _data(entry: Entry) -> dict[str, Any]:
    read: dict[str, Any] = msgspec.json.decode(entry.data)
    return read
