"""Packaging: from what a training step returned to files that are served, with the proof that they answer alike."""

from __future__ import annotations

__all__ = ["NotAlike", "Package", "package"]

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from mainspring.digest import canonical_json
from mainspring.errors import Fault, Faults, MainspringError
from mainspring.formats.computed import ComputingModel, needed, sent
from mainspring.formats.fitted import Fitted
from mainspring.formats.native import NativeModel, format_named, format_of, one_thread, to_bytes
from mainspring.formats.onnx import OnnxModel
from mainspring.formats.parity import TOLERANCE, ParityReport, compare
from mainspring.formats.rowwise import Rowwise, rowwise
from mainspring.formats.sample import Sample
from mainspring.formats.served import Served, feed
from mainspring.formats.signature import Signature
from mainspring.operate.inventory import bill_of_materials
from mainspring.operate.tasks import Built
from mainspring.task import Regression

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from mainspring.computed import ComputedFeature
    from mainspring.product import ProductSpec
    from mainspring.stores.blobs import BlobStore
    from mainspring.task import Task

_PARITY_ROWS = 5_000
_SAMPLE_ROWS = 100

_UNTRIED = Rowwise(False, "it was packaged before this was looked at", 0, (), 0.0)


class NotAlike(MainspringError):
    """A model whose packaged form does not answer as it was trained, so that it must not be served."""

    def __init__(self, report: ParityReport) -> None:
        super().__init__(report)
        self.report = report

    def __str__(self) -> str:
        report = self.report
        return (
            f"The packaged model answers {report.rows_over} of {report.rows} rows otherwise than the trained one, "
            f"{report.told}, so it would not be served as it was trained. "
            "A model must answer from its inputs alone, with a number for every row."
        )


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """What a run ends with; it is itself a blob, so that one digest names all of it.

    Attributes
    ----------
    artifact, native : str
        Digests of the model as it is served, and of it in its library's form.
    served : str
        Whether the artifact is ONNX, or the native form itself.
    why_native : str
        Why there is no ONNX; empty where there is.
    quantised : str
        What became of the wish for weights of 8 bits; empty where there was none.
    signature : Signature
        What it takes and gives.
    parity : ParityReport
        How alike the artifact and the trained model answered rows of the training data.
    batching : Rowwise
        Whether rows of several requests may be asked together.
    sample : str
        Digest of rows with the artifact's answers.
    sbom : str
        Digest of the bill of materials of the environment that it was made in.
    metrics : dict of str to float
        What the training step wished to be recorded.
    """

    artifact: str
    native: str
    served: Literal["onnx", "native"] = "onnx"
    why_native: str = ""
    quantised: str = ""
    signature: Signature
    parity: ParityReport
    batching: Rowwise = _UNTRIED
    sample: str = ""
    sbom: str = ""
    metrics: dict[str, float]

    def serving(self) -> dict[str, object]:
        """What a registered version tells of how it is served, and why so."""
        told = msgspec.to_builtins(self)
        return {name: told[name] for name in ("served", "why_native", "quantised", "batching", "sample")}


def package(
    made: object,
    rows: pl.DataFrame,
    spec: ProductSpec,
    blobs: BlobStore,
    *,
    computed: Sequence[ComputedFeature] = (),
    code: Mapping[str, str] | None = None,
    allow_code: bool = False,
) -> Built:
    """Store a fitted model in its library's form, and in ONNX where that answers alike.

    Parameters
    ----------
    made : object
        What the last step returned.
    rows : polars.DataFrame
        What the last step was given; the signature is read off them.
    spec : ProductSpec
        Whose inputs a caller will send.
    blobs : BlobStore
        Where to.
    computed : sequence of ComputedFeature
        The features that are computed from what is sent.
    code : mapping of str to str
        The product's files, for a model that is code.
    allow_code : bool
        Whether the operator allows such a model.

    Raises
    ------
    MainspringError
        It is no `Fitted`, or cannot be served.
    NotAlike
        Written and read again, it answers otherwise.
    """
    fitted = _fitted(made, spec)
    served = _computing(fitted, rows, spec, needed(fitted.inputs, computed), code)
    signature = Signature.infer(rows, served.inputs, spec.task.answer, served.encodings)
    native_bytes = to_bytes(served, signature, code)
    native = NativeModel.load(native_bytes, allow_code=allow_code)
    # Rows spread over all of the data, not its first ones: old rows lack the newest categories.
    asked = rows.gather_every(max(1, rows.height // _PARITY_ROWS))
    trained = format_named(format_of(fitted.model)).predict(fitted, asked)
    form = _Form(native_bytes, native, compare(trained, native.predict(feed(native, asked))))
    if not form.parity.passed:
        raise NotAlike(form.parity)
    _need_kind(fitted, trained, spec.task)
    onnx, why_native = _to_onnx(served, native, trained, asked)
    quantised = ""
    if onnx is not None:
        form = onnx
        if fitted.quantise:
            form, quantised = _quantise(form, trained, asked)
    columns = feed(form.model, asked.gather_every(max(1, asked.height // _SAMPLE_ROWS)))
    with one_thread():
        batching = rowwise(form.model.predict, columns)
    packed = Package(
        artifact=blobs.put(form.data),
        native=blobs.put(native_bytes),
        served="native" if onnx is None else "onnx",
        why_native=why_native,
        quantised=quantised,
        signature=signature,
        parity=form.parity,
        batching=batching,
        sample=blobs.put(msgspec.json.encode(Sample.of(columns, form.model.predict(columns)))),
        sbom=blobs.put(canonical_json(bill_of_materials()).encode()),
        metrics={name: float(value) for name, value in fitted.metrics.items()},
    )
    return Built(output=blobs.put(msgspec.json.encode(packed, order="deterministic")))


class _Form(msgspec.Struct, frozen=True):
    """A model in one of its forms, and how like the trained one it answers."""

    data: bytes
    model: Served
    parity: ParityReport


def _fitted(made: object, spec: ProductSpec) -> Fitted:
    if not isinstance(made, Fitted):
        raise MainspringError(
            f"The last step, {spec.steps[-1].name!r}, gave a {type(made).__name__}: it must give ms.Fitted(...)."
        )
    known = {*(column.name for column in spec.inputs), *(feature.name for feature in spec.computed)}
    if unknown := [name for name in made.inputs if name not in known]:
        raise Faults(
            "The fitted model",
            tuple(
                Fault(
                    f"input {name!r}",
                    "is no input of the product, so no caller would send it.",
                    "Declare it in `inputs`.",
                )
                for name in unknown
            ),
        )
    return made


def _computing(
    fitted: Fitted,
    rows: pl.DataFrame,
    spec: ProductSpec,
    features: Sequence[ComputedFeature],
    code: Mapping[str, str] | None,
) -> Fitted:
    """What is served: the model itself, or one that computes the features that it reads from what is sent."""
    if not features:
        return fitted
    signature = Signature.infer(rows, fitted.inputs, spec.task.answer, fitted.encodings)
    model = ComputingModel(features, to_bytes(fitted, signature, code))
    return replace(fitted, model=model, inputs=sent(fitted.inputs, features), encodings={})


def _need_kind(fitted: Fitted, answers: NDArray[np.floating[Any]], task: Task) -> None:
    """Refuse a model that is for another task than the product's."""
    what = ""
    if isinstance(task, Regression):
        if hasattr(fitted.model, "predict_proba"):
            what = "it is a classifier, and the product's task is Regression."
    elif ((answers < 0) | (answers > 1)).any():
        what = "it answers rows with what is no probability, and the product's task is BinaryClassification."
    if what:
        raise Faults(
            "The fitted model", (Fault("model", what, "Train a model for that task, or declare another."),)
        )


def _to_onnx(
    fitted: Fitted, native: NativeModel, trained: NDArray[np.floating[Any]], asked: pl.DataFrame
) -> tuple[_Form | None, str]:
    """The ONNX form, or None and why there is none."""
    try:
        data = format_named(format_of(fitted.model)).to_onnx(fitted, native.texts)
        form = _onnx(data, trained, asked)
    except Faults as error:
        return None, "; ".join(map(str, error.faults))
    except Exception as error:  # noqa: BLE001 - whatever a converter or the runtime stumbles over, the model is native
        return None, f"its ONNX form cannot be used: {type(error).__name__}: {error}"[:300]
    if not form.parity.passed:
        report = form.parity
        return (
            None,
            f"its ONNX form answers {report.rows_over} of {report.rows} rows otherwise, {report.told}",
        )
    return form, ""


def _quantise(form: _Form, trained: NDArray[np.floating[Any]], asked: pl.DataFrame) -> tuple[_Form, str]:
    """The form with rounded weights where that is near enough, and what became of it."""
    from mainspring.formats import quantise

    try:
        rounded = _onnx(quantise.quantised(form.data), trained, asked, tolerance=quantise.TOLERANCE)
    except quantise.NotQuantisable as error:
        return form, f"no: {error}"
    report = rounded.parity
    if not report.passed:
        return form, f"no: it would answer {report.rows_over} of {report.rows} rows otherwise, {report.told}"
    return rounded, f"yes: {len(form.data)} bytes became {len(rounded.data)}"


def _onnx(
    data: bytes, trained: NDArray[np.floating[Any]], asked: pl.DataFrame, *, tolerance: float = TOLERANCE
) -> _Form:
    model = OnnxModel.load(data)
    return _Form(data, model, compare(trained, model.predict(feed(model, asked)), tolerance=tolerance))
