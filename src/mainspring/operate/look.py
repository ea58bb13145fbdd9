"""Looking: what a monitor finds, as a function of its grounds, so that an alarm can be computed again bit for bit."""

from __future__ import annotations

__all__ = ["BLIND", "COULD_NOT_JUDGE", "Look", "digests", "fetch", "hindered_by", "keep", "look"]

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import msgspec

from mainspring.digest import digest_of
from mainspring.errors import MainspringError
from mainspring.monitoring import NO_EVIDENCE, Outcome
from mainspring.monitoring.alarm import Change, Grounds, change_of
from mainspring.monitors import Rule
from mainspring.operate.references import reference_of
from mainspring.operate.sights import scale_of, sight_of, unit_of
from mainspring.operate.sights.rules import judge_rule
from mainspring.ref import ModelRef

if TYPE_CHECKING:
    from mainspring.digest import Digest
    from mainspring.stores.blobs import FileBlobs

COULD_NOT_JUDGE = "could_not_judge"

BLIND = (COULD_NOT_JUDGE, Outcome.INSUFFICIENT_DATA.value)
"""What comes of a look that can tell nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What came of a look: an `Outcome` or `could_not_judge`, why in words, and the figures of an alarm that bets."""

    outcome: str
    told: str
    change: Change | None = None


def look(grounds: Grounds, ref: ModelRef, tables: Mapping[date, str], blobs: FileBlobs) -> Look:
    """Look at a version; a monitor that cannot do so says why, and that is never taken for quiet.

    Parameters
    ----------
    grounds : Grounds
        What it looks at.
    ref : ModelRef
        The version.
    tables : mapping of date to str
        The texts that the grounds' digests are of.
    blobs : FileBlobs
        Where the reference is.
    """
    try:
        return _look(grounds, ref, tables, blobs)
    except Exception as error:  # noqa: BLE001 - whatever one monitor stumbles over, the others look
        return hindered_by(error)


def hindered_by(error: Exception) -> Look:
    """Say that a monitor cannot look, and why."""
    told = str(error) if isinstance(error, MainspringError) else f"{type(error).__name__}: {error}"
    return Look(outcome=COULD_NOT_JUDGE, told=told)


def _look(grounds: Grounds, ref: ModelRef, tables: Mapping[date, str], blobs: FileBlobs) -> Look:
    monitor = grounds.monitor
    if isinstance(monitor, Rule):
        outcome, told = judge_rule(monitor, grounds, ref, tables)
        return Look(outcome=outcome.value, told=told)
    sight = sight_of(monitor)
    reference = reference_of(blobs, grounds.reference)
    streams = sight.streams(reference, list(tables.values()))
    evidence = sight.weigh(streams, grounds.budget)
    found = f"evidence {evidence.log_e:.1f} nats" if evidence.log_e > NO_EVIDENCE else "no evidence"
    weighed = f"{found}, {evidence.log_threshold:.1f} nats needed"
    if evidence.outcome is not Outcome.ALARM:
        lacking = "".join(f"; {name}: {why}" for name, why in evidence.insufficient[:1])
        return Look(outcome=evidence.outcome.value, told=weighed + lacking)
    unit, scale = unit_of(monitor, reference), scale_of(monitor, reference)
    change = change_of(evidence, streams, list(tables), budget=grounds.budget, unit=unit, scale=scale)
    most = ", ".join(name for name, _ in evidence.streams[:3])
    return Look(
        outcome=evidence.outcome.value,
        told=f"changed since about {change.since}: {most} ({weighed})",
        change=change,
    )


def keep(blobs: FileBlobs, grounds: Grounds, tables: Mapping[date, str]) -> Digest:
    """Keep the grounds of an alarm with their tables; a table that another alarm rests on too is kept once."""
    for text in tables.values():
        blobs.put(text.encode())
    return blobs.put(msgspec.json.encode(grounds))


def fetch(blobs: FileBlobs, digest: Digest) -> tuple[Grounds, dict[date, str]]:
    """Give kept grounds and their tables, verified; raises `BlobNotFound`, `BlobCorrupt`."""
    grounds = msgspec.json.decode(blobs.get(digest), type=Grounds)
    return grounds, {day: blobs.get(table).decode() for day, table in sorted(grounds.tables.items())}


def digests(tables: Mapping[date, str]) -> dict[date, Digest]:
    """Name tables by their content."""
    return {day: digest_of(text.encode()) for day, text in tables.items()}
