"""Gates: the rules that a candidate must pass to become a version, and the verdict with its reasons."""

from mainspring.gates.alone import mean_outcomes
from mainspring.gates.evaluation import OVERALL, POOL, Evaluation, Servability, Slice
from mainspring.gates.judge import judge
from mainspring.gates.metrics import (
    METRICS,
    UnknownMetric,
    brier,
    higher_is_better,
    log_loss,
    mae,
    mape,
    mse,
    r2,
    rmse,
    roc_auc,
)
from mainspring.gates.slices import evaluate, evaluate_for, pool
from mainspring.gates.verdict import Check, Outcome, Verdict

__all__ = [
    "METRICS",
    "OVERALL",
    "POOL",
    "Check",
    "Evaluation",
    "Outcome",
    "Servability",
    "Slice",
    "UnknownMetric",
    "Verdict",
    "brier",
    "evaluate",
    "evaluate_for",
    "higher_is_better",
    "judge",
    "log_loss",
    "mae",
    "mape",
    "mean_outcomes",
    "mse",
    "pool",
    "r2",
    "rmse",
    "roc_auc",
]
