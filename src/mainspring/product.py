"""The declaration of a model as a product: values only, nothing here reads, runs or registers anything.

`Product` and what a product file builds it from may hold functions and schema classes. `ProductSpec` is what is
left when those are replaced by their names and digests; it travels between processes and is kept as JSON, so that
the control plane and the gateway never import a user's code.
"""

from __future__ import annotations

__all__ = [
    "AtLeast",
    "ColumnSpec",
    "Dataset",
    "DatasetSpec",
    "FeatureView",
    "FeatureViewSpec",
    "Gate",
    "Mean",
    "NoLeakage",
    "NotWorseThan",
    "Pipeline",
    "Product",
    "ProductSpec",
    "Renamed",
    "Servable",
    "Step",
    "StepSpec",
    "step",
]

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import msgspec

from mainspring.approval import ApprovalPolicy
from mainspring.clock import parse_duration
from mainspring.computed import ComputedFeature, ComputedFeatureSpec
from mainspring.contract import DatasetCheck
from mainspring.declared import Value, need, need_margin
from mainspring.digest import Digest, digest_of
from mainspring.errors import Invalid
from mainspring.metric import Metric, MetricSpec
from mainspring.monitors import FalseAlarms, Monitor
from mainspring.ref import check_name
from mainspring.strategy import Canary, Strategy
from mainspring.task import Task
from mainspring.training import AllHistory, Holdout, TrainOn
from mainspring.triggers import CycleBudget, OnDemand, OnNewData, QuietHours, Trigger

ParamValue: TypeAlias = str | int | float | bool | None


# --- data --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Dataset:
    """A named table that grows by batches; each accepted batch makes an immutable, validated version.

    Attributes
    ----------
    name : str
        Unique in a workspace.
    key : str or sequence of str
        The columns that name a row. A batch with a null or repeated key is refused.
    event_time : str
        The column with the moment that a row is about: for a product's own dataset the moment of prediction.
    schema : pandera DataFrameModel
        What every row must satisfy.
    known_at : str, optional
        The column with the moment at which the row's outcome was known. Training never sees a row before it.
    quarantine : float
        The greatest share of a batch's rows that may be set aside because they break a check; above it the whole
        batch is refused.
    checks : sequence of DatasetCheck
        What each version must satisfy beside the one before, and beside other datasets.
    """

    name: str
    key: str | Sequence[str]
    event_time: str
    schema: Any
    known_at: str | None = None
    quarantine: float = 0.01
    checks: Sequence[DatasetCheck] = ()

    def __post_init__(self) -> None:
        check_name(self.name)
        of = f"The quarantine of dataset {self.name!r}"
        need(0 <= self.quarantine <= 1, of, self.quarantine, "a share of rows lies between 0 and 1")

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The key, always as a tuple."""
        return (self.key,) if isinstance(self.key, str) else tuple(self.key)


class Mean(Value, frozen=True):
    """The mean of a view's column over the window that ends at the moment of prediction.

    Attributes
    ----------
    column : str
        The column of the view's source.
    over : str
        The window's length, such as `3h`.
    name : str
        The feature's name.
    """

    column: str
    over: str
    name: str

    def __post_init__(self) -> None:
        parse_duration(self.over)


class Renamed(Value, frozen=True):
    """A column of a view's source under another name, such as the weather at the destination beside that at the origin.

    Attributes
    ----------
    column : str
        As the source calls it.
    name : str
        The feature's name.
    """

    column: str
    name: str


@dataclass(frozen=True, slots=True)
class FeatureView:
    """Features of an entity, looked up as they were known at the moment of prediction.

    Attributes
    ----------
    name : str
        Unique in a product.
    source : Dataset
        Where the values come from.
    entity : str
        The column of the product's dataset that says whose features these are.
    event_time : str
        The source's column with the moment that the values are of.
    ttl : str
        How old a value may be and still be used.
    features : sequence of str, Renamed or Mean
        Columns taken from the newest row, by their own name or another, and aggregates over a window.
    hindsight : bool
        Whether a row is used from its event time on although its source says that it became known later: at the
        `ms.known_at` of the columns that features are made of, or where they have none of their own, or several, at the
        source's `known_at`. Without it a model learns from nothing that was not known at the moment of prediction.
    online : bool or "store"
        Whether a caller may send the entity in place of the features: the gateway then looks them up, in its own
        memory, or with "store" in the online store, which takes rows as they come and holds more entities than fit
        into memory. Not for means, which have no one value per entity.
    source_entity : str, optional
        The source's column that says whose row it is, where it is not named as `entity`.
    """

    name: str
    source: Dataset
    entity: str
    event_time: str
    ttl: str
    features: Sequence[str | Renamed | Mean]
    online: bool | Literal["store"] = False
    hindsight: bool = False
    source_entity: str | None = None

    @property
    def renamed(self) -> dict[str, str]:
        """What is named otherwise than in the source, by its name here."""
        features = {each.name: each.column for each in self.features if isinstance(each, Renamed)}
        return features if self.source_entity is None else {self.entity: self.source_entity, **features}

    def __post_init__(self) -> None:
        check_name(self.name)
        parse_duration(self.ttl)
        of = f"The `online` of feature view {self.name!r}"
        need(
            isinstance(self.online, bool) or self.online == "store",
            of,
            self.online,
            'it is True, False or "store"',
        )


# --- steps -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """A function of a pipeline: the first argument is the output of the step before, the others are params."""

    name: str
    function: Callable[..., Any]
    params: Mapping[str, ParamValue]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function itself, as a test would."""
        return self.function(*args, **kwargs)


def step(function: Callable[..., Any]) -> Step:
    """Declare a function as a step of a pipeline.

    Parameters
    ----------
    function : callable
        Takes one positional argument, the output of the step before (for the first step the training examples), and
        keyword-only params, each with a default of type str, int, float, bool or None. A param named `seed` receives
        the run's seed.

    Returns
    -------
    Step

    Raises
    ------
    Invalid
        The function's arguments have another form.

    Examples
    --------
    >>> @step
    ... def train(examples, *, learning_rate=0.1): ...
    >>> train.params
    {'learning_rate': 0.1}
    """
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or parameters[0].kind not in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    ):
        raise Invalid(
            f"Step {function.__name__!r} takes no input: its first argument is what the step before gives."
        )
    params: dict[str, ParamValue] = {}
    for parameter in parameters[1:]:
        if (
            parameter.kind is not inspect.Parameter.KEYWORD_ONLY
            or parameter.default is inspect.Parameter.empty
        ):
            raise Invalid(
                f"Param {parameter.name!r} of step {function.__name__!r} must be keyword-only with a default: "
                f"write `def {function.__name__}({parameters[0].name}, *, {parameter.name}=...)`."
            )
        if not isinstance(parameter.default, str | int | float | bool | None):
            raise Invalid(
                f"Param {parameter.name!r} of step {function.__name__!r} has a default of type "
                f"{type(parameter.default).__name__}: use str, int, float, bool or None, which can be recorded."
            )
        params[parameter.name] = parameter.default
    return Step(function.__name__, function, params)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Steps in a row, from training examples to a fitted model."""

    steps: Sequence[Step]

    def __post_init__(self) -> None:
        names = [each.name for each in self.steps]
        if not names or len(set(names)) != len(names):
            raise Invalid(
                f"A pipeline needs at least one step, each with a name of its own; this one has {names}."
            )


# --- gates -------------------------------------------------------------------------------------------------------


class AtLeast(Value, frozen=True):
    """A floor: the metric on the hold-out must reach `value`, overall or on every slice.

    Slices with fewer than `pool_below` rows are judged together, as one slice named `other`.
    """

    metric: str
    value: float
    slices: tuple[str, ...] = ()
    pool_below: int = 0

    def __post_init__(self) -> None:
        need(math.isfinite(self.value), f"The floor of {self.metric}", self.value, "it must be a number")
        need(self.pool_below >= 0, "pool_below", self.pool_below, "rows are counted from 0")


class NotWorseThan(Value, frozen=True):
    """The metric on the hold-out may be worse than that of the version behind `alias` by at most `margin`."""

    alias: str
    metric: str
    margin: float = 0.0

    def __post_init__(self) -> None:
        need_margin("NotWorseThan", self.margin)


class Servable(Value, frozen=True):
    """The packaged model answers alike in a clean process, within a latency for one row."""

    p99_ms: float

    def __post_init__(self) -> None:
        need(0 < self.p99_ms < math.inf, "A latency to keep", self.p99_ms, "it must be above 0 ms")


class NoLeakage(Value, frozen=True):
    """No input by itself tells the outcome, which would be too good to be true.

    An input's score is what the mean outcome of its values, learnt on the training rows, is worth on the hold-out: its
    area under the ROC curve, of numbers the share of their variance that it explains.

    Attributes
    ----------
    below : float
        What the score of every input must be below.
    known : sequence of str
        Inputs that may well tell so much, since they are known when a prediction is asked.
    """

    below: float = 0.98
    known: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        need(0 < self.below <= 1, "The limit of NoLeakage", self.below, "a score lies between 0 and 1")


Gate: TypeAlias = AtLeast | NotWorseThan | Servable | NoLeakage


# --- the product -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Product:
    """A model operated as a product.

    Attributes
    ----------
    name : str
        Unique in a workspace; the model's name at the gateway.
    task : Task
        What is predicted: `BinaryClassification` or `Regression`.
    data : Dataset
        One row per prediction that might have been asked.
    inputs : sequence of str
        What the model may use: columns of the dataset and features of the views. A caller sends these; in place of the
        features of a view that is online, its entity will do.
    pipeline : Pipeline
        From examples to a fitted model.
    gates : sequence of Gate
        What a candidate must pass; at least one.
    metrics : sequence of Metric
        The product's own, which gates and monitors may name as they name others.
    features : sequence of FeatureView
        Features joined to the rows as of their event time.
    computed : sequence of ComputedFeature
        Features that functions compute from the inputs, for training and for each request. They are no inputs: steps
        find them among the examples, and nobody sends them. A model that reads one is served with the functions, in a
        process of its own; the operator must allow that, as for any code.
    rollout : Strategy
        How a judged version takes over.
    monitors : sequence of Monitor
        What is watched.
    retrain : sequence of Trigger
        What starts a cycle: where nothing is declared a person, and data that have grown by a fifth since the last.
    train_on : TrainOn
        Which rows a cycle trains on; it is judged on the newest ones in any case.
    refit : bool
        Whether a candidate that has passed is made once more from all rows, those of the hold-out among them, before it
        is registered. What is judged, and what monitors compare with, is the candidate as it was before.
    approval : ApprovalPolicy, optional
        Who must approve a version before it is rolled out.
    alarm_budget : FalseAlarms
        Shared among the monitors.
    holdout : str, ByGroup or Stratified
        How much of the newest labelled event time is kept for judging; or which groups, or what share of the rows of
        every outcome.
    cool_down : str
        How long after a cycle has started no trigger but a person's starts another.
    quiet_hours : sequence of QuietHours
        When no trigger but a person's starts one.
    cycle_budget : CycleBudget, optional
        How many cycles the triggers may spend.
    log_sample : float
        The share of units whose predictions are logged. It is a share of units, so that every prediction of one is in
        the log with its labels, or none. The others are answered, and count nowhere: no monitor, guard or quality sees
        them.
    seed : int
        Pins every random choice of a run.
    owners : sequence of str
        Who answers for it: people, teams or addresses. It stands on the card of every version that is registered, as do
        the next three, and can be edited there.
    intended_use, limits, license : str
        What it is for, what it is not for or cannot do, and under which license it is; in Markdown.
    """

    name: str
    task: Task
    data: Dataset
    inputs: Sequence[str]
    pipeline: Pipeline
    gates: Sequence[Gate]
    metrics: Sequence[Metric] = ()
    features: Sequence[FeatureView] = ()
    computed: Sequence[ComputedFeature] = ()
    rollout: Strategy = field(default_factory=Canary)
    monitors: Sequence[Monitor] = ()
    retrain: Sequence[Trigger] = (OnDemand(), OnNewData(grown=0.2))
    train_on: TrainOn = field(default_factory=AllHistory)
    alarm_budget: FalseAlarms = field(default_factory=FalseAlarms)
    holdout: Holdout = "10d"
    cool_down: str = "7d"
    quiet_hours: Sequence[QuietHours] = ()
    cycle_budget: CycleBudget | None = None
    log_sample: float = 1.0
    seed: int = 0
    refit: bool = False
    approval: ApprovalPolicy | None = None
    owners: Sequence[str] = ()
    intended_use: str = ""
    limits: str = ""
    license: str = ""

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """Every dataset that the product reads, its own first, each once."""
        return tuple(
            {each.name: each for each in (self.data, *(view.source for view in self.features))}.values()
        )


# --- what is left of it without code ------------------------------------------------------------------------------


class ColumnSpec(Value, frozen=True):
    """A column of a dataset's schema; `dtype` is an Open Inference Protocol name or `TIMESTAMP`.

    `pii` says what the prediction log does with its values: it leaves them out, or hashes them under a key;
    `forbidden` why no model may use it, empty where one may.
    """

    name: str
    dtype: str
    nullable: bool
    known_at: str | None = None
    pii: Literal["", "drop", "hash"] = ""
    forbidden: str = ""


class DatasetSpec(Value, frozen=True):
    """A dataset without its schema class; `contract` is the digest of all that its rows must satisfy."""

    name: str
    key: tuple[str, ...]
    event_time: str
    known_at: str | None
    quarantine: float
    columns: tuple[ColumnSpec, ...]
    checks: tuple[DatasetCheck, ...] = ()
    contract: str = ""


class FeatureViewSpec(Value, frozen=True):
    """A feature view with its source's name; `known_at` is None where a row is known at its event time.

    `renamed` has pairs of a name here, of the entity or a feature, and the source's name of it where that is another.
    """

    name: str
    source: str
    entity: str
    event_time: str
    ttl: str
    features: tuple[str | Mean, ...]
    online: bool | Literal["store"] = False
    known_at: str | None = None
    renamed: tuple[tuple[str, str], ...] = ()

    @property
    def source_entity(self) -> str:
        """The source's column that says whose row it is."""
        return self.source_column(self.entity)

    def source_column(self, name: str) -> str:
        """Name the source's column of the entity, of a feature that is one, or of a time."""
        return dict(self.renamed).get(name, name)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the features, in order."""
        return tuple(each if isinstance(each, str) else each.name for each in self.features)


class StepSpec(Value, frozen=True):
    """A step without its function: `code` is the digest of the function and what it uses of the product's files."""

    name: str
    code: str
    params: dict[str, ParamValue]


class ProductSpec(Value, frozen=True, kw_only=True):
    """A product as values: what the control plane and the gateway know of it."""

    name: str
    file: str
    task: Task
    data: DatasetSpec
    sources: tuple[DatasetSpec, ...]
    inputs: tuple[ColumnSpec, ...]
    steps: tuple[StepSpec, ...]
    gates: tuple[Gate, ...]
    features: tuple[FeatureViewSpec, ...]
    rollout: Strategy
    monitors: tuple[Monitor, ...]
    retrain: tuple[Trigger, ...]
    alarm_budget: FalseAlarms
    holdout: Holdout
    cool_down: str
    seed: int
    log_sample: float = 1.0
    quiet_hours: tuple[QuietHours, ...] = ()
    cycle_budget: CycleBudget | None = None
    train_on: TrainOn = AllHistory()
    refit: bool = False
    metrics: tuple[MetricSpec, ...] = ()
    computed: tuple[ComputedFeatureSpec, ...] = ()
    approval: ApprovalPolicy | None = None
    owners: tuple[str, ...] = ()
    intended_use: str = ""
    limits: str = ""
    license: str = ""

    def to_json(self) -> str:
        """Text that `from_json` reads back to an equal value."""
        return msgspec.json.encode(self, order="deterministic").decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> ProductSpec:
        """Read what `to_json` wrote."""
        return msgspec.json.decode(text, type=cls)

    @property
    def digest(self) -> Digest:
        """The declaration's content address."""
        return digest_of(self.to_json().encode())

    @property
    def datasets(self) -> tuple[DatasetSpec, ...]:
        """Every dataset that the product reads, its own first."""
        return (self.data, *self.sources)

    @property
    def online(self) -> tuple[FeatureViewSpec, ...]:
        """The views that the gateway looks up, each with those of its features that are inputs."""
        inputs = {each.name for each in self.inputs}
        used = [
            msgspec.structs.replace(view, features=tuple(each for each in view.features if each in inputs))
            for view in self.features
            if view.online
        ]
        return tuple(view for view in used if view.features)

    @property
    def entities(self) -> tuple[ColumnSpec, ...]:
        """The columns that say whose features to look up, as far as they are no inputs."""
        named = {view.entity for view in self.online} - {each.name for each in self.inputs}
        return tuple(each for each in self.data.columns if each.name in named)
