"""Estimates without labels on 200 covariate shifts: how often the interval holds what is measured, and the error.

    python benchmarks/estimates.py [--peer PYTHON] [--json]

Each shift has a population of its own: six numbers, two of them correlated, and a category, from which the chance of a
positive outcome follows with interactions and curvature. A model is fitted to 4,000 rows: of even shifts a logistic
regression on the columns, which is too simple, of odd ones boosted trees. 10,000 labelled rows are the reference, and
two windows of 2,500 rows come from the shifted population, where the same row has the same chance. The metric as it is
measured on the window's labels is what an estimate is compared with.

PYTHON is that of an environment with what `peers/nannyml.in` names; NannyML then estimates the same windows.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainspring.monitoring import Estimability, LabelledRows, estimate, frame, profile

SHIFTS, WINDOWS, FITTED, REFERENCE, WINDOW = 200, 2, 4_000, 10_000, 2_500
COLUMNS = [f"x{place}" for place in range(6)]
REGIONS = np.array(["north", "south", "east", "west", "islands"])
METRICS = ("log_loss", "brier", "accuracy", "precision", "recall", "f1", "roc_auc")
KINDS = ("means moved", "spreads changed", "selected by columns", "one side grown", "category shares",
         "selected by a pair of columns")  # fmt: skip
HERE = Path(__file__).resolve().parent

Floats = NDArray[np.float64]
Rows = dict[str, Any]


def chance(z: Floats) -> Floats:
    """Logistic function."""
    return 1 / (1 + np.exp(-z))


class Population:
    """Where rows and their outcomes come from."""

    def __init__(self, random: np.random.Generator) -> None:
        self.slopes, self.base = random.normal(0, 0.7, 6), random.uniform(-1.5, 0.3)
        self.curves, self.pairs = random.normal(0, 0.15, 6), random.integers(0, 6, (3, 2))
        self.together, self.regions = random.normal(0, 0.3, 3), random.normal(0, 0.5, len(REGIONS))

    def draw(self, rows: int, random: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
        """Numbers and regions of rows that are not shifted."""
        numbers = random.normal(size=(rows, 6))
        numbers[:, 1] = 0.6 * numbers[:, 0] + 0.8 * numbers[:, 1]
        return numbers, random.choice(len(REGIONS), rows, p=[0.35, 0.3, 0.2, 0.1, 0.05])

    def outcomes(
        self, numbers: Floats, regions: NDArray[np.int64], random: np.random.Generator
    ) -> NDArray[np.bool_]:
        """Draw what happens to rows, wherever they come from."""
        z = self.base + numbers @ self.slopes + (numbers**2 - 1) @ self.curves + self.regions[regions]
        for (one, other), weight in zip(self.pairs, self.together, strict=True):
            z = z + weight * numbers[:, one] * numbers[:, other]
        return random.random(len(z)) < chance(z)


def shifted(
    kind: str, population: Population, rows: int, how: np.random.Generator, random: np.random.Generator
) -> tuple[Floats, NDArray[np.int64]]:
    """Draw rows of a shift: `how` says which it is, `random` which rows come."""
    chosen = how.permutation(6)[: how.integers(1, 4)]
    if kind in KINDS[:2]:
        numbers, regions = population.draw(rows, random)
        if kind == KINDS[0]:
            numbers[:, chosen] += how.normal(0, 0.5, len(chosen))
        else:
            numbers[:, chosen] *= how.uniform(0.6, 1.15, len(chosen))
        return numbers, regions
    numbers, regions = population.draw(20 * rows, random)
    if kind == KINDS[2]:
        kept = chance(numbers[:, chosen] @ how.normal(0, 1, len(chosen)))
    elif kind == KINDS[3]:
        side, share = numbers[:, chosen[0]] > how.normal(0, 0.7), how.uniform(0.15, 0.85)
        kept = np.where(side, share / side.mean(), (1 - share) / (1 - side.mean())) / 8
    elif kind == KINDS[4]:
        kept = how.dirichlet(np.full(len(REGIONS), 2.0))[regions]
    else:
        one, other = how.permutation(6)[:2]
        kept = chance(how.normal(0, 1) * numbers[:, one] * numbers[:, other])
    found = np.flatnonzero(random.random(len(kept)) < kept)[:rows]
    return numbers[found], regions[found]


def fitted(number: int, rows: Floats, outcomes: NDArray[np.bool_]) -> Callable[[Floats], Floats]:
    """Fit the shift's model."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    if number % 2:
        model = HistGradientBoostingClassifier(
            max_iter=60, max_leaf_nodes=15, early_stopping=False, random_state=0
        )
    else:
        model = LogisticRegression()
    model.fit(rows, outcomes)
    return lambda given: np.asarray(model.predict_proba(given)[:, 1].astype(np.float32), dtype=np.float64)


def table(numbers: Floats, regions: NDArray[np.int64], model: Callable[[Floats], Floats]) -> Rows:
    """Columns as a profile takes them, with the model's answers."""
    named: Rows = {name: numbers[:, place] for place, name in enumerate(COLUMNS)}
    named["region"] = REGIONS[regions].tolist()
    named["prediction"] = model(matrix(numbers, regions))
    return named


def matrix(numbers: Floats, regions: NDArray[np.int64]) -> Floats:
    """Rows as the models take them."""
    return np.hstack([numbers, np.eye(len(REGIONS))[regions]])


def measured(scores: Floats, outcomes: NDArray[np.bool_]) -> dict[str, float]:
    """Measure the metrics, from their definitions."""
    from sklearn import metrics

    said = scores >= 0.5
    return {
        "log_loss": metrics.log_loss(outcomes, scores),
        "brier": metrics.brier_score_loss(outcomes, scores),
        "accuracy": metrics.accuracy_score(outcomes, said),
        "precision": metrics.precision_score(outcomes, said, zero_division=np.nan),
        "recall": metrics.recall_score(outcomes, said),
        "f1": metrics.f1_score(outcomes, said),
        "roc_auc": metrics.roc_auc_score(outcomes, scores),
    }


def run(number: int, folder: Path | None = None) -> list[dict[str, Any]]:
    """Estimate the windows of one shift, and keep them for a peer."""
    random = np.random.default_rng([7, number])
    population, kind = Population(random), KINDS[number // 2 % len(KINDS)]
    numbers, regions = population.draw(FITTED, random)
    model = fitted(number, matrix(numbers, regions), population.outcomes(numbers, regions, random))
    numbers, regions = population.draw(REFERENCE, random)
    labelled, outcomes = table(numbers, regions, model), population.outcomes(numbers, regions, random)
    shapes = frame(labelled)
    kept = LabelledRows.of(labelled, shapes, score="prediction", outcomes=outcomes)
    alone = {"prediction": labelled["prediction"]}
    scores_alone = LabelledRows.of(alone, shapes, score="prediction", outcomes=outcomes)
    found, told = [], [(labelled["prediction"], outcomes)]
    for _ in range(WINDOWS):
        numbers, regions = shifted(kind, population, WINDOW, np.random.default_rng([8, number]), random)
        window, came = table(numbers, regions, model), population.outcomes(numbers, regions, random)
        summary = profile(window, shapes)
        told.append((window["prediction"], came))
        ours: dict[str, Any] = {}
        for way, reference in (("inputs, scores", kept), ("scores alone", scores_alone)):
            result = estimate(reference, summary)
            ours[way] = {name: [each.value, each.low, each.high] for name, each in result.metrics.items()}
            if result.outcome is not Estimability.ESTIMATED:
                ours[way] = result.reason
        found.append(
            {
                "shift": number,
                "kind": kind,
                "model": ("too simple", "boosted trees")[number % 2],
                "measured": measured(window["prediction"], came),
                **ours,
            }
        )
    if folder is not None:
        np.savez(
            folder / f"{number:03}.npz",
            scores=np.concatenate([scores for scores, _ in told]),
            outcomes=np.concatenate([outcome for _, outcome in told]),
            reference=np.array(REFERENCE),
            window=np.array(WINDOW),
        )
    return found


def summary(found: list[dict[str, Any]]) -> str:
    """Lay out coverage in percent and mean error by metric and way, then coverage by kind and model."""
    lines = ["way              metric     windows  covered  mean error"]
    ways = [way for way in ("inputs, scores", "scores alone", "NannyML") if way in found[0]]
    # A window that one way refuses counts for none, so that errors are of the same windows.
    shared = [row for row in found if all(isinstance(row[way], dict) for way in ways)]
    for way in ways:
        for metric in METRICS:
            rows = [
                row for row in shared if all(metric in row[each] for each in ways[:2]) and metric in row[way]
            ]
            if rows:
                held, off = 100 * covered(rows, way, [metric]), error(rows, way, metric)
                lines.append(f"{way:17}{metric:11}{len(rows):7}{held:9.1f}{off:12.5f}")
    for way in ways:
        for label in ("kind", "model"):
            for value in dict.fromkeys(row[label] for row in shared):
                rows = [row for row in shared if row[label] == value]
                lines.append(f"{way:17}{value:30}{100 * covered(rows, way, METRICS):6.1f}")
        lines.append(f"{way:17}{'all':30}{100 * covered(shared, way, METRICS):6.1f}")
    refused = [row["inputs, scores"] for row in found if isinstance(row["inputs, scores"], str)]
    return "\n".join([*lines, f"refused: {len(refused)} of {len(found)} windows", *sorted(set(refused))[:3]])


def covered(rows: list[dict[str, Any]], way: str, metrics: tuple[str, ...] | list[str]) -> float:
    """Share of intervals that hold what was measured."""
    return float(
        np.mean(
            [
                row[way][metric][1] <= row["measured"][metric] <= row[way][metric][2]
                for row in rows
                for metric in metrics
                if metric in row[way]
            ]
        )
    )


def error(rows: list[dict[str, Any]], way: str, metric: str) -> float:
    """Mean absolute difference from what was measured."""
    return float(np.mean([abs(row[way][metric][0] - row["measured"][metric]) for row in rows]))


def main() -> None:
    """Measure, and print tables or a line of JSON per window."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object per line")
    parser.add_argument("--peer", type=Path, help="Python of an environment with NannyML")
    parser.add_argument("--shifts", type=int, default=SHIFTS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = [row for number in range(arguments.shifts) for row in run(number, folder)]
        if arguments.peer:
            asked = [str(arguments.peer), str(HERE / "peers" / "on_nannyml.py"), name]
            quiet = {**os.environ, "NML_DISABLE_USAGE_LOGGING": "1"}  # it would tell its makers
            told = json.loads(subprocess.run(asked, check=True, stdout=subprocess.PIPE, env=quiet).stdout)
            for row, theirs in zip(found, told, strict=True):
                row["NannyML"] = theirs
    if arguments.json:
        for row in found:
            print(json.dumps(row))
    else:
        print(summary(found))


if __name__ == "__main__":
    sys.exit(main())
