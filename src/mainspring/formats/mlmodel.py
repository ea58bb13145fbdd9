"""Models as MLflow's clients log them: which of a folder's files holds the model, and what must be known to ask it.

MLflow writes `MLmodel`, a YAML file that names each library whose form the folder has [1]_. Of those forms, boosters'
own files and skops' run nothing when they are read. A pickle runs whatever its writer wished.

References
----------
.. [1] MLflow, "Models": storage format, and the flavors `lightgbm`, `xgboost` and `sklearn`.
"""

from __future__ import annotations

__all__ = [
    "LARGEST_MLMODEL",
    "MLMODEL",
    "LoggedForm",
    "PickleNotAllowed",
    "Unofferable",
    "fitted_from",
    "form_of",
]

import json
import pickle
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from mainspring.errors import Fault, Faults, Refused
from mainspring.formats.fitted import Fitted
from mainspring.formats.native import Format, format_named, format_of
from mainspring.task import Regression

if TYPE_CHECKING:
    import polars as pl

    from mainspring.task import Task

MLMODEL = "MLmodel"
"""The file that says what a folder holds."""

LARGEST_MLMODEL = 2**20
"""Bytes; no client writes a tenth of it."""

_LIBRARIES = ("lightgbm", "xgboost", "sklearn")
_HOW = "Log it with `mlflow.lightgbm`, `mlflow.xgboost` or `mlflow.sklearn`."
_COUNTED = re.compile(r"Column_\d+")  # how LightGBM calls columns that have no names


class Unofferable(Faults):
    """A logged model that no product can take; every reason is told."""


class PickleNotAllowed(Refused):
    """A pickle, where the operator has not allowed the product's models to run code."""

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self.file = file

    def __str__(self) -> str:
        return (
            f"The model is a pickle, {self.file}, and to read it runs whatever its writer wished. Log it with "
            '`serialization_format="skops"`; or, if you trust all who can log here, name the product in '
            'mainspring.toml: allow_code = "NAME", or several with commas between them.'
        )


class LoggedForm(msgspec.Struct, frozen=True):
    """The form in which a logged model is read.

    Attributes
    ----------
    library : str
        `lightgbm`, `xgboost` or `sklearn`: whose flavor the client has logged.
    file : str
        The file that holds the model, below the model's folder.
    kind : str
        `own` for a booster's own file, `skops`, or `pickle`.
    wrapped : bool
        Whether it was logged from the library's scikit-learn interface.
    columns : tuple of str
        The inputs that the model's signature names, in order; none where it names none.
    """

    library: Literal["lightgbm", "xgboost", "sklearn"]
    file: str
    kind: Literal["own", "skops", "pickle"]
    wrapped: bool
    columns: tuple[str, ...]


class _Flavor(msgspec.Struct, frozen=True):
    data: str = ""
    pickled_model: str = ""
    model_class: str = ""


class _Flavors(msgspec.Struct, frozen=True):
    lightgbm: _Flavor | None = None
    xgboost: _Flavor | None = None
    sklearn: _Flavor | None = None


class _Signature(msgspec.Struct, frozen=True):
    inputs: str | None = None


class _MLmodel(msgspec.Struct, frozen=True):
    flavors: _Flavors
    signature: _Signature | None = None


class _Named(msgspec.Struct, frozen=True):
    name: str = ""


def form_of(content: bytes) -> LoggedForm:
    """Choose the form in which a logged model is read.

    Parameters
    ----------
    content : bytes
        Of the folder's `MLmodel`.

    Raises
    ------
    Unofferable
        It is no such file, or has none of the forms that can be read.

    Examples
    --------
    >>> form_of(b"flavors: {xgboost: {data: model.ubj, model_class: xgboost.core.Booster}}").file
    'model.ubj'
    """
    try:
        described = msgspec.yaml.decode(content, type=_MLmodel)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _unofferable(MLMODEL, f"it does not read as MLflow writes it: {error}"[:300]) from error
    for library in _LIBRARIES:
        flavor: _Flavor | None = getattr(described.flavors, library)
        file = "" if flavor is None else flavor.data or flavor.pickled_model
        if flavor is not None and file:
            kind = _kind(library, file)
            wrapped = library == "sklearn" or ".sklearn." in flavor.model_class
            columns = _columns(described.signature)
            return LoggedForm(library, file, kind, wrapped, columns)  # type: ignore[arg-type]  # one of _LIBRARIES
    raise _unofferable(MLMODEL, f"it names no flavor of {', '.join(_LIBRARIES)}.", _HOW)


def fitted_from(
    form: LoggedForm, content: bytes, rows: pl.DataFrame, task: Task, *, allow_code: bool = False
) -> Fitted:
    """Read a logged model, with what is needed to ask it.

    Parameters
    ----------
    form : LoggedForm
    content : bytes
        Of the form's file.
    rows : polars.DataFrame
        Rows of the product's data, with its inputs; they tell which inputs are texts.
    task : Task
        The product's: the classes of a classifier must be those that it asks about.
    allow_code : bool
        Whether the operator allows the product's models to run code when they are read, as a pickle may.

    Raises
    ------
    PickleNotAllowed
        It is a pickle, and that is not allowed.
    Unofferable
        It cannot be read, names no inputs, has other classes, or reads texts that it has no categories of.
    """
    if form.kind == "pickle" and not allow_code:
        raise PickleNotAllowed(form.file)
    described = format_named(form.library)
    try:
        model = pickle.loads(content) if form.kind == "pickle" else _load(form, content, described)
    except Faults:
        raise
    except Exception as error:  # each library has errors of its own, and a pickle may raise anything
        raise _unofferable(form.file, f"it cannot be read: {type(error).__name__}: {error}"[:500]) from error
    if format_of(model) not in _LIBRARIES:
        raise _unofferable(form.file, f"it holds a {type(model).__name__}.", _HOW)
    inputs = _names(model) or form.columns
    encodings = _encodings(model, inputs)
    model = _as_it_answers(form, model)
    if faults := (*_class_faults(model, task), *_input_faults(model, inputs, encodings, rows)):
        raise Unofferable("The offered model", faults)
    return Fitted(model=model, inputs=inputs, encodings=encodings)


def _unofferable(where: str, what: str, mend: str = "") -> Unofferable:
    return Unofferable("The offered model", (Fault(where, what, mend),))


def _kind(library: str, file: str) -> Literal["own", "skops", "pickle"]:
    if file.endswith(".skops"):
        return "skops"
    return "pickle" if library == "sklearn" or file.endswith((".pkl", ".pickle")) else "own"


def _columns(signature: _Signature | None) -> tuple[str, ...]:
    if signature is None or signature.inputs is None:
        return ()
    try:
        columns = msgspec.json.decode(signature.inputs, type=tuple[_Named, ...])
    except msgspec.MsgspecError as error:
        raise _unofferable(
            f"{MLMODEL}, signature", f"it does not read as MLflow writes it: {error}"
        ) from error
    return tuple(each.name for each in columns) if all(each.name for each in columns) else ()


def _load(form: LoggedForm, content: bytes, described: Format) -> Any:
    if form.kind == "skops":
        return format_named("sklearn").load(content)
    return described.load(content)


def _as_it_answers(form: LoggedForm, model: Any) -> Any:
    """The booster that XGBoost's scikit-learn interface asks: up to its best round, where it has stopped early."""
    early = form.library == "xgboost" and form.kind == "own" and form.wrapped
    if not early or model.attr("best_iteration") is None:
        return model
    return model[: model.best_iteration + 1]  # which forgets the categories


def _booster(model: Any) -> Any:
    """The booster that a model is or has; None for scikit-learn's own."""
    if hasattr(model, "get_booster"):
        return model.get_booster()
    return getattr(model, "booster_", model if format_of(model) != "sklearn" else None)


def _names(model: Any) -> tuple[str, ...]:
    """The columns that a model was trained on; none where it does not know."""
    booster = _booster(model)
    if booster is None:
        names = getattr(model, "feature_names_in_", ())
    elif format_of(model) == "lightgbm":
        names = booster.feature_name()
    else:
        names = booster.feature_names or ()
    known = tuple(str(name) for name in names)
    return () if all(_COUNTED.fullmatch(name) for name in known) else known


def _encodings(model: Any, inputs: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The categories that a booster has learned, by input, in the order of their positions."""
    booster = _booster(model)
    if booster is None:
        return {}
    if format_of(model) == "lightgbm":
        learned = _of_lightgbm(booster)
    else:
        learned = _of_xgboost(json.loads(bytes(booster.save_raw("json"))))
    return {inputs[at]: categories for at, categories in learned if at < len(inputs)}


def _of_lightgbm(booster: Any) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Those of the columns that pandas had as categories, which LightGBM keeps in the columns' order."""
    kept = booster.pandas_categorical or []
    infos = booster.dump_model()["feature_infos"]
    split = [at for at, name in enumerate(booster.feature_name()) if infos.get(name, {}).get("values")]
    if kept and len(kept) != len(split):
        raise _unofferable(
            "categories", f"they are of {len(kept)} columns, and {len(split)} are split by category."
        )
    return zip(split, (_texts(categories) for categories in kept), strict=False)


def _of_xgboost(described: dict[str, Any]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Those that XGBoost keeps with its trees: UTF-8 of all, end to end, and where each begins."""
    booster = described["learner"]["gradient_booster"]
    model = booster.get("gbtree", booster).get("model", {})
    for at, encoded in enumerate(model.get("cats", {}).get("enc", ())):
        starts, values = encoded.get("offsets", ()), encoded["values"]
        if values and not starts:
            raise _unofferable(
                "categories", "they are numbers.", "Train on texts, or on the numbers themselves."
            )
        if starts:
            text = bytes(value % 256 for value in values)
            yield at, tuple(text[a:b].decode() for a, b in pairwise(starts))


def _texts(categories: list[object]) -> tuple[str, ...]:
    if not all(isinstance(each, str) for each in categories):
        raise _unofferable(
            "categories", "they are no texts.", "Train on texts, or on the numbers themselves."
        )
    return tuple(str(each) for each in categories)


def _class_faults(model: Any, task: Task) -> Iterator[Fault]:
    classes = getattr(model, "classes_", None)
    if classes is None or isinstance(task, Regression):
        return  # a booster's own classes are 0 and 1; the kind of the task is looked at when it is packaged
    found = classes.tolist()
    numbered = found == [0, 1] and task.positive not in (0, False)
    if not numbered and (len(found) != 2 or found[1] != task.positive):
        yield Fault(
            "classes",
            f"they are {found!r}, and the product asks for the probability of {task.positive!r}.",
            f"Train on 0 and 1, where 1 stands for {task.positive!r}.",
        )


def _input_faults(
    model: Any, inputs: tuple[str, ...], encodings: dict[str, tuple[str, ...]], rows: pl.DataFrame
) -> Iterator[Fault]:
    import polars as pl

    if not inputs:
        yield Fault(
            "inputs",
            "neither the model nor its signature names them.",
            "Train on a data frame, or log it with `signature=`.",
        )
    for name in inputs:
        if name not in rows.columns:
            yield Fault(f"input {name!r}", "is no input of the product.", "Declare it in `inputs`.")
        elif _booster(model) is not None and rows.schema[name] == pl.String and name not in encodings:
            yield Fault(
                f"input {name!r}",
                "is text, and the model has no categories of it.",
                "Train on a frame in which it is categorical, or declare the number that the model reads.",
            )
