"""Rollouts: who is served by which version, and whether the challenger has shown harm."""

from mainspring.rollouts.advance import Decision, Kind, advance, after
from mainspring.rollouts.comparison import (
    BURN_IN,
    Evidence,
    Finding,
    latency_bucket,
    latency_test,
    mean_difference,
    share_test,
)
from mainspring.rollouts.observed import ArmCounts, LossSums, Observed
from mainspring.rollouts.rollout import Phase, Rollout, RolloutEnded
from mainspring.rollouts.route import Challenger, MalformedRoute, Route, Variant
from mainspring.rollouts.split import CHAMPION, Arm, Part, Split, arm, challengers
from mainspring.rollouts.store import RolloutStore, UnitOutcome

__all__ = [
    "BURN_IN",
    "CHAMPION",
    "Arm",
    "ArmCounts",
    "Challenger",
    "Decision",
    "Evidence",
    "Finding",
    "Kind",
    "LossSums",
    "MalformedRoute",
    "Observed",
    "Part",
    "Phase",
    "Rollout",
    "RolloutEnded",
    "RolloutStore",
    "Route",
    "Split",
    "UnitOutcome",
    "Variant",
    "advance",
    "after",
    "arm",
    "challengers",
    "latency_bucket",
    "latency_test",
    "mean_difference",
    "share_test",
]
