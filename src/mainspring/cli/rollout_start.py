"""`rollout start`: versions that are registered are rolled out, without training anything."""

from __future__ import annotations

__all__ = ["start"]

from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

import msgspec
from cyclopts import App

from mainspring.cli.options import HERE, Options, actor, opened
from mainspring.cli.show import complain, display, print_json
from mainspring.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from mainspring.strategy import Strategy

Number = TypeVar("Number", int, float)

start = App(
    name="start",
    help_epilogue="""\
Examples:
  mainspring rollout start late-orders --versions 7 --reason "the shop is open again"
  mainspring rollout start late-orders --versions 3,5,7 --shares 0.2,0.2,0.1 --reason "which is best?"
  mainspring rollout start late-orders --versions 4 --strategy all-at-once --reason "7 misreads the new prices"
  mainspring rollout start late-orders --versions 3,5 --reason "until one is shown better" \\
    --strategy '{"type": "ABTest", "goal": {"metric": "log_loss"}}'""",
)


@start.default
def start_by_name(
    product: str,
    /,
    *,
    versions: str,
    reason: str,
    strategy: str = "",
    shares: str = "",
    despite: str = "",
    options: Options = HERE,
) -> int:
    """Begin to roll out versions that are registered, against the champion; `mainspring up` carries it on.

    Several versions make an A/B test, with the champion as control.

    Parameters
    ----------
    product : str
        Whose.
    versions : str
        Their numbers, such as 7 or 3,5,7.
    reason : str
        Why, for the ledger.
    strategy : str
        In place of the declared one: canary, linear, blue-green, ab-test, shadow or all-at-once, with the guards that
        are declared; or a whole one as JSON, as `mainspring explain --json` tells of it.
    shares : str
        Of an A/B test, by version, such as 0.2,0.1,0.1; the control has the rest. All have as much without it.
    despite : str
        Why a version that has done harm before is tried again; needed for such a one.
    """
    from mainspring.operate.start_rollout import CycleInProgress, NotStartable, start_rollout

    chosen = _strategy(strategy) if strategy.lstrip().startswith("{") else strategy
    with opened(options) as workspace:
        try:
            begun = start_rollout(
                workspace,
                product,
                _numbers("versions", versions, int),
                request_id=uuid4().hex,
                actor=actor(),
                reason=reason,
                strategy=chosen or None,
                shares=_numbers("shares", shares, float),
                despite=despite,
            )
        except (CycleInProgress, NotStartable) as refused:
            complain(str(refused))
            return 1
    if options.json:
        print_json({"rollout_id": begun.rollout_id, "product": product, "phase": begun.phase.value})
    else:
        parts = begun.parts
        arms = [f"{each} ({parts[each].share:.0%})" if parts else f"{each}" for each in begun.challengers]
        display(
            f"A rollout of {product} has begun: {type(begun.strategy).__name__} of version "
            f"{', '.join(arms)} against version {begun.champion}."
        )
    return 0


def _numbers(name: str, text: str, kind: Callable[[str], Number]) -> list[Number]:
    try:
        return [kind(each) for each in text.split(",") if text]
    except ValueError:
        raise Invalid(
            f"--{name} {text[:100]} holds no numbers: write them with commas between, 3,5,7."
        ) from None


def _strategy(text: str) -> Strategy:
    from mainspring.strategy import Strategy

    try:
        strategy: Strategy = msgspec.json.decode(text, type=Strategy)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Invalid(f"--strategy is no strategy in JSON: {error}.") from None
    return strategy
