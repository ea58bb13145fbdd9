"""What the stores of experiments, runs and models that clients log have in common."""

from __future__ import annotations

__all__ = ["columns_of", "metric_of", "remove", "seen"]

import math
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Table,
    delete,
    true,
)

from mainspring.search import View
from mainspring.tracking.record import (
    Lifecycle,
    Metric,
)
from mainspring.tracking.store import (
    TagNotFound,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection


def columns_of(metric: Metric) -> dict[str, Any]:
    """Give a point as columns: NaN is a flag beside 0, since databases order and compare it each in their own way."""
    nan = math.isnan(metric.value)
    return {
        "key": metric.key,
        "value": 0.0 if nan else metric.value,
        "is_nan": nan,
        "step": metric.step,
        "timestamp_ms": metric.timestamp_ms,
        "model_id": metric.model_id,
        "dataset_name": metric.dataset_name,
        "dataset_digest": metric.dataset_digest,
    }


def metric_of(row: Row[Any], *, model_id: str | None = None, run_id: str = "") -> Metric:
    """Read a point; `model_id` and `run_id` are known to who asks where the row has none."""
    return Metric(
        key=row.key,
        value=math.nan if row.is_nan else row.value,
        step=row.step,
        timestamp_ms=row.timestamp_ms,
        model_id=row.model_id if model_id is None else model_id,
        dataset_name=row.dataset_name,
        dataset_digest=row.dataset_digest,
        run_id=run_id,
    )


def seen(table: Table, view: View) -> ColumnElement[bool]:
    """Say of which lifecycle rows are looked at."""
    match view:
        case View.ALL:
            return true()
        case View.ACTIVE:
            return table.c.lifecycle == Lifecycle.ACTIVE.value
        case View.DELETED:
            return table.c.lifecycle == Lifecycle.DELETED.value


def remove(connection: Connection, table: Table, of: ColumnElement[bool], key: str, told: str) -> None:
    """Remove a tag; raises `TagNotFound`, which tells of what."""
    if connection.execute(delete(table).where(of, table.c.key == key)).rowcount == 0:
        raise TagNotFound(key, told)
