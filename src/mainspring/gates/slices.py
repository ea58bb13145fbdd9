"""From labels and answers to an `Evaluation`: overall, and on slices large enough to be judged."""

from __future__ import annotations

__all__ = ["evaluate", "evaluate_for", "pool"]

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from mainspring.errors import Invalid
from mainspring.gates.evaluation import POOL, Evaluation, Slice
from mainspring.gates.metrics import METRICS
from mainspring.product import AtLeast, Gate
from mainspring.task import BinaryClassification

Measure: TypeAlias = Callable[[ArrayLike, ArrayLike], float]


def pool(values: Sequence[object], below: int) -> list[str]:
    """Name each row's slice, with small slices together in one.

    Parameters
    ----------
    values : sequence
        One per row; None becomes the slice `null`, so that no row is left out.
    below : int
        Values with fewer rows than this become `other`. A value that is itself called `other` joins them.

    Returns
    -------
    list of str
        One per row.

    Examples
    --------
    >>> pool(["AA", "AA", "HA", "OO", None], below=2)
    ['AA', 'AA', 'other', 'other', 'other']
    """
    names = ["null" if value is None else str(value) for value in values]
    rows = Counter(names)
    kept = {name: name if count >= below else POOL for name, count in rows.items()}
    return [kept[name] for name in names]


def evaluate(
    labels: ArrayLike,
    answers: ArrayLike,
    slices: Mapping[str, Sequence[object]] | None = None,
    pool_below: int = 0,
    metrics: Sequence[str] = BinaryClassification.metrics,
    own: Mapping[str, Measure] | None = None,
) -> Evaluation:
    """Measure some metrics, overall and on every slice.

    Parameters
    ----------
    labels : array-like of float, shape (n_rows,)
        Of a binary classifier 0 and 1.
    answers : array-like of float, shape (n_rows,)
        Of a binary classifier the probabilities of label 1.
    slices : mapping of str to sequence, each of length n_rows
        Columns to slice by.
    pool_below : int
        Slices with fewer rows are measured together, as `other`.
    metrics : sequence of str
        Those of the task.
    own : mapping of str to callable
        Those of the product, by name, from labels and answers to the value.

    Returns
    -------
    Evaluation
        Without servability, which takes a clean process to find out. Slices are in the order of their names.

    Raises
    ------
    Invalid
        The lengths differ.

    Examples
    --------
    >>> found = evaluate([1, 0, 1], [0.9, 0.2, 0.4], {"carrier": ["AA", "AA", "HA"]})
    >>> [(each.subject, each.rows, each.metrics["roc_auc"]) for each in found.slices]
    [('carrier=AA', 2, 1.0), ('carrier=HA', 1, None)]
    """
    truth, given = np.asarray(labels, np.float64).ravel(), np.asarray(answers, np.float64).ravel()
    found: list[Slice] = []
    for column, values in (slices or {}).items():
        if len(values) != truth.size:
            raise Invalid(
                f"Column {column!r} has {len(values)} values for {truth.size} labels: give one per row."
            )
        names = np.asarray(pool(values, pool_below), dtype=object)
        for name in sorted(set(names)):
            here = names == name
            found.append(
                Slice(
                    column=column,
                    value=name,
                    pool_below=pool_below,
                    rows=int(here.sum()),
                    metrics=_measure(truth[here], given[here], metrics, own),
                )
            )
    return Evaluation(
        rows=int(truth.size),
        metrics=_measure(truth, given, metrics, own),
        slices=tuple(found),
    )


def evaluate_for(
    gates: Sequence[Gate],
    labels: ArrayLike,
    answers: ArrayLike,
    columns: Mapping[str, Sequence[object]],
    metrics: Sequence[str] = BinaryClassification.metrics,
    own: Mapping[str, Measure] | None = None,
) -> Evaluation:
    """Measure all that the gates will ask, each with its own pooling.

    A column that a gate slices by and that is not given is left out; the judge then answers
    `could_not_judge`.

    Parameters
    ----------
    gates : sequence of Gate
    labels, answers, metrics, own
        As for `evaluate`.
    columns : mapping of str to sequence, each of length n_rows
        At least the columns that gates slice by; others are passed over.

    Returns
    -------
    Evaluation
    """
    floors = [gate for gate in gates if isinstance(gate, AtLeast)]
    asked = {(gate.pool_below, column) for gate in floors for column in gate.slices}
    found: list[Slice] = []
    for below, column in sorted(asked):
        if column in columns:
            found += evaluate(labels, answers, {column: columns[column]}, below, metrics, own).slices
    return replace(evaluate(labels, answers, metrics=metrics, own=own), slices=tuple(found))


def _measure(
    labels: ArrayLike, answers: ArrayLike, metrics: Sequence[str], own: Mapping[str, Measure] | None
) -> dict[str, float]:
    asked = {name: METRICS[name] for name in metrics} | dict(own or {})
    return {name: measure(labels, answers) for name, measure in asked.items()}
