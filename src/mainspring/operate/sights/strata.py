"""Strata: days of the week that are compared with their like."""

from __future__ import annotations

__all__ = ["NoStrata", "strata_of"]

from typing import TYPE_CHECKING

from mainspring.errors import NotFound

if TYPE_CHECKING:
    from mainspring.monitors import Strata

_WEEKDAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")
_STRATA: dict[Strata, dict[str, tuple[int, ...]]] = {
    "weekend": {"working days": (0, 1, 2, 3, 4), "weekends": (5, 6)},
    "weekday": {name: (number,) for number, name in enumerate(_WEEKDAYS)},
}


class NoStrata(NotFound):
    """A version whose reference is not told apart by weekdays."""

    def __str__(self) -> str:
        return (
            "The champion was judged before strata were declared, so its reference is not told apart by weekdays: the "
            "next version is compared with its own."
        )


def strata_of(declared: Strata) -> dict[str, tuple[int, ...]]:
    """Give the weekdays of each stratum, Monday being 0, by its name.

    Examples
    --------
    >>> strata_of("weekend")
    {'working days': (0, 1, 2, 3, 4), 'weekends': (5, 6)}
    """
    return _STRATA[declared]
