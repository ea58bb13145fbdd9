"""What was carried, told by counts and digests on both sides, and every difference in words."""

from __future__ import annotations

__all__ = [
    "Compared",
    "Moved",
    "Points",
    "Tally",
    "compare",
    "of_experiment",
    "of_file",
    "of_logged_model",
    "of_registered_model",
    "of_run",
    "of_version",
]

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from mainspring.digest import digest_of_json

if TYPE_CHECKING:
    from mainspring.registry.registered import RegisteredModel, RegisteredVersion
    from mainspring.tracking.record import Experiment, LoggedModel, Metric, Run

_SHOWN = 120


@dataclass(slots=True)
class Points:
    """The points of a run's metrics, counted and digested in whatever order they come; the same point twice is one.

    The digest is the sum of the points' SHA-256, modulo 2²⁵⁶.
    """

    count: int = 0
    total: int = 0

    def add_metric(self, pages: Iterable[Iterable[Metric]]) -> None:
        """Add all points of one metric."""
        seen: set[bytes] = set()
        for page in pages:
            for point in page:
                value = "NaN" if math.isnan(point.value) else repr(point.value + 0.0)
                told = f"{point.key}\0{point.timestamp_ms}\0{point.step}\0{value}"
                hashed = sha256(told.encode(errors="replace")).digest()
                if hashed not in seen:
                    seen.add(hashed)
                    self.total = (self.total + int.from_bytes(hashed)) % 2**256
        self.count += len(seen)

    @property
    def digest(self) -> str:
        """The digest of all."""
        return f"{self.total:064x}"


@dataclass(slots=True)
class Tally:
    """Counts of what one side holds, and a digest of all of it."""

    counts: dict[str, int] = field(default_factory=dict)
    _digests: list[str] = field(default_factory=list)

    def add(self, described: Mapping[str, object], **counted: int) -> None:
        """Add one thing, as it is described."""
        self._digests.append(digest_of_json(described))
        for name, count in counted.items():
            self.counts[name] = self.counts.get(name, 0) + count

    def take(self, part: Tally) -> None:
        """Add all that another has."""
        self._digests += part._digests
        for name, count in part.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count

    @property
    def digest(self) -> str:
        """Digest of all that was added, in whatever order."""
        return digest_of_json(sorted(self._digests))


@dataclass(slots=True)
class Compared:
    """An experiment or a registered model on both sides.

    Attributes
    ----------
    kind, name : str, str
        What it is.
    there, here : Tally
        What was to be carried, and what was found where it was carried to.
    differences : list of str
        Every way in which they are not alike.
    """

    kind: str = ""
    name: str = ""
    there: Tally = field(default_factory=Tally)
    here: Tally = field(default_factory=Tally)
    differences: list[str] = field(default_factory=list)

    @classmethod
    def spoilt(cls, told: str) -> Compared:
        """Say that something could not even be read."""
        return cls(differences=[told])

    def take(self, part: Compared) -> None:
        """Add what was compared of a part of it."""
        self.there.take(part.there)
        self.here.take(part.here)
        self.differences += part.differences

    def note(
        self, what: str, there: Mapping[str, object], here: Mapping[str, object] | None, **counted: str
    ) -> None:
        """Add one thing of both sides; `counted` names the fields whose entries are counted, and as what."""
        self.there.add(there, **_counts(there, counted))
        if here is None:
            self.differences.append(f"{what} is missing")
            return
        self.here.add(here, **_counts(here, counted))
        self.differences += compare(what, there, here)


@dataclass(frozen=True, slots=True)
class Moved:
    """What came of a move.

    Attributes
    ----------
    url : str
        The server.
    dry_run : bool
        Whether it was only told what would be moved.
    compared : tuple of Compared
        Every experiment and registered model, as it is on both sides.
    left : tuple of str
        What stays where it is, and why.
    """

    url: str
    dry_run: bool
    compared: tuple[Compared, ...]
    left: tuple[str, ...]

    @property
    def differences(self) -> list[str]:
        """Everything that is not alike on both sides."""
        return [f"{each.kind} {each.name!r}: {told}" for each in self.compared for told in each.differences]

    @property
    def counts(self) -> dict[str, int]:
        """What is, where it was to be moved to."""
        total: dict[str, int] = {}
        for each in self.compared:
            for name, count in each.here.counts.items():
                total[name] = total.get(name, 0) + count
        return total


def _counts(described: Mapping[str, object], counted: Mapping[str, str]) -> dict[str, int]:
    found = {}
    for name, of in counted.items():
        value = described.get(of, 1)
        found[name] = value if isinstance(value, int) else len(value)  # type: ignore[arg-type]
    return found


def compare(what: str, there: Mapping[str, object], here: Mapping[str, object]) -> list[str]:
    """Say in words in which fields two descriptions differ; of a field that is a mapping, in which keys."""
    told = []
    for name in sorted(there.keys() | here.keys()):
        theirs, ours = there.get(name), here.get(name)
        if theirs == ours:
            continue
        if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
            for key in sorted(theirs.keys() | ours.keys()):
                if theirs.get(key) != ours.get(key):
                    told.append(f"{what}: {name} {key!r} {_was(theirs.get(key), ours.get(key))}")
        else:
            told.append(f"{what}: {name} {_was(theirs, ours)}")
    return told


def _was(theirs: object, ours: object) -> str:
    if ours is None:
        return f"is missing (it was {_short(theirs)})"
    if theirs is None:
        return f"is {_short(ours)}, and was not there"
    return f"is {_short(ours)}, and was {_short(theirs)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def of_file(size: int, digest: str) -> str:
    """Describe a file's bytes."""
    return f"{size} bytes, sha256 {digest}"


def of_experiment(experiment: Experiment) -> dict[str, object]:
    """Describe what an experiment is."""
    return {
        "lifecycle": experiment.lifecycle.value,
        "created": experiment.created_ms,
        "tags": dict(experiment.tags),
    }


def of_run(run: Run, points: Points | tuple[int, str]) -> dict[str, object]:
    """Describe a run with all that was logged to it."""
    count, digest = (points.count, points.digest) if isinstance(points, Points) else points
    return {
        "name": run.name,
        "user": run.user_id,
        "status": run.status.value,
        "lifecycle": run.lifecycle.value,
        "started": run.started_ms,
        "ended": run.ended_ms,
        "params": dict(run.params),
        "tags": dict(run.tags),
        "datasets": {
            f"{each.dataset.name} {each.dataset.digest}": digest_of_json(
                [
                    each.dataset.source_type,
                    each.dataset.source,
                    each.dataset.schema,
                    each.dataset.profile,
                    dict(each.tags),
                ]
            )
            for each in run.datasets
        },
        "models read": sorted(run.models_read),
        "models given": sorted((each.model_id, each.step) for each in run.models_given),
        "points": count,
        "points' digest": digest,
    }


def of_logged_model(model: LoggedModel) -> dict[str, object]:
    """Describe a logged model."""
    return {
        "name": model.name,
        "type": model.model_type,
        "source run": model.source_run_id,
        "status": model.status.value,
        "created": model.created_ms,
        "params": dict(model.params),
        "tags": dict(model.tags),
        "metrics": {
            f"{each.key} of {each.run_id} at {each.timestamp_ms}, step {each.step}": "NaN"
            if math.isnan(each.value)
            else each.value
            for each in model.metrics
        },
    }


def of_registered_model(model: RegisteredModel) -> dict[str, object]:
    """Describe a registered model without its versions."""
    return {
        "description": model.description,
        "created": model.created_ms,
        "tags": dict(model.tags),
        "aliases": dict(model.aliases),
    }


def of_version(version: RegisteredVersion) -> dict[str, object]:
    """Describe a version; where its files are is another place after a move."""
    return {
        "run": version.run_id,
        "run link": version.run_link,
        "description": version.description or "",
        "user": version.user_id,
        "stage": version.stage.value,
        "created": version.created_ms,
        "tags": dict(version.tags),
    }
