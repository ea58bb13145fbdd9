"""Packaging: from what a training step returned to files that are served, with the proof that they answer alike."""

from __future__ import annotations

__all__ = ["NotAlike", "Package", "package"]

from typing import TYPE_CHECKING

import msgspec

from mainspring.errors import Fault, Faults, MainspringError
from mainspring.formats.fitted import Fitted
from mainspring.formats.parity import ParityReport
from mainspring.formats.signature import Signature
from mainspring.operate.tasks import Built

if TYPE_CHECKING:
    import polars as pl

    from mainspring.product import ProductSpec
    from mainspring.stores.blobs import BlobStore

_PARITY_ROWS = 5_000


class NotAlike(MainspringError):
    """A model whose packaged form does not answer as it was trained, so that it must not be served."""

    def __init__(self, report: ParityReport) -> None:
        super().__init__(report)
        self.report = report

    def __str__(self) -> str:
        report = self.report
        return (
            f"The packaged model answers {report.rows_over} of {report.rows} rows otherwise than the trained one, "
            f"by up to {report.max_abs_diff:.2g}, so it would not be served as it was trained. "
            "Keep scores and leaves in the range of float32."
        )


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """What a run ends with; it is itself a blob, so that one digest names all of it.

    Attributes
    ----------
    artifact, native : str
        Digests of the ONNX model and of the learner's own form.
    signature : Signature
        What it takes and gives.
    parity : ParityReport
        How alike the two forms answered rows of the training data.
    metrics : dict of str to float
        What the training step wished to be recorded.
    """

    artifact: str
    native: str
    signature: Signature
    parity: ParityReport
    metrics: dict[str, float]


def package(made: object, rows: pl.DataFrame, spec: ProductSpec, blobs: BlobStore) -> Built:
    """Store a fitted model in both forms.

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

    Raises
    ------
    MainspringError
        It is no `Fitted`, or cannot be served.
    NotAlike
        Its packaged form answers otherwise.
    """
    from mainspring.formats.lightgbm import to_bytes, to_onnx
    from mainspring.formats.parity import parity

    if not isinstance(made, Fitted):
        raise MainspringError(
            f"The last step, {spec.steps[-1].name!r}, gave a {type(made).__name__}: it must give ms.Fitted(...)."
        )
    sent = [column.name for column in spec.inputs]
    if unknown := [name for name in made.inputs if name not in sent]:
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
    onnx = to_onnx(made)
    # Rows spread over all of the data, not its first ones: old rows lack the newest categories.
    sample = rows.gather_every(max(1, rows.height // _PARITY_ROWS))
    alike = parity(made, onnx, sample)
    if not alike.passed:
        raise NotAlike(alike)
    packed = Package(
        artifact=blobs.put(onnx),
        native=blobs.put(to_bytes(made)),
        signature=Signature.infer(rows, made.inputs),
        parity=alike,
        metrics={name: float(value) for name, value in made.metrics.items()},
    )
    return Built(output=blobs.put(msgspec.json.encode(packed, order="deterministic")))
