"""Scoring: a model's answers to all rows of a data version, published as a data version of their own.

The rows are divided into parts of fixed size. A part that is done is a blob, and its digest is recorded; a scoring
that was killed goes on with the parts that are not, and gives the version that it would have given.
"""

from __future__ import annotations

__all__ = ["NothingToScore", "Scoring", "score_data", "write_scores"]

from collections import Counter
from contextlib import closing, suppress
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

import msgspec

from mainspring.clock import time_text
from mainspring.data import Batch, BatchReport, Change, CheckFailure, DataVersion
from mainspring.digest import Digest, canonical_json, digest_of_json
from mainspring.errors import Fault, Faults, Invalid, MainspringError, Refused
from mainspring.events import Event, EventType
from mainspring.formats.signature import Signature
from mainspring.operate.data.datasets import UnknownDataset, find_version
from mainspring.operate.data.publish import one_at_a_time
from mainspring.operate.score_attempts import attempt_of, begin_attempt, end_attempt
from mainspring.operate.score_part import (
    ANSWERS,
    Part,
    Plan,
    Planned,
    Publish,
    Published,
    Score,
    Scored,
    Work,
)
from mainspring.operate.status import check_product
from mainspring.operate.tasks import Failed
from mainspring.operate.verify_version import need_sound
from mainspring.operate.worker import environment
from mainspring.operate.workers import failed
from mainspring.ref import DataAddress, DataRef, ModelRef, check_name
from mainspring.stores.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from mainspring.engines import Pool
    from mainspring.product import DatasetSpec, ProductSpec
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace

PART_ROWS = 50_000
"""Rows that are in memory at a time, in each worker."""

_Answer = Planned | Scored | Published | Failed
_DECODER = msgspec.json.Decoder(_Answer)
A = TypeVar("A", Planned, Scored, Published)


class NothingToScore(Refused):
    """A selection without a row."""

    def __init__(self, data: DataRef, since: datetime | None, until: datetime | None) -> None:
        super().__init__(data, since, until)
        self.data, self.since, self.until = data, since, until

    def __str__(self) -> str:
        bounds = [
            f"from {time_text(self.since)}" if self.since else "",
            f"before {time_text(self.until)}" if self.until else "",
        ]
        when = " and ".join(filter(None, bounds))
        return f"{self.data} has no rows{f' {when}' if when else ''}, so that there is nothing to score."


class Scoring(msgspec.Struct, frozen=True, kw_only=True):
    """A scoring that is published.

    Attributes
    ----------
    ref : str
        The data version with the answers.
    digest : str
        Of the answers and of all that they came from.
    model : str
        The model version that was asked.
    data : tuple of str
        The data versions that were read, first the one whose rows were scored.
    since, until : datetime or None
        The rows' event times: from, and before.
    columns : tuple of str
        What is kept beside the answers.
    rows : int
        How many.
    unanswered : dict of str to int
        How many of them have no answer, by reason.
    scored_at : datetime
        When it was begun, by the workspace's clock; it stands beside each answer.
    reused : bool
        Whether the answers were there already.
    """

    ref: str
    digest: str
    model: str
    data: tuple[str, ...]
    since: datetime | None
    until: datetime | None
    columns: tuple[str, ...]
    rows: int
    unanswered: dict[str, int]
    scored_at: datetime
    reused: bool


class _Begun(msgspec.Struct, frozen=True):
    """When a scoring was begun, and its parts."""

    at: datetime
    parts: tuple[Part, ...]


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for, resolved: the work, and what names it."""

    product: str
    model: ModelRef
    data: tuple[DataRef, ...]
    work: Work
    lineage: dict[str, object]

    @property
    def dataset(self) -> str:
        """The dataset of the answers."""
        return f"{self.product}-scores"

    @property
    def id(self) -> Digest:
        """Names the scoring by all that its answers depend on."""
        return digest_of_json(self.lineage)

    def event(self, at: datetime, actor: str, reason: str) -> Event:
        """An event about an attempt at it."""
        data = {"batch": self.id, "scoring": self.lineage}
        return Event(
            type=EventType.SCORING_STARTED, subject=self.dataset, at=at, actor=actor, reason=reason, data=data
        )


def score_data(
    workspace: Workspace,
    model: str,
    data: Sequence[str],
    *,
    actor: str,
    reason: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
    columns: Sequence[str] = (),
    progress: Callable[[int, int], None] = lambda done, rows: None,
    boundary: Callable[[str], None] = lambda place: None,
    part_rows: int = PART_ROWS,
) -> Scoring:
    """Ask a model about the rows of a data version, and publish its answers.

    The rows are joined with their features as of their own event time, as for training. Asked again for the same model
    and data, the answers are those that are there.

    Parameters
    ----------
    workspace : Workspace
        Of the product.
    model : str
        A product, whose champion is meant, or a model version such as `late-arrivals@7`.
    data : sequence of str
        The dataset, or the data version such as `flights@v12`, whose rows are scored; then those from which features
        are to come in place of the newest.
    actor, reason : str
        Who asks, and why.
    since, until : datetime, optional
        Score rows from this event time, and before that one.
    columns : sequence of str, optional
        Columns and features to keep beside the answers.
    progress : callable
        Told how many rows are done, and of how many.
    boundary : callable
        Told where the act stands; killed at any such place, it can be asked again.
    part_rows : int
        Rows that are scored at a time.

    Raises
    ------
    UnknownProduct, UnknownDataset, ModelVersionNotFound, DataVersionNotFound
        Something that is named does not exist.
    Faults
        The data lacks columns, or has them in another type; all faults are told.
    NothingToScore
        No row has such an event time.
    """
    if "\0" in actor + reason:
        raise Invalid("The actor or the reason holds a NUL, which not every database can keep: leave it out.")
    kept = workspace.blobs.put(canonical_json(environment()).encode())
    with workspace.database.read() as tx:
        asked = _resolve(workspace, tx, model, data, since, until, columns, kept, part_rows)
        published = _published(tx, asked)
        version = tx.registry.get(asked.model)
    if published is not None:
        return published
    need_sound(workspace, version)
    with workspace.workers.pool("mainspring.operate.score_part") as pool:
        begun = _begin(workspace, asked, pool, part_rows, actor, reason)
        boundary("begun")
        try:
            scored = _score(workspace, asked, begun, pool, progress, boundary)
            scoring = _publish(workspace, asked, begun, scored, pool, boundary, actor, reason)
        except MainspringError as error:
            with suppress(StoreUnavailable), workspace.database.write() as tx:
                why = str(error).replace("\0", "")
                end_attempt(tx, asked.id, asked.event(workspace.clock.now(), actor, why))
            raise
    boundary("published")
    return scoring


def write_scores(workspace: Workspace, scoring: Scoring, file: Path) -> None:
    """Write the answers of a scoring to a Parquet file, in no particular order; it is there whole or not at all."""
    with workspace.database.read() as tx:
        version = tx.data.get(DataRef.parse(scoring.ref))
    part = file.with_name(f".{file.name}.part")
    try:
        workspace.tables.scan(version.dataset, version.table_version).sink_parquet(part)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


# --- what is asked -------------------------------------------------------------------------------------------------


def _resolve(
    workspace: Workspace,
    tx: Transaction,
    model: str,
    data: Sequence[str],
    since: datetime | None,
    until: datetime | None,
    columns: Sequence[str],
    environment: Digest,
    part_rows: int,
) -> _Asked:
    ref = ModelRef.parse(model) if "@" in model else ModelRef(check_name(model), "champion")
    check_product(tx, ref.product)
    specs = workspace.specs(tx)
    spec, version = specs[ref.product], tx.registry.get(ref)
    datasets = {each.name: each for every in specs.values() for each in every.datasets}
    if not data:
        raise Invalid("Name the data to score, such as `--data orders` or `--data orders@v3`.")
    given = [_data_version(tx, each, datasets) for each in data]
    rows, signature = datasets[given[0].dataset], Signature.from_json(version.signature)
    named = [*(column.name for column in signature.inputs), *columns]
    views = tuple(view for view in spec.features if {*named} & {*view.feature_names})
    if faults := tuple(_faults(spec, rows, given, columns, datasets)):
        raise Faults("What is to be scored", faults)
    pinned = {each.dataset: each for each in reversed(given)}
    read = {rows.name: given[0]}
    for view in views:
        read[view.source] = pinned.get(view.source) or _data_version(tx, view.source, datasets)
    work = Work(
        rows=rows,
        views=views,
        keys={view.source: datasets[view.source].key for view in views},
        tables={name: each.table_version for name, each in read.items()},
        known=max(each.published_at for each in read.values()),
        artifact=version.artifact,
        signature=signature,
        version=version.number,
        columns=tuple(name for name in dict.fromkeys(columns) if name not in (*rows.key, rows.event_time)),
        since=since,
        until=until,
        allow_code=workspace.settings.allows_code(ref.product),
        timeout_s=workspace.settings.batch_timeout_s,
    )
    return _Asked(
        product=ref.product,
        model=version.ref,
        data=tuple(each.ref for each in read.values()),
        work=work,
        lineage={
            "model": str(version.ref),
            "artifact": version.artifact,
            "data": {str(each.ref): each.digest for each in read.values()},
            "rows": str(given[0].ref),
            "code": digest_of_json(msgspec.to_builtins((rows, views, signature))),
            "environment": environment,
            "since": time_text(since) if since else None,
            "until": time_text(until) if until else None,
            "columns": list(work.columns),
            "part_rows": part_rows,
        },
    )


def _data_version(tx: Transaction, text: str, datasets: dict[str, DatasetSpec]) -> DataVersion:
    """Read `flights` as its newest version, and `flights@v12` or another address as that one."""
    address = DataAddress.parse(text)
    if address.dataset not in datasets:
        raise UnknownDataset(address.dataset, tuple(sorted(datasets)))
    return find_version(tx, address)


def _faults(
    spec: ProductSpec,
    rows: DatasetSpec,
    given: Sequence[DataVersion],
    columns: Sequence[str],
    datasets: Collection[str],
) -> Iterator[Fault]:
    if (answers := f"{spec.name}-scores") in datasets:
        yield Fault(
            f"dataset {answers!r}",
            f"is declared in a product file, and the answers of {spec.name!r} would have its name.",
            "Name it otherwise.",
        )
    for name, count in Counter(each.dataset for each in given).items():
        if count > 1:
            yield Fault(f"dataset {name!r}", f"is named {count} times.", "Name one version of it.")
    sources = {view.source for view in spec.features}
    for each in given[1:]:
        if each.dataset not in sources:
            yield Fault(str(each.ref), f"no feature of {spec.name!r} comes from there.", "Leave it out.")
    for name in dict.fromkeys((*rows.key, rows.event_time, *columns)):
        if name in ANSWERS:
            yield Fault(
                f"column {name!r}", "is the name of a column with answers.", "It cannot be kept beside them."
            )


# --- what is done --------------------------------------------------------------------------------------------------


def _begin(
    workspace: Workspace, asked: _Asked, pool: Pool, part_rows: int, actor: str, reason: str
) -> _Begun:
    """Divide the rows, unless that was done; when the scoring was begun is kept, since it stands in the answers."""
    key = f"scoring:{asked.id}"
    with workspace.database.read() as tx:
        known = tx.values.get(key)
    if known is None:
        planned = _ask(pool, Plan(work=asked.work, size=part_rows), Planned)
        if planned.faults:
            faults = tuple(Fault(where, what) for where, what in planned.faults)
            raise Faults(f"{asked.data[0]}, to be scored by {asked.model},", faults)
        if not planned.parts:
            raise NothingToScore(asked.data[0], asked.work.since, asked.work.until)
        known = msgspec.json.encode(_Begun(workspace.clock.now(), planned.parts)).decode()
    with workspace.database.write() as tx:
        known = tx.values.get(key) or known
        tx.values.put(key, known)
        begin_attempt(tx, asked.id, asked.event(workspace.clock.now(), actor, reason or "it was asked for"))
    return msgspec.json.decode(known, type=_Begun)


def _score(
    workspace: Workspace,
    asked: _Asked,
    begun: _Begun,
    pool: Pool,
    progress: Callable[[int, int], None],
    boundary: Callable[[str], None],
) -> list[Scored]:
    """Score the parts that are not done, each recorded when it is."""
    prefix = f"scoring:{asked.id}:"
    with workspace.database.read() as tx:
        found = {
            int(key.removeprefix(prefix)): msgspec.json.decode(text, type=Scored)
            for key, text in tx.values.items(prefix).items()
        }
    scored = {place: each for place, each in found.items() if workspace.blobs.has(Digest(each.output))}
    rows, done = sum(part.rows for part in begun.parts), sum(each.rows for each in scored.values())
    progress(done, rows)
    left = [place for place in range(len(begun.parts)) if place not in scored]
    questions = [
        msgspec.json.encode(Score(work=asked.work, part=begun.parts[place], scored_at=begun.at))
        for place in left
    ]
    with closing(pool.answers(questions)) as answers:
        for position, answer in answers:
            place, each = left[position], _read(answer, Scored)
            boundary(f"before recording part {place}")
            with workspace.database.write() as tx:
                tx.values.put(f"{prefix}{place:06}", msgspec.json.encode(each).decode())
            boundary(f"after recording part {place}")
            scored[place] = each
            done += each.rows
            progress(done, rows)
    return [scored[place] for place in range(len(begun.parts))]


def _publish(
    workspace: Workspace,
    asked: _Asked,
    begun: _Begun,
    scored: Sequence[Scored],
    pool: Pool,
    boundary: Callable[[str], None],
    actor: str,
    reason: str,
) -> Scoring:
    with one_at_a_time(workspace):
        with workspace.database.read() as tx:
            published = _published(tx, asked)
            newest = tx.data.newest(asked.dataset)
        if published is not None:
            return published
        outputs = tuple(each.output for each in scored)
        table = _ask(pool, Publish(table=asked.dataset, outputs=outputs), Published)
        boundary("before publishing")
        return _record(workspace, asked, begun, scored, table.table_version, newest, actor, reason)


def _record(
    workspace: Workspace,
    asked: _Asked,
    begun: _Begun,
    scored: Sequence[Scored],
    table_version: int,
    newest: DataVersion | None,
    actor: str,
    reason: str,
) -> Scoring:
    now, outputs = workspace.clock.now(), [each.output for each in scored]
    unanswered: Counter[str] = Counter()
    for each in scored:
        unanswered.update(each.unanswered)
    rows = sum(each.rows for each in scored)
    version = DataVersion(
        dataset=asked.dataset,
        number=(newest.number if newest else 0) + 1,
        digest=digest_of_json([asked.id, outputs]),
        rows=rows,
        rows_added=rows,
        published_at=now,
        table_version=table_version,
        parent=newest.number if newest else None,
        change=Change.REPLACE if newest else Change.APPEND,
        rows_removed=newest.rows if newest else 0,
        source=str(asked.data[0]),
    )
    failures = tuple(CheckFailure("probability", why, count, ()) for why, count in sorted(unanswered.items()))
    batch = Batch(
        dataset=asked.dataset,
        digest=asked.id,
        at=begun.at,
        actor=actor,
        report=BatchReport(rows, 0, failures),
        version=version.number,
    )
    parts = workspace.blobs.put(canonical_json(outputs).encode())
    with workspace.database.write() as tx:
        tx.data.add_batch(batch)
        tx.data.add(version)
        tx.ledger.append(
            Event(
                type=EventType.DATA_VERSION_PUBLISHED,
                subject=str(version.ref),
                at=now,
                actor=actor,
                reason=reason or f"{asked.model} scored {rows:,} rows of {asked.data[0]}",
                data={
                    "digest": version.digest,
                    "rows": rows,
                    "rows_added": rows,
                    "batch": asked.id,
                    "attempt": attempt_of(tx, asked.id).number,
                    "scoring": asked.lineage,
                    "snapshot": tx.values.get("code"),
                    "parts": parts,
                    "scored_at": time_text(begun.at),
                    "unanswered": dict(sorted(unanswered.items())),
                },
            )
        )
    return _told(asked, batch, version, reused=False)


def _published(tx: Transaction, asked: _Asked) -> Scoring | None:
    """Give the scoring if its answers are there already."""
    batch = tx.data.find_batch(asked.dataset, asked.id)
    if batch is None or batch.version is None:
        return None
    return _told(asked, batch, tx.data.get(DataRef(asked.dataset, batch.version)), reused=True)


def _told(asked: _Asked, batch: Batch, version: DataVersion, *, reused: bool) -> Scoring:
    return Scoring(
        ref=str(version.ref),
        digest=version.digest,
        model=str(asked.model),
        data=tuple(map(str, asked.data)),
        since=asked.work.since,
        until=asked.work.until,
        columns=asked.work.columns,
        rows=version.rows,
        unanswered={each.check: each.rows for each in batch.report.failures},
        scored_at=batch.at,
        reused=reused,
    )


def _ask(pool: Pool, question: Plan | Publish, wanted: type[A]) -> A:
    ((_, answer),) = pool.answers([msgspec.json.encode(question)])
    return _read(answer, wanted)


def _read(answer: bytes, wanted: type[A]) -> A:
    read = _DECODER.decode(answer)
    if isinstance(read, Failed):
        raise failed(read)
    assert isinstance(read, wanted)  # each kind of question is answered with its own kind
    return read
