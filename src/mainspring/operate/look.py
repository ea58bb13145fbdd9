"""Looking: what a monitor finds, as a function of its grounds, so that an alarm can be computed again bit for bit."""

from __future__ import annotations

__all__ = [
    "Look",
    "ReferenceLacks",
    "about",
    "budget_of_stream",
    "digests",
    "fetch",
    "keep",
    "look",
    "name_of",
    "read_tables",
    "series",
    "unit_of",
]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

import msgspec

from mainspring.clock import parse_duration
from mainspring.digest import digest_of
from mainspring.errors import MainspringError, NotFound
from mainspring.monitoring import (
    Budget,
    Evidence,
    LossTable,
    Outcome,
    Profile,
    Stream,
    WindowedBetting,
    drift_streams,
    loss_levels,
    quality_stream,
    settled_stream,
)
from mainspring.monitoring.alarm import Change, Grounds, change_of
from mainspring.monitors import InputDrift, Monitor, PredictionDrift, Quality, Staleness
from mainspring.operate.ingest import reference_of
from mainspring.ref import ModelRef

if TYPE_CHECKING:
    from mainspring.digest import Digest
    from mainspring.operate.judging import Reference
    from mainspring.stores.blobs import FileBlobs
    from mainspring.stores.sql.database import Transaction

COULD_NOT_JUDGE = "could_not_judge"

_DETECTOR = WindowedBetting()
_SHARE = "share of rows"


class ReferenceLacks(NotFound):
    """A loss that the reference of a version has no table of."""

    def __init__(self, metric: str, known: tuple[str, ...]) -> None:
        super().__init__(metric, known)
        self.metric, self.known = metric, known

    def __str__(self) -> str:
        return (
            f"The champion's reference has no {self.metric}, but {', '.join(self.known) or 'no loss'}: "
            "the next version is compared with what is declared by then."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What came of a look: an `Outcome` or `could_not_judge`, why in words, and the figures of an alarm that bets."""

    outcome: str
    told: str
    change: Change | None = None


def name_of(monitor: Monitor) -> str:
    """Name a monitor, as alarms do."""
    match monitor:
        case InputDrift():
            return "input_drift"
        case PredictionDrift():
            return "prediction_drift"
        case Quality(metric=metric):
            return f"quality:{metric}"
        case Staleness():
            return "staleness"


def about(monitor: Monitor) -> str:
    """Say what a monitor's alarms are about."""
    match monitor:
        case Quality():
            return "quality"
        case Staleness():
            return "staleness"
        case _:
            return "drift"


def read_tables(tx: Transaction, ref: ModelRef, monitor: Monitor, before: date) -> dict[date, str]:
    """Tables of the days before a day that a monitor looks at, in order."""
    match monitor:
        case Staleness():
            return {}
        case Quality():
            return _losses(tx, ref, monitor, before)
        case _:
            return _before(tx, ref, "profile", before)


def _before(tx: Transaction, ref: ModelRef, kind: str, before: date) -> dict[date, str]:
    tables = tx.monitoring.tables(ref.product, int(ref.version), kind)
    return {day: text for day, text in tables.items() if day < before}


def _losses(tx: Transaction, ref: ModelRef, monitor: Quality, before: date) -> dict[date, str]:
    """Losses by day, with the predictions whose label is waited for on the days that have not had their time."""
    tables = _before(tx, ref, monitor.metric, before)
    waited_since = before - parse_duration(monitor.labels_within)
    for row in tx.monitoring.quality(ref.product, since=waited_since):
        if row.version == int(ref.version) and row.day < before:
            kept = tables.get(row.day)
            labelled = LossTable.from_json(kept) if kept else LossTable.empty(monitor.metric)
            waiting = replace(labelled, awaited=max(row.predictions - row.labelled, 0))
            tables[row.day] = waiting.to_json()
    return dict(sorted(tables.items()))


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
    monitor = grounds.monitor
    if isinstance(monitor, Staleness):
        age = grounds.at - grounds.registered_at
        old = age > parse_duration(monitor.after)
        told = f"{ref} is {age.days} days old, {monitor.after} allowed"
        return Look(outcome=(Outcome.ALARM if old else Outcome.QUIET).value, told=told)
    try:
        streams = series(monitor, reference_of(blobs, grounds.reference), list(tables.values()))
        evidence = _weigh(monitor, streams, grounds.budget)
    except MainspringError as error:
        return Look(outcome=COULD_NOT_JUDGE, told=str(error))
    weighed = f"evidence {evidence.log_e:.1f} nats, {evidence.log_threshold:.1f} needed"
    if evidence.outcome is not Outcome.ALARM:
        lacking = "".join(f"; {name}: {why}" for name, why in evidence.insufficient[:1])
        return Look(outcome=evidence.outcome.value, told=weighed + lacking)
    unit, scale = unit_of(monitor)
    change = change_of(evidence, streams, list(tables), unit=unit, scale=scale)
    most = ", ".join(name for name, _ in evidence.streams[:3])
    return Look(
        outcome=evidence.outcome.value,
        told=f"changed since about {change.since}: {most} ({weighed})",
        change=change,
    )


def _weigh(monitor: Monitor, streams: Sequence[Stream], budget: Budget) -> Evidence:
    if not isinstance(monitor, Quality):
        return _DETECTOR.weigh(streams, budget=budget)
    # Each alone: see `settled_stream`.
    weighed = [_DETECTOR.weigh([stream], budget=budget_of_stream(monitor, budget)) for stream in streams]
    return max(weighed, key=lambda each: each.log_e)


def budget_of_stream(monitor: Quality, budget: Budget) -> Budget:
    """What each stream of a quality monitor may spend: half where labels are waited for, since there are two then."""
    return budget.share(2) if parse_duration(monitor.labels_within) else budget


def unit_of(monitor: Monitor) -> tuple[str, float]:
    """Unit of what a monitor that bets looks at, and what 1 on the detector's scale is in it."""
    if isinstance(monitor, Quality):
        return monitor.metric, loss_levels(monitor.metric).unit
    return _SHARE, 1.0


def series(monitor: Monitor, reference: Reference, tables: Sequence[str]) -> tuple[Stream, ...]:
    """Streams that a monitor weighs; none for one that does not bet.

    Raises
    ------
    ReferenceLacks
        The version was registered without what the monitor compares with.
    """
    match monitor:
        case InputDrift(tolerance=tolerance) | PredictionDrift(tolerance=tolerance):
            inputs, predictions = reference.profiles()
            days = [Profile.from_json(text) for text in tables]
            base = _without(inputs, monitor.ignore) if isinstance(monitor, InputDrift) else predictions
            return drift_streams(base, days, tolerance=tolerance)
        case Quality(metric=metric, tolerance=tolerance):
            if metric not in reference.losses:
                raise ReferenceLacks(metric, tuple(reference.losses))
            before = LossTable.from_json(reference.losses[metric])
            since = [LossTable.from_json(text) for text in tables]
            stream = quality_stream(metric, before, since, tolerance=tolerance)
            settled = settled_stream(stream, sum(day.awaited is None for day in since))
            return (stream,) if settled is None else (stream, settled)
        case Staleness():
            return ()


def _without(profile: Profile, ignored: tuple[str, ...]) -> Profile:
    kept = {name: column for name, column in profile.columns.items() if name not in ignored}
    return Profile(rows=profile.rows, columns=kept)


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
