"""What became of a rollout, for people: its arms, their differences with intervals, and its story in sentences."""

from __future__ import annotations

__all__ = [
    "ArmRow",
    "DifferenceRow",
    "RolloutNotFound",
    "RolloutNow",
    "RolloutReport",
    "RolloutSummary",
    "StepRow",
    "rollout_now",
    "rollout_report",
    "rollout_summaries",
]

import math
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from mainspring.errors import NotFound
from mainspring.operate.certify import certificate_of
from mainspring.operate.status import (
    EventRow,
    QualityRow,
    RolloutRow,
    check_product,
    event_row,
    product_status,
    quality_rows,
)
from mainspring.ref import ModelRef
from mainspring.rollouts import BURN_IN, ArmCounts, MetricSums, Mode, Observed, Phase, Rollout, weigh
from mainspring.rollouts.certificate import Certificate
from mainspring.rollouts.interval import Interval, mean_difference_interval
from mainspring.rollouts.threshold import measure
from mainspring.strategy import LOSSES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace

ALPHA = 0.05
"""Of the report's intervals, each by itself."""

_NEWEST = 200


class RolloutNotFound(NotFound):
    """A rollout that a product has not had."""

    def __init__(self, product: str, wanted: str | None, known: tuple[str, ...]) -> None:
        super().__init__(product, wanted, known)
        self.product, self.wanted, self.known = product, wanted, known

    def __str__(self) -> str:
        if not self.known:
            return f"{self.product!r} has had no rollout yet: its first version is promoted without one."
        return f"{self.product!r} has no rollout {self.wanted!r}. There are: {', '.join(self.known)}."


class RolloutSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout in one line. `number` is that of its cycle."""

    rollout_id: str
    number: int
    product: str
    champion: str
    challengers: list[str]
    strategy: str
    phase: str
    started_at: datetime
    ended_at: datetime | None
    reason: str


class ArmRow(msgspec.Struct, frozen=True, kw_only=True):
    """One version in one step. `metrics` has the mean and the units by metric; latencies are in ms."""

    version: int
    role: str
    share: float
    units: int
    failing: int | None
    timed: int
    p50_ms: float | None
    p95_ms: float | None
    metrics: dict[str, dict[str, float]]
    latencies: dict[int, int]
    outputs: dict[int, int]


class DifferenceRow(msgspec.Struct, frozen=True, kw_only=True):
    """A challenger's mean less the champion's; `slice` is empty for all units, `good` is -1 where less is better."""

    version: int
    metric: str
    slice: str
    units: int
    champion_units: int
    estimate: float
    low: float
    high: float
    good: int


class StepRow(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen in one step, and what the guards find on it."""

    index: int
    mode: str
    share: float
    arms: list[ArmRow]
    differences: list[DifferenceRow]
    evidence: list[dict[str, Any]]


class RolloutReport(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout, its steps, its story.

    Attributes
    ----------
    summary : RolloutSummary
    unit : str
        What a unit is: the input that names it, or a request.
    sentences : list of str
        What came of it, for who reads nothing else.
    promises : list of str
        What the figures promise, and what not.
    steps : list of StepRow
        Those that were reached, the last one last.
    days : list of QualityRow
        The quality of its versions, by day, while it lasted.
    certificate : dict or None
        Of the shadow, see `mainspring.rollouts.certificate.Certificate`.
    events : list of EventRow
        Of its cycle from its beginning, oldest first.
    """

    summary: RolloutSummary
    unit: str
    sentences: list[str]
    promises: list[str]
    steps: list[StepRow]
    days: list[QualityRow]
    certificate: dict[str, Any] | None
    events: list[EventRow]


class RolloutNow(msgspec.Struct, frozen=True, kw_only=True):
    """The newest rollout at this moment: `row` is there while it is in progress; events are oldest first."""

    now: datetime
    summary: RolloutSummary
    row: RolloutRow | None
    events: list[EventRow]


def rollout_now(workspace: Workspace, product: str) -> RolloutNow:
    """See how the newest rollout stands; raises `UnknownProduct`, `RolloutNotFound`."""
    row = product_status(workspace, product).rollout
    with workspace.database.read() as tx:
        rollout = _find(tx, product, None)
        newest = [event_row(entry) for entry in tx.ledger.newest(limit=_NEWEST)]
        return RolloutNow(
            now=workspace.clock.now(),
            summary=_summary(tx, rollout),
            row=None if rollout.phase.final else row,
            events=[
                event
                for event in reversed(newest)
                if event.type.startswith("rollout.") and event.data.get("cycle") == rollout.rollout_id
            ],
        )


def rollout_summaries(workspace: Workspace, product: str) -> list[RolloutSummary]:
    """Give every rollout of a product, oldest first; raises `UnknownProduct`."""
    with workspace.database.read() as tx:
        check_product(tx, product)
        return [_summary(tx, rollout) for rollout in tx.rollouts.rollouts(product)]


def rollout_report(workspace: Workspace, product: str, wanted: str | None = None) -> RolloutReport:
    """Report on a rollout.

    Parameters
    ----------
    workspace : Workspace
    product : str
    wanted : str, optional
        Its id, the beginning of that, or the number of its cycle; without it, the newest.

    Raises
    ------
    UnknownProduct, RolloutNotFound
        There is no such product, or it has had no such rollout.
    """
    with workspace.database.read() as tx:
        check_product(tx, product)
        rollout = _find(tx, product, wanted)
        summary = _summary(tx, rollout)
        events = [
            event_row(entry)
            for entry in tx.ledger.entries()
            if entry.type.startswith("rollout.") and f'"{rollout.rollout_id}"' in entry.data
        ]
        observed = [_observed(tx, replace(rollout, step=index)) for index in range(rollout.step + 1)]
        certificate = certificate_of(workspace, tx, rollout)
    steps = [
        _step(rollout, index, seen)
        for index, seen in enumerate(observed if rollout.steps else [])
        if seen.champion.units or any(arm.units for arm in seen.challengers.values())
    ]
    unit = rollout.strategy.split_by or "request"
    return RolloutReport(
        summary=summary,
        unit=unit,
        sentences=list(_sentences(rollout, summary, steps, certificate, unit)),
        promises=list(_promises(rollout, unit)),
        steps=steps,
        days=[
            row
            for row in quality_rows(workspace, product)
            if row.version in (rollout.champion, *rollout.challengers)
            and rollout.started_at.date() <= row.day
            and (summary.ended_at is None or row.day <= summary.ended_at.date())
        ],
        certificate=certificate.to_dict() if certificate else None,
        events=events,
    )


def _find(tx: Transaction, product: str, wanted: str | None) -> Rollout:
    rollouts = tx.rollouts.rollouts(product)
    numbers = {cycle.cycle_id: str(cycle.number) for cycle in tx.loop.cycles(product)}
    found = [
        each
        for each in rollouts
        if wanted is None or each.rollout_id.startswith(wanted) or numbers.get(each.rollout_id) == wanted
    ]
    exact = [each for each in found if wanted in (each.rollout_id, numbers.get(each.rollout_id))]
    if not found or (wanted is not None and not exact and len(found) > 1):
        known = tuple(numbers.get(each.rollout_id, each.rollout_id) for each in rollouts)
        raise RolloutNotFound(product, wanted, known)
    return (exact or found)[-1]


def _summary(tx: Transaction, rollout: Rollout) -> RolloutSummary:
    cycle = tx.loop.get(rollout.rollout_id)  # a rollout has the id of its cycle
    product = rollout.product
    return RolloutSummary(
        rollout_id=rollout.rollout_id,
        number=cycle.number,
        product=product,
        champion=str(ModelRef(product, rollout.champion)),
        challengers=[str(ModelRef(product, each)) for each in rollout.challengers],
        strategy=type(rollout.strategy).__name__,
        phase=rollout.phase.value,
        started_at=rollout.started_at,
        ended_at=cycle.closed_at if rollout.phase.final else None,
        reason=cycle.reason,
    )


def _observed(tx: Transaction, rollout: Rollout) -> Observed:
    step = rollout.steps[rollout.step] if rollout.steps else None
    before = None
    if step is not None and step.mode is Mode.SWITCHED and rollout.step:
        before = tx.rollouts.units(f"{rollout.rollout_id}/{rollout.step - 1}")
    return Observed.of(
        tx.rollouts.units(rollout.step_id),
        rollout.champion,
        before=before,
        measured=tx.rollouts.measurements(rollout.step_id),
    )


def _step(rollout: Rollout, index: int, observed: Observed) -> StepRow:
    # As it was while the step ran: what a guard finds does not depend on how the rollout has ended since.
    at = replace(rollout, step=index, phase=Phase.RUNNING, paused_at=None)
    step = at.steps[index]
    shares = at.shares if step.mode is not Mode.SHADOW else {at.champion: 1.0}
    champion = observed.reference if step.mode is Mode.SWITCHED and observed.reference else observed.champion
    arms = {at.champion: champion} | {
        version: observed.of_version(version)
        for version in (at.challengers if step.mode is not Mode.SHADOW else ())
    }
    return StepRow(
        index=index,
        mode=step.mode.value,
        share=sum(step.shares),
        arms=[
            _arm(
                version,
                "champion" if version == at.champion else "challenger",
                shares.get(version, 0.0),
                counts,
            )
            for version, counts in arms.items()
        ],
        differences=[
            row
            for version in at.challengers
            for name, part in {"": replace(observed, champion=champion), **observed.slices}.items()
            for row in _differences(version, name, part, _guarded(at))
        ],
        evidence=[msgspec.to_builtins(each) for each in weigh(at, observed)],
    )


def _arm(version: int, role: str, share: float, counts: ArmCounts) -> ArmRow:
    return ArmRow(
        version=version,
        role=role,
        share=share,
        units=counts.units,
        failing=counts.failing,
        timed=sum(counts.latencies.values()),
        p50_ms=measure("latency_p50_ms", counts),
        p95_ms=measure("latency_p95_ms", counts),
        metrics={
            each.metric: {"units": each.units, "mean": each.total / each.units}
            for each in counts.metrics
            if each.units
        },
        latencies=dict(counts.latencies),
        outputs=dict(counts.outputs),
    )


def _guarded(rollout: Rollout) -> set[str]:
    return {getattr(guard, "metric", "") for guard in rollout.strategy.guards}


def _differences(version: int, name: str, observed: Observed, guarded: set[str]) -> Iterator[DifferenceRow]:
    # What a guard watches comes first.
    for theirs in sorted(observed.champion.metrics, key=lambda each: each.metric not in guarded):
        ours = observed.of_version(version).metric(theirs.metric)
        if ours is None or min(ours.units, theirs.units) < BURN_IN:
            continue
        found = _interval(ours, theirs)
        if math.isfinite(found.low) and math.isfinite(found.high):
            yield DifferenceRow(
                version=version,
                metric=theirs.metric,
                slice=name,
                units=ours.units,
                champion_units=theirs.units,
                estimate=found.estimate,
                low=found.low,
                high=found.high,
                good=-1 if theirs.metric in LOSSES else 1,
            )


def _interval(ours: MetricSums, theirs: MetricSums) -> Interval:
    return mean_difference_interval(
        ours.units, ours.total, ours.squares, theirs.units, theirs.total, theirs.squares, ALPHA
    )


# --- the story in words ------------------------------------------------------------------------------------------


def _sentences(
    rollout: Rollout,
    summary: RolloutSummary,
    steps: Sequence[StepRow],
    certificate: Certificate | None,
    unit: str,
) -> Iterator[str]:
    yield _outcome(rollout, summary)
    if certificate is not None:
        told = certificate.verdict.value.replace("_", " ")
        yield f"In the shadow its verdict was: {told}. {'; '.join(certificate.reasons)}."
    compared = [step for step in steps if step.mode in (Mode.SPLIT.value, Mode.SWITCHED.value)]
    if not compared:
        yield "No units have been compared."
        return
    last, several = compared[-1], len(rollout.challengers) > 1
    arms = {arm.version: arm for arm in last.arms}
    total = sum(arm.units for arm in last.arms)
    for version in rollout.challengers:
        arm, champion = arms[version], arms[rollout.champion]
        who = f"Version {version}" if several else f"Version {version}, the challenger,"
        if last.mode == Mode.SWITCHED.value:
            yield (
                f"{who} answered all {arm.units:,} {_units(unit)} after the switch; "
                f"the champion had answered {champion.units:,} before it."
            )
        else:
            yield (
                f"{who} answered {arm.units:,} of {total:,} {_units(unit)} in the last step, "
                f"with a share of {arm.share:.0%}."
            )
        if arm.failing is not None and champion.failing is not None and arm.units and champion.units:
            yield (
                f"It failed for {_of(arm.failing, arm.units)}; the champion, version {champion.version}, "
                f"for {_of(champion.failing, champion.units)}."
            )
        if arm.p50_ms is not None and champion.p50_ms is not None and arm.p95_ms and champion.p95_ms:
            yield (
                f"Half of its calls took less than {arm.p50_ms:.3g} ms, the champion's {champion.p50_ms:.3g} ms; "
                f"19 of 20 less than {arm.p95_ms:.3g} ms, the champion's {champion.p95_ms:.3g} ms."
            )
        for row in last.differences:
            if row.version == version and not row.slice:
                yield _difference(row)
    for each in last.evidence:
        if each["finding"] == "harm":
            yield f"Harm was shown by {each['subject']}: {each['reason']}."


def _outcome(rollout: Rollout, summary: RolloutSummary) -> str:
    challengers = " and ".join(f"version {each}" for each in rollout.challengers)
    began = f"{summary.started_at:%-d %B %Y}"
    opening = (
        f"On {began}, {challengers} began to take over from version {rollout.champion} ({summary.strategy})."
    )
    if summary.ended_at is None:
        return f"{opening} The rollout is {summary.phase.replace('_', ' ')}, and nothing is decided yet."
    lasted = summary.ended_at - summary.started_at
    after = f"after {_in_words(lasted)}" if lasted else "at once"
    ends = {
        Phase.PROMOTED: "a challenger was promoted" if len(rollout.challengers) > 1 else "it was promoted",
        Phase.ROLLED_BACK: "it was rolled back, and the champion kept",
        Phase.ABORTED: "a person ended it, and the champion was kept",
        Phase.EXPIRED: "it expired undecided, and the champion was kept",
    }
    return f"{opening} {after[0].upper()}{after[1:]} {ends[rollout.phase]}: {summary.reason}."


def _difference(row: DifferenceRow) -> str:
    name = row.metric.replace("_", " ")
    on = f"on {row.units:,} and {row.champion_units:,} units"
    if row.low > 0 or row.high < 0:
        way = "higher" if row.low > 0 else "lower"
        good = (row.low > 0) == (row.good > 0)
        least, most = sorted((abs(row.low), abs(row.high)))
        least_text, most_text = _alike(least, most)
        return f"Its {name} was {way} by {least_text} to {most_text} ({'better' if good else 'worse'}), {on}."
    low, high = _alike(-row.low, row.high)
    return f"No difference of {name} is shown, {on}: it may have been lower by up to {low}, or higher by up to {high}."


def _promises(rollout: Rollout, unit: str) -> Iterator[str]:
    yield (
        f"An interval holds at every moment at once: the chance that it ever leaves the true difference out is about "
        f"{ALPHA:.0%}, for each interval by itself, in the limit of many units. So looking often costs nothing."
    )
    yield (
        "One unit counts once, in the version that its hash says, however often it asks. "
        + (f"A unit is a value of {unit}." if unit != "request" else "Each request is a unit.")
    )
    alphas = [guard.alpha for guard in rollout.strategy.guards if hasattr(guard, "alpha")]
    if alphas:
        yield (
            "The chance that a challenger without harm is rolled back is, over the whole rollout, at most "
            f"{min(1.0, sum(alphas)):.0%}: the sum of its guards' alphas."
        )
    if not any(getattr(guard, "within", None) for guard in rollout.strategy.guards):
        yield "A promotion means that no harm was shown, not that there is none: small harm takes many units to see."


def _of(count: int, units: int) -> str:
    return f"{count:,} of {units:,} units ({count / units:.2%})"


def _units(unit: str) -> str:
    return "requests" if unit == "request" else f"units ({unit})"


def _in_words(lasted: timedelta) -> str:
    """A duration in its two greatest units.

    Examples
    --------
    >>> _in_words(timedelta(days=2)), _in_words(timedelta(days=1, hours=3, minutes=5)), _in_words(timedelta(seconds=90))
    ('2 days', '1 day 3 hours', '1 minute 30 seconds')
    """
    left, parts = round(lasted.total_seconds()), []
    for name, seconds in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        count, left = divmod(left, seconds)
        parts += [f"{count} {name}{'' if count == 1 else 's'}"] if count else []
    return " ".join(parts[:2]) or "less than a second"


def _alike(first: float, second: float) -> tuple[str, str]:
    """Two positive numbers with as many decimals as their distance needs.

    Examples
    --------
    >>> _alike(0.01123, 0.01894), _alike(0.00012, 3.5)
    (('0.0112', '0.0189'), ('0.0', '3.5'))
    """
    scale = max(abs(second - first), max(first, second) / 100, 1e-12)
    decimals = max(0, 1 - math.floor(math.log10(scale)))
    return f"{first:.{decimals}f}", f"{second:.{decimals}f}"
