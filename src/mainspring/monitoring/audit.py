"""Audits: a share of predictions, chosen at random, whose labels are asked for, and the stream that they make.

Labels that come by themselves are seldom a fair sample: complaints come first, refused credits never. Which predictions
are audited is a matter of their id's hash alone, so their losses are a fair sample, whatever becomes of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from mainspring.errors import Invalid
from mainspring.monitoring.detector import Stream
from mainspring.monitoring.quality import LossMismatch, LossTable, loss_levels

__all__ = ["AuditCohort", "InvalidCohort", "audit_share", "audit_stream", "is_audited"]

_SHARE, _SUSPECTED_SHARE = 0.01, 0.1


class InvalidCohort(Invalid):
    """An audit with more labels than predictions."""

    def __init__(self, audited: int, labelled: int) -> None:
        super().__init__(audited, labelled)
        self.audited, self.labelled = audited, labelled

    def __str__(self) -> str:
        return (
            f"An audit of {self.audited} predictions cannot have {self.labelled} labels: "
            "count each prediction once, and the labels of audited predictions alone."
        )


def audit_share(*, suspected: bool) -> float:
    """Share of a day's predictions to audit: 1 %, or 10 % while it is suspected that something has changed.

    It must be settled by what was known before the day, or the day's outcomes would have a say in who is asked.
    """
    return _SUSPECTED_SHARE if suspected else _SHARE


def is_audited(prediction_id: str, *, salt: str, share: float) -> bool:
    """Whether a prediction is among those audited at a share.

    Parameters
    ----------
    prediction_id : str
        Its id.
    salt : str
        The same for all predictions of an audit; another salt chooses others.
    share : float
        From 0 to 1. Who is chosen at a share is chosen at every greater one.

    Examples
    --------
    >>> sum(is_audited(f"order-{number}", salt="late-orders", share=0.1) for number in range(10_000))
    962
    """
    digest = blake2b(
        prediction_id.encode(), digest_size=8, salt=blake2b(salt.encode(), digest_size=16).digest()
    )
    return int.from_bytes(digest.digest(), "big") < share * 2**64


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCohort:
    """Audited predictions of a time, all at one share.

    Parameters
    ----------
    audited : int
        How many there are, with or without a label.
    losses : LossTable
        Of those whose label has come.

    Raises
    ------
    InvalidCohort
        There are more losses than audited predictions.
    """

    audited: int
    losses: LossTable

    def __post_init__(self) -> None:
        if self.losses.rows > self.audited:
            raise InvalidCohort(self.audited, self.losses.rows)


def audit_stream(
    name: str, reference: LossTable, cohorts: Sequence[AuditCohort], *, tolerance: float = 0.01
) -> Stream:
    """Stream that rises when audits show that a model has become worse than it was.

    Parameters
    ----------
    name : str
        Name of the stream.
    reference : LossTable
        Rows that the model was accepted on.
    cohorts : sequence of AuditCohort
        Oldest first.
    tolerance : float, default 0.01
        Rise of the mean loss that is not worth an alarm, on the scale from 0 to 1.

    Returns
    -------
    Stream
        One-sided. An audited prediction whose label has not come is no evidence of harm.

    Raises
    ------
    LossMismatch
        A cohort is of another loss than the reference.

    Notes
    -----
    Let the share of a cohort be settled before it, and the hash be independent of the outcomes. Then the audited rows
    have the mean loss of all rows, whoever else is labelled. A label that has not come is a loss in [0, 1] of which
    nothing is known, so it is a level of its own with these ends: the detector counts it as 0 where it looks for a
    rise, and as 1 among the checks that it compares with. So the bound on false alarms holds while labels are on their
    way, in whatever order they come, and where they never do. Missing labels cost power, and only that. Cohorts of
    different shares need no weights: each is a fair sample of its own rows.

    Predictions that were not audited are left out. Their estimated loss could lower the variance (prediction-powered
    inference [1]_), but only as far as it foretells each row's loss, and its terms are as large as one over the share.

    References
    ----------
    .. [1] A. Csillag, C. Struchiner, G. Goedert (2025). Prediction-powered e-values. ICML, arXiv:2502.04294.
    """
    for cohort in cohorts:
        if cohort.losses.loss != reference.loss:
            raise LossMismatch(reference.loss, f"a cohort is of {cohort.losses.loss}")
    levels = loss_levels(reference.loss)
    return Stream(
        name=name,
        column=reference.loss,
        lower=(*levels.lower, 0.0),
        upper=(*levels.upper, 1.0),
        reference=(*reference.counts, 0),
        checks=tuple((*each.losses.counts, each.audited - each.losses.rows) for each in cohorts),
        tolerance=tolerance,
    )
