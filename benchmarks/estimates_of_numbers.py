"""Estimates of errors without labels on 200 covariate shifts: how often the interval holds what is measured.

    python benchmarks/estimates_of_numbers.py [--shifts N] [--json]

The shifts are those of `estimates.py`; what is predicted is a number whose mean and spread follow from the columns.
Beside ours stands DLE as NannyML describes it: boosted trees learn the error of each reference row from its columns and
its prediction, and their mean answer on the window is the estimate. DLE reads the window's rows, ours their profile.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
from estimates import (
    FITTED,
    KINDS,
    REFERENCE,
    SHIFTS,
    WINDOW,
    WINDOWS,
    Floats,
    Population,
    Rows,
    matrix,
    shifted,
    table,
)
from numpy.typing import NDArray

from mainspring.monitoring import Estimability, LabelledRows, estimate, frame, profile
from mainspring.task import Regression, counted_losses

TASK = Regression("y", low=-15.0, high=15.0)
METRICS = ("mae", "mse")


def outcomes(
    population: Population, numbers: Floats, regions: NDArray[np.int64], random: np.random.Generator
) -> Floats:
    """Draw the numbers that are to be predicted: their spread depends on a column, as errors do in practice."""
    mean = population.base + 2 * (numbers @ population.slopes) + (numbers**2 - 1) @ population.curves
    mean = mean + population.regions[regions]
    for (one, other), weight in zip(population.pairs, population.together, strict=True):
        mean = mean + weight * numbers[:, one] * numbers[:, other]
    return np.asarray(mean + np.exp(0.4 * numbers[:, 0]) * random.normal(size=len(mean)))


def run(number: int) -> list[dict[str, Any]]:
    """Estimate the windows of one shift."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import LinearRegression

    random = np.random.default_rng([9, number])
    population, kind = Population(random), KINDS[number // 2 % len(KINDS)]
    numbers, regions = population.draw(FITTED, random)
    trees = HistGradientBoostingRegressor(
        max_iter=60, max_leaf_nodes=15, early_stopping=False, random_state=0
    )
    fitted = (trees if number % 2 else LinearRegression()).fit(
        matrix(numbers, regions), outcomes(population, numbers, regions, random)
    )

    def asked(numbers: Floats, regions: NDArray[np.int64]) -> tuple[Rows, dict[str, Floats]]:
        rows = table(numbers, regions, lambda given: np.asarray(fitted.predict(given)))
        truth = outcomes(population, numbers, regions, random)
        return rows, {name: counted_losses(TASK, name, rows["prediction"], truth) for name in METRICS}

    numbers, regions = population.draw(REFERENCE, random)
    labelled, losses = asked(numbers, regions)
    shapes = frame(labelled)
    kept = LabelledRows.of_numbers(labelled, shapes, score="prediction", losses=losses)
    seen = np.column_stack([matrix(numbers, regions), labelled["prediction"]])
    dle = {
        name: HistGradientBoostingRegressor(random_state=0).fit(seen, each) for name, each in losses.items()
    }
    found = []
    for _ in range(WINDOWS):
        numbers, regions = shifted(kind, population, WINDOW, np.random.default_rng([8, number]), random)
        window, came = asked(numbers, regions)
        result = estimate(kept, profile(window, shapes))
        read = np.column_stack([matrix(numbers, regions), window["prediction"]])
        found.append(
            {
                "shift": number,
                "kind": kind,
                "model": ("too simple", "boosted trees")[number % 2],
                "measured": {name: float(each.mean()) for name, each in came.items()},
                "reference": {name: float(each.mean()) for name, each in losses.items()},
                "dle": {name: float(each.predict(read).mean()) for name, each in dle.items()},
                "ours": {name: [each.value, each.low, each.high] for name, each in result.metrics.items()},
                "refused": "" if result.outcome is Estimability.ESTIMATED else result.reason,
            }
        )
    return found


def summary(found: list[dict[str, Any]]) -> str:
    """Lay out coverage in percent and mean errors, ours beside DLE's and that of changing nothing."""
    rows = [row for row in found if not row["refused"]]
    lines = ["metric  windows  covered  mean error: ours       DLE  as on the reference"]
    for name in METRICS:
        held = np.mean(
            [row["ours"][name][1] <= row["measured"][name] <= row["ours"][name][2] for row in rows]
        )
        ours, dle, same = (
            np.mean([abs(of(row) - row["measured"][name]) for row in rows])
            for of in (
                lambda row: row["ours"][name][0],  # noqa: B023 - used at once
                lambda row: row["dle"][name],  # noqa: B023
                lambda row: row["reference"][name],  # noqa: B023
            )
        )
        lines.append(f"{name:8}{len(rows):7}{100 * held:9.1f}{ours:18.4f}{dle:10.4f}{same:21.4f}")
    for label in ("kind", "model"):
        for value in dict.fromkeys(row[label] for row in rows):
            part = [row for row in rows if row[label] == value]
            held = np.mean(
                [
                    row["ours"][n][1] <= row["measured"][n] <= row["ours"][n][2]
                    for row in part
                    for n in METRICS
                ]
            )
            lines.append(f"{value:32}{100 * held:6.1f}")
    return "\n".join([*lines, f"refused: {len(found) - len(rows)} of {len(found)} windows"])


def main() -> None:
    """Measure, and print a table or a line of JSON per window."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object per line")
    parser.add_argument("--shifts", type=int, default=SHIFTS)
    arguments = parser.parse_args()
    found = [row for number in range(arguments.shifts) for row in run(number)]
    print("\n".join(map(json.dumps, found)) if arguments.json else summary(found))


if __name__ == "__main__":
    main()
