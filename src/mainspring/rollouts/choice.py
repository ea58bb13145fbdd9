"""Choosing a rollout's strategy: what a person's wish comes to, and whether a strategy fits a product."""

from __future__ import annotations

__all__ = ["chosen_strategy", "strategy_faults"]

from typing import TYPE_CHECKING, Any, TypeAlias, get_args

import msgspec

from mainspring.errors import Fault, Invalid
from mainspring.strategy import (
    CANDIDATE,
    LOSSES,
    ABTest,
    AllAtOnce,
    BlueGreen,
    Canary,
    Linear,
    NotWorse,
    Shadow,
    Strategy,
    Threshold,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from mainspring.product import ColumnSpec

    Straight: TypeAlias = AllAtOnce | Canary | Linear | BlueGreen | ABTest

_KINDS: dict[str, Any] = {kind.__name__.lower(): kind for kind in get_args(Strategy)}
_KEPT = ("split_by", "guards", "data_timeout")


def chosen_strategy(
    declared: Strategy,
    versions: Sequence[int],
    wanted: Strategy | str | None = None,
    shares: Sequence[float] = (),
) -> Strategy:
    """Say by which strategy registered versions take over.

    Several versions, or shares, make it an A/B test with the champion as control: the declared one if it is one.

    Parameters
    ----------
    declared : Strategy
        Of the product.
    versions : sequence of int
        The challengers.
    wanted : Strategy or str, optional
        Another strategy, or the name of one: the declared one if it has that name, else one with its guards, its
        `split_by` and its `data_timeout`, and for the rest as `mainspring.strategy` has it. A `shadow` that is named
        goes on with what is declared.
    shares : sequence of float
        Of an A/B test, by version; without them, those that the test has for just these versions, the first of which
        it calls `candidate`, and else as much for each of them as for the control.

    Raises
    ------
    Invalid
        There is no such strategy, it cannot take so many versions, or the shares are none of an A/B test.

    Examples
    --------
    >>> from mainspring.strategy import Canary, NoMoreErrors
    >>> chosen_strategy(Canary(), [7]) == Canary()
    True
    >>> test = chosen_strategy(Canary(split_by="customer"), [3, 5, 7])
    >>> test.split_by, test.shares
    ('customer', {'candidate': 0.25, '5': 0.25, '7': 0.25})
    >>> chosen_strategy(Canary(guards=(NoMoreErrors(),)), [7], "blue-green").guards == (NoMoreErrors(),)
    True
    """
    strategy = wanted if isinstance(wanted, Strategy) else _named(wanted, declared) if wanted else declared
    if len(versions) == 1 and not shares:
        return strategy
    if wanted is None and not isinstance(_after_shadow(strategy), ABTest):
        strategy = _named(ABTest.__name__, declared)
    test = _after_shadow(strategy)
    if not isinstance(test, ABTest):
        several = f"{len(versions)} versions are named" if len(versions) > 1 else "shares are given"
        raise Invalid(
            f"{type(test).__name__} brings one version in by steps of its own, and {several}: name one without "
            "shares, or leave the strategy out for an A/B test."
        )
    if shares and len(shares) != len(versions):
        raise Invalid(f"{len(versions)} versions need as many shares, and not {len(shares)}.")
    names = (CANDIDATE, *map(str, versions[1:]))
    if set(test.shares) == set(names):
        given = shares or [test.shares[name] for name in names]
    elif isinstance(wanted, Strategy) and not shares and test.shares != ABTest().shares:
        raise Invalid(
            f"The strategy has shares for {', '.join(test.shares)}, and not for {', '.join(names)}."
        )
    else:
        given = shares or [1 / (len(versions) + 1)] * len(versions)
    test = msgspec.structs.replace(test, shares=dict(zip(names, given, strict=True)))
    return msgspec.structs.replace(strategy, then=test) if isinstance(strategy, Shadow) else test


def strategy_faults(
    strategy: Strategy, inputs: Collection[str], columns: Mapping[str, ColumnSpec], losses: Sequence[str]
) -> Iterator[Fault]:
    """Find what keeps a strategy from being one for a product.

    Parameters
    ----------
    strategy : Strategy
    inputs : collection of str
        The product's, by name.
    columns : mapping of str to ColumnSpec
        What is known of them.
    losses : sequence of str
        Those of the product's task.
    """
    for guard in strategy.guards:
        if isinstance(guard, NotWorse) and guard.metric not in losses:
            mend = f"Use one of {', '.join(losses)}."
            yield Fault("NotWorse", f"cannot watch {guard.metric!r} row by row.", mend)
        if isinstance(guard, Threshold) and guard.metric in LOSSES and guard.metric not in losses:
            yield Fault(
                "Threshold", f"cannot measure {guard.metric!r}.", f"Of losses there are {', '.join(losses)}."
            )
    after = _after_shadow(strategy)
    goal = after.goal if isinstance(after, ABTest) else None
    if goal is not None and goal.metric in LOSSES and goal.metric not in losses:
        yield Fault(
            "Better", f"cannot compare by {goal.metric!r}.", f"Of losses there are {', '.join(losses)}."
        )
    if strategy.split_by is not None and strategy.split_by not in inputs:
        yield Fault(
            f"rollout split_by {strategy.split_by!r}", "is no input, so the gateway would not see it."
        )
    for guard in strategy.guards:
        for name in getattr(guard, "slices", ()):
            where = f"guard {type(guard).__name__} slices {name!r}"
            if name not in inputs:
                yield Fault(where, "is no input, so the gateway would not see it.")
            elif name in columns and columns[name].dtype != "BYTES":
                yield Fault(where, "is no text, so it has no values to slice by.")
            elif name in columns and columns[name].pii:
                yield Fault(
                    where, "is not logged as it is, so its slices would be empty.", "Slice by another input."
                )


def _named(name: str, declared: Strategy) -> Strategy:
    kind = _KINDS.get(name.replace("-", "").lower())
    if kind is None:
        known = ", ".join(each.__name__ for each in _KINDS.values())
        raise Invalid(f"There is no strategy {name[:100]!r}: name one of {known}.")
    own = _after_shadow(declared)
    matching: list[Strategy] = [each for each in (declared, own) if isinstance(each, kind)]
    if matching:
        return matching[0]
    if kind is Shadow:
        return Shadow(then=own)
    # What is a field of both: AllAtOnce has no guards to hand on, and must not leave another strategy without any.
    kept = {each for each in _KEPT if each in kind.__struct_fields__ and each in own.__struct_fields__}
    made: Strategy = kind(**{each: getattr(own, each) for each in kept})
    return made


def _after_shadow(strategy: Strategy) -> Straight:
    return strategy.then if isinstance(strategy, Shadow) else strategy
