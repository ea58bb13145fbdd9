"""The cards of a product's versions: put together from what is recorded, and edited with a reason."""

from __future__ import annotations

__all__ = ["CARD_LIMIT", "card", "edit_card", "words_of"]

import json
from typing import TYPE_CHECKING, Any

from mainspring.clock import parse_time, time_text
from mainspring.errors import Invalid
from mainspring.events import Event, EventType
from mainspring.governance import Card, Edit, Table, declared_words
from mainspring.ref import DataRef

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mainspring.product import ProductSpec
    from mainspring.ref import ModelRef
    from mainspring.registry import ModelVersion
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace

CARD_LIMIT = 100_000
"""Characters that people may write on a card."""


def words_of(spec: ProductSpec) -> str:
    """Give what a declaration says for cards; empty where it says nothing."""
    said = spec.owners, spec.intended_use, spec.limits, spec.license
    return declared_words(*said) if any(said) else ""


def card(workspace: Workspace, ref: ModelRef) -> Card:
    """Give the card of a product's version.

    Raises
    ------
    mainspring.registry.ModelVersionNotFound
        There is no such version.
    """
    with workspace.database.read() as tx:
        version = tx.registry.get(ref)
        edits = tuple(_edits(tx, version))
        return Card(
            ref=str(version.ref),
            words=edits[-1].words if edits else str(version.lineage.get("card") or declared_words()),
            facts=_facts(workspace, tx, version),
            tables=tuple(table for table in _tables(tx, version) if table.rows),
            edits=edits,
        )


def edit_card(workspace: Workspace, ref: ModelRef, words: str, *, actor: str, reason: str) -> Card:
    """Write other words on the card of a product's version; those before stay in its history.

    Parameters
    ----------
    workspace : Workspace
    ref : ModelRef
    words : str
        All that people say of it, in Markdown, in place of what was said.
    actor, reason : str
        Who, and why.

    Raises
    ------
    mainspring.registry.ModelVersionNotFound
        There is no such version.
    Invalid
        The words are none, too many, or hold a NUL; or there is no reason.
    """
    if not words.strip():
        raise Invalid("The card would say nothing: write at least what the version is for.")
    if len(words) > CARD_LIMIT or "\0" in words:
        raise Invalid(f"A card takes up to {CARD_LIMIT:,} characters and no NUL; these are {len(words):,}.")
    if not reason.strip():
        raise Invalid("Say why the card is edited: its history tells it.")
    with workspace.database.write() as tx:
        version = tx.registry.get(ref)
        tx.ledger.append(
            Event(
                type=EventType.MODEL_CARD_EDITED,
                subject=str(version.ref),
                at=workspace.clock.now(),
                actor=actor,
                reason=reason,
                data={"words": words},
            )
        )
    return card(workspace, version.ref)


def _edits(tx: Transaction, version: ModelVersion) -> Iterator[Edit]:
    for entry in tx.lineage.happened({EventType.MODEL_CARD_EDITED}, version.product):
        if entry.subject == str(version.ref):
            yield Edit(
                event=entry.number,
                at=parse_time(entry.at),
                actor=entry.actor,
                reason=entry.reason,
                words=json.loads(entry.data)["words"],
            )


def _facts(workspace: Workspace, tx: Transaction, version: ModelVersion) -> dict[str, str]:
    lineage, specs = version.lineage, workspace.specs(tx)
    aliases = [
        name for name, number in tx.registry.aliases(version.product).items() if number == version.number
    ]
    served: Any = lineage.get("served") or {}
    task = specs[version.product].task if version.product in specs else None
    days = [each for each in tx.monitoring.quality(version.product) if each.version == version.number]
    labelled = sum(each.labelled for each in days)
    facts = {
        "registered": time_text(version.registered_at),
        "because": version.reason,
        "aliases": ", ".join(aliases),
        "task": f"{type(task).__name__} of {task.label}" if task else "",
        "served from": {"onnx": "ONNX", "native": "its own library"}.get(served.get("served", ""), ""),
        "made by a client": str(_mapping(lineage.get("offer")).get("source", "")),
        "params": ", ".join(f"{name}={value}" for name, value in _mapping(lineage.get("params")).items()),
        "seed": str(lineage.get("seed", "")),
        "run": version.run_id,
        "code": str(lineage.get("snapshot") or ""),
        "environment": str(lineage.get("environment") or ""),
        "model": version.artifact,
        "predictions in the log": f"{sum(each.predictions for each in days):,}, {labelled:,} of them labelled",
    }
    if task and labelled:
        losses = {name: sum(each.loss(name, task) for each in days) / labelled for name in task.losses}
        facts["measured on them"] = ", ".join(f"{name} {value:.4g}" for name, value in losses.items())
    return {name: text for name, text in facts.items() if text}


def _tables(tx: Transaction, version: ModelVersion) -> Iterator[Table]:
    data = []
    for ref in version.data:
        read = tx.data.get(DataRef.parse(ref))
        data.append((ref, f"{read.rows:,}", time_text(read.published_at), read.digest))
    yield Table("Data", ("Version", "Rows", "Published", "Digest"), tuple(data))
    checks = _checks(tx, version)
    metrics = [(name, "overall", f"{value:.4g}") for name, value in version.metrics.items()]
    metrics += [
        (str(each["gate"]).partition(" ")[0], str(each["subject"]), _number(each["observed"]))
        for each in checks
        if each["subject"] not in ("overall", "") and each["observed"] is not None
    ]
    yield Table("Metrics on the hold-out", ("Metric", "On", "Value"), tuple(metrics))
    yield Table(
        "Gates",
        ("Gate", "On", "Outcome", "Observed", "Needed", "Reason"),
        tuple(
            (
                str(each["gate"]),
                str(each["subject"]),
                str(each["outcome"]),
                _number(each["observed"]),
                _number(each["needed"]),
                str(each["reason"]),
            )
            for each in checks
        ),
    )
    signature = json.loads(version.signature)
    yield Table(
        "Inputs and outputs",
        ("", "Name", "Type", "May be null"),
        tuple(
            (
                kind.removesuffix("s"),
                str(each["name"]),
                str(each["dtype"]),
                "yes" if each["nullable"] else "no",
            )
            for kind in ("inputs", "outputs")
            for each in signature[kind]
        ),
    )
    steps: Any = version.lineage.get("steps") or ()
    yield Table(
        "Steps",
        ("Step", "", "Why"),
        tuple(
            (str(each["name"]), "reused" if each.get("reused") == "yes" else "ran", str(each["why"]))
            for each in steps
            if "why" in each
        ),
    )


def _checks(tx: Transaction, version: ModelVersion) -> list[dict[str, Any]]:
    """What the gates said of the candidate that became this version."""
    cycle = tx.loop.get(version.cycle_id)
    for entry in tx.ledger.newest(limit=1000, subject=f"{cycle.product}/{cycle.number}"):
        if entry.type == EventType.CANDIDATE_JUDGED:
            checks: list[dict[str, Any]] = json.loads(entry.data)["verdict"]["checks"]
            return checks
    return []


def _mapping(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
