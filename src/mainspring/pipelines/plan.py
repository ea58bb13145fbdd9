"""The key of a step, and why a step ran or was reused."""

from __future__ import annotations

__all__ = ["StepKey", "explain"]

from typing import TYPE_CHECKING

import msgspec

from mainspring.digest import Digest, digest_of_json

if TYPE_CHECKING:
    from collections.abc import Iterable


class StepKey(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a step's output depends on. Equal keys give equal outputs, so the output is found again.

    Attributes
    ----------
    step : str
        The step's name.
    code : str
        Digest of the function and of what it uses of the product's files.
    environment : str
        Digest of the interpreter and the installed distributions.
    params : dict
        Param values by name.
    seed : int
        The run's seed.
    inputs : dict
        What it reads, by name: data refs, a cut in time, or the digest of the step before.
    """

    step: str
    code: str
    environment: str
    params: dict[str, str | int | float | bool | None]
    seed: int
    inputs: dict[str, str]

    @property
    def digest(self) -> Digest:
        """The content address of the output, before it is known."""
        return digest_of_json(msgspec.to_builtins(self))


def explain(key: StepKey, earlier: Iterable[StepKey]) -> str:
    """Say why a step must run: what differs from the earlier run of it that is most alike.

    Parameters
    ----------
    key : StepKey
        The step about to run.
    earlier : iterable of StepKey
        Keys of the same step in earlier runs, oldest first; none equals `key`.

    Returns
    -------
    str
        A phrase such as ``"params.window: None -> '30d'"``, or ``"it never ran before"``.

    Examples
    --------
    >>> old = StepKey(step="train", code="c", environment="e", params={"rate": 0.1}, seed=0, inputs={"examples": "x"})
    >>> explain(msgspec.structs.replace(old, params={"rate": 0.2}), [old])
    'params.rate: 0.1 -> 0.2'
    """
    candidates = [_differences(before, key) for before in earlier]
    if not candidates:
        return "it never ran before"
    # The newest among the most alike: later entries win ties.
    fewest: list[str] = min(candidates[::-1], key=len)
    return "; ".join(fewest)


def _differences(before: StepKey, now: StepKey) -> list[str]:
    found = []
    if before.code != now.code:
        found.append(f"code: {before.code[:12]} -> {now.code[:12]}")
    if before.environment != now.environment:
        found.append(f"environment: {before.environment[:12]} -> {now.environment[:12]}")
    if before.seed != now.seed:
        found.append(f"seed: {before.seed} -> {now.seed}")
    for field in ("params", "inputs"):
        old, new = getattr(before, field), getattr(now, field)
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                found.append(f"{field}.{name}: {_short(old.get(name))} -> {_short(new.get(name))}")
    return found


def _short(value: object) -> str:
    return value[:12] if isinstance(value, str) and len(value) == 64 else repr(value)
