"""Pipelines: how a run's steps are planned, found again by their keys, and explained."""

from mainspring.pipelines.plan import StepKey, explain
from mainspring.pipelines.run import Run, RunState, RunStore, StepRecord

__all__ = ["Run", "RunState", "RunStore", "StepKey", "StepRecord", "explain"]
