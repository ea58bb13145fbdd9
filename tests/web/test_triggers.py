"""The page of triggers: how each stands, and what cycles were worth, as they are told elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import msgspec
from msgspec import structs
from tests.products.tiny.orders import FIRST
from tests.web.conftest import Get
from tests.web.test_pages import Parsed

from mainspring.operate.gain import Finding, Gain
from mainspring.operate.why_not import why_not
from mainspring.triggers import CycleBudget, QuietHours
from mainspring.web.triggers import shown_of
from mainspring.workspace import Workspace

NOW = FIRST + timedelta(days=40)


def gain(cycle: int, estimate: float | None, finding: Finding) -> Gain:
    return Gain(
        cycle=cycle,
        trigger="on_new_data",
        version=cycle,
        before=cycle - 1,
        look=1,
        metric="log_loss",
        since=NOW + timedelta(days=cycle),
        until=NOW + timedelta(days=cycle + 7),
        units=1_200 if estimate is not None else 0,
        estimate=estimate,
        low=None if estimate is None else estimate - 0.02,
        high=None if estimate is None else estimate + 0.02,
        finding=finding,
        reason=f"what cycle {cycle} was worth",
        final=True,
    )


def measured(workspace: Workspace, *gains: Gain) -> None:
    with workspace.database.write() as tx:
        for each in gains:
            tx.values.put(f"gain:tiny:{each.cycle:09}", msgspec.json.encode(each).decode())


def test_every_trigger_is_shown_with_why_it_starts_a_cycle_or_not(
    workspace: Workspace, get: Callable[[Workspace], Get]
) -> None:
    page = get(workspace)("/products/tiny/triggers")
    assert page.status_code == 200
    shown = Parsed(page)
    for each in why_not(workspace, "tiny").triggers:
        for words in (each.trigger, each.told, each.cool_down or "", *(held.why for held in each.held)):
            assert words in shown.text
        for at in (each.last_fired, each.next_due):
            assert at is None or f"{at:%Y-%m-%d %H:%M}" in shown.text
    assert "Quiet hours none declared" in shown.text
    assert "Cycle budget none declared" in shown.text
    assert "No promotion has been measured yet" in shown.text
    product = Parsed(get(workspace)("/products/tiny"))
    assert "/products/tiny/triggers" in [each["href"] for each in product.all("a")]


def test_limits_that_are_declared_are_shown_with_what_is_spent_of_them(
    workspace: Workspace, get: Callable[[Workspace], Get]
) -> None:
    with workspace.database.write() as tx:
        spec = structs.replace(
            workspace.specs(tx)["tiny"],
            quiet_hours=(QuietHours("00:00", "23:00", days=("fri", "sat")),),
            cycle_budget=CycleBudget(4),
        )
        tx.values.put("product:tiny", spec.to_json())
    shown = Parsed(get(workspace)("/products/tiny/triggers"))
    assert "00:00 to 23:00 UTC on fri, sat. It is quiet until 2024-02-03 23:00" in shown.text
    assert "2 of 4 cycles in 30d spent, 2 left; training and judging took" in shown.text


def test_promotions_that_lie_far_apart_are_drawn_with_an_interval_each(workspace: Workspace) -> None:
    measured(workspace, gain(2, 0.01, Finding.NOT_SHOWN), gain(90, 0.03, Finding.HELPED))
    chart = shown_of(workspace, "tiny")["charts"][0]
    zero, intervals = re.findall(r'<path class="line t[70]" d="([^"]*)"', chart)[-2:]
    assert zero.count("l") >= 3
    assert (intervals.count("m"), intervals.count("l")) == (2, 2)


def test_gains_are_shown_with_their_intervals_and_a_policy_that_does_not_help_is_said_to_be_so(
    workspace: Workspace, get: Callable[[Workspace], Get]
) -> None:
    measured(
        workspace,
        gain(2, 0.01, Finding.NOT_SHOWN),
        gain(3, -0.005, Finding.NOT_SHOWN),
        gain(4, None, Finding.NO_LABELS),
    )
    shown = Parsed(get(workspace)("/products/tiny/triggers"))
    assert len(list(shown.all("svg"))) == 2
    assert "on_new_data: none of 2 promotions is shown to have helped" in shown.text
    for cycle in (2, 3, 4):
        assert f"what cycle {cycle} was worth" in shown.text
    assert [each.cycle for each in shown_of(workspace, "tiny")["gains"]] == [4, 3, 2]


def test_an_unknown_product_has_no_page(workspace: Workspace, get: Callable[[Workspace], Get]) -> None:
    assert get(workspace)("/products/tony/triggers").status_code == 404
