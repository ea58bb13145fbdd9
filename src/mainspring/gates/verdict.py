"""The judge's answer: one check per gate and subject, each with what was observed and what was needed."""

from __future__ import annotations

__all__ = ["Check", "Outcome", "Verdict"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from mainspring.errors import Invalid


class Outcome(StrEnum):
    """How a check, or a whole verdict, came out. Only `PASSED` lets a candidate go on."""

    PASSED = "passed"
    REFUSED = "refused"
    INSUFFICIENT_DATA = "insufficient_data"
    COULD_NOT_JUDGE = "could_not_judge"


# What is said of a verdict whose checks differ: a plain no comes before the doubts.
_WORST_FIRST = (Outcome.REFUSED, Outcome.COULD_NOT_JUDGE, Outcome.INSUFFICIENT_DATA, Outcome.PASSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One gate's answer on one subject.

    Attributes
    ----------
    gate : str
        The rule in words, as `roc_auc at least 0.65`.
    subject : str
        `overall`, or a slice as `carrier=AA`.
    observed, needed : float or None
        In the unit of the gate: the metric, or milliseconds. None where there is no such number.
    outcome : Outcome
    reason : str
        The outcome in words.
    """

    gate: str
    subject: str
    observed: float | None
    needed: float | None
    outcome: Outcome
    reason: str

    def __str__(self) -> str:
        return f"{self.gate} ({self.subject}): {self.outcome.value}, {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All checks on a candidate and what follows from them.

    Attributes
    ----------
    outcome : Outcome
        `PASSED` when there is at least one check and every check passed. Otherwise the first of refused,
        could-not-judge and insufficient-data that any check came to.
    checks : tuple of Check
        In the order of the gates.
    """

    outcome: Outcome
    checks: tuple[Check, ...]

    def __post_init__(self) -> None:
        if self.outcome is not (follows := _outcome_of(self.checks)):
            raise Invalid(
                f"The checks say {follows.value!r}, so a verdict {self.outcome.value!r} does not follow."
            )

    @classmethod
    def of(cls, checks: Sequence[Check]) -> Verdict:
        """Draw the verdict that follows from the checks; none at all cannot be judged."""
        return cls(outcome=_outcome_of(checks), checks=tuple(checks))

    @property
    def passed(self) -> bool:
        """Whether the candidate may go on."""
        return self.outcome is Outcome.PASSED

    def __str__(self) -> str:
        """In one line: the outcome, and every check that stands in the way."""
        against = [str(check) for check in self.checks if check.outcome is not Outcome.PASSED]
        if self.passed:
            return f"passed: all {len(self.checks)} checks"
        return f"{self.outcome.value}: " + ("; ".join(against) or "there are no gates to judge by")

    def to_dict(self) -> dict[str, Any]:
        """JSON values that `from_dict` reads back to an equal value."""
        return msgspec.to_builtins(self)  # type: ignore[no-any-return]

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Verdict:
        """Read what `to_dict` gave, also after a trip through JSON."""
        return msgspec.convert(values, cls)


def _outcome_of(checks: Sequence[Check]) -> Outcome:
    found = {check.outcome for check in checks}
    return next((each for each in _WORST_FIRST if each in found), Outcome.COULD_NOT_JUDGE)
