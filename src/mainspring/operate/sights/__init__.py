"""What each kind of monitor sees: the tables that it reads, the streams in them, and how it weighs these."""

from __future__ import annotations

__all__ = ["Sight", "sight_of"]

from typing import TYPE_CHECKING

from mainspring.monitors import InputDrift, PredictionDrift, Quality
from mainspring.operate.sights.drift import InputSight, PredictionSight
from mainspring.operate.sights.quality import QualitySight
from mainspring.operate.sights.sight import Sight

if TYPE_CHECKING:
    from mainspring.monitors import Betting


def sight_of(monitor: Betting) -> Sight:
    """Give what a monitor sees."""
    match monitor:
        case InputDrift():
            return InputSight(monitor)
        case PredictionDrift():
            return PredictionSight(monitor)
        case Quality():
            return QualitySight(monitor)
