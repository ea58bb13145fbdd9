"""Which files somebody refers to: by reachability it is decided what may go."""

from __future__ import annotations

__all__ = ["Kept", "Referred", "place_of", "referred", "versions_gone_since"]

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mainspring.clock import parse_time
from mainspring.errors import Invalid, NotFound
from mainspring.events import EventType
from mainspring.search import AllOf, Search
from mainspring.stores.artifact_path import ArtifactPath
from mainspring.tracking.freeing import Kind

if TYPE_CHECKING:
    from datetime import datetime

    from mainspring.governance.ledger import Entry
    from mainspring.stores.sql.database import Transaction

_PROXIED = re.compile(r"mlflow-artifacts:(?://[^/]*)?/+([^\"'\s]+)")
_OVER_HTTP = re.compile(r"https?://.*?/mlflow-artifacts/artifacts/+(.+)")
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Kept:
    """Folders and files that stay, with all that is in them.

    Examples
    --------
    >>> kept = Kept.of([ArtifactPath.parse("1/a/artifacts/model")])
    >>> path = ArtifactPath.parse("1/a/artifacts")
    >>> kept.holds(path), kept.reaches_into(path), kept.holds(path / ArtifactPath.parse("model/MLmodel"))
    (False, True, True)
    """

    paths: tuple[ArtifactPath, ...]
    known: frozenset[ArtifactPath]

    @classmethod
    def of(cls, paths: Iterable[ArtifactPath]) -> Kept:
        """Gather paths."""
        known = frozenset(paths)
        return cls(tuple(sorted(known, key=_parts)), known)

    def holds(self, path: ArtifactPath) -> bool:
        """Whether all of a path stays: it, or a folder that it lies in, was named."""
        return any(ArtifactPath(path.parts[:count]) in self.known for count in range(1, len(path.parts) + 1))

    def reaches_into(self, path: ArtifactPath) -> bool:
        """Whether something in a folder, or it itself, was named."""
        return next(self._below(path), None) is not None

    def within(self, path: ArtifactPath) -> tuple[ArtifactPath, ...]:
        """Give what stays of a folder: what was named in it, or all of it."""
        return (path,) if self.holds(path) else tuple(self._below(path))

    def _below(self, path: ArtifactPath) -> Iterator[ArtifactPath]:
        for at in range(bisect_left(self.paths, path.parts, key=_parts), len(self.paths)):
            if self.paths[at].parts[: len(path.parts)] != path.parts:
                return
            yield self.paths[at]


@dataclass(frozen=True, slots=True)
class Referred:
    """What is referred to.

    Attributes
    ----------
    kept : Kept
        The files that versions name, that datasets were read from, and those of every run and logged model that stays.
    runs, models : frozenset of str
        Ids of runs and logged models that a version comes from: these stay themselves.
    """

    kept: Kept
    runs: frozenset[str]
    models: frozenset[str]

    def to(self, kind: Kind, key: str) -> bool:
        """Whether a version comes from it."""
        return key in {Kind.RUN: self.runs, Kind.LOGGED_MODEL: self.models}.get(kind, ())


def _parts(path: ArtifactPath) -> tuple[str, ...]:
    return path.parts


def place_of(uri: str, artifacts_of: Callable[[str], str]) -> ArtifactPath | None:
    """Give the path in the store of artifacts that an address means; None where it is elsewhere.

    Parameters
    ----------
    artifacts_of : callable
        Gives where the files of a run or of a logged model lie, by `runs:/…` or `models:/…` and its id.

    Raises
    ------
    mainspring.errors.NotFound
        By `artifacts_of`.
    """
    below = ""
    if named := re.match(r"(runs:/|models:/)/*([^/@]+)(?:/(.*))?$", uri):
        uri, below = artifacts_of(named[1] + named[2]), named[3] or ""
    found = _PROXIED.match(uri) or _OVER_HTTP.match(uri)
    if found is None:
        return None
    try:
        return ArtifactPath.parse(f"{found[1]}/{below}" if below else found[1])
    except Invalid:
        return None  # what has no path is no file


def versions_gone_since(entries: Iterable[Entry], since: datetime) -> Iterator[tuple[str, str, str]]:
    """Give the versions of registered models that were deleted since a moment, as the ledger tells it.

    Yields
    ------
    tuple of str
        Where its files are, and the ids of its run and its logged model.
    """
    known: dict[str, dict[str, tuple[str, str, str]]] = {}
    for entry in entries:
        name, _, number = entry.subject.rpartition("@")
        match entry.type:
            case EventType.MODEL_VERSION_REGISTERED:
                data = json.loads(entry.data)
                told = (data.get("location", ""), data.get("run", ""), data.get("logged_model", ""))
                known.setdefault(name, {})[number] = told
            case EventType.MODEL_RENAMED:
                known[entry.subject] = known.pop(json.loads(entry.data)["before"], {})
            case EventType.MODEL_VERSION_DELETED:
                gone = known.get(name, {}).pop(number, None)
                if gone and parse_time(entry.at) > since:
                    yield gone
            case EventType.MODEL_DELETED:
                all_gone = known.pop(entry.subject, {})
                if parse_time(entry.at) > since:
                    yield from all_gone.values()


def referred(tx: Transaction, doomed: Iterable[tuple[Kind, str]], since: datetime) -> Referred:
    """Find all that is referred to by what stays.

    Parameters
    ----------
    doomed : iterable
        Kind and id of runs and logged models that would go: what these refer to themselves does not count.
    since : datetime
        Versions that were deleted later still count.
    """
    going, places = set(doomed), dict[tuple[Kind, str], str]()
    for kind, key, uri in tx.freeing.places():
        places[kind, key] = uri

    def artifacts_of(named: str) -> str:
        kind = Kind.RUN if named.startswith("runs:/") else Kind.LOGGED_MODEL
        uri = places.get((kind, named.partition(":/")[2]))
        if uri is None:
            raise NotFound(named)
        return uri

    names = [uri for key, uri in places.items() if key not in going]
    names += [
        f"mlflow-artifacts:/{found}"
        for run_id, source in tx.freeing.sources()
        if (Kind.RUN, run_id) not in going
        for found in _PROXIED.findall(source)
    ]
    runs, models = set[str](), set[str]()
    for location, run_id, model_id in (*_versions(tx), *versions_gone_since(tx.ledger.entries(), since)):
        names.append(location)
        runs.add(run_id)
        models.add(model_id)
        if named := re.match(r"runs:/+([^/]+)", location):
            runs.add(named[1])
    paths = []
    for uri in names:
        try:
            path = place_of(uri, artifacts_of)
        except NotFound:
            continue
        if path is not None:
            paths.append(path)
    return Referred(Kept.of(paths), frozenset(runs), frozenset(models))


def _versions(tx: Transaction) -> Iterator[tuple[str, str, str]]:
    search = Search(condition=AllOf(()), limit=_PAGE)
    while True:
        page = tx.registered_versions.search(search)
        for version in page.items:
            yield version.location, version.run_id, version.model_id
            if version.source != version.location:
                yield version.source, "", ""
        if not page.token:
            return
        search = replace(search, token=page.token)
