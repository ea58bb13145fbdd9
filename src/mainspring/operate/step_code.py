"""The code of a step: everything of the product's own that its output depends on, under one digest."""

from __future__ import annotations

__all__ = ["is_own", "step_code"]

import ast
import dis
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from pathlib import Path, PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType

from mainspring.computed import ComputedFeature
from mainspring.digest import Digest, digest_of_file, digest_of_json
from mainspring.product import Step

# What a value of these is, its `repr` says.
_TOLD = (
    str,
    bytes,
    int,
    float,
    complex,
    type(None),
    date,
    timedelta,
    Decimal,
    PurePath,
    re.Pattern,
    range,
    Enum,
)


@lru_cache(maxsize=10_000)
def is_own(file: str | Path, root: Path) -> bool:
    """Say whether a file is the product's own: below its folder, and not in an environment that lies there too."""
    path = Path(file).resolve()
    environment = Path(sys.prefix).resolve()
    return path.is_relative_to(root.resolve()) and not path.is_relative_to(environment) and path.is_file()


def step_code(function: Callable[..., object], root: Path) -> Digest:
    """Digest of a step's function and of everything of the product's own that it uses.

    Functions and classes of the product count by their source and, in turn, by what they use; files that are used as
    modules count whole, with the files that these import; constants count by value. Where a value cannot be told, such
    as an object of a class, every file of the product that is loaded counts. So an edit elsewhere in the product file
    mostly leaves a step's key as it is, and what changes its output never does. Everything else belongs to the
    environment, which has a digest of its own.

    Parameters
    ----------
    function : callable
        The step's.
    root : Path
        The folder below which code is the product's own.
    """
    code = _Code(root.resolve())
    code.use("step", function)
    return digest_of_json(sorted(code.parts))


@dataclass(slots=True)
class _Code:
    root: Path
    parts: set[str] = field(default_factory=set)
    seen: dict[int, object] = field(
        default_factory=dict
    )  # the objects too: an id is another's once they are gone

    def use(self, name: str, value: object) -> None:
        """Count what a value consists of."""
        if isinstance(value, _TOLD):
            self.parts.add(f"{name} = {value!r}")
        elif id(value) not in self.seen:
            self.seen[id(value)] = value
            if isinstance(value, dict | list | tuple | set | frozenset):
                self._elements(name, value)
                # Equal constants may or may not be one object; a second name of one counts as well.
                del self.seen[id(value)]
            else:
                self._object(name, value)

    def _elements(self, name: str, value: Collection[object]) -> None:
        if isinstance(value, dict):
            self.parts.add(f"{name}: {type(value).__name__} of {list(value)!r}")
            elements = {repr(key): each for key, each in value.items()}
        else:
            ordered = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
            elements = {str(position): each for position, each in enumerate(ordered)}
            self.parts.add(f"{name}: {type(value).__name__} of {len(value)}")
        for key, each in elements.items():
            self.use(f"{name}[{key}]", each)

    def _object(self, name: str, value: object) -> None:
        match value:
            case Step() | ComputedFeature():
                self.use(name, value.function)
            case FunctionType():
                self._function(value)
            case staticmethod() | classmethod():
                self.use(name, value.__func__)
            case property():
                for part in (value.fget, value.fset, value.fdel):
                    self.use(name, part)
            case type():
                self._class(value)
            case ModuleType():
                self._file(getattr(value, "__file__", None))
            case BuiltinFunctionType() if isinstance(value.__self__, ModuleType | None):
                pass  # of the environment
            case _ if hasattr(value, "__wrapped__"):
                self.use(name, value.__wrapped__)
            case _:
                self._everything()

    def _function(self, function: FunctionType) -> None:
        if hasattr(function, "__wrapped__"):
            self.use("wrapped", function.__wrapped__)
        code = function.__code__
        if not is_own(code.co_filename, self.root):
            return
        name = f"{self._name(code.co_filename)}:{code.co_qualname}"
        self.parts.add(f"{name} is {inspect.getsource(code)}")
        for variable, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            self.use(f"{name}:{variable}", cell.cell_contents)
        self.use(f"{name}:defaults", function.__defaults__ or ())
        self.use(f"{name}:keyword defaults", function.__kwdefaults__ or {})
        for each in _nested(code):
            for instruction in dis.get_instructions(each):
                if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                    if instruction.argval in function.__globals__:
                        self.use(f"{name}:{instruction.argval}", function.__globals__[instruction.argval])
                elif instruction.opname == "IMPORT_NAME":
                    self._file(_found(instruction.argval))

    def _class(self, of: type) -> None:
        if not is_own(getattr(sys.modules.get(of.__module__), "__file__", None) or "/", self.root):
            return
        name = f"{of.__module__}.{of.__qualname__}"
        try:
            self.parts.add(f"{name} is {inspect.getsource(of)}")
        except (OSError, TypeError):  # it was made by a call, as a named tuple is
            self._everything()
        for base in of.__mro__[1:]:
            self.use(name, base)
        simple = (*_TOLD, dict, list, tuple, set, frozenset)
        for key, value in vars(of).items():
            method = isinstance(value, FunctionType | staticmethod | classmethod | property)
            if method or (isinstance(value, simple) and not key.startswith("__")):
                self.use(f"{name}.{key}", value)

    def _file(self, file: str | None) -> None:
        if file is None or not is_own(file, self.root):
            return
        path = Path(file)
        part = f"{self._name(file)} is {digest_of_file(path)}"
        if part in self.parts or path.suffix != ".py":
            self.parts.add(part)
            return
        self.parts.add(part)
        for node in ast.walk(ast.parse(path.read_bytes())):
            for imported in _imported(node, path):
                self._file(imported)

    def _everything(self) -> None:
        for module in list(sys.modules.values()):
            self._file(getattr(module, "__file__", None))

    def _name(self, file: str) -> str:
        return str(Path(file).resolve().relative_to(self.root))


def _nested(code: CodeType) -> Iterator[CodeType]:
    """A function's code, and that of the functions, classes and comprehensions in it."""
    yield code
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _nested(const)


def _imported(node: ast.AST, path: Path) -> Iterator[str | None]:
    """The files that an import statement of a file may name."""
    if isinstance(node, ast.Import):
        yield from (_found(alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        names = ["", *(alias.name for alias in node.names)]
        if not node.level:
            yield from (_found(f"{node.module}.{name}".rstrip(".")) for name in names)
            return
        base = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
        for place in (base, *(base / name for name in names[1:])):
            yield from (str(place.with_suffix(".py")), str(place / "__init__.py"))


def _found(module: str) -> str | None:
    """The file of a module, without importing it; None for one that has no file or does not exist."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        return None
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return None
    return spec.origin if spec is not None else None
