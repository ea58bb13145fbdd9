"""Attributions of the days that are over: the champion is asked again, with each input at its usual value."""

from __future__ import annotations

__all__ = ["attribute_days"]

from typing import TYPE_CHECKING

from mainspring.engines import WorkerDied
from mainspring.formats.signature import Signature
from mainspring.monitoring.attribution import AttributionTable
from mainspring.monitoring.sample import RowSample
from mainspring.monitors import AttributionDrift
from mainspring.operate.ablation import ablated, table_of
from mainspring.operate.references import reference_of
from mainspring.operate.review import ask_again
from mainspring.operate.sights.attribution import ATTRIBUTIONS, Unattributed
from mainspring.operate.sights.joint import ROWS
from mainspring.operate.workers import TaskFailed
from mainspring.task import answer_shares

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    from mainspring.monitoring.attribution import Baseline
    from mainspring.product import ProductSpec
    from mainspring.registry import ModelVersion
    from mainspring.task import Task
    from mainspring.workspace import Workspace


def attribute_days(workspace: Workspace, spec: ProductSpec, version: ModelVersion, today: date) -> None:
    """Attribute the sampled rows of each day that is over and has no table yet, where a monitor looks at it.

    A day on which that cannot be done gets a table that says why, and is tried again with the next look.
    """
    if not any(isinstance(each, AttributionDrift) for each in spec.monitors):
        return
    reference = reference_of(workspace.blobs, version.reference)
    with workspace.database.read() as tx:
        done = tx.monitoring.tables(spec.name, version.number, ATTRIBUTIONS)
        samples = {
            day: RowSample.from_json(text)
            for day, text in tx.monitoring.tables(spec.name, version.number, ROWS).items()
            if day < today and (day not in done or Unattributed.read(done[day]))
        }
    if not reference.attributions or not samples:
        return
    texts = _texts(
        workspace,
        reference.task or spec.task,
        version,
        AttributionTable.from_json(reference.attributions).baseline,
        samples,
    )
    with workspace.database.write() as tx:
        for day, text in texts.items():
            tx.monitoring.put_table(spec.name, version.number, ATTRIBUTIONS, day, text)


def _texts(
    workspace: Workspace,
    task: Task,
    version: ModelVersion,
    baseline: Mapping[str, Baseline],
    samples: Mapping[date, RowSample],
) -> dict[date, str]:
    import numpy as np
    import polars as pl

    columns = Signature.from_json(version.signature).inputs
    lacking = sorted({c.name for c in columns} - _logged(samples.values()))
    if lacking:
        why = f"the log does not hold {', '.join(lacking)}, so that the model cannot be asked again"
        return dict.fromkeys(samples, Unattributed(why).to_json())
    types = {"BYTES": pl.String, "BOOL": pl.Boolean, "INT64": pl.Int64}
    rows = pl.concat(
        pl.DataFrame(
            {c.name: each.columns[c.name] for c in columns},
            schema={c.name: types.get(c.dtype, pl.Float64) for c in columns},
            strict=False,
        )
        for each in samples.values()
    )
    try:
        answered = np.array(ask_again(workspace, version, ablated(rows, baseline)), np.float64)
    except (TaskFailed, WorkerDied) as error:
        return dict.fromkeys(samples, Unattributed(str(error)).to_json())
    start, found = 0, {}
    for day, each in samples.items():
        end = start + len(each.hashes)
        found[day] = table_of(answer_shares(task, answered), baseline, rows.height, start, end).to_json()
        start = end
    return found


def _logged(samples: Iterable[RowSample]) -> set[str]:
    """Name the columns that all samples have."""
    first, *others = (set(each.columns) for each in samples)
    return first.intersection(*others)
