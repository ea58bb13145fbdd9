"""Runs as people look for them: found by what was logged, shown with their curves, and held side by side."""

from __future__ import annotations

__all__ = [
    "AmbiguousRun",
    "Compared",
    "Curve",
    "FoundRun",
    "ShownRun",
    "compare_runs",
    "find_runs",
    "one_run",
    "run_named",
]

import math
import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import msgspec

from mainspring.digest import Digest
from mainspring.errors import Invalid, MainspringError
from mainspring.operate.curves import curves
from mainspring.operate.data.datasets import VersionRetired
from mainspring.operate.data.diff import DataDiff, diff_versions
from mainspring.ref import DataAddress, DataRef
from mainspring.search import (
    RUNS,
    AllOf,
    Comparison,
    Entity,
    Operator,
    Search,
    View,
    parse_columns,
    parse_filter,
    parse_order,
)
from mainspring.stores.tables import FilesGone
from mainspring.tracking.compare import Difference, changed_files, changed_packages, compare, thin
from mainspring.tracking.record import Run
from mainspring.tracking.store import RunNotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mainspring.stores.sql.database import Transaction
    from mainspring.tracking.record import Metric
    from mainspring.workspace import Workspace

T = TypeVar("T")

_WIDTH = 40
_BARS = "▁▂▃▄▅▆▇█"


class AmbiguousRun(Invalid):
    """The beginning of more than one run's id."""

    def __init__(self, given: str, ids: Sequence[str]) -> None:
        super().__init__(given, ids)
        self.given, self.ids = given, ids

    def __str__(self) -> str:
        return f"{self.given!r} begins the ids of several runs: {', '.join(self.ids)}. Give more characters."


class FoundRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run in a list."""

    run_id: str
    name: str
    experiment: str
    status: str
    started_at: datetime | None
    ended_at: datetime | None
    metrics: dict[str, float]
    params: dict[str, str]
    tags: dict[str, str]


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of a run: its newest value, and how it went, in blocks from its least to its largest value."""

    last: float
    step: int
    drawn: str


class ShownRun(FoundRun, frozen=True, kw_only=True):
    """A run by itself."""

    artifact_uri: str
    user_id: str
    data: list[str]
    curves: dict[str, Curve]


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """Two runs side by side.

    Attributes
    ----------
    runs, names : tuple of str
        Their ids, and how they are called.
    differences : list of Difference
        What was logged to either, by kind and name.
    code : str
        What differs between the product files that they ran with, as a unified diff; of runs of the loop.
    packages : dict of str to tuple
        The versions of the packages that differ between their environments, None where one is missing; likewise.
    data : list of DataDiff
        What differs in the rows of each dataset of which the runs have read two versions; where that was asked for, and
        both versions are still here.
    """

    runs: tuple[str, str]
    names: tuple[str, str]
    differences: list[Difference]
    code: str = ""
    packages: dict[str, tuple[str | None, str | None]] = {}
    data: list[DataDiff] = []


def find_runs(
    workspace: Workspace,
    text: str,
    *,
    experiment: str = "",
    order: Iterable[str] = (),
    limit: int = 20,
    columns: Iterable[str] = (),
) -> list[FoundRun]:
    """Find runs by what was logged to them.

    Parameters
    ----------
    text : str
        A filter; an empty one finds all.
    experiment : str
        The name of the experiment to look in; empty for all.
    order : iterable of str
        What comes first; by default the last started.
    limit : int
        How many, at least 1.
    columns : iterable of str
        Which metrics, params and tags are wanted, as `metrics.KEY` and so on; all where none is named.

    Raises
    ------
    mainspring.search.SearchUnclear
        The filter, the order or a column cannot be understood.
    mainspring.tracking.store.ExperimentNotFound
        There is no experiment of that name.
    """
    if limit < 1:
        raise Invalid(f"A limit of {limit} shows nothing: ask for one run at least.")
    search = Search(
        condition=parse_filter(text, RUNS),
        orders=parse_order(order, RUNS),
        limit=limit,
        columns=parse_columns(columns, RUNS) or None,
    )
    with workspace.database.read() as tx:
        names = _experiments(tx)
        wanted = [tx.experiments.named(experiment).experiment_id] if experiment else list(names)
        return [_found(run, names) for run in tx.logged_runs.search(wanted, search).items]


def one_run(workspace: Workspace, given: str) -> ShownRun:
    """Give one run with its curves.

    Raises
    ------
    RunNotFound, AmbiguousRun
        No run's id begins so, or more than one's.
    """
    with workspace.database.read() as tx:
        run = run_named(tx, given)
        names = _experiments(tx)
    points = curves(workspace, run.run_id, [metric.key for metric in run.metrics])
    return ShownRun(
        **msgspec.structs.asdict(_found(run, names)),
        artifact_uri=run.artifact_uri,
        user_id=run.user_id,
        data=[f"{each.dataset.name} {each.dataset.digest}" for each in run.datasets],
        curves={
            metric.key: Curve(last=metric.value, step=metric.step, drawn=_drawn(points[metric.key]))
            for metric in run.metrics
        },
    )


def compare_runs(workspace: Workspace, first: str, second: str, *, rows: bool = False) -> Compared:
    """Hold two runs side by side, and with `rows` what they have read; raises `RunNotFound` or `AmbiguousRun`."""
    with workspace.database.read() as tx:
        one, other = run_named(tx, first), run_named(tx, second)
        read = [_versions_read(tx, run) for run in (one, other)] if rows else []
    codes = [_kept(workspace, run, "mainspring.code", dict[str, str]) for run in (one, other)]
    environments = [_packages(workspace, run) for run in (one, other)]
    return Compared(
        runs=(one.run_id, other.run_id),
        names=(one.name, other.name),
        differences=list(compare(one, other)),
        code=changed_files(codes[0], codes[1]) if codes[0] and codes[1] else "",
        packages=changed_packages(*environments) if all(environments) else {},
        data=list(_changed_rows(workspace, *read)) if read else [],
    )


def _versions_read(tx: Transaction, run: Run) -> dict[str, DataRef]:
    """The data versions that a run has read, by dataset; what a client has read is one where the digests are alike."""
    found = [tx.lineage.data_of_digest(each.dataset.digest, each.dataset.name) for each in run.datasets]
    return {each.dataset: each for each in found if each is not None}


def _changed_rows(
    workspace: Workspace, before: Mapping[str, DataRef], after: Mapping[str, DataRef]
) -> Iterator[DataDiff]:
    for dataset in sorted(before.keys() & after.keys()):
        older, newer = (DataAddress.parse(str(side[dataset])) for side in (before, after))
        if older != newer:
            # Rows that were given up cannot be compared; that the digests differ is told in any case.
            with suppress(VersionRetired, FilesGone):
                yield diff_versions(workspace, newer, older)


def _packages(workspace: Workspace, run: Run) -> list[str]:
    """The interpreter and the packages of a run's environment, as `name==version`; none where it is not known."""
    found = _kept(workspace, run, "mainspring.environment", tuple[str, str, list[str]])
    return [] if found is None else [f"{found[0]}=={found[1]}", *found[2]]


def _kept(workspace: Workspace, run: Run, tag: str, kind: type[T]) -> T | None:
    """What the digest in a run's tag names; None where it has none, or what it names is there no more."""
    try:
        return msgspec.json.decode(workspace.blobs.get(Digest(run.tags[tag])), type=kind)
    except (KeyError, MainspringError, msgspec.MsgspecError):
        return None  # a client may give a run any tag


def run_named(tx: Transaction, given: str) -> Run:
    """Give the run whose id this is, or begins so; raises `RunNotFound`, `AmbiguousRun`."""
    try:
        return tx.logged_runs.get(given)
    except RunNotFound:
        if not re.fullmatch(r"[\w-]+", given):
            raise
        begun = Comparison(Entity.ATTRIBUTE, "run_id", Operator.LIKE, f"{given}%")
        search = Search(condition=begun, view=View.ALL, limit=5)
        # A `_` in the pattern stands for itself among others.
        found = [
            run
            for run in tx.logged_runs.search(list(_experiments(tx)), search).items
            if run.run_id.startswith(given)
        ]
        if len(found) > 1:
            raise AmbiguousRun(given, [run.run_id for run in found]) from None
        if not found:
            raise
        return found[0]


def _experiments(tx: Transaction) -> dict[int, str]:
    names: dict[int, str] = {}
    search = Search(condition=AllOf(()), view=View.ALL, limit=1000)
    while True:
        page = tx.experiments.search(search)
        names |= {each.experiment_id: each.name for each in page.items}
        if not page.token:
            return names
        search = Search(condition=AllOf(()), view=View.ALL, limit=1000, token=page.token)


def _found(run: Run, names: dict[int, str]) -> FoundRun:
    return FoundRun(
        run_id=run.run_id,
        name=run.name,
        experiment=names[run.experiment_id],
        status=run.status.value,
        started_at=_moment(run.started_ms),
        ended_at=_moment(run.ended_ms),
        metrics={metric.key: metric.value for metric in run.metrics},
        params=dict(run.params),
        tags=dict(run.tags),
    )


def _moment(ms: int | None) -> datetime | None:
    """A moment as a client stated it; None where it is none that a calendar has."""
    try:
        return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _drawn(points: Sequence[Metric]) -> str:
    by_step = sorted(points, key=lambda point: (point.step, point.timestamp_ms))
    values = [point.value for point in thin(by_step, _WIDTH) if not math.isnan(point.value)]
    if len(values) < 2 or max(values) == min(values):
        return ""
    # Halved first: the difference of the largest numbers is none.
    low, span = min(values) / 2, max(values) / 2 - min(values) / 2
    return "".join(_BARS[round(7 * ((value / 2 - low) / span))] for value in values)
