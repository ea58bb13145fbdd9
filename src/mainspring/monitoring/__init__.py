"""Watching a model in production: profiles of windows, evidence of change with a bound on false alarms, alarms."""

from mainspring.monitoring.alarm import Alarm
from mainspring.monitoring.detector import (
    Budget,
    Detector,
    Evidence,
    InvalidBudget,
    InvalidStream,
    Outcome,
    Stream,
    WindowedBetting,
)
from mainspring.monitoring.drift import drift_streams
from mainspring.monitoring.effects import jensen_shannon, kolmogorov_smirnov, stability_index, wasserstein
from mainspring.monitoring.profile import (
    CategoryProfile,
    ColumnProfile,
    EmptyWindow,
    Frame,
    NumberProfile,
    Profile,
    ProfileMismatch,
    frame,
    merge,
    profile,
)
from mainspring.monitoring.quality import (
    Levels,
    LossMismatch,
    LossTable,
    UnknownLoss,
    loss_levels,
    quality_stream,
)

__all__ = [
    "Alarm",
    "Budget",
    "CategoryProfile",
    "ColumnProfile",
    "Detector",
    "EmptyWindow",
    "Evidence",
    "Frame",
    "InvalidBudget",
    "InvalidStream",
    "Levels",
    "LossMismatch",
    "LossTable",
    "NumberProfile",
    "Outcome",
    "Profile",
    "ProfileMismatch",
    "Stream",
    "UnknownLoss",
    "WindowedBetting",
    "drift_streams",
    "frame",
    "jensen_shannon",
    "kolmogorov_smirnov",
    "loss_levels",
    "merge",
    "profile",
    "quality_stream",
    "stability_index",
    "wasserstein",
]
