"""The shadow certificate: what two versions answered to the same rows, and whether that lets the shadow go on.

The champion answered, and the shadow was asked for the same rows. So the two are compared row by row, and a difference
between them needs far fewer units to show than between two arms that have different units.
"""

from __future__ import annotations

__all__ = ["Certificate", "Compared", "Example", "LossGap", "LossTerm", "Pair", "Terms", "Verdict", "certify"]

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mainspring.errors import Invalid
from mainspring.rollouts.comparison import BURN_IN, Finding, share_test
from mainspring.rollouts.interval import Interval, bounded_mean, mean
from mainspring.strategy import LOSSES
from mainspring.task import Regression, answer_shares, counted_losses

EXAMPLES = 10
"""How many of the largest differences are told."""

OTHER = "other"
"""The slice of all values of a column that are no slice of their own."""

# Certainty is kept this far from 0 and 1, as everywhere that a log loss is taken.
_SURE = 2.2e-16


class Verdict(StrEnum):
    """What a certificate says of a shadow; only `CERTIFIED` lets it go on."""

    CERTIFIED = "certified"
    REFUSED = "refused"
    INSUFFICIENT_DATA = "insufficient_data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What both versions answered to one row.

    Attributes
    ----------
    example : str
        The prediction's id.
    unit : str
        The sticky key.
    champion : float
        What was answered: the probability, or the number.
    shadow : float or None
        What the shadow would have answered; None where it failed.
    values : mapping of str to str
        By column of the declared slices, the row's value.
    outcome : float or None
        Of a probability 1 where the label is the positive one and 0 where it is another, of a number the label; None
        while it is not known.
    """

    example: str
    unit: str
    champion: float
    shadow: float | None
    values: Mapping[str, str] = field(default_factory=dict)
    outcome: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LossTerm:
    """What is asked of the shadow's loss on the labelled rows.

    Attributes
    ----------
    metric : {"log_loss", "brier", "mae", "mse", "mape"}
    margin : float
        How much more than the champion's is no harm.
    within : float or None
        If set, it must be *shown* that the shadow's is less than this above the champion's.
    alpha, beta : float
        The chances of a false finding of harm, and of a false finding that it is within, over all looks.
    """

    metric: str
    margin: float = 0.0
    within: float | None = None
    alpha: float = 0.05
    beta: float = 0.05

    def __post_init__(self) -> None:
        if self.metric not in LOSSES:
            raise Invalid(f"{self.metric!r} has no paired difference: use one of {', '.join(LOSSES)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a certificate is given for.

    Attributes
    ----------
    minimum_units : int
        How many units must have been answered by both.
    losses : tuple of LossTerm
        What labels must say; without any, labels are not waited for.
    failures : float or None
        The alpha at which it is refused when the shadow is shown to fail for more units; None does not ask.
    same_outputs : float or None
        The alpha at which it is refused when the mean of the answers is shown to differ; None does not ask.
    slices : mapping of str to tuple of str
        By column the values that are slices of their own, fixed before the first unit; others are one, `other`.
    threshold : float
        From which probability an answer counts as positive, for the share on which the versions disagree.
    numbers : Regression or None
        How numbers are weighed, where numbers are answered and no probabilities.
    alpha : float
        Of the intervals that are only told.
    """

    minimum_units: int = 30
    losses: tuple[LossTerm, ...] = ()
    failures: float | None = 0.05
    same_outputs: float | None = None
    slices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    threshold: float = 0.5
    numbers: Regression | None = None
    alpha: float = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class LossGap:
    """The shadow's loss less the champion's, on units that have a label.

    Attributes
    ----------
    metric : str
    labelled : int
        Units.
    champion, shadow : float or None
        Mean losses; None without labels.
    gap : Interval or None
        Of the paired difference; None before it can be told.
    """

    metric: str
    labelled: int
    champion: float | None
    shadow: float | None
    gap: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The paired differences on all units, or on one slice of them. One observation per unit: its first row.

    Attributes
    ----------
    column, value : str
        The slice; both empty for all units.
    units : int
        That both versions answered.
    failed : int
        That the shadow failed for.
    score : Interval or None
        Mean of the shadow's answer less the champion's.
    disagreement : Interval or None
        Share of units that the two would have decided differently at the threshold.
    losses : tuple of LossGap
    """

    column: str
    value: str
    units: int
    failed: int
    score: Interval | None
    disagreement: Interval | None
    losses: tuple[LossGap, ...]

    @property
    def name(self) -> str:
        """How it is called."""
        return f"{self.column}={self.value}" if self.column else "all units"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A row on which the versions differ much."""

    example: str
    unit: str
    champion: float
    shadow: float
    outcome: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The report of a shadow, and what follows from it.

    Attributes
    ----------
    product : str
    champion, shadow : int
        Model versions.
    verdict : Verdict
    reasons : tuple of str
        Everything that speaks against it; for a certified one what was found.
    rows : int
        That both were asked for.
    terms : Terms
    overall : Compared
    slices : tuple of Compared
    largest : tuple of Example
        The largest differences, largest first.
    """

    product: str
    champion: int
    shadow: int
    verdict: Verdict
    reasons: tuple[str, ...]
    rows: int
    terms: Terms
    overall: Compared
    slices: tuple[Compared, ...]
    largest: tuple[Example, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON values that `from_dict` reads back to an equal value."""
        return msgspec.to_builtins(self)  # type: ignore[no-any-return]

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Certificate:
        """Read what `to_dict` gave, also after a trip through JSON."""
        return msgspec.convert(values, cls)


def certify(
    product: str,
    champion: int,
    shadow: int,
    pairs: Iterable[Pair],
    terms: Terms,
    *,
    champion_failed: int = 0,
) -> Certificate:
    """Compare a shadow with the champion and say whether it may go on.

    It is *refused* when harm is shown: a loss above the champion's by more than the margin, on all units or on a slice;
    failures of more units than the champion's; answers that differ in the mean, where they must not. It has
    *insufficient data* while units or labels are too few, or what must be shown is not shown yet. Else it is certified.

    Where slices are declared, half of each alpha goes to all units together and the other half in equal parts to the
    slices.

    *Guarantee*: the chance that a shadow without harm is *ever* refused is at most the sum of the alphas, however often
    this is asked; for `log_loss` in the limit of many units, for all else exactly. A shadow whose loss is `within` or
    more above the champion's is certified with a chance of at most beta. *Limits*: labels that come sooner for one
    outcome than for the other say what those rows say. Without loss terms, a certificate says nothing of quality.

    Parameters
    ----------
    product : str
    champion, shadow : int
        Model versions.
    pairs : iterable of Pair
        In the order of the log; of each unit the first row counts, and for losses the first that has a label.
    terms : Terms
    champion_failed : int
        Units in the same time for which the champion failed, so that the shadow was not asked.

    Returns
    -------
    Certificate
    """
    kept = list(pairs)
    answered = _first(kept)
    labelled = _first([pair for pair in kept if pair.outcome is not None and _answered(pair)])
    parts = [(column, value) for column, values in terms.slices.items() for value in (*values, OTHER)]
    whole = 0.5 if parts else 1.0
    overall = _compare("", "", answered, labelled, terms, whole)
    slices = tuple(
        found
        for column, value in parts
        if (
            found := _compare(
                column,
                value,
                [pair for pair in answered if _slice(pair, column, terms) == value],
                [pair for pair in labelled if _slice(pair, column, terms) == value],
                terms,
                0.5 / len(parts),
            )
        ).units
    )
    harm = [*_harm(overall, terms, whole, champion_failed), *(_worse(slices, terms))]
    missing = _missing(overall, terms)
    verdict = Verdict.REFUSED if harm else Verdict.INSUFFICIENT_DATA if missing else Verdict.CERTIFIED
    return Certificate(
        product=product,
        champion=champion,
        shadow=shadow,
        verdict=verdict,
        reasons=tuple([*harm, *missing] or _found(overall, slices)),
        rows=len(kept),
        terms=terms,
        overall=overall,
        slices=slices,
        largest=_largest(kept),
    )


def _compare(
    column: str, value: str, pairs: Sequence[Pair], labelled: Sequence[Pair], terms: Terms, part: float
) -> Compared:
    both = [pair for pair in pairs if _answered(pair)]
    ours, theirs = _scores(both)
    span = 1.0
    if terms.numbers is not None:
        ours, theirs = (answer_shares(terms.numbers, each) for each in (ours, theirs))
        span = terms.numbers.high - terms.numbers.low
    interval = {"alpha": terms.alpha * part}
    decided = ((ours >= terms.threshold) != (theirs >= terms.threshold)).astype(np.float64)
    score_alpha = (terms.same_outputs or terms.alpha) * part
    return Compared(
        column=column,
        value=value,
        units=len(both),
        failed=len(pairs) - len(both),
        score=bounded_mean(span * (ours - theirs), low=-span, high=span, alpha=score_alpha) if both else None,
        disagreement=bounded_mean(decided, low=0, high=1, **interval) if both and not terms.numbers else None,
        losses=tuple(_gap(term, labelled, terms, part) for term in terms.losses),
    )


def _gap(term: LossTerm, labelled: Sequence[Pair], terms: Terms, part: float) -> LossGap:
    if not labelled:
        return LossGap(metric=term.metric, labelled=0, champion=None, shadow=None, gap=None)
    ours, theirs = _scores(labelled)
    outcome = np.array([pair.outcome for pair in labelled], np.float64)
    losses = [_losses(term.metric, scores, outcome, terms) for scores in (ours, theirs)]
    gaps = losses[0] - losses[1]
    # Each side of the interval answers one question: the lower whether harm is shown, the upper whether it is within.
    alpha = (term.alpha if term.within is None else min(term.alpha, term.beta)) * part
    if (most := _most(term.metric, terms)) < math.inf:
        gap: Interval | None = bounded_mean(gaps, low=-most, high=most, alpha=alpha)
    elif gaps.size >= BURN_IN:
        gap = mean(gaps.size, math.fsum(gaps), math.fsum(gaps**2), alpha)
    else:
        gap = None
    return LossGap(
        metric=term.metric,
        labelled=len(labelled),
        champion=math.fsum(losses[1]) / len(labelled),
        shadow=math.fsum(losses[0]) / len(labelled),
        gap=gap,
    )


def _harm(overall: Compared, terms: Terms, whole: float, champion_failed: int) -> list[str]:
    found = _worse((overall,), terms)
    if terms.failures is not None:
        # A unit that only one of them failed for is the shadow's as by the flip of a coin, if it fails no more.
        told = share_test(overall.failed, champion_failed, 0.5, terms.failures * whole)
        if told.finding is Finding.HARM:
            found.append(
                f"it failed for {overall.failed} units, and the champion for {champion_failed} "
                f"(evidence {told.e_value:.3g}, {told.needed:.3g} needed)"
            )
    if terms.same_outputs is not None and overall.score and not overall.score.low <= 0 <= overall.score.high:
        found.append(f"its answers differ from the champion's in the mean, by {overall.score}")
    return found


def _worse(compared: Sequence[Compared], terms: Terms) -> list[str]:
    return [
        f"on {each.name} its {loss.metric} is higher by {loss.gap}, where {term.margin:g} is tolerated"
        for each in compared
        for term, loss in zip(terms.losses, each.losses, strict=True)
        if loss.gap is not None and loss.gap.low > term.margin
    ]


def _missing(overall: Compared, terms: Terms) -> list[str]:
    missing = []
    # Nothing seen is never enough, whatever was declared.
    needed = max(1, terms.minimum_units)
    if overall.units < needed:
        missing.append(f"{overall.units} units were answered by both, of {needed} needed")
    for term, loss in zip(terms.losses, overall.losses, strict=True):
        enough = max(needed, BURN_IN) if term.metric == "log_loss" else needed
        if loss.gap is None or loss.labelled < enough:
            missing.append(f"{loss.labelled} units have a {term.metric}, of {enough} needed")
        elif term.within is not None and not loss.gap.high < term.within:
            missing.append(
                f"its {term.metric} differs by {loss.gap}, so that {term.within:g} more is not excluded yet"
            )
    return missing


def _found(overall: Compared, slices: Sequence[Compared]) -> list[str]:
    found = [f"no harm is shown on {overall.units} units"]
    if slices:
        found[0] += f" and in {len(slices)} slices of them"
    if overall.disagreement is not None:
        found.append(
            f"the versions would decide {overall.disagreement.estimate:.2%} of the units differently"
        )
    found += [f"its {loss.metric} differs by {loss.gap}" for loss in overall.losses]
    return found


def _largest(pairs: Sequence[Pair]) -> tuple[Example, ...]:
    ordered = sorted(
        (pair for pair in pairs if _answered(pair)),
        key=lambda pair: (-abs((pair.shadow or 0.0) - pair.champion), pair.example),
    )
    return tuple(
        Example(
            example=pair.example,
            unit=pair.unit,
            champion=pair.champion,
            shadow=pair.shadow,
            outcome=pair.outcome,
        )
        for pair in ordered[:EXAMPLES]
        if pair.shadow is not None
    )


def _first(pairs: Iterable[Pair]) -> list[Pair]:
    """The first row of each unit: later ones are like it, and would count one unit again."""
    seen: dict[str, Pair] = {}
    for pair in pairs:
        seen.setdefault(pair.unit, pair)
    return list(seen.values())


def _answered(pair: Pair) -> bool:
    return pair.shadow is not None and math.isfinite(pair.shadow)


def _slice(pair: Pair, column: str, terms: Terms) -> str:
    value = pair.values.get(column, OTHER)
    return value if value in terms.slices[column] else OTHER


def _scores(pairs: Sequence[Pair]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return (
        np.array([pair.shadow for pair in pairs], np.float64),
        np.array([pair.champion for pair in pairs], np.float64),
    )


def _most(metric: str, terms: Terms) -> float:
    """The greatest loss of a row."""
    if terms.numbers is not None:
        return terms.numbers.span(metric)
    return math.inf if metric == "log_loss" else 1.0


def _losses(
    metric: str, scores: NDArray[np.float64], outcome: NDArray[np.float64], terms: Terms
) -> NDArray[np.float64]:
    if terms.numbers is not None:
        return counted_losses(terms.numbers, metric, scores, outcome)
    came = np.clip(np.where(outcome == 1, scores, 1 - scores), _SURE, 1.0)
    return -np.log(came) if metric == "log_loss" else (1 - came) ** 2
