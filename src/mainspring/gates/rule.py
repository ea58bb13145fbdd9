"""What each gate asks, and when it cannot say.

Every rule fails closed: it passes only on a number that was observed and satisfies the rule. Whatever is
missing, undefined, unknown or broken gets an outcome of its own and never a pass.
"""

from __future__ import annotations

__all__ = ["check"]

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mainspring.gates.evaluation import OVERALL, POOL, Evaluation, Slice
from mainspring.gates.metrics import METRICS, higher_is_better
from mainspring.gates.verdict import Check, Outcome
from mainspring.metric import MetricSpec
from mainspring.product import AtLeast, Gate, NoLeakage, NotWorseThan, Servable
from mainspring.ranking import LIST_METRICS


def check(
    gate: Gate, candidate: Evaluation, champion: Evaluation | None, own: Sequence[MetricSpec] = ()
) -> Iterator[Check]:
    """Ask one gate; it gives one check, or one per slice that it names.

    Parameters
    ----------
    gate : Gate
    candidate : Evaluation
    champion : Evaluation or None
        Of the version that serves, on the same rows; None when there is no such version yet.
    own : sequence of MetricSpec
        The product's own metrics.

    Yields
    ------
    Check
    """
    match gate:
        case AtLeast():
            yield from _at_least(gate, _known(gate.metric, own), candidate)
        case NotWorseThan():
            yield _not_worse_than(gate, _known(gate.metric, own), candidate, champion)
        case Servable():
            yield _servable(gate, candidate)
        case NoLeakage():
            yield from _no_leakage(gate, candidate)
        case _:
            yield _undecided(str(gate), OVERALL, None, f"gates of type {type(gate).__name__} are not known")


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a metric before a model is measured: which way it improves, or why no model can be."""

    upward: bool = False
    fault: str = ""


def _known(metric: str, own: Sequence[MetricSpec]) -> _Known:
    for each in own:
        if each.name == metric:
            return _Known(each.better == "higher", each.fault and f"{metric} cannot be told: {each.fault}")
    if metric in METRICS:
        return _Known(higher_is_better(metric))
    if metric in LIST_METRICS:
        return _Known(upward=True)
    return _Known(fault=f"no metric is called {metric!r}")


def _at_least(gate: AtLeast, known: _Known, candidate: Evaluation) -> Iterator[Check]:
    text = f"{gate.metric} at {'least' if known.upward else 'most'} {gate.value:g}"
    if known.fault:
        yield _undecided(text, OVERALL, gate.value, known.fault)
        return
    if candidate.error is not None:
        yield _undecided(text, OVERALL, gate.value, f"the candidate could not be measured: {candidate.error}")
        return
    if not gate.slices:
        yield _compare(text, OVERALL, gate.metric, known, candidate.rows, candidate.metrics, gate.value)
        return
    for column in gate.slices:
        wanted = (column, gate.pool_below)
        found = [each for each in candidate.slices if (each.column, each.pool_below) == wanted]
        if sum(each.rows for each in found) != candidate.rows:
            reason = f"slices by {column!r} pooled below {gate.pool_below} were not measured on every row"
            yield _undecided(text, column, gate.value, reason)
        elif not found:
            yield _too_few(text, column, gate.value, "the hold-out has no rows")
        for each in found:
            yield _on_slice(text, gate, known, each)


def _on_slice(text: str, gate: AtLeast, known: _Known, found: Slice) -> Check:
    if found.value == POOL and found.rows < gate.pool_below:
        reason = f"all slices below {gate.pool_below} rows have only {found.rows} rows together"
        return _too_few(text, found.subject, gate.value, reason)
    return _compare(text, found.subject, gate.metric, known, found.rows, found.metrics, gate.value)


def _not_worse_than(
    gate: NotWorseThan, known: _Known, candidate: Evaluation, champion: Evaluation | None
) -> Check:
    text = f"{gate.metric} not worse than {gate.alias} by more than {gate.margin:g}"
    if known.fault:
        return _undecided(text, OVERALL, None, known.fault)
    if gate.alias != "champion":
        return _undecided(text, OVERALL, None, f"only the champion is measured too, not {gate.alias!r}")
    if candidate.error is not None:
        return _undecided(text, OVERALL, None, f"the candidate could not be measured: {candidate.error}")
    if champion is None:
        # The first version has nothing to be worse than: without this rule no product could ever begin. It
        # still has to be measurable, and the floors of the other gates hold for it.
        if (first := candidate.metrics.get(gate.metric)) is None:
            return _undecided(text, OVERALL, None, f"{gate.metric} is undefined on the {candidate.rows} rows")
        return Check(
            gate=text,
            subject=OVERALL,
            observed=first,
            needed=None,
            outcome=Outcome.PASSED,
            reason="no champion to compare with: a first version has nothing to be worse than",
        )
    if champion.error is not None:
        return _undecided(text, OVERALL, None, f"the champion could not be measured: {champion.error}")
    if champion.rows != candidate.rows:
        reason = f"the champion was measured on {champion.rows} rows and the candidate on {candidate.rows}"
        return _undecided(text, OVERALL, None, reason)
    if (standing := champion.metrics.get(gate.metric)) is None:
        reason = f"the champion's {gate.metric} is undefined on the {champion.rows} rows"
        return _undecided(text, OVERALL, None, reason)
    needed = standing - gate.margin if known.upward else standing + gate.margin
    return _compare(text, OVERALL, gate.metric, known, candidate.rows, candidate.metrics, needed)


def _no_leakage(gate: NoLeakage, candidate: Evaluation) -> Iterator[Check]:
    text = f"no input alone scores {gate.below:g}"
    asked = {name: score for name, score in candidate.alone.items() if name not in gate.known}
    if candidate.error is not None:
        yield _undecided(text, OVERALL, gate.below, f"the candidate could not be measured: {candidate.error}")
    elif not asked:
        yield _undecided(text, OVERALL, gate.below, "no input was measured by itself")
    elif not candidate.rows:
        yield _too_few(text, OVERALL, gate.below, "there are no rows")
    else:
        worst = max(asked, key=lambda name: math.inf if (score := asked[name]) is None else score)
        for name, score in asked.items():
            if score is None:
                yield _undecided(
                    text, name, gate.below, f"its score is undefined on the {candidate.rows} rows"
                )
            elif score >= gate.below or name == worst:
                yield _alone(text, name, score, gate.below)


def _alone(text: str, name: str, score: float, below: float) -> Check:
    leaks = score >= below
    mend = (
        ": it may be known only afterwards, so leave it out of the inputs, or name it in `known` if it is not"
        if leaks
        else ", the highest of all inputs"
    )
    return Check(
        gate=text,
        subject=name,
        observed=score,
        needed=below,
        outcome=Outcome.REFUSED if leaks else Outcome.PASSED,
        reason=f"{name} alone scores {score:.4g}{mend}",
    )


def _servable(gate: Servable, candidate: Evaluation) -> Check:
    text = f"servable within {gate.p99_ms:g} ms"
    trial = candidate.servability
    if trial is None:
        return _undecided(text, OVERALL, gate.p99_ms, "serving was not tried")
    if trial.error is not None:
        return _undecided(text, OVERALL, gate.p99_ms, f"the trial broke off: {trial.error}")
    if trial.p99_ms is None or not math.isfinite(gate.p99_ms):
        return _undecided(text, OVERALL, gate.p99_ms, "there is no latency to compare")
    parity = "" if trial.parity else "the packaged model answers otherwise than the trained one, "
    return Check(
        gate=text,
        subject=OVERALL,
        observed=trial.p99_ms,
        needed=gate.p99_ms,
        outcome=Outcome.PASSED if trial.parity and trial.p99_ms <= gate.p99_ms else Outcome.REFUSED,
        reason=f"{parity}p99 {trial.p99_ms:.4g} ms for one row",
    )


def _compare(
    text: str,
    subject: str,
    metric: str,
    known: _Known,
    rows: int,
    metrics: Mapping[str, float | None],
    needed: float,
) -> Check:
    if not rows:
        return _too_few(text, subject, needed, "there are no rows")
    if (observed := metrics.get(metric)) is None:
        reason = f"{metric} is undefined on the {rows} rows, as with one label only"
        return _undecided(text, subject, needed, reason)
    if not math.isfinite(needed):
        return _undecided(text, subject, None, f"{needed} is not a value to compare with")
    reached = observed >= needed if known.upward else observed <= needed
    return Check(
        gate=text,
        subject=subject,
        observed=observed,
        needed=needed,
        outcome=Outcome.PASSED if reached else Outcome.REFUSED,
        reason=f"{observed:.6g} on {rows} rows, at {'least' if known.upward else 'most'} {needed:.6g} needed",
    )


def _undecided(text: str, subject: str, needed: float | None, reason: str) -> Check:
    return _unobserved(text, subject, needed, Outcome.COULD_NOT_JUDGE, reason)


def _too_few(text: str, subject: str, needed: float | None, reason: str) -> Check:
    return _unobserved(text, subject, needed, Outcome.INSUFFICIENT_DATA, reason)


def _unobserved(text: str, subject: str, needed: float | None, outcome: Outcome, reason: str) -> Check:
    known = needed if needed is not None and math.isfinite(needed) else None
    return Check(gate=text, subject=subject, observed=None, needed=known, outcome=outcome, reason=reason)
