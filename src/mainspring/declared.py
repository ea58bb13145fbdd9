"""What every declared value has in common: it is frozen, survives JSON, and refuses what cannot be meant."""

from __future__ import annotations

__all__ = ["Value", "need", "need_alpha", "need_margin", "need_tolerance"]

import math

import msgspec

from mainspring.errors import Invalid


class Value(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """A declared value: frozen, and the same again after a trip through JSON."""


def need(holds: bool, what: str, value: object, rule: str) -> None:
    """Refuse a value with the rule that it breaks; write each rule so that NaN breaks it."""
    if not holds:
        raise Invalid(f"{what} is {value}, but {rule}.")


def need_alpha(of: str, value: float) -> None:
    """Refuse what is no probability of error."""
    need(0 < value < 1, f"The alpha of {of}", value, "a probability of error lies between 0 and 1")


def need_margin(of: str, value: float) -> None:
    """Refuse what is no margin."""
    need(0 <= value < math.inf, f"The margin of {of}", value, "a margin is 0 or a positive number")


def need_tolerance(of: str, value: float) -> None:
    """Refuse what is no share of rows to tolerate."""
    need(0 <= value < 1, f"The tolerance of {of}", value, "a tolerance is a share, at least 0 and below 1")
