"""Audits: a share of predictions, chosen at random, whose labels are asked for, and what their losses may be taken for.

Labels that come by themselves are seldom a fair sample: complaints come first, refused credits never. Which predictions
are audited is a matter of their id's hash alone, so their losses are a fair sample, whatever becomes of the others.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b

from mainspring.monitoring.quality import LossTable

__all__ = ["audit_cohort", "audit_share", "is_audited"]

_SHARE, _SUSPECTED_SHARE = 0.01, 0.1


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


def audit_cohort(losses: LossTable, *, audited: int) -> LossTable:
    """Check for `quality_stream` from the audited predictions of a time, all at one share.

    Parameters
    ----------
    losses : LossTable
        Of the audited predictions whose label has come, and of no others.
    audited : int
        How many there are, with or without a label.

    Returns
    -------
    LossTable
        The audited predictions without a label are awaited in it, for however long.

    Raises
    ------
    LossMismatch
        There are more labels than audited predictions.

    Notes
    -----
    Let the share of a cohort be settled before it, and the hash be independent of the outcomes. Then the audited rows
    have the mean loss of all rows, whoever else is labelled, and since those without a label stay awaited, the bound on
    false alarms of `quality_stream` holds in whatever order their labels come, and where some never do. Missing labels
    cost power, and only that. Cohorts of different shares need no weights: each is a fair sample of its own rows.

    Predictions that were not audited are left out. Their estimated loss could lower the variance (prediction-powered
    inference [1]_), but only as far as it foretells each row's loss, and its terms are as large as one over the share.

    References
    ----------
    .. [1] A. Csillag, C. Struchiner, G. Goedert (2025). Prediction-powered e-values. ICML, arXiv:2502.04294.
    """
    return replace(losses, awaited=audited - losses.rows)
