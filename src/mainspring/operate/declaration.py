"""Product files: read one, say everything that is wrong with it, and give the declaration as values.

Only worker processes call this: it imports the user's code.
"""

from __future__ import annotations

__all__ = ["Loaded", "ProductFileInvalid", "describe", "load", "load_all"]

import importlib.util
import sys
import traceback
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import msgspec

from mainspring.clock import parse_duration
from mainspring.computed import ComputedFeatureSpec
from mainspring.contract import AFTER_OUTCOME, DatasetCheck, Distribution, References
from mainspring.data import columns_of, contract_digest
from mainspring.errors import Fault, Faults, Invalid, MainspringError
from mainspring.gates import METRICS
from mainspring.loop import quiet_faults, trigger_faults
from mainspring.metric import measured
from mainspring.monitoring.scores import GAPS, SCORE_METRICS
from mainspring.monitors import (
    AttributionDrift,
    AuditedQuality,
    ConceptDrift,
    DataQuality,
    Fairness,
    InputDrift,
    JointDrift,
    Monitor,
    Quality,
    ServingSkew,
    attributes_of,
)
from mainspring.operate.step_code import step_code
from mainspring.product import (
    AtLeast,
    ColumnSpec,
    Dataset,
    DatasetSpec,
    FeatureView,
    FeatureViewSpec,
    Mean,
    NoLeakage,
    NotWorseThan,
    Product,
    ProductSpec,
    Renamed,
    StepSpec,
)
from mainspring.ranking import LIST_METRICS, Lists
from mainspring.ref import InvalidName, check_name
from mainspring.rollouts.choice import strategy_faults
from mainspring.strategy import LOSSES, ABTest, Canary, Linear, Shadow
from mainspring.task import BinaryClassification, Regression
from mainspring.training import WEIGHT, ByGroup, Stratified, Weighted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

POLICY = (
    "retrain",
    "cool_down",
    "quiet_hours",
    "cycle_budget",
    "train_on",
    "refit",
    "monitors",
    "alarm_budget",
    "holdout",
    "gates",
    "rollout",
)
"""The fields of a product that say when and how it is made anew, and not what it is."""

_LET_IN = "Leave it out, or say that models may read it: ms.pii(as_input=True)."
_LONGEST_NAME = 50  # it is part of names of tables


class ProductFileInvalid(Invalid):
    """A product file that cannot be imported, or that declares no product."""

    def __init__(self, file: str, why: str) -> None:
        super().__init__(file, why)
        self.file, self.why = file, why

    def __str__(self) -> str:
        return f"Product file {self.file}: {self.why}"


def load(file: Path) -> tuple[Product, ...]:
    """Import a product file and give the products that it declares at its top level.

    The file's folder is importable meanwhile and afterwards, so that a product may be split over several files.

    Raises
    ------
    ProductFileInvalid
        It does not exist, does not import, or declares no product.
    """
    if not file.is_file():
        raise ProductFileInvalid(
            file.name, "there is no such file. To begin one, run `mainspring init NAME`."
        )
    folder = str(file.parent.resolve())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module = run(file, f"mainspring_product_{file.stem}")
    # By identity: a second name for one product does not declare another.
    products = tuple(
        {id(value): value for value in vars(module).values() if isinstance(value, Product)}.values()
    )
    if not products:
        raise ProductFileInvalid(
            file.name, "it declares no product: write `product = ms.Product(...)` at its top level."
        )
    return products


def run(file: Path, name: str) -> ModuleType:
    """Run a file of the user as the module of a name; raises `ProductFileInvalid` with the line at fault."""
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None, "a .py file has a loader"
    assert spec.loader is not None, "a .py file has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except MainspringError as error:
        raise ProductFileInvalid(file.name, f"line {_line(error, file)}: {error}") from error
    except SyntaxError as error:
        where = (
            "it" if error.filename in (None, str(file)) else f"{Path(error.filename).name}, which it imports,"
        )
        raise ProductFileInvalid(
            file.name, f"line {error.lineno}: {where} is no valid Python: {error.msg}."
        ) from error
    except (Exception, SystemExit) as error:  # whatever a user's module raises is told as one sentence
        raise ProductFileInvalid(
            file.name, f"line {_line(error, file)}: it does not import: {type(error).__name__}: {error}"
        ) from error
    return module


@dataclass(frozen=True, slots=True)
class Loaded:
    """The products of a workspace, and by its place below the folder what is wrong with each file that is refused."""

    products: tuple[tuple[Product, ProductSpec], ...]
    refused: Mapping[str, Exception]


def load_all(files: Sequence[Path], root: Path, policies: Path | None = None) -> Loaded:
    """Load and describe every product of a workspace, each with the policy that lies for it in `policies`, if any.

    A file that is at fault is refused as a whole, and keeps no other from being read. Of files that declare products or
    datasets of one name, none is taken.
    """
    found: dict[Path, list[Product]] = {}
    described: list[tuple[Product, ProductSpec]] = []
    refused: dict[Path, Exception] = {}
    for file in files:
        try:
            found[file] = [_with_policy(product, policies) for product in load(file)]
        except Exception as error:  # noqa: BLE001 - user code may raise anything
            refused[file] = error
    refused |= _clashes(found)
    for file in [each for each in found if each not in refused]:
        try:
            described += _described(found[file], file, root)
        except Exception as error:  # noqa: BLE001 - a declaration may hold anything
            refused[file] = error
    return Loaded(tuple(described), {_place(file, root): refused[file] for file in sorted(refused)})


def _clashes(found: Mapping[Path, Sequence[Product]]) -> dict[Path, Faults]:
    """What files have against each other: products of one name, and datasets of one name that differ."""
    faults: dict[Path, list[Fault]] = defaultdict(list)
    declared: dict[str, list[Path]] = defaultdict(list)
    datasets: dict[str, tuple[Dataset, Path]] = {}
    for file, products in found.items():
        for product in products:
            declared[product.name].append(file)
    for name, where in declared.items():
        if len(where) > 1:
            fault = Fault(
                f"product {name!r}",
                f"is declared {len(where)} times.",
                "Give each product a name of its own.",
            )
            for file in {*where}:
                faults[file].append(fault)
    for file, products in found.items():
        for dataset in (each for product in products for each in product.datasets):
            known, there = datasets.setdefault(dataset.name, (dataset, file))
            if known is not dataset:
                fault = Fault(
                    f"dataset {dataset.name!r}", "is declared twice.", "Declare it once and import it."
                )
                for each in {file, there}:
                    faults[each].append(fault)
    return {file: Faults("The workspace", tuple(each)) for file, each in faults.items()}


def _described(products: Sequence[Product], file: Path, root: Path) -> list[tuple[Product, ProductSpec]]:
    """Describe the products of one file; raises the `Faults` of all of them."""
    described: list[tuple[Product, ProductSpec]] = []
    refused: list[Faults] = []
    for product in products:
        try:
            described.append((product, describe(product, file, root)))
        except Faults as error:
            refused.append(error)
    if len(refused) > 1:
        told = [
            replace(fault, where=f"{each.subject}, {fault.where}")
            for each in refused
            for fault in each.faults
        ]
        raise Faults(f"Product file {file.name}", tuple(told))
    if refused:
        raise refused[0]
    return described


def _place(file: Path, root: Path) -> str:
    return str(file.resolve().relative_to(root.resolve()))


def _with_policy(product: Product, policies: Path | None) -> Product:
    file = policies / f"{product.name}.py" if policies else None
    if file is None or not file.is_file():
        return product
    return replace(product, **policy_of(run(file, f"mainspring_policy_{product.name}"), file.name))


def policy_of(module: ModuleType, file: str) -> dict[str, Any]:
    """Give the fields of a product that a policy sets, by name.

    What a policy file imports, defines as a function or a class, or names with an underscore in front is its own.

    Raises
    ------
    Faults
        Another name is no field that a policy may set, or it sets none.
    """
    own = {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, ModuleType | type) and not callable(value)
    }
    own.pop("annotations", None)  # of `from __future__ import annotations`
    faults = [
        Fault(
            name,
            "is nothing that a policy sets.",
            f"It may set {', '.join(POLICY)}; names of its own begin with _.",
        )
        for name in own
        if name not in POLICY
    ]
    if not own:
        faults = [Fault("file", "sets nothing.", f"A policy sets some of {', '.join(POLICY)}.")]
    if faults:
        raise Faults(f"Policy {file}", tuple(faults))
    return own


def describe(product: Product, file: Path, root: Path) -> ProductSpec:
    """Give a product as values.

    Parameters
    ----------
    product : Product
        As loaded.
    file : Path
        The file that declares it.
    root : Path
        The workspace's folder, below which code counts as the product's own.

    Raises
    ------
    Faults
        The declaration contradicts itself; every contradiction is told.
    """
    own = _dataset_spec(product.data)
    sources = {view.source.name: _dataset_spec(view.source) for view in product.features}
    faults = list(_faults(product, own, sources))
    if faults:
        raise Faults(f"Product {product.name!r} in {file.name}", tuple(faults))
    columns = _available(product, own, sources)
    spec = ProductSpec(
        name=product.name,
        file=_place(file, root),
        task=product.task,
        data=own,
        sources=tuple(spec for name, spec in sources.items() if name != own.name),
        inputs=tuple(columns[name] for name in product.inputs),
        steps=tuple(
            StepSpec(each.name, step_code(each.function, root), dict(each.params))
            for each in product.pipeline.steps
        ),
        gates=tuple(product.gates),
        metrics=tuple(measured(each, product.task) for each in product.metrics),
        features=tuple(
            FeatureViewSpec(
                view.name,
                view.source.name,
                view.entity,
                view.event_time,
                view.ttl,
                tuple(each.name if isinstance(each, Renamed) else each for each in view.features),
                view.online,
                _known_at(view, sources[view.source.name]),
                tuple(view.renamed.items()),
            )
            for view in product.features
        ),
        computed=tuple(
            ComputedFeatureSpec(each.name, each.inputs, step_code(each.function, root))
            for each in product.computed
        ),
        rollout=product.rollout,
        monitors=tuple(product.monitors),
        retrain=tuple(product.retrain),
        train_on=product.train_on,
        refit=product.refit,
        approval=product.approval,
        alarm_budget=product.alarm_budget,
        holdout=product.holdout,
        cool_down=product.cool_down,
        quiet_hours=tuple(product.quiet_hours),
        cycle_budget=product.cycle_budget,
        log_sample=product.log_sample,
        seed=product.seed,
        owners=tuple(product.owners),
        intended_use=product.intended_use,
        limits=product.limits,
        license=product.license,
    )
    try:
        return ProductSpec.from_json(spec.to_json())
    except msgspec.ValidationError as error:  # a value of another type than declared, such as "0.6" for 0.6
        what, _, where = str(error).partition(" - at ")
        fault = Fault(where.strip("`$."), f"{what[:1].lower()}{what[1:]}.")
        raise Faults(f"Product {product.name!r} in {file.name}", (fault,)) from None


def _computed_faults(product: Product, columns: Mapping[str, ColumnSpec]) -> Iterator[Fault]:
    known = {*product.inputs}
    for each in product.computed:
        where = f"computed, {each.name!r}"
        if each.name in columns or each.name in known:
            yield Fault(
                where, "has the name of a column or of another feature.", "Call its function otherwise."
            )
        for name in each.inputs:
            if name not in known:
                mend = "Name inputs of the product, or computed features that are declared before it."
                yield Fault(where, f"is computed from {name!r}, which is none.", mend)
        known.add(each.name)


def _dataset_spec(dataset: Dataset) -> DatasetSpec:
    return DatasetSpec(
        dataset.name,
        dataset.key_columns,
        dataset.event_time,
        dataset.known_at,
        dataset.quarantine,
        columns_of(dataset),
        tuple(dataset.checks),
        contract_digest(dataset),
    )


def _available(product: Product, own: DatasetSpec, sources: dict[str, DatasetSpec]) -> dict[str, ColumnSpec]:
    """Give every column that a model might use, the product's own first."""
    columns = {column.name: column for column in own.columns}
    for view in product.features:
        of_source = {column.name: column for column in sources[view.source.name].columns}
        for feature in view.features:
            if isinstance(feature, Mean):
                of = of_source.get(feature.column)
                hidden, why = (of.pii, of.forbidden) if of else ("", "")
                columns[feature.name] = ColumnSpec(
                    feature.name, "FP64", nullable=True, pii=hidden, forbidden=why
                )
            elif _column_of(feature) in of_source:
                of, name = of_source[_column_of(feature)], _name_of(feature)
                columns[name] = ColumnSpec(name, of.dtype, nullable=True, pii=of.pii, forbidden=of.forbidden)
    return columns


def _faults(product: Product, own: DatasetSpec, sources: dict[str, DatasetSpec]) -> Iterator[Fault]:
    try:
        check_name(product.name)
        if len(product.name) > _LONGEST_NAME:
            yield Fault("name", f"has {len(product.name)} characters, and {_LONGEST_NAME} are allowed.")
    except InvalidName as error:
        yield Fault("name", str(error))
    if not product.gates:
        yield Fault(
            "gates",
            "there are none, so every candidate would be promoted.",
            f'Add one, such as ms.AtLeast("{product.task.metrics[-1]}", 0.6).',
        )
    lists = product.task.lists
    of_lists = LIST_METRICS if lists else ()
    measures = (*product.task.metrics, *of_lists, *(each.name for each in product.metrics))
    if lists is not None:
        yield from _list_faults(lists, product, own)
    for gate in product.gates:
        if isinstance(gate, AtLeast | NotWorseThan) and gate.metric not in measures:
            kind = type(product.task).__name__
            mend = f"Use one of {', '.join(measures)}."
            yield Fault(f"gate {type(gate).__name__}", f"knows no metric {gate.metric!r} of {kind}.", mend)
        if isinstance(gate, AtLeast) and gate.metric in of_lists and gate.slices:
            yield Fault(
                "gate AtLeast", f"cannot ask slices for {gate.metric!r}.", "A list may have rows of several."
            )
        if isinstance(gate, NoLeakage):
            for name in sorted({*gate.known} - {*product.inputs}):
                yield Fault("gate NoLeakage", f"{name!r} is known and no input.", "Leave it out.")
            if {*product.inputs} <= {*gate.known}:
                yield Fault("gate NoLeakage", "has all inputs for known and asks nothing.", "Leave it out.")
        if isinstance(gate, NotWorseThan) and gate.alias != "champion":
            yield Fault("gate NotWorseThan", f"knows no {gate.alias!r}.", "Only 'champion' is measured too.")
    yield from _metric_faults(product)
    yield from _computed_faults(product, _available(product, own, sources))
    drawn = product.holdout if isinstance(product.holdout, ByGroup | Stratified) else None
    for name in ("cool_down",) if drawn else ("holdout", "cool_down"):
        try:
            parse_duration(str(getattr(product, name)))
        except Invalid as error:
            yield Fault(name, str(error))
    if isinstance(drawn, ByGroup):
        yield from _missing("holdout", own, (drawn.column,), f"is no column of dataset {own.name!r}.")
    if not 0 <= product.log_sample <= 1:
        yield Fault("log_sample", f"is {product.log_sample}, and a share lies between 0 and 1.")
    if isinstance(product.owners, str):
        yield Fault("owners", "is one text.", f"Write a list of them, such as [{product.owners!r}].")
    yield from trigger_faults(product.retrain, [each.name for each in (own, *sources.values())])
    yield from quiet_faults(product.quiet_hours)
    yield from _missing(
        f"dataset {own.name!r}",
        own,
        (*own.key, own.event_time, own.known_at or own.event_time),
        "is not in its schema.",
    )
    yield from _missing("label", own, (product.task.label,), f"is no column of dataset {own.name!r}.")
    kept = next((each.dtype for each in own.columns if each.name == product.task.label), "FP64")
    if isinstance(product.task, Regression) and not kept.startswith(("INT", "UINT", "FP")):
        mend = "Predict a number, or use ms.BinaryClassification."
        yield Fault("label", f"{product.task.label!r} is {kept}, and Regression predicts numbers.", mend)
    if own.known_at is None:
        yield Fault(
            f"dataset {own.name!r}",
            "does not say when a row's label was known.",
            "Set `known_at` to that column.",
        )
    for view in product.features:
        yield from _view_faults(view, own, sources[view.source.name])
    for dataset in product.datasets:
        yield from _check_faults(dataset, own if dataset.name == own.name else sources[dataset.name])
    columns = _available(product, own, sources)
    of_views = {name for view in product.features for name in _names(view)}
    for name, count in Counter(
        [*(c.name for c in own.columns), *(n for v in product.features for n in _names(v))]
    ).items():
        if count > 1 and name in product.inputs:
            yield Fault(f"input {name!r}", "is given by two tables.", "Name the feature otherwise.")
    for name in product.inputs:
        if name not in columns:
            yield Fault(
                f"input {name!r}",
                f"is no column of dataset {own.name!r} and no feature of a view.",
                f"There are: {', '.join(sorted(columns))}.",
            )
        elif name == product.task.label or (name not in of_views and columns[name].known_at is not None):
            when = columns[name].known_at or own.known_at
            yield Fault(
                f"input {name!r}",
                "is only known after the outcome."
                if when == AFTER_OUTCOME
                else f"is only known at {when!r}, after the prediction is asked.",
                "A model that used it would look good in training and could not be served: leave it out.",
            )
        elif columns[name].forbidden:
            yield Fault(
                f"input {name!r}",
                f"is declared as one that no model may use: {columns[name].forbidden}.",
                _LET_IN if columns[name].pii else "Leave it out.",
            )
        if name == WEIGHT and isinstance(product.train_on, Weighted):
            yield Fault(
                f"input {name!r}", "has the name of the weights that train_on gives.", "Name it otherwise."
            )
    if not product.inputs:
        yield Fault("inputs", "there are none, so the model could use nothing.")
    yield from strategy_faults(product.rollout, product.inputs, columns, product.task.losses)
    for monitor in product.monitors:
        yield from _monitor_faults(monitor, product, columns)
        if isinstance(monitor, ServingSkew) and not of_views.intersection(product.inputs):
            mend = "Leave it out, or join a view."
            yield Fault("ServingSkew", "has nothing to compare: no input is a feature of a view.", mend)
    for name, count in Counter(each.name for each in product.monitors).items():
        if count > 1:
            yield Fault(f"monitor {name}", f"is declared {count} times.", "Each needs a name of its own.")
    for gate in product.gates:
        for name in gate.slices if isinstance(gate, AtLeast) else ():
            if name not in product.inputs:
                yield Fault(f"gate AtLeast slices {name!r}", "is no input.")


def _list_faults(lists: Lists, product: Product, own: DatasetSpec) -> Iterator[Fault]:
    yield from _missing("lists", own, (lists.column,), f"is no column of dataset {own.name!r}.")
    if product.log_sample != 1:
        yield Fault(
            "log_sample", "is below 1, so that lists would lack rows.", "Log all rows, or drop lists."
        )
    strategy = product.rollout.then if isinstance(product.rollout, Shadow) else product.rollout
    if isinstance(strategy, Canary | Linear | ABTest) and strategy.split_by is None:
        yield Fault(
            "rollout",
            "splits requests row by row, so that several versions would answer one list.",
            "Name a split_by that the rows of a list have in common.",
        )


def _metric_faults(product: Product) -> Iterator[Fault]:
    strategy = product.rollout.then if isinstance(product.rollout, Shadow) else product.rollout
    compared = {getattr(each, "metric", "") for each in (*strategy.guards, getattr(strategy, "goal", None))}
    for name, count in Counter(each.name for each in product.metrics).items():
        if count > 1:
            yield Fault(f"metric {name!r}", f"is declared {count} times.", "Each needs a name of its own.")
        if name in {*METRICS, *SCORE_METRICS, *LOSSES, *LIST_METRICS}:
            mend = "Name it otherwise, or leave it out."
            yield Fault(f"metric {name!r}", "is the name of one that every product has.", mend)
        if name in compared:
            mend = "Give what callers report a name of its own, or compare by a loss of the task."
            yield Fault(f"metric {name!r}", "is named by the rollout, which knows what callers report.", mend)


def _monitor_faults(monitor: Monitor, product: Product, columns: Mapping[str, ColumnSpec]) -> Iterator[Fault]:
    where, task, inputs = type(monitor).__name__, product.task, product.inputs
    metric, known = getattr(monitor, "metric", None), _watched_metrics(monitor, product)
    if metric is not None and metric not in known:
        yield Fault(where, f"cannot watch {metric!r}.", f"Use one of {', '.join(known)}.")
    if isinstance(monitor, ConceptDrift) and isinstance(task, Regression):
        mend = 'Use Quality("mae"), which rises with it.'
        yield Fault(where, "looks at outcomes of equal probability, and Regression has none.", mend)
    for name in attributes_of([monitor]):
        if name not in inputs:
            yield Fault(f"{where} slices {name!r}", "is no input, so no prediction is logged with it.")
        elif name in columns and columns[name].pii:
            yield Fault(
                f"{where} slices {name!r}",
                "is declared ms.pii(), so its values are not in the log.",
                "Watch a coarser input in its place, such as a region or an age band.",
            )
    if isinstance(monitor, InputDrift | JointDrift | AttributionDrift | DataQuality):
        for name in monitor.ignore:
            if name not in inputs:
                yield Fault(f"{where} ignore {name!r}", "is no input, so there is nothing to ignore.")


def _watched_metrics(monitor: Monitor, product: Product) -> tuple[str, ...]:
    """Metrics that a monitor can watch: of a sliced, stratified or audited one those that score tables give."""
    task, own = product.task, [each.name for each in product.metrics]
    if isinstance(monitor, Fairness):
        return tuple(each for each in GAPS if (each == "mae") == isinstance(task, Regression))
    sliced = isinstance(monitor, AuditedQuality) or (
        isinstance(monitor, Quality) and bool(monitor.slices or monitor.strata)
    )
    if isinstance(task, BinaryClassification):
        whole = isinstance(monitor, Quality) and not monitor.strata
        of_lists = LIST_METRICS if task.lists and whole else ()
        return (*(each for each in SCORE_METRICS if each not in Regression.losses), *of_lists, *own)
    return (*(each for each in task.losses if not sliced or each in SCORE_METRICS), *own)


def _view_faults(view: FeatureView, own: DatasetSpec, source: DatasetSpec) -> Iterator[Fault]:
    where, entity = f"feature view {view.name!r}", view.source_entity or view.entity
    known_at = _known_at(view, source)
    read = [entity, view.event_time, *([known_at] if known_at else [])]
    wanted = [entity, view.event_time, *map(_column_of, view.features)]
    for name in view.renamed:
        if name in {*read, *(each.column for each in view.features if isinstance(each, Mean))} - {entity}:
            mend = "Name the feature otherwise."
            yield Fault(where, f"calls a feature {name!r}, as its source does a column that it reads.", mend)
    yield from _missing(where, source, wanted, f"is no column of its source {source.name!r}.")
    yield from _missing(where, own, (view.entity,), f"is no column of dataset {own.name!r}.")
    columns = {column.name: column for column in source.columns}
    for name in wanted[2:]:
        known = columns[name].known_at if name in columns else None
        if name in columns and (why := columns[name].forbidden):
            mend = _LET_IN if columns[name].pii else "Leave it out."
            yield Fault(where, f"uses {name!r}, which is declared as one that no model may use: {why}.", mend)
        if known == AFTER_OUTCOME:
            yield Fault(where, f"uses {name!r}, which is only known after the outcome.", "Leave it out.")
        elif known is not None and known not in (view.event_time, known_at) and not view.hindsight:
            yield Fault(
                where,
                f"uses {name!r}, which is only known at {known!r}, as if it were known at {view.event_time!r}.",
                f"Set its event_time, or the known_at of its source, to {known!r}.",
            )
    if view.online:
        for mean in (each for each in view.features if isinstance(each, Mean)):
            yield Fault(
                where,
                f"is online, and its feature {mean.name!r} is a mean over {mean.over}, new at every moment.",
                "Leave `online` out, or declare the means as a view of their own.",
            )
        asked = next((column for column in own.columns if column.name == view.entity), None)
        kept = columns.get(entity)
        if kept is not None and kept.dtype == "TIMESTAMP":
            yield Fault(
                where,
                f"is online, and its entity {entity!r} is a moment.",
                "Name a column that says who or what.",
            )
        elif asked is not None and kept is not None and asked.dtype != kept.dtype:
            yield Fault(
                where,
                f"is online, and its entity {entity!r} is {kept.dtype} in its source, and {view.entity!r} is "
                f"{asked.dtype} in dataset {own.name!r}.",
                "Make them one type: no value of one would be found in the other.",
            )


def _check_faults(dataset: Dataset, spec: DatasetSpec) -> Iterator[Fault]:
    where, have = f"dataset {dataset.name!r}", {column.name for column in spec.columns}
    for check in dataset.checks:
        if not isinstance(check, DatasetCheck):
            mend = "Use ms.RowChange, ms.SchemaEvolution, ms.Distribution, ms.References or ms.Freshness."
            yield Fault(where, f"has the check {check!r}, which is none.", mend)
            continue
        named = check.columns if isinstance(check, Distribution) else ()
        for name in (check.column,) if isinstance(check, References) else named:
            if name not in have:
                kind = type(check).__name__
                yield Fault(
                    where, f"checks {kind} of {name!r}, which is no column.", "Name one of its schema."
                )
    for check, count in Counter(spec.checks).items():
        if count > 1:
            yield Fault(where, f"has the check {check!r} {count} times.", "Leave all but one out.")


def _known_at(view: FeatureView, source: DatasetSpec) -> str | None:
    """The source's column with the moment at which a view's values became known; None where it is the event time.

    What columns say of themselves goes first: that a flight has left is known before its row is closed.
    """
    if view.hindsight:
        return None
    columns = {column.name: column for column in source.columns}
    own = {columns[name].known_at for name in map(_column_of, view.features) if name in columns}
    known_at = own.pop() if len(own) == 1 and None not in own else source.known_at
    return None if known_at == view.event_time else known_at


def _column_of(feature: str | Renamed | Mean) -> str:
    """Name the source's column that a feature is made of."""
    return feature if isinstance(feature, str) else feature.column


def _name_of(feature: str | Renamed | Mean) -> str:
    return feature if isinstance(feature, str) else feature.name


def _names(view: FeatureView) -> list[str]:
    return [*map(_name_of, view.features)]


def _missing(where: str, spec: DatasetSpec, names: Sequence[str], why: str) -> Iterator[Fault]:
    have = {column.name for column in spec.columns}
    for name in dict.fromkeys(names):
        if name not in have:
            yield Fault(where, f"{name!r} {why}", f"It has: {', '.join(sorted(have))}.")


def _line(error: BaseException, file: Path) -> int | str:
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file
    ]
    return lines[-1] or "?" if lines else "?"
