"""The moment a monitor speaks."""

from __future__ import annotations

__all__ = ["Alarm"]

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """What a monitor has said, and when.

    Attributes
    ----------
    product : str
        Of which.
    monitor : str
        Which one speaks: `input_drift`, `prediction_drift`, `quality:log_loss`, `staleness`.
    about : str
        `drift`, `quality` or `staleness`.
    at : datetime
        By the workspace's clock.
    version : int
        The champion that was watched; an alarm is over when another one serves.
    evidence : str
        What it saw, in words.
    """

    product: str
    monitor: str
    about: str
    at: datetime
    version: int
    evidence: str
