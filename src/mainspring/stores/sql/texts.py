"""How values are written in text columns, and read back."""

from __future__ import annotations

__all__ = ["fields_of", "json_text", "moment_or_none", "numbers", "numbers_text", "text_or_none"]

import json
from dataclasses import fields
from math import isfinite
from typing import TYPE_CHECKING, Any

from mainspring.clock import parse_time, time_text
from mainspring.digest import canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


def fields_of(value: Any) -> dict[str, Any]:
    """Give a dataclass's fields by name; unlike `dataclasses.asdict` it copies nothing that they hold."""
    return {field.name: getattr(value, field.name) for field in fields(value)}


def json_text(values: Mapping[str, object]) -> str:
    """Canonical JSON of a mapping of any kind."""
    return canonical_json(dict(values))


def numbers_text(values: Mapping[str, float]) -> str:
    """JSON of measurements.

    What JSON has no number for is written as a text: a NaN that a judge must see may not be lost on the way.

    Examples
    --------
    >>> numbers(numbers_text({"log_loss": float("nan"), "rows": 3}))
    {'log_loss': nan, 'rows': 3}
    """
    return canonical_json({name: value if isfinite(value) else str(value) for name, value in values.items()})


def numbers(text: str) -> dict[str, float]:
    """Read what `numbers_text` wrote."""
    return {
        name: float(value) if isinstance(value, str) else value for name, value in json.loads(text).items()
    }


def text_or_none(moment: datetime | None) -> str | None:
    """Print a moment that may not have come."""
    return None if moment is None else time_text(moment)


def moment_or_none(text: str | None) -> datetime | None:
    """Read a moment that may not have come."""
    return None if text is None else parse_time(text)
