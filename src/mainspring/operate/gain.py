"""Did it help? What a promotion was worth, by the labels that came after it.

The version before is asked again for the inputs of what its successor has answered, so that both are judged on the same
rows. A comparison with the time before would take a change of the season for one of the model.
"""

from __future__ import annotations

__all__ = ["Finding", "Gain", "gains", "measure_gain", "metric_of", "unhelpful"]

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import zip_longest
from typing import TYPE_CHECKING

import msgspec

from mainspring.engines import WorkerDied
from mainspring.events import EventType
from mainspring.formats.signature import Signature
from mainspring.loop import Cycle, CycleOutcome
from mainspring.monitors import Quality
from mainspring.operate.acts.stage import LOOP, Stage
from mainspring.operate.compact import prediction_log
from mainspring.operate.log_table import input_column, outcome, truth
from mainspring.operate.review import ask_again
from mainspring.operate.workers import TaskFailed
from mainspring.ref import ModelRef
from mainspring.rollouts.interval import Interval, bounded_mean
from mainspring.stores.segments import SegmentCorrupt
from mainspring.task import counted_losses

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from mainspring.product import ProductSpec
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace

ALPHA = 0.05
_WEEK = timedelta(days=7)


class Finding(StrEnum):
    """What the labels say of a promotion."""

    HELPED = "helped"
    HARMED = "harmed"
    NOT_SHOWN = "not_shown"
    NO_LABELS = "no_labels"
    COULD_NOT_MEASURE = "could_not_measure"


class Gain(msgspec.Struct, frozen=True, kw_only=True):
    """By how much a promoted version loses less than the one before it would have, on the same rows.

    Attributes
    ----------
    cycle : int
        The cycle that promoted it.
    trigger : str
        What had started that, with the parts of a combination.
    version, before : int
        The version, and the one before.
    look : int
        How many times the promotion has been measured, this time included.
    metric : str
        The loss: that of the product's first `Quality`, or else the task's first. Each row's counts up to its span; a
        log loss up to 4 nats.
    since, until : datetime
        The time in which the rows were answered.
    units : int
        Labelled units; each counts once, by the mean of its rows.
    estimate, low, high : float, optional
        The mean gain, positive where it helped, and an interval that leaves the true one out with a chance of at most
        5 % over all looks at it, for units that do not depend on one another. None where there are no units.
    finding : Finding
    reason : str
        The same in words.
    final : bool
        Whether another version has taken over since, so that it is not measured again.
    """

    cycle: int
    trigger: str
    version: int
    before: int
    look: int
    metric: str
    since: datetime
    until: datetime
    units: int
    estimate: float | None
    low: float | None
    high: float | None
    finding: Finding
    reason: str
    final: bool


def gains(tx: Transaction, product: str) -> tuple[Gain, ...]:
    """Give what was last found of each promotion of a product, in the order of its cycles."""
    known = tx.values.items(f"gain:{product}:")
    return tuple(msgspec.json.decode(text, type=Gain) for _, text in sorted(known.items()))


def unhelpful(found: Sequence[Gain]) -> tuple[str, ...]:
    """Say of which triggers no promotion is shown to have helped, though several were measured, and whether of none."""
    by_trigger: dict[str, list[Gain]] = defaultdict(list)
    for each in found:
        if each.estimate is not None:
            by_trigger[each.trigger].append(each)
    told = [
        f"{trigger}: none of {len(measured)} promotions is shown to have helped"
        for trigger, measured in sorted(by_trigger.items())
        if len(measured) > 1 and all(each.finding is not Finding.HELPED for each in measured)
    ]
    every = [each for measured in by_trigger.values() for each in measured]
    if len(by_trigger) > 1 and all(each.finding is not Finding.HELPED for each in every):
        told.append(f"the policy as a whole: none of {len(every)} promotions is shown to have helped")
    return tuple(told)


def measure_gain(workspace: Workspace, spec: ProductSpec) -> Gain | None:
    """Measure the promotion that is due, and record what was found; None where none is.

    A promotion is due when its version has served for a week, for two, four, eight and so on, and for the last time a
    week after the next one has taken over, by when labels have come.
    """
    with workspace.database.read() as tx:
        due = _due(tx, spec, workspace.clock.now())
    if due is None:
        return None
    found = _measured(workspace, spec, due)
    told: dict[str, object] = msgspec.to_builtins(found)
    told = {name: value for name, value in told.items() if name != "reason"} | {"cycle": due.cycle.cycle_id}
    stage = Stage(workspace, spec, lambda place: None)
    with workspace.database.write() as tx:
        tx.values.put(_key(due.cycle), msgspec.json.encode(found).decode())
        subject = f"{spec.name}/{found.cycle}"
        stage.event(tx, EventType.CYCLE_MEASURED, subject, found.reason, actor=LOOP, **told)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Due:
    """A promotion that is to be measured, and the time in which its version served."""

    cycle: Cycle
    version: int
    before: int
    look: int
    since: datetime
    until: datetime
    final: bool


def _due(tx: Transaction, spec: ProductSpec, now: datetime) -> _Due | None:
    before = {each.rollout_id: each.champion for each in tx.rollouts.rollouts(spec.name)}
    serves = tx.registry.aliases(spec.name).get("champion")
    promoted = [each for each in tx.loop.cycles(spec.name) if each.outcome is CycleOutcome.PROMOTED]
    for cycle, following in zip_longest(promoted, promoted[1:]):
        # The first version came without a rollout, since there was none before it to be compared with. Of several
        # challengers another one may have been promoted than the cycle has made.
        version = before.get(following.cycle_id) if following else serves
        if cycle.cycle_id not in before or cycle.closed_at is None or version is None:
            continue
        replaced = following.closed_at if following else None
        until = replaced or now
        known = tx.values.get(_key(cycle))
        last = msgspec.json.decode(known, type=Gain) if known else None
        looks = _looks(last.until - last.since) if last else 0
        over = replaced is not None and now >= replaced + _WEEK
        if (last is None or not last.final) and (over or _looks(until - cycle.closed_at) > looks):
            return _Due(
                cycle=cycle,
                version=version,
                before=before[cycle.cycle_id],
                look=last.look + 1 if last else 1,
                since=cycle.closed_at,
                until=until,
                final=over,
            )
    return None


def _looks(served: timedelta) -> int:
    """How many looks are due by then: at 1, 2, 4, 8… weeks."""
    return (served // _WEEK).bit_length()


def _key(cycle: Cycle) -> str:
    return f"gain:{cycle.product}:{cycle.number:09}"


def metric_of(spec: ProductSpec) -> str:
    """The loss by which versions of a product are compared: that of its first `Quality`, or else the task's first."""
    losses = spec.task.losses
    watched = (each.metric for each in spec.monitors if isinstance(each, Quality) and each.metric in losses)
    return next(watched, losses[0])


def _measured(workspace: Workspace, spec: ProductSpec, due: _Due) -> Gain:
    metric = metric_of(spec)
    before, interval, finding = ModelRef(spec.name, due.before), None, Finding.NO_LABELS
    reason = f"no label has come of what {ModelRef(spec.name, due.version)} answered since its promotion"
    try:
        differences = _differences(workspace, spec, due, metric)
    except (TaskFailed, WorkerDied, SegmentCorrupt, _NotComparable) as error:
        finding = Finding.COULD_NOT_MEASURE
        reason = f"{before} cannot be asked again for the rows of its successor: {error}"
    else:
        if differences.size:
            span = spec.task.span(metric)
            # A unit's mean changes as more of its rows come, so that looks are no steps of one test: each spends a part
            # of the whole, 1/2, 1/6, 1/12…, which add up to 1.
            alpha = ALPHA / (due.look * (due.look + 1))
            interval = bounded_mean(differences, low=-span, high=span, alpha=alpha)
            finding = _finding(interval)
            reason = _told(interval, finding, metric, before)
    return Gain(
        cycle=due.cycle.number,
        trigger=due.cycle.trigger_text,
        version=due.version,
        before=due.before,
        look=due.look,
        metric=metric,
        since=due.since,
        until=due.until,
        units=interval.units if interval else 0,
        estimate=interval.estimate if interval else None,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        finding=finding,
        reason=reason,
        final=due.final,
    )


class _NotComparable(Exception):
    """Rows to which the version before has no answer that could be weighed."""


def _differences(workspace: Workspace, spec: ProductSpec, due: _Due, metric: str) -> NDArray[np.float64]:
    """By how much the version before loses more, by unit."""
    import numpy as np
    import polars as pl

    predictions, labels = prediction_log(workspace, spec.name, since=due.since)
    rows = (
        predictions.filter(
            pl.col("version") == due.version,
            pl.col("at") > due.since,
            pl.col("at") <= due.until,
            ~pl.col("pinned"),
            pl.col("score").is_not_null(),
        )
        .join(truth(labels).with_columns(outcome(spec)).drop("at"), on="prediction_id")
        .filter(pl.col("outcome").is_not_null())
        .sort("at", "prediction_id")
    )
    if hidden := sorted(set(rows["redacted"].explode().drop_nulls())):
        raise _NotComparable(f"the log does not hold {', '.join(hidden)}")
    if not rows.height:
        return rows["score"].to_numpy()
    with workspace.database.read() as tx:
        version = tx.registry.get(ModelRef(spec.name, due.before))
    named = [column.name for column in Signature.from_json(version.signature).inputs]
    if missing := [name for name in named if input_column(name) not in rows.columns]:
        raise _NotComparable(f"the log does not hold {', '.join(missing)}")
    inputs = rows.select(pl.col(input_column(name)).alias(name) for name in named)
    rows = rows.with_columns(pl.Series("theirs", ask_again(workspace, version, inputs), pl.Float64))
    if unanswered := rows["theirs"].null_count():
        raise _NotComparable(f"it has no answer to {unanswered:,} of {rows.height:,} rows")
    theirs, ours = (
        counted_losses(spec.task, metric, rows[name].to_numpy(), rows["outcome"].to_numpy())
        for name in ("theirs", "score")
    )
    by_unit = (
        rows.with_columns(pl.Series("gain", theirs - ours))
        .group_by("unit", maintain_order=True)
        .agg(pl.col("gain").mean())
    )
    found = by_unit["gain"].to_numpy()
    if not np.isfinite(found).all():
        raise _NotComparable("an answer is no number")
    return found


def _finding(interval: Interval) -> Finding:
    if interval.low > 0:
        return Finding.HELPED
    return Finding.HARMED if interval.high < 0 else Finding.NOT_SHOWN


def _told(interval: Interval, finding: Finding, metric: str, before: ModelRef) -> str:
    said = {Finding.HELPED: "it helped", Finding.HARMED: "it did harm"}
    figures = f"{interval.estimate:+.4f} ({interval.low:+.4f} to {interval.high:+.4f})"
    return (
        f"{said.get(finding, 'it is not shown to have helped')}: a gain of {figures} in {metric} over {before}, "
        f"on {interval.units:,} labelled units"
    )
