"""What the champion's quality is likely to be on its newest predictions, before their labels come."""

from __future__ import annotations

__all__ = ["EstimateRow", "MetricEstimate", "estimate_row"]

from datetime import date, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from mainspring.monitoring import (
    Estimates,
    LabelledRows,
    Profile,
    ProfileMismatch,
    RowsMismatch,
    estimate,
    merge,
)
from mainspring.operate.references import reference_of
from mainspring.ref import ModelRef
from mainspring.stores.blobs import BlobCorrupt, BlobNotFound

if TYPE_CHECKING:
    from mainspring.digest import Digest
    from mainspring.stores.blobs import FileBlobs
    from mainspring.stores.sql.database import Transaction
    from mainspring.task import Task
    from mainspring.workspace import Workspace

ASSUMPTION = "the same inputs have the same outcomes as on the hold-out; a change of that is not seen"

_DAYS = 7


class MetricEstimate(msgspec.Struct, frozen=True):
    """An estimate, and the ends of its 90 % interval."""

    value: float
    low: float
    high: float


class EstimateRow(msgspec.Struct, frozen=True, kw_only=True):
    """The estimated quality of a version on the last 7 days that are over, and beside it what labels say of them.

    Attributes
    ----------
    version, since, until : int, date, date
        Of which version, and from which day to which, both included.
    predictions, labelled : int
        Rows asked, and those whose label has come.
    outcome, reason : str
        ``estimated``; or ``reference_too_small``, ``window_too_small``, ``not_covered``, ``no_reference`` (the version
        was judged before labelled rows were kept, or they are damaged), ``unreadable`` (a day's
        profile is damaged) or ``other_frame`` (days or
        rows were kept by another release, in another way), with what was found.
    assumption : str
        What the estimate rests on.
    metrics, withheld : dict
        Estimates by metric, and why those that are left out are.
    measured : dict of float
        The losses of the task on the labelled rows.
    """

    version: int
    since: date
    until: date
    predictions: int
    labelled: int
    outcome: str
    reason: str = ""
    assumption: str = ASSUMPTION
    metrics: dict[str, MetricEstimate] = {}
    withheld: dict[str, str] = {}
    measured: dict[str, float] = {}


def estimate_row(workspace: Workspace, tx: Transaction, version: ModelRef, task: Task) -> EstimateRow | None:
    """Estimate the quality of a version on the last 7 days that are over; None where it was not asked then."""
    today = workspace.clock.now().date()
    days = [today - timedelta(days=back) for back in range(_DAYS, 0, -1)]
    kept = tx.registry.get(version)
    number = kept.number
    rows = [
        row
        for row in tx.monitoring.quality(version.product, since=days[0])
        if row.version == number and row.day in days and row.predictions
    ]
    if not rows:
        return None
    texts = [tx.monitoring.table(version.product, number, "profile", row.day) for row in rows]
    labelled = sum(row.labelled for row in rows)
    row = EstimateRow(
        version=number,
        since=rows[0].day,
        until=rows[-1].day,
        predictions=sum(row.predictions for row in rows),
        labelled=labelled,
        outcome="no_reference",
        reason="it was judged before labelled rows were kept; the next version will have them",
        measured={name: sum(row.loss(name, task) for row in rows) / labelled for name in task.losses}
        if labelled
        else {},
    )
    try:
        found = _estimates(workspace.blobs, kept.reference, tuple(text for text in texts if text))
    except (BlobNotFound, BlobCorrupt) as error:
        return msgspec.structs.replace(row, reason=str(error))
    except (ProfileMismatch, RowsMismatch) as error:
        return msgspec.structs.replace(row, outcome="other_frame", reason=str(error))
    except msgspec.DecodeError as error:
        return msgspec.structs.replace(row, outcome="unreadable", reason=f"a profile is damaged: {error}")
    if found is None:
        return row
    return msgspec.structs.replace(
        row,
        outcome=found.outcome.value,
        reason=found.reason,
        metrics={
            name: MetricEstimate(each.value, each.low, each.high) for name, each in found.metrics.items()
        },
        withheld=dict(found.withheld),
    )


@lru_cache(maxsize=16)
def _estimates(blobs: FileBlobs, reference: Digest, profiles: tuple[str, ...]) -> Estimates | None:
    """Estimates of days by their profiles; asked for with every look at a product, and the same until a day is over."""
    labelled = reference_of(blobs, reference).labelled
    if not labelled:
        return None
    window = merge(Profile(rows=0, columns={}), *map(Profile.from_json, profiles))
    return estimate(LabelledRows.from_json(labelled), window)
