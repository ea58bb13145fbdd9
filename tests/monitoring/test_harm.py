"""Inputs may move without harm, and harm may come without a move: the labels tell, not the inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from mainspring.monitoring import (
    Budget,
    Frame,
    LossTable,
    Outcome,
    Profile,
    Stream,
    WindowedBetting,
    drift_streams,
    frame,
    power,
    profile,
    quality_stream,
)

pytestmark = pytest.mark.slow

Floats = NDArray[np.float64]
ROWS, CHECKS, RUNS = 400, 20, 30
BUDGET = Budget(checks=CHECKS, alarms=0.2)
TOLERANCE = 0.01


@dataclass(frozen=True)
class World:
    """Where the used and the unused input lie, and how much the outcome depends on the used one."""

    used: Callable[[Floats], Floats] = lambda x: x
    unused: Callable[[Floats], Floats] = lambda x: x
    slope: float = 1.5

    def rows(
        self, rng: np.random.Generator, rows: int
    ) -> tuple[dict[str, Floats], Floats, NDArray[np.bool_]]:
        """Inputs, what a model with a slope of 1.5 says of them, and what comes."""
        used, unused = self.used(rng.normal(size=rows)), self.unused(rng.normal(size=rows))
        outcome = rng.random(rows) < 1 / (1 + np.exp(-self.slope * used))
        return {"used": used, "unused": unused}, 1 / (1 + np.exp(-1.5 * used)), outcome

    def window(self, rng: np.random.Generator, rows: int, shape: Frame | None) -> tuple[Profile, LossTable]:
        inputs, probability, outcome = self.rows(rng, rows)
        losses = LossTable.of("log_loss", probability=probability, outcome=outcome)
        return profile(inputs, shape or frame(inputs)), losses


SAFE = {
    "null": World(),
    "benign: an unused input moves": World(unused=lambda x: x + 1),
    "beneficial: rows are easier to tell": World(used=lambda x: 1.6 * x),
}
HARMFUL = {
    "harmful shift: rows are harder to tell": World(used=lambda x: 0.4 * x),
    "concept drift: the inputs stay": World(slope=0.5),
}


def first_alarm(streams: Sequence[Stream]) -> float:
    """Checks until the alarm, inf where there is none."""
    for seen in range(1, CHECKS + 1):
        look = [replace(stream, checks=stream.checks[:seen]) for stream in streams]
        if WindowedBetting().weigh(look, budget=BUDGET).outcome is Outcome.ALARM:
            return seen
    return math.inf


def run(world: World, seed: int) -> tuple[Stream, tuple[Stream, ...]]:
    """The losses and the inputs of a run in which the world is so from the first check on."""
    rng = np.random.default_rng(seed)
    inputs, losses = World().window(rng, 10_000, None)
    profiles, tables = zip(*(world.window(rng, ROWS, inputs.frame) for _ in range(CHECKS)), strict=True)
    return (
        quality_stream("log_loss", losses, tables, tolerance=TOLERANCE),
        drift_streams(inputs, profiles),
    )


@pytest.mark.parametrize("name", SAFE)
def test_without_harm_the_losses_keep_quiet_whatever_the_inputs_do(name: str) -> None:
    runs = [run(SAFE[name], seed) for seed in range(RUNS)]
    harm = sum(first_alarm([losses]) < math.inf for losses, _ in runs) / RUNS
    moved = sum(first_alarm(inputs) < math.inf for _, inputs in runs) / RUNS
    assert harm <= BUDGET.alarms + 3 * math.sqrt(BUDGET.alarms * (1 - BUDGET.alarms) / RUNS)
    assert moved == 1.0 if name != "null" else moved <= BUDGET.alarms


@pytest.mark.parametrize("name", HARMFUL)
def test_harm_is_found_within_the_labels_that_the_power_statement_says(name: str) -> None:
    world, rng = HARMFUL[name], np.random.default_rng(0)
    _, before = World().window(rng, 10_000, None)
    _, after = world.window(rng, 100_000, None)
    assert before.mean is not None
    assert after.mean is not None
    stated = power(
        before,
        rise=(after.mean[0] - before.mean[0]) / 4.0,  # log loss is clipped at four nats
        tolerance=TOLERANCE,
        rows_per_check=ROWS,
        budget=BUDGET,
    )
    labels = stated.within(0.95)
    assert labels is not None
    spoken = [first_alarm([run(world, seed)[0]]) * ROWS for seed in range(100, 100 + RUNS)]
    assert sum(each <= labels for each in spoken) / RUNS >= 0.95
