"""Labels as callers bring them: all of a call or none."""

from __future__ import annotations

__all__ = ["LABEL_LIMIT", "BadLabels", "read_labels"]

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from mainspring.clock import parse_time
from mainspring.errors import Fault, Faults, Invalid
from mainspring.monitoring.record import LabelEntry

if TYPE_CHECKING:
    from mainspring.gateway.ids import PredictionIds

LABEL_LIMIT = 10_000
_TOLD = 100
_MISSING = object()


class BadLabels(Faults):
    """Labels of which none was accepted; every reason is told.

    Attributes
    ----------
    understood : bool
        Whether the call had the form of labels at all.
    """

    def __init__(self, faults: tuple[Fault, ...], *, understood: bool) -> None:
        super().__init__("The call, of which no label was accepted,", faults[:_TOLD])
        self.understood = understood


def read_labels(body: bytes, ids: PredictionIds, now: datetime) -> list[LabelEntry]:
    """Read `{"labels": [{"prediction_id": …, "value": …, "known_at": …}]}`; known now when it does not say when.

    Raises
    ------
    BadLabels
        With everything that is wrong.
    """
    try:
        content = msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:
        raise BadLabels((Fault("body", f"it cannot be read as JSON: {error}."),), understood=False) from error
    labels = content.get("labels") if isinstance(content, dict) else None
    if not isinstance(labels, list):
        mend = 'Send {"labels": [{"prediction_id": "…", "value": true}]}.'
        raise BadLabels((Fault("labels", "there is no such list.", mend),), understood=False)
    if len(labels) > LABEL_LIMIT:
        mend = f"Send at most {LABEL_LIMIT} at a time."
        raise BadLabels((Fault("labels", f"there are {len(labels)}.", mend),), understood=False)
    faults: list[Fault] = []
    entries = [_entry(label, f"labels[{n}]", ids, now, faults) for n, label in enumerate(labels)]
    if faults:
        raise BadLabels(tuple(faults), understood=True)
    return [entry for entry in entries if entry is not None]


def _entry(
    label: Any, where: str, ids: PredictionIds, now: datetime, faults: list[Fault]
) -> LabelEntry | None:
    if not isinstance(label, dict):
        faults.append(Fault(where, "it is not an object."))
        return None
    before = len(faults)
    prediction_id, value, known_at = (
        label.get(name, _MISSING) for name in ("prediction_id", "value", "known_at")
    )
    if not isinstance(prediction_id, str):
        faults.append(Fault(f"{where}.prediction_id", "there is no such text."))
    elif not ids.issued(prediction_id):
        faults.append(
            Fault(
                f"{where}.prediction_id",
                f"{prediction_id[:200]!r} is unknown: this workspace never issued it.",
                "Send the prediction_id of an answer.",
            )
        )
    if not isinstance(value, bool | int | float | str) or (
        type(value) is int and not -(2**63) <= value < 2**63
    ):
        faults.append(Fault(f"{where}.value", "it must be a truth value, a number or a text."))
    moment = now
    if known_at is not _MISSING and known_at is not None:
        try:
            moment = parse_time(known_at if isinstance(known_at, str) else repr(known_at))
        except Invalid as error:
            faults.append(Fault(f"{where}.known_at", str(error)))
    return None if len(faults) > before else LabelEntry(prediction_id, value, moment)
