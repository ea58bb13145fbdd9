"""The operations on rollouts: what they need, how they stand, what became of them, and what people do to them."""

from __future__ import annotations

__all__ = ["ROLLOUTS", "Starting", "Steered", "Steering"]

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec

from mainspring.api.operation import Operation, actor_of, body_of, product_of
from mainspring.errors import Invalid
from mainspring.operate import steer
from mainspring.operate.certify import certify_shadow
from mainspring.operate.forecast import plan_rollout
from mainspring.operate.report import (
    RolloutNow,
    RolloutReport,
    RolloutSummary,
    rollout_now,
    rollout_report,
    rollout_summaries,
)
from mainspring.operate.start_rollout import start_rollout
from mainspring.rollouts.certificate import Certificate
from mainspring.rollouts.plan import Harm, Plan
from mainspring.strategy import Strategy

if TYPE_CHECKING:
    from starlette.requests import Request

    from mainspring.rollouts import Rollout
    from mainspring.workspace import Workspace


class Steering(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why something is done to a rollout; `version` says which challenger is promoted, where there are several."""

    reason: str
    version: int | None = None


class Starting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which registered versions are rolled out, and why; several make an A/B test with the champion as control.

    `strategy` replaces the declared one: a name such as `canary`, with the guards that are declared, or a whole one.
    `shares` are those of an A/B test, by version. `despite` says why a version is tried again that has done harm.
    """

    versions: list[int]
    reason: str
    strategy: Strategy | str | None = None
    shares: list[float] = []
    despite: str = ""
    request_id: str = ""


class Steered(msgspec.Struct, frozen=True):
    """How a rollout stands after something was done to it."""

    rollout_id: str
    product: str
    champion: int
    challengers: tuple[int, ...]
    phase: str


def steered(rollout: Rollout) -> Steered:
    """Tell of a rollout."""
    return Steered(
        rollout.rollout_id, rollout.product, rollout.champion, rollout.challengers, rollout.phase.value
    )


def _steer(act: Callable[..., Rollout]) -> Callable[[Workspace, Request, bytes], Steered]:
    def call(workspace: Workspace, request: Request, content: bytes) -> Steered:
        asked: Steering = body_of(content, Steering)
        more: dict[str, Any] = {} if asked.version is None else {"version": asked.version}
        if more and act is not steer.promote:
            raise Invalid("Only a promotion names a version: leave it out.")
        done = act(workspace, product_of(request), actor=actor_of(request), reason=asked.reason, **more)
        return steered(done)

    return call


def _start(workspace: Workspace, request: Request, content: bytes) -> Steered:
    asked: Starting = body_of(content, Starting)
    begun = start_rollout(
        workspace,
        product_of(request),
        asked.versions,
        request_id=asked.request_id or uuid4().hex,
        actor=actor_of(request),
        reason=asked.reason,
        strategy=asked.strategy,
        shares=asked.shares,
        despite=asked.despite,
    )
    return steered(begun)


def _certify(workspace: Workspace, request: Request, content: bytes) -> Certificate:
    asked: Steering = body_of(content, Steering)
    return certify_shadow(workspace, product_of(request), actor=actor_of(request), reason=asked.reason)


def _plan(workspace: Workspace, request: Request, content: bytes) -> Plan:
    given = {}
    for name in _HARM:
        if (text := request.query_params.get(name)) is not None:
            try:
                given[name] = float(text)
            except ValueError:
                raise Invalid(f"{name}={text[:100]!r} must be a number.") from None
    return plan_rollout(workspace, product_of(request), Harm(**given))


_HARM = ("failing", "slower", "worse_by", "moved")

_ACTS: tuple[tuple[str, str, Callable[..., Rollout]], ...] = (
    ("pause", "Let a rollout stand: no step ends, and harm still rolls back", steer.pause),
    ("resume", "Let a paused rollout go on", steer.resume),
    ("approve", "Let a rollout that waits for approval go on", steer.approve),
    ("abort", "End a rollout with the champion kept", steer.abort),
    ("promote", "Make a challenger champion now", steer.promote),
)

ROLLOUTS: tuple[Operation, ...] = (
    Operation(
        "GET",
        "/v1/products/{product}/rollouts",
        "Its rollouts, oldest first",
        lambda w, r, c: rollout_summaries(w, product_of(r)),
        gives=list[RolloutSummary],
    ),
    Operation(
        "POST",
        "/v1/products/{product}/rollouts",
        "Begin to roll registered versions out; asked again under one id, it is one rollout",
        _start,
        takes=Starting,
        gives=Steered,
        status=201,
    ),
    Operation(
        "GET",
        "/v1/products/{product}/rollouts/{rollout}",
        "What became of a rollout, by its id or the number of its cycle",
        lambda w, r, c: rollout_report(w, product_of(r), str(r.path_params["rollout"])),
        gives=RolloutReport,
    ),
    Operation(
        "GET",
        "/v1/products/{product}/rollout",
        "How its newest rollout stands",
        lambda w, r, c: rollout_now(w, product_of(r)),
        gives=RolloutNow,
    ),
    Operation(
        "GET",
        "/v1/products/{product}/rollout/plan",
        "What its rollout in progress, or else its next one, is expected to need",
        _plan,
        gives=Plan,
        query=_HARM,
    ),
    *(
        Operation(
            "POST",
            f"/v1/products/{{product}}/rollout/{name}",
            summary,
            _steer(act),
            takes=Steering,
            gives=Steered,
        )
        for name, summary, act in _ACTS
    ),
    Operation(
        "POST",
        "/v1/products/{product}/rollout/certify",
        "Compare a shadow's answers with the champion's, and let it go on if they certify it",
        _certify,
        takes=Steering,
        gives=Certificate,
    ),
)
