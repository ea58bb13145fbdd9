"""Models that are code of the product's own: an object with `predict(frame)`.

Such a model is written as the product's files at the time and a pickle of the object. To read it runs that code, so it
is read only where the operator allows it for that product. The files come from the model and not from the folder: a
version goes on answering with the code that it was made with.
"""

from __future__ import annotations

__all__ = ["dump", "load", "predict", "to_onnx"]

import importlib.abc
import importlib.machinery
import importlib.util
import pickle
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

import msgspec

from mainspring.errors import Fault
from mainspring.formats.fitted import BadFit, Fitted, NotConvertible

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

PRODUCT_MODULE = "mainspring_product_"
"""How the module of a product file begins, when a worker has loaded it."""


class _Written(msgspec.Struct, frozen=True):
    code: dict[str, str]
    state: bytes


class _Asked:
    """A model together with the code that it runs in."""

    def __init__(self, snapshot: _Snapshot, model: Any) -> None:
        self._snapshot, self._model = snapshot, model

    def predict(self, frame: pl.DataFrame) -> Any:
        with self._snapshot.in_force():
            return self._model.predict(frame)


def dump(model: Any, code: Mapping[str, str]) -> bytes:
    """The product's files and the pickled object.

    Raises
    ------
    BadFit
        The object's class is in none of the files, or it cannot be pickled.
    """
    from mainspring.formats.computed import ComputingModel

    kind = type(model)
    if not isinstance(model, ComputingModel) and _Snapshot(code).file(kind.__module__) is None:
        raise BadFit(
            "The fitted model",
            (
                Fault(
                    f"{kind.__module__}.{kind.__qualname__}",
                    "is no model that is known, and no class in a file of the product.",
                    "Give a class with `predict(frame)` beside product.py.",
                ),
            ),
        )
    try:
        state = pickle.dumps(model, protocol=5)
    except Exception as error:
        raise BadFit("The fitted model", (Fault("model", f"it cannot be pickled: {error}."),)) from error
    return msgspec.msgpack.encode(_Written(dict(code), state), order="deterministic")


def load(data: bytes) -> Any:
    """Read what `dump` wrote. This runs its code: the caller has asked whether it may."""
    written = msgspec.msgpack.decode(data, type=_Written)
    snapshot = _Snapshot(written.code)
    with snapshot.in_force():
        return _Asked(snapshot, pickle.loads(written.state))


def predict(fitted: Fitted, frame: pl.DataFrame) -> NDArray[np.floating[Any]]:
    """Answers as the object gives them."""
    import numpy as np

    return np.asarray(fitted.model.predict(frame))


def to_onnx(fitted: Fitted, texts: Collection[str] = ()) -> bytes:
    """Refuse: code has no ONNX form.

    Raises
    ------
    NotConvertible
        Always.
    """
    raise NotConvertible("The model", (Fault("model", "it is code of the product's own."),))


class _Snapshot(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Files as modules, with nothing on disk: while in force, their names mean these and no others."""

    def __init__(self, code: Mapping[str, str]) -> None:
        self._code = code
        self._modules: dict[str, ModuleType] = {}

    def file(self, module: str) -> str | None:
        """The file of a module, as a worker that loads product files would find it."""
        path = module.removeprefix(PRODUCT_MODULE).replace(".", "/")
        wanted = (f"{path}.py", f"{path}/__init__.py", f"products/{path}.py", f"products/{path}/__init__.py")
        return next((file for file in wanted if file in self._code), None)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Say how to load a module that one of the files is."""
        file = self.file(fullname)
        if file is None:
            return None
        return importlib.util.spec_from_loader(
            fullname, self, origin=f"<snapshot>/{file}", is_package=file.endswith("__init__.py")
        )

    def get_source(self, fullname: str) -> str:
        """The text of a module."""
        return self._code[self.file(fullname) or ""]

    def is_package(self, fullname: str) -> bool:
        """Whether a module is a package."""
        return (self.file(fullname) or "").endswith("__init__.py")

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Let imports find these files first; the modules that had their names come back afterwards."""
        hidden = self._taken()
        sys.modules.update(self._modules)
        sys.meta_path.insert(0, self)
        try:
            yield
        finally:
            sys.meta_path.remove(self)
            self._modules = self._taken()
            sys.modules.update(hidden)

    def _taken(self) -> dict[str, ModuleType]:
        names = [name for name in sys.modules if self.file(name) is not None]
        return {name: sys.modules.pop(name) for name in names}
