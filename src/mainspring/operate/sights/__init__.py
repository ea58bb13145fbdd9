"""What each kind of monitor sees: the tables that it reads, the streams in them, and how it weighs these."""

from __future__ import annotations

__all__ = ["Sight", "scale_of", "sight_of", "unit_of"]

from typing import TYPE_CHECKING

from mainspring.monitors import (
    AttributionDrift,
    AuditedQuality,
    ConceptDrift,
    DataQuality,
    Failures,
    Fairness,
    InputDrift,
    JointDrift,
    LabelDelay,
    Latency,
    PredictionDrift,
    Quality,
    ServingSkew,
)
from mainspring.operate.sights.attribution import AttributionSight
from mainspring.operate.sights.drift import FaultSight, InputSight, PredictionSight, SlicedInputSight
from mainspring.operate.sights.joint import JointSight
from mainspring.operate.sights.lists import ListSight
from mainspring.operate.sights.operation import FailureSight, LabelSight, LatencySight
from mainspring.operate.sights.quality import QualitySight, is_of_losses
from mainspring.operate.sights.scores import AuditSight, ConceptSight, FairnessSight, ScoreSight, own_metric
from mainspring.operate.sights.sight import Sight
from mainspring.operate.sights.skew import SkewSight
from mainspring.ranking import LIST_METRICS
from mainspring.task import Regression

if TYPE_CHECKING:
    from mainspring.monitors import Betting
    from mainspring.operate.judging import Reference


def scale_of(monitor: Betting, reference: Reference) -> float:
    """Give what 1 on the detector's scale is in the monitor's unit, for a version with this reference."""
    metric = getattr(monitor, "metric", "")
    if (own := own_metric(reference, metric)) is not None:
        return own.span
    if isinstance(reference.task, Regression) and metric:
        return reference.task.span(metric)
    scale: float = sight_of(monitor).scale
    return scale


def unit_of(monitor: Betting, reference: Reference) -> str:
    """Give the unit of the means that a monitor tells of, for a version with this reference."""
    if (own := own_metric(reference, getattr(monitor, "metric", ""))) is not None:
        return own.unit
    unit: str = sight_of(monitor).unit
    return unit


def sight_of(monitor: Betting) -> Sight:
    """Give what a monitor sees."""
    match monitor:
        case InputDrift(slices=slices):
            return SlicedInputSight(monitor) if slices else InputSight(monitor)
        case JointDrift():
            return JointSight(monitor)
        case AttributionDrift():
            return AttributionSight(monitor)
        case PredictionDrift():
            return PredictionSight(monitor)
        case Quality():
            if monitor.metric in LIST_METRICS:
                return ListSight(monitor)
            return QualitySight(monitor) if is_of_losses(monitor) else ScoreSight(monitor)
        case AuditedQuality():
            return AuditSight(monitor)
        case ConceptDrift():
            return ConceptSight(monitor)
        case Fairness():
            return FairnessSight(monitor)
        case DataQuality():
            return FaultSight(monitor)
        case ServingSkew():
            return SkewSight(monitor)
        case LabelDelay():
            return LabelSight(monitor)
        case Latency():
            return LatencySight(monitor)
        case Failures():
            return FailureSight(monitor)
