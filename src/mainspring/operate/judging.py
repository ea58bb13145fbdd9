"""Judging in a worker: the packaged candidate, and the champion, on the hold-out, asked as they are served."""

from __future__ import annotations

__all__ = ["Reference", "judge_candidate", "read_columns", "slice_value"]

import math
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from mainspring.digest import Digest
from mainspring.engines import deadline
from mainspring.formats.sample import Sample
from mainspring.formats.served import Served, feed, load
from mainspring.gates import METRICS, Evaluation, evaluate_for, mean_outcomes
from mainspring.metric import MetricSpec
from mainspring.monitoring import (
    LabelledRows,
    LossTable,
    NumberProfile,
    Profile,
    ProfileKey,
    ProfileSet,
    frame,
    profile,
)
from mainspring.monitoring.lists import ListTable
from mainspring.monitoring.scores import OTHER_VALUES, ScoreTable, group_name
from mainspring.monitors import AttributionDrift, InputDrift, PredictionDrift, Quality, attributes_of
from mainspring.operate.ablation import ablated, baseline_of, table_of
from mainspring.operate.packaging import Package
from mainspring.operate.tasks import LABEL, LIST, Judged
from mainspring.product import NoLeakage
from mainspring.ranking import LIST_METRICS, list_losses, rows_of_lists
from mainspring.task import BinaryClassification, Regression, Task, answer_shares, counted_losses

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from mainspring.data import Split
    from mainspring.monitoring import Frame
    from mainspring.operate.tasks import JudgeCandidate
    from mainspring.product import ProductSpec
    from mainspring.stores.blobs import BlobStore

PREDICTION = "prediction"
"""The column of a profile that holds what was answered."""

_SAMPLE_ROWS = 200
_SLICE_ROWS = 100
"""A slice of fewer rows on the hold-out has no reference, and is among the others."""
_MOST_SLICES = 50
_ATTRIBUTED_ROWS = 3_000


class Reference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What monitors compare with, as JSON texts.

    Attributes
    ----------
    inputs : str
        The profile of all labelled rows that the version was made with.
    predictions : str
        The profile of its answers on the hold-out.
    losses : dict of str
        Per loss the table of the hold-out.
    labelled : str
        The rows of the hold-out, for estimates of quality without labels; empty where a version was judged before
        they were kept.
    scores : str
        The scores of the hold-out by outcome, and by the slices that monitors declare; empty likewise.
    strata : list of list of str
        By weekday, Monday first, the profile of inputs and that of predictions; none where no monitor asks.
    scores_by_weekday : list of str
        Likewise the scores.
    slices : str
        The profiles of the labelled rows by slice, as far as a monitor asks.
    attributions : str
        By how much each input moves answers on the hold-out; empty where no monitor asks.
    task : Task or None
        By which it was judged, and is weighed as long as it serves; None where a version was judged before it was kept.
    metrics : tuple of MetricSpec
        The product's own, likewise.
    lists : str
        The lists of the hold-out, by the slices that monitors declare; empty where the product has none.
    """

    inputs: str
    predictions: str
    losses: dict[str, str]
    labelled: str = ""
    scores: str = ""
    attributions: str = ""
    strata: list[tuple[str, str]] = []
    scores_by_weekday: list[str] = []
    slices: str = "[]"
    task: Task | None = None
    metrics: tuple[MetricSpec, ...] = ()
    lists: str = ""

    def profiles(self) -> tuple[Profile, Profile]:
        """Profiles of inputs and of predictions."""
        return Profile.from_json(self.inputs), Profile.from_json(self.predictions)


def judge_candidate(
    task: JudgeCandidate,
    spec: ProductSpec,
    rows: Split,
    blobs: BlobStore,
    *,
    allow_code: bool,
    timeout_s: float,
) -> Judged:
    """Evaluate the candidate and the champion, and make the reference and the sample of the candidate.

    A model that has not answered after `timeout_s` takes this process along.
    """
    import numpy as np
    import polars as pl

    holdout = rows.holdout
    labels = holdout[LABEL].to_numpy()
    columns = {name: values.tolist() for name, values in _slices(spec, holdout).items()}
    with deadline(timeout_s):
        model, answers = _answers(task.candidate, holdout, blobs, allow_code=allow_code)
    own = {each.name: partial(each.mean, spec.task) for each in spec.metrics}
    candidate = evaluate_for(spec.gates, labels, answers, columns, spec.task.metrics, own)
    if any(isinstance(gate, NoLeakage) for gate in spec.gates):
        candidate = replace(candidate, alone=_alone(spec, rows))
    candidate = _with_lists(candidate, spec.task, holdout, labels, answers)
    champion: Evaluation | None = None
    if task.champion is not None:
        with deadline(timeout_s):
            _, answered = _answers(task.champion, holdout, blobs, allow_code=allow_code)
        champion = evaluate_for(spec.gates, labels, answered, columns, spec.task.metrics, own)
        champion = _with_lists(champion, spec.task, holdout, labels, answered)
    given = [column.name for column in spec.inputs if column.name in holdout.columns]
    everything = pl.concat([each.select(given) for each in (rows.train, holdout)])
    sound = np.isfinite(answers)
    given_answers, truths = answers[sound].astype(np.float64), labels[sound]
    inputs = profile(everything, frame(everything))
    asked = read_columns(inputs.frame, holdout.filter(sound).to_dict(as_series=False))
    asked[PREDICTION] = given_answers
    losses = {
        name: counted_losses(spec.task, name, given_answers, truths.astype(np.float64))
        for name in spec.task.losses
    }
    reference = Reference(
        inputs=inputs.to_json(),
        predictions=profile({PREDICTION: answers.astype(np.float64)}).to_json(),
        losses={
            name: LossTable.of_shares(name, each / spec.task.span(name)).to_json()
            for name, each in losses.items()
        },
        lists=_lists(spec, holdout.filter(sound), truths, given_answers),
        **_scores(spec, holdout.filter(sound), given_answers, truths),
        labelled=_labelled(spec.task, asked, inputs.frame, truths, losses).to_json(),
        task=spec.task,
        metrics=spec.metrics,
        strata=_strata(spec, rows, inputs.frame, answers),
        slices=_sliced(spec, everything, holdout.filter(sound), inputs.frame).to_json(),
        attributions=_attributions(spec, model, everything, holdout.filter(sound), timeout_s),
    )
    return Judged(
        candidate=_text(candidate),
        champion=_text(champion) if champion else None,
        reference=blobs.put(msgspec.json.encode(reference)),
        sample=blobs.put(msgspec.json.encode(_sample(model, holdout, answers))),
    )


def _lists(spec: ProductSpec, rows: pl.DataFrame, labels: NDArray[Any], answers: NDArray[Any]) -> str:
    """Count the lists of the hold-out, for all and by the slices that monitors declare and all their rows are in."""
    if spec.task.lists is None:
        return ""
    slices = {name: _named(rows[name], _kept(rows[name])) for name in attributes_of(spec.monitors)}
    table = ListTable()
    for which in rows_of_lists(rows[LIST]):
        shared = [
            group_name(name, of[which[0]])
            for name, of in slices.items()
            if len({of[row] for row in which}) == 1
        ]
        losses = list_losses(answers[which].tolist(), labels[which].tolist(), spec.task.lists.top)
        table = table.merge(ListTable.asked(shared)).merge(ListTable.labelled(losses, shared))
    return table.to_json()


def _with_lists(
    found: Evaluation, task: Task, rows: pl.DataFrame, labels: NDArray[Any], answers: NDArray[Any]
) -> Evaluation:
    """Add the means over lists, None where an answer is missing or no list has a right row."""
    import numpy as np

    if task.lists is None:
        return found
    lost: dict[str, list[float]] = {name: [] for name in LIST_METRICS}
    for which in rows_of_lists(rows[LIST]) if np.isfinite(answers).all() else ():
        losses = list_losses(answers[which].tolist(), labels[which].tolist(), task.lists.top)
        for name, loss in (losses or {}).items():
            lost[name].append(loss)
    means = {name: 1 - math.fsum(each) / len(each) if each else None for name, each in lost.items()}
    return replace(found, metrics={**found.metrics, **means})


def read_columns(
    frame: Frame, values: Mapping[str, Sequence[Any]]
) -> dict[str, NDArray[Any] | list[str | None]]:
    """Columns of the prediction log as a profile in a frame takes them.

    Numbers have a mask for null, unless one of them is none: that is for the profile to count. Categories have None.
    """
    import numpy as np

    columns: dict[str, NDArray[Any] | list[str | None]] = {}
    for name in [name for name in values if name in frame]:
        given = columns[name] = list(values[name])
        if isinstance(frame[name], NumberProfile):
            with suppress(TypeError, ValueError, OverflowError):
                missing = [value is None for value in given]
                columns[name] = np.ma.array(np.array(given, dtype=np.float64), mask=missing)
    return columns


def _labelled(
    task: Task,
    columns: Mapping[str, NDArray[Any] | list[str | None]],
    frame: Frame,
    truths: NDArray[Any],
    losses: Mapping[str, NDArray[np.float64]],
) -> LabelledRows:
    """Keep the rows for estimates, and for those who look at all inputs together."""
    if isinstance(task, BinaryClassification):
        return LabelledRows.of(columns, frame, score=PREDICTION, outcomes=truths)
    return LabelledRows.of_numbers(columns, frame, score=PREDICTION, losses=losses)


def _scores(
    spec: ProductSpec, rows: pl.DataFrame, answers: NDArray[np.float64], labels: NDArray[Any]
) -> dict[str, Any]:
    """Count scores by outcome, and where a monitor asks for strata also those of each weekday, in UTC."""
    import numpy as np

    weekday = rows[spec.data.event_time].dt.weekday().to_numpy()
    attributes = {
        name: np.array(_named(rows[name], _kept(rows[name])), dtype=object)
        for name in attributes_of(spec.monitors)
    }

    def counted(which: NDArray[np.bool_]) -> str:
        chosen = {name: values[which].tolist() for name, values in attributes.items()}
        return _score_table(spec.task, answers[which], labels[which], chosen).to_json()

    stratified = any(isinstance(each, Quality) and each.strata for each in spec.monitors)
    return {
        "scores": counted(np.ones(rows.height, dtype=bool)),
        "scores_by_weekday": [counted(weekday == number) for number in range(1, 8)] if stratified else [],
    }


def _score_table(
    task: Task, answers: NDArray[np.float64], labels: NDArray[Any], attributes: Mapping[str, Sequence[str]]
) -> ScoreTable:
    if isinstance(task, BinaryClassification):
        return ScoreTable.of(answers.tolist(), labels.tolist(), attributes)
    table = ScoreTable()
    for row, (answer, outcome) in enumerate(zip(answers.tolist(), labels.tolist(), strict=True)):
        groups = [group_name(name, of[row]) for name, of in attributes.items()]
        table.ask(0.0, groups)
        table.label_number(task.error_share(answer, outcome), groups)
    return table


def slice_value(value: object) -> str:
    """Name the slice of a value, as it comes from a table or from the prediction log."""
    if value is None:
        return "null"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # callers may send 1.0 for an integer
    return str(value).lower() if isinstance(value, bool) else str(value)


def _kept(holdout: pl.Series) -> set[str]:
    """Values that have a slice of their own."""
    rows = Counter(map(slice_value, holdout.to_list()))
    return {each for each, count in rows.most_common(_MOST_SLICES) if count >= _SLICE_ROWS}


def _named(values: pl.Series, kept: Set[str]) -> list[str]:
    """Name the slice of each value."""
    named = map(slice_value, values.to_list())
    return [value if value in kept else OTHER_VALUES for value in named]


def _sliced(spec: ProductSpec, everything: pl.DataFrame, holdout: pl.DataFrame, frame: Frame) -> ProfileSet:
    """Profile the rows of each slice that a monitor of drift asks for by themselves."""
    import polars as pl

    profiles = {}
    for name in attributes_of(each for each in spec.monitors if isinstance(each, InputDrift)):
        named = pl.Series(_named(everything[name], _kept(holdout[name])))
        for value in named.unique().sort():
            rows = everything.filter(named == value)
            profiles[ProfileKey("", 0, group_name(name, value))] = profile(rows, frame)
    return ProfileSet(profiles)


def _strata(
    spec: ProductSpec, rows: Split, frame: Frame, answers: NDArray[np.float32]
) -> list[tuple[str, str]]:
    """Profile the rows of each weekday by themselves, by their event time in UTC."""
    import numpy as np
    import polars as pl

    if not any(isinstance(each, InputDrift | PredictionDrift) and each.strata for each in spec.monitors):
        return []
    day = pl.col(spec.data.event_time).dt.weekday()
    given = [column.name for column in spec.inputs if column.name in rows.holdout.columns]
    everything = pl.concat([each.select(day.alias("__day"), *given) for each in (rows.train, rows.holdout)])
    of_answers = rows.holdout.select(day).to_series().to_numpy()
    found = []
    for number in range(1, 8):
        inputs = profile(everything.filter(pl.col("__day") == number).drop("__day"), frame)
        answered = answers[(of_answers == number) & np.isfinite(answers)]
        found.append((inputs.to_json(), profile({PREDICTION: answered.astype(np.float64)}).to_json()))
    return found


def _attributions(
    spec: ProductSpec, model: Served, everything: pl.DataFrame, holdout: pl.DataFrame, timeout_s: float
) -> str:
    """Attribute rows of the hold-out, at even steps where there are many."""
    import numpy as np

    if not any(isinstance(each, AttributionDrift) for each in spec.monitors):
        return ""
    inputs = [*model.numbers, *model.texts]
    rows = holdout.select(inputs)[:: max(1, holdout.height // _ATTRIBUTED_ROWS)]
    usual = baseline_of(everything, inputs)
    with deadline(timeout_s):
        answered = model.predict(feed(model, ablated(rows, usual))).astype(np.float64)
    return table_of(answer_shares(spec.task, answered), usual, rows.height, 0, rows.height).to_json()


def _alone(spec: ProductSpec, rows: Split) -> dict[str, float]:
    """What each input tells of the outcome by itself."""
    metric = METRICS["r2" if isinstance(spec.task, Regression) else "roc_auc"]
    outcomes, learnt = rows.holdout[LABEL].to_numpy(), rows.train[LABEL].to_numpy()
    return {
        column.name: metric(
            outcomes, mean_outcomes(rows.train[column.name], learnt, rows.holdout[column.name])
        )
        for column in spec.inputs
    }


def _slices(spec: ProductSpec, holdout: pl.DataFrame) -> dict[str, NDArray[Any]]:
    wanted = {name for gate in spec.gates for name in getattr(gate, "slices", ())}
    return {name: holdout[name].to_numpy() for name in sorted(wanted)}


def _answers(
    package: str, rows: pl.DataFrame, blobs: BlobStore, *, allow_code: bool
) -> tuple[Served, NDArray[np.float32]]:
    """Ask a packaged model; a row that its signature refuses gets NaN, as a caller would get no answer."""
    import numpy as np

    packed = msgspec.json.decode(blobs.get(Digest(package)), type=Package)
    model = load(blobs.get(Digest(packed.artifact)), threads=2, allow_code=allow_code)
    answers = model.predict(feed(model, rows)).astype(np.float32)
    for column in packed.signature.inputs:
        if not column.nullable and rows[column.name].has_nulls():
            answers[rows[column.name].is_null().to_numpy()] = np.nan
    return model, answers


def _sample(model: Served, holdout: pl.DataFrame, answers: NDArray[np.float32]) -> Sample:
    step = max(1, holdout.height // _SAMPLE_ROWS)
    return Sample.of(feed(model, holdout[::step]), answers[::step])


def _text(evaluation: Evaluation) -> str:
    return msgspec.json.encode(evaluation.to_dict()).decode()
