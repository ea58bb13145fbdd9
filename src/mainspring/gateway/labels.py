"""Labels as callers bring them: all of a call or none."""

from __future__ import annotations

__all__ = ["LABEL_LIMIT", "BadLabels", "read_labels"]

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from mainspring.clock import parse_time
from mainspring.errors import Fault, Faults, Invalid
from mainspring.monitoring.record import LARGEST_METRIC, LabelEntry
from mainspring.ref import check_name

if TYPE_CHECKING:
    from mainspring.gateway.ids import PredictionIds

LABEL_LIMIT = 10_000
_TOLD = 100
_MISSING = object()
_FIELDS = ("prediction_id", "value", "known_at", "metric")


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
    """Read labels: the truths about predictions, and with the name of a `metric` business metrics of them.

    A call has one of three forms: one label, `{"prediction_id": …, "value": …, "known_at": …, "metric": …}`; many,
    `{"labels": [label, …]}`; or one label a line (NDJSON). `known_at` is now, where a label does not say when.

    Raises
    ------
    BadLabels
        With everything that is wrong.
    """
    placed = _read(body)
    if len(placed) > LABEL_LIMIT:
        mend = f"Send at most {LABEL_LIMIT} at a time."
        raise BadLabels((Fault("labels", f"there are {len(placed)}.", mend),), understood=False)
    faults: list[Fault] = []
    entries = [_entry(label, where, ids, now, faults) for where, label in placed]
    if faults:
        raise BadLabels(tuple(faults), understood=True)
    return [entry for entry in entries if entry is not None]


def _read(body: bytes) -> list[tuple[str, Any]]:
    """Give every label, and where it stands."""
    try:
        content = msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:
        lines = [(n, line) for n, line in enumerate(body.split(b"\n"), 1) if line.strip()]
        if len(lines) > 1 and isinstance(_read_line(lines[0][1]), dict):
            return [(f"line {n}", _read_line(line)) for n, line in lines]
        raise BadLabels((Fault("body", f"it cannot be read as JSON: {error}."),), understood=False) from error
    if isinstance(content, dict) and "prediction_id" in content and "labels" not in content:
        return [("label", content)]
    labels = content.get("labels") if isinstance(content, dict) else None
    if not isinstance(labels, list):
        mend = 'Send {"labels": [{"prediction_id": "…", "value": true}]}.'
        raise BadLabels((Fault("labels", "there is no such list.", mend),), understood=False)
    return [(f"labels[{n}]", label) for n, label in enumerate(labels)]


def _read_line(line: bytes) -> Any:
    try:
        return msgspec.json.decode(line)
    except (ValueError, RecursionError):
        return None  # told as what it is not


def _entry(
    label: Any, where: str, ids: PredictionIds, now: datetime, faults: list[Fault]
) -> LabelEntry | None:
    if not isinstance(label, dict):
        faults.append(Fault(where, "it is not an object."))
        return None
    before = len(faults)
    # A misspelt `metric` would make the truth of a sum of money.
    for name in label.keys() - set(_FIELDS):
        faults.append(
            Fault(f"{where}.{name[:100]}", "a label has no such field.", f"It has: {', '.join(_FIELDS)}.")
        )
    prediction_id, value, known_at, metric = (label.get(name, _MISSING) for name in _FIELDS)
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
    named = metric is not _MISSING and metric is not None
    try:
        name = check_name(metric if isinstance(metric, str) else "") if named else ""
    except Invalid as error:
        faults.append(Fault(f"{where}.metric", str(error)))
    kinds = bool | int | float if named else bool | int | float | str
    if not isinstance(value, kinds) or (type(value) is int and not -(2**63) <= value < 2**63):
        what = "a number" if named else "a truth value, a number or a text"
        faults.append(Fault(f"{where}.value", f"it must be {what}."))
    elif named and not isinstance(value, str) and not abs(value) <= LARGEST_METRIC:
        what = f"a business metric lies between -{LARGEST_METRIC:g} and {LARGEST_METRIC:g}."
        faults.append(Fault(f"{where}.value", what, "Send it in a larger unit."))
    moment = now
    if known_at is not _MISSING and known_at is not None:
        try:
            moment = parse_time(known_at if isinstance(known_at, str) else repr(known_at))
        except Invalid as error:
            faults.append(Fault(f"{where}.known_at", str(error)))
    return None if len(faults) > before else LabelEntry(prediction_id, value, moment, name)
