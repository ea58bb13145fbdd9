"""Compaction: ended segments of the prediction logs become rows of Delta tables, each exactly once, and are sealed."""

from __future__ import annotations

__all__ = ["compact", "prediction_log"]

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from mainspring.digest import digest_of_json
from mainspring.events import Event, EventType
from mainspring.monitoring.store import LogCursor
from mainspring.operate.log_table import LABELS, frames, predictions_table
from mainspring.stores.segments import SegmentCorrupt, ended_segments, read, remove, seal

if TYPE_CHECKING:
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
    sealed = 0
    for folder in _logs(workspace):
        with workspace.database.read() as tx:
            counted = tx.monitoring.cursor(folder.name).segment
            specs = workspace.specs(tx)
        done = _sealed(workspace, folder)
        ready = [number for number in ended_segments(folder) if done < number < counted]
        # Always the same groups: one that was appended before a kill is found again by the number of its last segment.
        for first in range(0, len(ready) - GROUP + 1, GROUP):
            boundary("before Compact")
            _compact(workspace, folder, ready[first : first + GROUP], specs, boundary)
            sealed += GROUP
        for number in ended_segments(folder):
            # Killed between sealing and removing, the next call removes what is sealed already.
            if number <= _sealed(workspace, folder):
                remove(folder, number)
    return sealed


def _sealed(workspace: Workspace, folder: Path) -> int:
    with workspace.database.read() as tx:
        return int(tx.values.get(f"sealed:{folder.name}") or 0)


def _compact(
    workspace: Workspace,
    folder: Path,
    segments: Sequence[int],
    specs: dict[str, ProductSpec],
    boundary: Callable[[str], None],
) -> None:
    records = [record for number in segments for record in _records(folder, number)]
    # The id makes the append exactly-once: a commit that was made before a kill is found and not made again.
    appender, last = _appender(folder), segments[-1]
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
    seals = [seal(folder, number) for number in segments]
    now = workspace.clock.now()
    with workspace.database.write() as tx:
        tx.values.put(f"sealed:{folder.name}", str(segments[-1]))
        tx.ledger.append(
            Event(
                type=EventType.SEGMENT_SEALED,
                subject=f"log/{folder.name}/{segments[-1]}",
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
    workspace: Workspace, product: str, boundary: Callable[[str], None] = lambda place: None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read a product's whole prediction log: what is in the tables, and what is still in segments.

    Parameters
    ----------
    workspace : Workspace
        Another process may log, count and compact at the same time.
    product : str
        Its name.
    boundary : callable
        Told where the reading stands.

    Returns
    -------
    polars.DataFrame
        One row per row that was asked, in the order of time: `prediction_id`, `at`, `day`, `version`, `route`, `unit`,
        `score`, `failures`, `pinned`, `shadow`, `trace`, `latency_s`, `features_at`, `redacted`, `sampled`, and inputs.
        Of predictions under the same id the first; where nobody could answer, id, version and score are null.
    polars.DataFrame
        One row per label: `prediction_id`, `value` (as text), `known_at`, `at`, `day`, `metric` (empty for the truth).
    """
    import polars as pl

    with workspace.database.read() as tx:
        specs = workspace.specs(tx)
    while True:
        # In this order: what was sealed by now is in every later version of the tables.
        sealed = {folder: _sealed(workspace, folder) for folder in _logs(workspace)}
        try:
            rows = _read(workspace, product, predictions_table(specs[product]), specs, sealed, boundary)
            labels = _read(workspace, LABELS, LABELS, specs, sealed, boundary)
        except SegmentCorrupt:
            if sealed == {folder: _sealed(workspace, folder) for folder in sealed}:
                raise
            continue  # a compaction has moved segments on, and removed them
        # Rows of an earlier release have nulls in the columns that have come since.
        rows = rows.with_columns(pl.col("pinned").fill_null(False), pl.col("sampled").fill_null(1.0))
        rows = rows.sort("at", maintain_order=True)
        first = pl.col("prediction_id").is_first_distinct() | pl.col("prediction_id").is_null()
        return rows.filter(first), labels.with_columns(pl.col("metric").fill_null(""))


def _read(
    workspace: Workspace,
    owner: str,
    table: str,
    specs: dict[str, ProductSpec],
    sealed: dict[Path, int],
    boundary: Callable[[str], None],
) -> pl.DataFrame:
    """Read the tables of one owner at the versions that they have now, and the segments that those do not hold."""
    import polars as pl

    stored = workspace.predictions
    versions = {name: stored.version(name) for name in _tables(workspace, owner)}
    boundary("before segments")
    parts = [frames((), specs)[owner][table]]
    parts += [stored.read(name, version) for name, version in versions.items()]
    for folder, done in sealed.items():
        # What a killed process has appended is in a table already, and not recorded as sealed.
        held = [stored.committed(name, _appender(folder), version) for name, version in versions.items()]
        parts.append(frames(_after(folder, max(done, *held, 0)), specs)[owner][table])
        boundary("after a log")
    return pl.concat(parts, how="diagonal_relaxed")


def _logs(workspace: Workspace) -> list[Path]:
    return sorted(each for each in workspace.logs.glob("*") if each.is_dir())


def _tables(workspace: Workspace, owner: str) -> list[str]:
    """Name the tables that a product has had, or the one of all labels, or of strays."""
    return [
        name
        for name in (owner, *workspace.predictions.names(f"{owner}-"))
        if workspace.predictions.exists(name)
    ]


def _appender(folder: Path) -> str:
    return f"log-{folder.name}"


def _records(folder: Path, segment: int) -> Iterator[LogRecord]:
    cursor = LogCursor(segment, 0)
    while cursor.segment == segment:
        records, cursor = read(folder, cursor)
        if not records or cursor.segment != segment:
            break
        yield from records


def _after(folder: Path, segment: int) -> Iterator[LogRecord]:
    cursor = LogCursor(segment + 1, 0)
    while True:
        records, reached = read(folder, cursor)
        if reached == cursor:
            return
        yield from records
        cursor = reached
