"""Compaction: ended segments of the prediction logs become rows of Delta tables, each exactly once, and are sealed."""

from __future__ import annotations

__all__ = ["compact", "prediction_log"]

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mainspring.digest import digest_of_json
from mainspring.events import Event, EventType
from mainspring.monitoring.record import LabelRecord, LogRecord, PredictionRecord
from mainspring.monitoring.store import LogCursor
from mainspring.stores.segments import ended_segments, read, remove, seal

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from mainspring.product import ProductSpec
    from mainspring.workspace import Workspace

GROUP = 7
"""Segments that are compacted together: under light traffic one is a day, and a commit of a week costs no more."""

LABELS = "labels"


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
    for folder in sorted(each for each in workspace.logs.glob("*") if each.is_dir()):
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
    commit = (_appender(folder), segments[-1])
    for table, frame in _frames(records, specs).items():
        workspace.predictions.append(table, frame, commit_id=commit, partition_by=("day",))
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


def _records(folder: Path, segment: int) -> list[LogRecord]:
    found: list[LogRecord] = []
    cursor = LogCursor(segment, 0)
    while cursor.segment == segment:
        records, cursor = read(folder, cursor)
        if not records or cursor.segment != segment:
            break
        found += records
    return found


def prediction_log(workspace: Workspace, product: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read a product's whole prediction log: what is in the tables, and what is still in segments.

    Returns
    -------
    polars.DataFrame
        One row per prediction: `prediction_id`, `at`, `day`, `version`, `route`, `unit`, `score`, `failures`, inputs.
    polars.DataFrame
        One row per label: `prediction_id`, `value` (as text), `known_at`, `day`.
    """
    import polars as pl

    with workspace.database.read() as tx:
        specs = workspace.specs(tx)
    parts = []
    of_product = workspace.predictions.names(f"{product}-")
    for names, table, empty in (
        (of_product, predictions_table(specs[product]), _prediction_frame([], specs[product])),
        ((LABELS,), LABELS, _label_frame([])),
    ):
        frames = [empty]
        for folder in sorted(each for each in workspace.logs.glob("*") if each.is_dir()):
            # What a killed process has appended is in the table already, and not recorded as sealed.
            kept = max(_sealed(workspace, folder), workspace.predictions.committed(table, _appender(folder)))
            recent = _frames(_records_after(folder, kept), specs)
            frames += [recent[table]] if table in recent else []
        frames[1:1] = [
            workspace.predictions.read(name) for name in names if workspace.predictions.exists(name)
        ]
        parts.append(pl.concat(frames, how="diagonal_relaxed"))
    return parts[0], parts[1]


def _appender(folder: Path) -> str:
    return f"log-{folder.name}"


def _records_after(folder: Path, segment: int) -> list[LogRecord]:
    records: list[LogRecord] = []
    cursor = LogCursor(segment + 1, 0)
    while True:
        found, reached = read(folder, cursor)
        if reached == cursor:
            return records
        records += found
        cursor = reached


def label_text(value: bool | int | float | str) -> str:
    """A label as text, the same for equal values: true, 1 and 1.0 are one.

    Examples
    --------
    >>> label_text(True), label_text(1.0), label_text("late")
    ('1', '1', 'late')
    """
    return value if isinstance(value, str) else f"{float(value):.17g}"


def predictions_table(spec: ProductSpec) -> str:
    """Name of the table of a product's predictions; when its inputs change, a table of new columns begins."""
    return f"{spec.name}-{digest_of_json(msgspec.to_builtins(spec.inputs))[:8]}"


def _frames(records: Sequence[LogRecord], specs: dict[str, ProductSpec]) -> dict[str, pl.DataFrame]:
    by_product: dict[str, list[PredictionRecord]] = defaultdict(list)
    labels: list[LabelRecord] = []
    for record in records:
        if isinstance(record, LabelRecord):
            labels.append(record)
        elif record.product in specs:
            by_product[record.product].append(record)
    frames = {
        predictions_table(specs[name]): _prediction_frame(kept, specs[name])
        for name, kept in sorted(by_product.items())
    }
    return frames | ({LABELS: _label_frame(labels)} if labels else {})


def _prediction_frame(records: Sequence[PredictionRecord], spec: ProductSpec) -> pl.DataFrame:
    import polars as pl

    types: dict[str, Any] = {"BYTES": pl.String, "BOOL": pl.Boolean, "FP64": pl.Float64, "FP32": pl.Float32}
    inputs: dict[str, Any] = {column.name: types.get(column.dtype, pl.Int64) for column in spec.inputs}
    columns: dict[str, list[Any]] = defaultdict(list)
    for record in records:
        rows = len(record.ids)
        columns["prediction_id"] += record.ids
        columns["at"] += [record.at] * rows
        columns["version"] += record.versions
        columns["route"] += [record.route] * rows
        columns["unit"] += record.units
        columns["score"] += record.scores
        failed: list[str | None] = [None] * rows
        for failure in record.failures:
            failed[failure.row] = f"{failure.version}: {failure.error}"
        columns["failures"] += failed
        for name in inputs:
            columns[name] += record.inputs.get(name) or [None] * rows
    schema: dict[str, Any] = {
        "prediction_id": pl.String,
        "at": pl.Datetime("us", "UTC"),
        "version": pl.Int64,
        "route": pl.Int64,
        "unit": pl.String,
        "score": pl.Float64,
        "failures": pl.String,
        **inputs,
    }
    frame = pl.DataFrame({name: columns[name] for name in schema}, schema=schema)
    return frame.with_columns(pl.col("at").dt.date().alias("day"))


def _label_frame(records: Sequence[LabelRecord]) -> pl.DataFrame:
    import polars as pl

    rows = [
        (entry.prediction_id, label_text(entry.value), entry.known_at, record.at)
        for record in records
        for entry in record.labels
    ]
    schema: dict[str, Any] = {
        "prediction_id": pl.String,
        "value": pl.String,
        "known_at": pl.Datetime("us", "UTC"),
        "at": pl.Datetime("us", "UTC"),
    }
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col("at").dt.date().alias("day"))
