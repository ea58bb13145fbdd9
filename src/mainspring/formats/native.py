"""Models in the form of their own library, which answer where ONNX cannot.

A native model is one blob that says what it is: the format, the inputs with their types, and what the format wrote. It
begins with a digest of all that, because libraries end the process when they read bytes that they do not expect.
"""

from __future__ import annotations

__all__ = [
    "MAGIC",
    "ONE_THREAD",
    "CodeNotAllowed",
    "Format",
    "NativeModel",
    "Tampered",
    "Unloadable",
    "Written",
    "WrongAnswer",
    "format_named",
    "format_of",
    "one_thread",
    "read",
    "sealed",
    "to_bytes",
]

import hashlib
import importlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import msgspec

from mainspring.errors import Fault, Invalid, MainspringError, Refused
from mainspring.formats.fitted import BadFit, Fitted
from mainspring.formats.signature import Column

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from mainspring.formats.signature import Signature

MAGIC = b"mainspring native model 1\n"

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
"""The environment of a process that serves one model, and leaves the other cores to others."""

_LIBRARIES = ("lightgbm", "xgboost", "sklearn")
RUNS_CODE = "pyfunc"
"""The format that runs a product's code when it is read."""


class CodeNotAllowed(Refused):
    """A model that is code, where the operator has not allowed that."""

    def __str__(self) -> str:
        return (
            "The model is Python code of the product's own, and to load it runs that code. If you trust it, name the "
            'product in mainspring.toml: allow_code = "NAME", or several with commas between them.'
        )


class Tampered(Invalid):
    """Bytes that are no model as it was written."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"The model cannot be read: {self.reason}. Restore it from a copy, or train again."


class Unloadable(Invalid):
    """A model that is as it was written, and that its library or its code cannot load."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"The model cannot be loaded: {self.reason}. "
            "Compare the installed versions with those of the environment that it was made in."
        )


class WrongAnswer(MainspringError):
    """Answers that are not one number for each row."""

    def __init__(self, rows: int, told: str) -> None:
        super().__init__(rows, told)
        self.rows, self.told = rows, told

    def __str__(self) -> str:
        return f"The model answered {self.rows} rows with {self.told}: it must give one number for each."


class Format(Protocol):
    """How models of one library are written, read and asked; each module of a library is one."""

    def dump(self, model: Any, code: Mapping[str, str]) -> bytes:
        """Write a model; `code` holds the product's files, by their paths, for a format that needs them."""
        ...

    def load(self, data: bytes) -> Any:
        """Read what `dump` wrote."""
        ...

    def predict(self, fitted: Fitted, frame: pl.DataFrame) -> NDArray[np.floating[Any]]:
        """Give an answer for each row of a frame that has the inputs."""
        ...

    def to_onnx(self, fitted: Fitted, texts: Collection[str] = ()) -> bytes:
        """Convert it, `texts` being the inputs that are texts; raises `NotConvertible` with every reason."""
        ...


def format_of(model: object) -> str:
    """Name the format of a model by the library of its class; nothing is imported.

    Raises
    ------
    BadFit
        It is of no library that is known, and has no `predict`.

    Examples
    --------
    >>> class Half:
    ...     def predict(self, frame):
    ...         return [0.5] * len(frame)
    >>> format_of(Half())
    'pyfunc'
    """
    packages = {base.__module__.partition(".")[0] for base in type(model).__mro__}
    for library in _LIBRARIES:
        if library in packages:
            return library
    if callable(getattr(model, "predict", None)):
        return RUNS_CODE
    raise BadFit(
        "The fitted model",
        (
            Fault(
                "model",
                f"a {type(model).__name__} cannot be asked.",
                "Give a LightGBM, XGBoost or scikit-learn model, or an object with `predict(frame)`.",
            ),
        ),
    )


def format_named(name: str) -> Format:
    """Load the module of a format."""
    module: Any = importlib.import_module(f"mainspring.formats.{name}")
    described: Format = module
    return described


class Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a native model consists of: a fit and its signature's inputs, the model as its format writes it."""

    format: str
    inputs: tuple[Column, ...]
    encodings: dict[str, tuple[str, ...]]
    params: dict[str, float]
    metrics: dict[str, float]
    model: bytes


def to_bytes(fitted: Fitted, signature: Signature, code: Mapping[str, str] | None = None) -> bytes:
    """Write a fitted model.

    Parameters
    ----------
    fitted : Fitted
    signature : Signature
        Read off the rows that it was trained on.
    code : mapping of str to str
        The product's files, for a model that is code.

    Raises
    ------
    MainspringError
        Its format does not take it.
    """
    name = format_of(fitted.model)
    written = Written(
        name,
        signature.inputs,
        {each: tuple(codes) for each, codes in fitted.encodings.items()},
        dict(fitted.params),
        dict(fitted.metrics),
        format_named(name).dump(fitted.model, code or {}),
    )
    return sealed(msgspec.msgpack.encode(written, order="deterministic"))


def sealed(body: bytes) -> bytes:
    """Put the mark and the digest before what a native model consists of."""
    return MAGIC + hashlib.sha256(body).digest() + body


def read(data: bytes) -> Written:
    """Read what `to_bytes` wrote, without the library that it is for.

    Raises
    ------
    Tampered
        It is not as it was written.
    """
    if not data.startswith(MAGIC):
        raise Tampered("it does not begin as a native model does")
    body = data[len(MAGIC) + hashlib.sha256().digest_size :]
    if data != sealed(body):
        raise Tampered("its content is not what its digest says")
    try:
        written = msgspec.msgpack.decode(body, type=Written)
    except msgspec.MsgspecError as error:
        raise Tampered(str(error)) from error
    if written.format not in (*_LIBRARIES, RUNS_CODE):
        raise Tampered(f"there is no format {written.format!r}")
    return written


@dataclass(frozen=True, slots=True)
class NativeModel:
    """A model in its library's form, asked as an `OnnxModel` is.

    Attributes
    ----------
    numbers, texts : tuple of str
        The columns that it takes as float64 and as text.
    fitted : Fitted
        What is asked.
    """

    dtype: ClassVar[str] = "float64"

    numbers: tuple[str, ...]
    texts: tuple[str, ...]
    fitted: Fitted
    _columns: tuple[Column, ...]
    _format: Format

    @classmethod
    def load(cls, data: bytes, *, allow_code: bool = False) -> NativeModel:
        """Read what `to_bytes` wrote.

        Parameters
        ----------
        data : bytes
        allow_code : bool
            Whether a model that is code may be loaded.

        Raises
        ------
        CodeNotAllowed
            It is code, and that is not allowed.
        Tampered
            It is not as it was written.
        Unloadable
            Its library or its code cannot load it.
        """
        written = read(data)
        if written.format == RUNS_CODE and not allow_code:
            raise CodeNotAllowed
        described = format_named(written.format)
        try:
            model = described.load(written.model)
        except (MainspringError, MemoryError):
            raise
        except Exception as error:  # each library has errors of its own, and code may raise anything
            raise Unloadable(f"{type(error).__name__}: {error}") from error
        texts = tuple(each.name for each in written.inputs if each.dtype == "BYTES")
        fitted = Fitted(
            model=model,
            inputs=tuple(each.name for each in written.inputs),
            encodings=written.encodings,
            params=written.params,
            metrics=written.metrics,
        )
        numbers = tuple(name for name in fitted.inputs if name not in texts)
        return cls(numbers, texts, fitted, written.inputs, described)

    def predict(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Answers for rows given as columns.

        Parameters
        ----------
        columns : mapping of str to ndarray, each of shape (rows,)
            float64 with NaN for null, and for text object arrays of str with the empty text for null. float32 is
            taken too, but a model that was trained on doubles may answer a rounded one otherwise. Columns that the
            model does not read are passed over.

        Returns
        -------
        ndarray of float32, shape (rows,)

        Raises
        ------
        KeyError
            A column of the model is missing.
        WrongAnswer
            The model did not give one number for each row.
        """
        import numpy as np

        frame = self.frame(columns)
        answer = np.asarray(self._format.predict(self.fitted, frame))
        if answer.shape != (frame.height,):
            raise WrongAnswer(frame.height, f"the shape {answer.shape}")
        if answer.dtype.kind not in "fiub":
            raise WrongAnswer(frame.height, f"values of type {answer.dtype}")
        return answer.astype(np.float32)

    def frame(self, columns: Mapping[str, NDArray[Any]]) -> pl.DataFrame:
        """The columns as the model's training frame had them: with their types, and null where one is missing."""
        import polars as pl

        return pl.DataFrame([_series(each, columns[each.name]) for each in self._columns])


def _series(column: Column, values: NDArray[Any]) -> pl.Series:
    import polars as pl

    if column.dtype == "BYTES":
        return pl.Series(column.name, [each or None for each in values.tolist()], dtype=pl.String)
    types = {"INT64": pl.Int64, "BOOL": pl.Boolean, "FP32": pl.Float32, "FP64": pl.Float64}
    return pl.Series(column.name, values).fill_nan(None).cast(types[column.dtype])


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep libraries to one thread: many calls of a few rows wait longer for other threads than they gain by them."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:  # it comes with scikit-learn; the others are told by their own parameters
        yield
        return
    with threadpool_limits(1):
        yield
