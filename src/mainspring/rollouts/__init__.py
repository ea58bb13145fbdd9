"""Rollouts: who is served by which version, and whether a challenger has shown harm."""

from mainspring.rollouts.advance import Decision, Kind, advance, after
from mainspring.rollouts.comparison import (
    BURN_IN,
    Evidence,
    Finding,
    latency_bucket,
    latency_test,
    mean_difference,
    mean_within,
    output_test,
    share_test,
    share_within,
)
from mainspring.rollouts.guards import OTHER, weigh
from mainspring.rollouts.observed import ArmCounts, MetricSums, Observed
from mainspring.rollouts.rollout import IllegalMove, Move, Phase, Rollout, RolloutEnded
from mainspring.rollouts.route import Challenger, MalformedRoute, Route, Variant
from mainspring.rollouts.split import CHAMPION, Part, Split
from mainspring.rollouts.steps import Mode, Step, steps_of
from mainspring.rollouts.store import RolloutStore, UnitOutcome
from mainspring.rollouts.threshold import Assessment, Measurement, Outcome, Result, assess

__all__ = [
    "BURN_IN",
    "CHAMPION",
    "OTHER",
    "ArmCounts",
    "Assessment",
    "Challenger",
    "Decision",
    "Evidence",
    "Finding",
    "IllegalMove",
    "Kind",
    "MalformedRoute",
    "Measurement",
    "MetricSums",
    "Mode",
    "Move",
    "Observed",
    "Outcome",
    "Part",
    "Phase",
    "Result",
    "Rollout",
    "RolloutEnded",
    "RolloutStore",
    "Route",
    "Split",
    "Step",
    "UnitOutcome",
    "Variant",
    "advance",
    "after",
    "assess",
    "latency_bucket",
    "latency_test",
    "mean_difference",
    "mean_within",
    "output_test",
    "share_test",
    "share_within",
    "steps_of",
    "weigh",
]
