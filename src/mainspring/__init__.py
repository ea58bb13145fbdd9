"""mainspring: operate machine-learning models as products that keep themselves good.

A product file imports this package and nothing else of it:

>>> import mainspring as ms
>>> ms.AtLeast("roc_auc", 0.65).metric
'roc_auc'
"""

from __future__ import annotations

__all__ = [
    "ABTest",
    "AllAtOnce",
    "AllHistory",
    "AllOf",
    "AnyOf",
    "ApprovalPolicy",
    "AtLeast",
    "AttributionDrift",
    "AuditedQuality",
    "Better",
    "BinaryClassification",
    "BlueGreen",
    "ByGroup",
    "Canary",
    "CanaryStep",
    "ConceptDrift",
    "CycleBudget",
    "DataQuality",
    "Dataset",
    "Distribution",
    "Failures",
    "Fairness",
    "FalseAlarms",
    "FeatureView",
    "Fitted",
    "Freshness",
    "InputDrift",
    "JointDrift",
    "LabelDelay",
    "Latency",
    "Linear",
    "Lists",
    "MainspringError",
    "Mean",
    "Metric",
    "MonitorLag",
    "NoLeakage",
    "NoMoreErrors",
    "NotLess",
    "NotSlower",
    "NotWorse",
    "NotWorseThan",
    "OnDegradation",
    "OnDemand",
    "OnDrift",
    "OnNewData",
    "OnSchedule",
    "Pipeline",
    "PredictionDrift",
    "Product",
    "Quality",
    "QuietHours",
    "References",
    "Regression",
    "Renamed",
    "RowChange",
    "SameOutputs",
    "SchemaEvolution",
    "Servable",
    "ServingSkew",
    "Shadow",
    "SinceChange",
    "SlidingWindow",
    "Staleness",
    "Stratified",
    "Threshold",
    "Traffic",
    "Weighted",
    "computed",
    "forbidden_as_feature",
    "known_at",
    "pii",
    "severity",
    "step",
]

from typing import TYPE_CHECKING

from mainspring.approval import ApprovalPolicy
from mainspring.computed import computed
from mainspring.contract import (
    Distribution,
    Freshness,
    References,
    RowChange,
    SchemaEvolution,
    forbidden_as_feature,
    known_at,
    pii,
    severity,
)
from mainspring.errors import MainspringError
from mainspring.metric import Metric
from mainspring.monitors import (
    AttributionDrift,
    AuditedQuality,
    ConceptDrift,
    DataQuality,
    Failures,
    Fairness,
    FalseAlarms,
    InputDrift,
    JointDrift,
    LabelDelay,
    Latency,
    MonitorLag,
    PredictionDrift,
    Quality,
    ServingSkew,
    Staleness,
    Traffic,
)
from mainspring.product import (
    AtLeast,
    Dataset,
    FeatureView,
    Mean,
    NoLeakage,
    NotWorseThan,
    Pipeline,
    Product,
    Renamed,
    Servable,
    step,
)
from mainspring.ranking import Lists
from mainspring.strategy import (
    ABTest,
    AllAtOnce,
    Better,
    BlueGreen,
    Canary,
    CanaryStep,
    Linear,
    NoMoreErrors,
    NotLess,
    NotSlower,
    NotWorse,
    SameOutputs,
    Shadow,
    Threshold,
)
from mainspring.task import BinaryClassification, Regression
from mainspring.training import AllHistory, ByGroup, SinceChange, SlidingWindow, Stratified, Weighted
from mainspring.triggers import (
    AllOf,
    AnyOf,
    CycleBudget,
    OnDegradation,
    OnDemand,
    OnDrift,
    OnNewData,
    OnSchedule,
    QuietHours,
)

if TYPE_CHECKING:
    from mainspring.formats.fitted import Fitted


def __getattr__(name: str) -> object:
    # A training step needs `Fitted`; nobody else should pay for importing the formats.
    if name == "Fitted":
        from mainspring.formats.fitted import Fitted

        return Fitted
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
