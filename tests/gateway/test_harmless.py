"""Fifty rollouts of a version against its equal, through the real router, with browsers that keep cookies."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from tests.gateway.conftest import INPUTS, Process, Workspace, body, model, running, wait_until

from mainspring.operate.unit_outcomes import units_of
from mainspring.rollouts import Kind, Observed, Rollout, UnitOutcome, advance
from mainspring.rollouts.route import Challenger, Route
from mainspring.strategy import Canary, NoMoreErrors, NotSlower
from mainspring.task import BinaryClassification

pytestmark = pytest.mark.slow

RUNS, BROWSERS, ALPHA, SHARE = 50, 60, 0.05, 0.3
STRATEGY = Canary(
    steps=(SHARE, 1.0), bake="0s", minimum_units=10**9, guards=(NoMoreErrors(ALPHA), NotSlower(ALPHA))
)


NOON = datetime(2013, 3, 1, 12, tzinfo=UTC)


def begun(run: int) -> Rollout:
    return Rollout.start(
        rollout_id=f"run-{run}", product="late", champion=1, challengers=(2,), strategy=STRATEGY, at=NOON
    )


def visit(gateway: Process, random: np.random.Generator) -> None:
    """Have each browser ask a few times, in turns; one in eight is of the kind that the model often fails on."""
    cookies: list[dict[str, str]] = [{} for _ in range(BROWSERS)]
    of_failing = random.random(BROWSERS) < 0.125
    for browser in random.permutation(np.repeat(np.arange(BROWSERS), random.integers(1, 4, BROWSERS))):
        hour = 24 if of_failing[browser] and random.random() < 0.7 else 7
        headers = {"cookie": "; ".join(f"{name}={value}" for name, value in cookies[browser].items())}
        reply = gateway.infer(body(hour=[hour]), **(headers if cookies[browser] else {}))
        assert reply.status_code == (500 if hour == 24 else 200)
        cookies[browser] |= dict(reply.cookies)
    gateway.client.cookies.clear()


def merged(known: UnitOutcome | None, seen: UnitOutcome) -> UnitOutcome:
    """A unit counts once: it has failed if it ever did, and took what it took first."""
    if known is None:
        return seen
    took_s = seen.took_s if known.took_s is None else known.took_s
    return replace(known, failed=known.failed or seen.failed, took_s=took_s)


def test_a_version_is_seldom_rolled_back_for_being_its_equal(workspace: Workspace) -> None:
    champion, equal = workspace.add_version(1, model("raises")), workspace.add_version(2, model("raises"))
    random, rolled_back, looked = np.random.default_rng(5), 0, 0
    with running(workspace) as gateway:
        for run in range(RUNS):
            workspace.put_routes(Route(
                product="late", number=run + 2, champion=champion, salt=begun(run).salt, inputs=INPUTS,
                challengers=(Challenger(variant=equal, share=SHARE),),
            ))  # fmt: skip

            def is_served(number: int = run + 2) -> bool:
                served = gateway.client.get("/metrics").text
                return f'mainspring_route{{product="late"}} {number}\n' in served

            wait_until(is_served)
            visit(gateway, random)
    records = workspace.predictions
    for run in range(RUNS):
        of_run = [record for record in records if record.route == run + 2]
        assert len({record.units[0] for record in of_run if record.ids}) <= BROWSERS, "a cookie was not kept"
        units: dict[str, UnitOutcome] = {}
        for record in of_run:
            for seen in units_of(record, begun(run), BinaryClassification("late")):
                units[seen.unit] = merged(units.get(seen.unit), seen)
            looked += 1
            if advance(begun(run), Observed.of(units.values(), 1), NOON).kind is Kind.ROLL_BACK:
                rolled_back += 1
                break
    alpha = 2 * ALPHA  # one for each guard
    assert looked > RUNS * BROWSERS
    assert rolled_back <= RUNS * alpha + 3 * math.sqrt(RUNS * alpha * (1 - alpha))
