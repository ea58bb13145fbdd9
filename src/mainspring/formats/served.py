"""Models as they are served: from ONNX where that answers alike, in their library's form elsewhere."""

from __future__ import annotations

__all__ = ["Registered", "Served", "feed", "is_native", "load"]

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from mainspring.digest import Digest
from mainspring.formats.native import MAGIC, NativeModel
from mainspring.formats.onnx import OnnxModel
from mainspring.formats.signature import Signature

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

Served: TypeAlias = OnnxModel | NativeModel


class Registered(msgspec.Struct, frozen=True):
    """What must be known of a version besides its bytes, to serve it.

    Attributes
    ----------
    signature : Signature
    rowwise : bool
        Whether registration has proved that a row is answered the same whatever the rows beside it are.
    sample : Digest or None
        Of rows with the answers of the time when it was registered.
    manifest : Digest or None
        Of its signed manifest; None for a version of a release that wrote none.
    allow_code : bool
        Whether the operator allows it to be code of the product's own.
    """

    signature: Signature
    rowwise: bool = False
    sample: Digest | None = None
    manifest: Digest | None = None
    allow_code: bool = False


def is_native(data: bytes) -> bool:
    """Whether an artifact is a native model, which is kept out of processes that must not fail with it."""
    return data.startswith(MAGIC)


def load(data: bytes, *, threads: int = 1, allow_code: bool = False) -> Served:
    """Load an artifact of either kind into this process.

    Parameters
    ----------
    data : bytes
    threads : int
        Threads that may work on one call of an ONNX model.
    allow_code : bool
        Whether a model that is a product's own code may be loaded.

    Raises
    ------
    MainspringError
        It cannot be loaded, or must not be.
    """
    if is_native(data):
        return NativeModel.load(data, allow_code=allow_code)
    return OnnxModel.load(data, threads)


def feed(model: Served, rows: pl.DataFrame) -> dict[str, NDArray[Any]]:
    """Rows as a model takes them: numbers of its own width with NaN for null, text with the empty text for null."""
    import polars as pl

    fed: dict[str, NDArray[Any]] = {
        name: rows[name].cast(pl.Float64).fill_null(math.nan).to_numpy().astype(model.dtype)
        for name in model.numbers
    }
    for name in model.texts:
        fed[name] = rows[name].cast(pl.String).fill_null("").to_numpy().astype(object)
    return fed
