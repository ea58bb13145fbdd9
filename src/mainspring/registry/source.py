"""Where a version's files come from, as a client writes it: read once, so that nothing later reads it otherwise.

A source that leads out of the run or the model that it names would let a client read what is not its own.
"""

from __future__ import annotations

__all__ = [
    "Elsewhere",
    "InFolder",
    "OfLoggedModel",
    "OfRun",
    "OfVersion",
    "Source",
    "SourceRefused",
    "lies_within",
    "read_source",
]

import re
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

from mainspring.errors import Invalid
from mainspring.fit import within

_LIMIT = 10_000
_ENCODED = 10  # times; what is encoded more often is no name
_PROXY = "/api/2.0/mlflow-artifacts/artifacts"


class SourceRefused(Invalid):
    """A source that no version may have."""

    def __init__(self, source: str, why: str) -> None:
        super().__init__(source, why)
        self.source, self.why = source, why

    def __str__(self) -> str:
        return f"Invalid model version source: {self.source[:300]!r}. {self.why}"


@dataclass(frozen=True, slots=True)
class OfRun:
    """`runs:/RUN/PATH`."""

    run_id: str


@dataclass(frozen=True, slots=True)
class OfLoggedModel:
    """`models:/m-…`."""

    model_id: str


@dataclass(frozen=True, slots=True)
class OfVersion:
    """`models:/NAME/…` or `models:/NAME@ALIAS`: another version, by its number, stage or alias, or the latest."""

    name: str
    which: str
    is_alias: bool = False


@dataclass(frozen=True, slots=True)
class InFolder:
    """A folder of this server's or of the client's machine, which must lie within that of a run or logged model."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A place of a kind that nothing is known of here, such as `s3://…`."""


Source: TypeAlias = OfRun | OfLoggedModel | OfVersion | InFolder | Elsewhere


def read_source(text: str) -> Source:
    """Read a source.

    Raises
    ------
    SourceRefused
        It is empty or malformed, or goes up or stays with `..` or `.`, in any encoding.

    Examples
    --------
    >>> read_source("runs:/5f2c/model")
    OfRun(run_id='5f2c')
    >>> read_source("models:/late-arrivals@champion")
    OfVersion(name='late-arrivals', which='champion', is_alias=True)
    """
    within("Invalid model version source", text, _LIMIT)
    plain = _decoded(text)
    if "\0" in plain or any(part in (".", "..") for part in re.split(r"[/\\]", plain)):
        raise SourceRefused(text, "It must be absolute, and no part of it may be '.' or '..'.")
    parts = _split(text)
    match parts.scheme.lower():
        case "" | "file":
            if parts.netloc not in ("", "localhost"):
                raise SourceRefused(text, "A file's address names no host.")
            return InFolder()
        case "runs":
            run_id, _, path = parts.path.strip("/").partition("/")
            if parts.netloc or not run_id or not path:
                raise SourceRefused(text, "Of a run it must read runs:/RUN/PATH.")
            return OfRun(run_id)
        case "models":
            return _of_model(text, parts)
        case "mlflow-artifacts":
            return InFolder()
        case "http" | "https" if _PROXY in re.sub("/+", "/", _decoded(parts.path)):
            return InFolder()
    return Elsewhere()


def _of_model(text: str, parts: SplitResult) -> OfLoggedModel | OfVersion:
    path = parts.path.lstrip("/").split("/")
    absolute = parts.path.startswith("/") and not parts.netloc
    if not absolute or len(path) > 2 or not all(part.strip() for part in path):
        raise SourceRefused(
            text, "Of a model it must read models:/ID, models:/NAME/VERSION or models:/NAME@ALIAS."
        )
    if len(path) == 2:
        return OfVersion(path[0], path[1])
    name, at, alias = path[0].rpartition("@")
    return OfVersion(name, alias, is_alias=True) if at else OfLoggedModel(path[0])


def lies_within(source: str, root: str) -> bool:
    """Say whether a source lies in a folder or is it: of one kind and host, and below it name by name."""
    inner, outer = _names(source), _names(root)
    return bool(outer[2]) and inner[:2] == outer[:2] and inner[2][: len(outer[2])] == outer[2]


def _names(uri: str) -> tuple[str, str, tuple[str, ...]]:
    parts = _split(uri)
    scheme, host = parts.scheme.lower(), parts.netloc.lower()
    if scheme in ("", "file"):
        scheme, host = "file", ""
    return scheme, host, tuple(_decoded(part) for part in parts.path.split("/") if part)


def _split(text: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError:
        raise SourceRefused(text, "It is no address.") from None


def _decoded(text: str) -> str:
    for _ in range(_ENCODED):
        text, before = unquote(text), text
        if text == before:
            return text
    raise SourceRefused(text, f"It is percent-encoded more than {_ENCODED} times.")
