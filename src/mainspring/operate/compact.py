"""Compaction: ended segments of the prediction logs become rows of Delta tables, each exactly once, and are sealed."""

from __future__ import annotations

__all__ = ["compact", "prediction_log", "unsealed"]

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from mainspring.digest import digest_of_json
from mainspring.events import Event, EventType
from mainspring.monitoring.store import LogCursor
from mainspring.operate.log_table import LABELS, frames
from mainspring.operate.logs import Log, log_folders, tell
from mainspring.stores.segments import SegmentCorrupt, ended_segments, remove, seal

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    import polars as pl

    from mainspring.monitoring.record import LogRecord
    from mainspring.product import ProductSpec
    from mainspring.workspace import Workspace

GROUP = 7
"""Segments that are compacted together: under light traffic one is a day, and a commit of a week costs no more."""


def compact(workspace: Workspace, boundary: Callable[[str], None] = lambda place: None) -> int:
    """Move ended and counted segments into the tables of the prediction log, `GROUP` of them at a time.

    Parameters
    ----------
    workspace : Workspace
        Whose logs.
    boundary : callable
        Told where the work stands.

    Returns
    -------
    int
        How many segments were sealed.
    """
    with workspace.database.read() as tx:
        folders = log_folders(tx, workspace)
    sealed = 0
    for folder in folders:
        damage = None
        try:
            sealed += _compact_log(workspace, folder, boundary)
        except SegmentCorrupt as error:
            damage = error
        tell(workspace, folder, "compact", damage)
    return sealed


def _compact_log(workspace: Workspace, folder: Path, boundary: Callable[[str], None]) -> int:
    with workspace.database.read() as tx:
        log, specs = Log.of(tx, folder), workspace.specs(tx)
    log.need_counted()
    done, count, ended = log.sealed, 0, ended_segments(folder)
    # Always the same groups: one that was appended before a kill is found again by the number of its last segment.
    for last in range(done + GROUP, log.cursor.segment, GROUP):
        group = [number for number in ended if done < number <= last]
        boundary("before Compact")
        _compact(workspace, log, group, last, specs, boundary)
        done, count = last, count + len(group)
    for number in ended:
        # Killed between sealing and removing, the next call removes what is sealed already.
        if number <= done:
            remove(folder, number)
    return count


def _compact(
    workspace: Workspace,
    log: Log,
    segments: Sequence[int],
    last: int,
    specs: dict[str, ProductSpec],
    boundary: Callable[[str], None],
) -> None:
    records = [record for number in segments for record in _records(log, number)]
    # The id makes the append exactly-once: a commit that was made before a kill is found and not made again.
    appender = _appender(log)
    for owner, tables in frames(records, specs).items():
        for table, frame in tables.items():
            # Killed, and the inputs declared anew since: then another table of the product has these rows.
            done = max(
                workspace.predictions.committed(each, appender)
                for each in {table, *_tables(workspace, owner)}
            )
            if done < last and not frame.is_empty():
                workspace.predictions.append(
                    table, frame, commit_id=(appender, last), partition_by=("day",), widen=True
                )
    boundary("within Compact")
    seals = [seal(log.folder, number, log.gaps) for number in segments]
    now = workspace.clock.now()
    with workspace.database.write() as tx:
        tx.values.put(f"sealed:{log.name}", str(last))
        tx.ledger.append(
            Event(
                type=EventType.SEGMENT_SEALED,
                subject=f"log/{log.name}/{last}",
                at=now,
                actor="loop",
                reason=f"{sum(each.predictions for each in seals):,} predictions and "
                f"{sum(each.labels for each in seals):,} labels were moved into the prediction log's tables",
                data={
                    "digest": digest_of_json([each.digest for each in seals]),
                    "segments": [msgspec.to_builtins(each) for each in seals],
                },
            )
        )
    boundary("after Compact")


def prediction_log(
    workspace: Workspace,
    product: str,
    *,
    since: datetime | None = None,
    boundary: Callable[[str], None] = lambda place: None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read a product's prediction log: what is in the tables, and what is still in segments.

    Parameters
    ----------
    workspace : Workspace
        Another process may log, count and compact at the same time.
    product : str
        Its name.
    since : datetime, optional
        Leave out what was asked before, and labels that came a day or more before; the days before are not read.
    boundary : callable
        Told where the reading stands.

    Returns
    -------
    polars.DataFrame
        One row per row that was asked, in the order of time: `prediction_id`, `at`, `day`, `version`, `route`, `unit`,
        `score`, `failures`, `pinned`, `shadow`, `trace`, `latency_s`, `features_at`, `redacted`, `sampled`, `row` (its
        place in the request), `took` (of each version, told with the request's first row), and inputs. An input that
        was declared with several types is of the one that holds the values of all: of texts, if one was of texts.
        Of predictions under the same id the first, and so of requests that nobody could answer: there id, version and
        score are null.
    polars.DataFrame
        One row per label: `prediction_id`, `value` (as text), `known_at`, `at`, `day`, `metric` (empty for the truth).

    Raises
    ------
    mainspring.stores.segments.SegmentCorrupt
        A part of a gateway's log is damaged or gone, and nobody has accepted that it is lost.
    """
    import polars as pl

    with workspace.database.read() as tx:
        specs = workspace.specs(tx)
    while True:
        # In this order: what was sealed by now is in every later version of the tables.
        logs = _logs(workspace)
        try:
            for log in logs:
                log.need_same()
            rows = _read(workspace, product, specs, logs, since, boundary)
            # A label's time is another process's, whose clock may be behind.
            told = since - timedelta(days=1) if since else None
            labels = _read(workspace, LABELS, specs, logs, told, boundary)
        except SegmentCorrupt:
            if _sealed(logs) == _sealed(_logs(workspace)):
                raise
            continue  # a compaction has moved segments on, and removed them
        # Rows of an earlier release have nulls in the columns that have come since.
        rows = rows.with_columns(pl.col("pinned").fill_null(False), pl.col("sampled").fill_null(1.0))
        rows = rows.sort("at", maintain_order=True)
        # Without an id, a row is known by what the request has of its own.
        own = ("prediction_id", "at", "unit", "row", "route", "trace", "latency_s", "failures")
        first = (
            pl.when(pl.col("prediction_id").is_null())
            .then(pl.struct(own).is_first_distinct())
            .otherwise(pl.col("prediction_id").is_first_distinct())
        )
        return rows.filter(first), labels.with_columns(pl.col("metric").fill_null(""))


def unsealed(workspace: Workspace) -> Iterator[LogRecord]:
    """Read the records that no table has yet.

    Raises
    ------
    mainspring.stores.segments.SegmentCorrupt
        A part of a gateway's log is damaged or gone, and nobody has accepted that it is lost.
    """
    for log in _logs(workspace):
        yield from _after(log, log.sealed)


def _read(
    workspace: Workspace,
    owner: str,
    specs: dict[str, ProductSpec],
    logs: Sequence[Log],
    since: datetime | None,
    boundary: Callable[[str], None],
) -> pl.DataFrame:
    """Read the tables of one owner at the versions that they have now, and the segments that those do not hold."""
    import polars as pl

    stored = workspace.predictions
    versions = {name: stored.version(name) for name in _tables(workspace, owner)}
    boundary("before segments")
    parts = [*frames((), specs)[owner].values()]
    wanted = [pl.col("day") >= since.date(), pl.col("at") >= since] if since else []
    parts += [stored.scan(name, version).filter(*wanted).collect() for name, version in versions.items()]
    for log in logs:
        # What a killed process has appended is in a table already, and not recorded as sealed.
        held = [stored.committed(name, _appender(log), version) for name, version in versions.items()]
        fresh = frames(_after(log, max(log.sealed, *held, 0)), specs)[owner].values()
        parts += [frame.filter(*wanted) for frame in fresh]
        boundary("after a log")
    return pl.concat(parts, how="diagonal_relaxed")


def _logs(workspace: Workspace) -> list[Log]:
    with workspace.database.read() as tx:
        return [Log.of(tx, folder) for folder in log_folders(tx, workspace)]


def _sealed(logs: Sequence[Log]) -> list[tuple[str, int]]:
    return [(log.name, log.sealed) for log in logs]


def _tables(workspace: Workspace, owner: str) -> list[str]:
    """Name the tables that a product has had, or the one of all labels, or of strays."""
    return [
        name
        for name in (owner, *workspace.predictions.names(f"{owner}-"))
        if workspace.predictions.exists(name)
    ]


def _appender(log: Log) -> str:
    return f"log-{log.name}"


def _records(log: Log, segment: int) -> Iterator[LogRecord]:
    cursor = LogCursor(segment, 0)
    while cursor.segment == segment:
        records, cursor = log.read(cursor)
        if not records or cursor.segment != segment:
            break
        yield from records


def _after(log: Log, segment: int) -> Iterator[LogRecord]:
    cursor = LogCursor(segment + 1, 0)
    while True:
        records, reached = log.read(cursor)
        if reached == cursor:
            return
        yield from records
        cursor = reached
