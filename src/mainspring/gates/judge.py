"""The judge: every gate is asked, and every answer is in the verdict."""

from __future__ import annotations

__all__ = ["judge"]

from collections.abc import Sequence

from mainspring.gates.evaluation import Evaluation
from mainspring.gates.rule import check
from mainspring.gates.verdict import Verdict
from mainspring.metric import MetricSpec
from mainspring.product import Gate


def judge(
    gates: Sequence[Gate],
    candidate: Evaluation,
    champion: Evaluation | None,
    own: Sequence[MetricSpec] = (),
) -> Verdict:
    """Judge a candidate by every gate, also after one has said no, so that the verdict tells all.

    Parameters
    ----------
    gates : sequence of Gate
        Without any, the verdict is `could_not_judge`.
    candidate : Evaluation
        What was measured of the candidate.
    champion : Evaluation or None
        The same of the version that serves, on the same rows. None only when the product has no champion yet:
        one that could not be measured is `Evaluation.failed(...)`, and never passes for absent.
    own : sequence of MetricSpec
        The product's own metrics.

    Returns
    -------
    Verdict

    Examples
    --------
    >>> from mainspring.product import AtLeast
    >>> verdict = judge([AtLeast("roc_auc", 0.65)], Evaluation(rows=500, metrics={"roc_auc": 0.61}), None)
    >>> print(verdict)
    refused: roc_auc at least 0.65 (overall): refused, 0.61 on 500 rows, at least 0.65 needed
    """
    return Verdict.of([answer for gate in gates for answer in check(gate, candidate, champion, own)])
