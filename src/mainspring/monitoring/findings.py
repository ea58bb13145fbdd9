"""What a person should know of a column before its figures: named outcomes of what is wrong with it, or has changed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from mainspring.monitoring.profiles import AtomProfile, CategoryProfile, NumberProfile, value_text

__all__ = ["Finding", "Found", "findings"]

_SCALED = 10.0
_ALIKE = 1.25


class Finding(StrEnum):
    """What was found."""

    NO_ROWS = "no_rows"
    ALL_MISSING = "all_missing"
    CONSTANT = "constant"
    TOO_MANY_CATEGORIES = "too_many_categories"
    MISTYPED = "mistyped"
    INFINITE = "infinite"
    OUT_OF_RANGE = "out_of_range"
    NEW_CATEGORIES = "new_categories"
    UNITS_CHANGED = "units_changed"


class Found(NamedTuple):
    """A finding, and a sentence on it with its figures."""

    what: Finding
    said: str


def findings(column: AtomProfile, reference: AtomProfile | None = None) -> tuple[Found, ...]:
    """Name what is wrong with a column: by itself, in the frame that it was profiled in, and beside a reference.

    Units are said to have changed where the quartiles all are the same multiple of the reference's, to a quarter, and
    ten times or more, or a tenth or less.

    Examples
    --------
    >>> import numpy as np
    >>> from mainspring.monitoring import profile
    >>> metres = profile({"x": np.array([1.0, 2.0, 3.0, 4.0, 5.0])}).columns["x"]
    >>> millimetres = profile({"x": np.array([1000.0, 2000.0, 3000.0, 4000.0, 5000.0])}).columns["x"]
    >>> findings(millimetres, metres)[0].said
    'The quartiles are about 977 times those of the reference: the unit may have changed.'
    """
    if not column.rows:
        return (Found(Finding.NO_ROWS, "There are no rows."),)
    found = []
    if not column.valid:
        found.append(Found(Finding.ALL_MISSING, f"None of {column.rows:,} rows has a value."))
    elif _is_constant(column):
        found.append(Found(Finding.CONSTANT, f"All {column.valid:,} values are the same."))
    if column.mistyped:
        found.append(Found(Finding.MISTYPED, f"{column.mistyped:,} rows have a value of another type."))
    if isinstance(column, NumberProfile):
        found += _of_numbers(column)
        if isinstance(reference, NumberProfile) and (factor := _factor(reference, column)):
            said = f"The quartiles are about {factor:.3g} times those of the reference: the unit may have changed."
            found.append(Found(Finding.UNITS_CHANGED, said))
    else:
        if column.level:
            said = f"There are too many categories to name: about {_categories(column):,}."
            found.append(Found(Finding.TOO_MANY_CATEGORIES, said))
        if column.unseen:
            said = f"{column.unseen:,} rows are of categories that the reference has not."
            found.append(Found(Finding.NEW_CATEGORIES, said))
    return tuple(found)


def _of_numbers(column: NumberProfile) -> Iterator[Found]:
    if column.infinities:
        yield Found(Finding.INFINITE, f"{column.infinities:,} rows are infinite.")
    if column.limits is not None and column.below + column.above:
        least, greatest = (value_text(limit, column.kind) for limit in column.limits)
        said = (
            f"{column.below:,} rows are below the reference's least, {least}, "
            f"and {column.above:,} above its greatest, {greatest}."
        )
        yield Found(Finding.OUT_OF_RANGE, said)


def _factor(reference: NumberProfile, current: NumberProfile) -> float | None:
    """By what all quartiles are multiplied, or None where they are not, or by little."""
    if not reference.valid or not current.valid or _is_constant(reference):
        return None
    quartiles = [(_middle(reference.quantile(j / 4)), _middle(current.quantile(j / 4))) for j in (1, 2, 3)]
    # A quartile of 0 stays where it is, whatever the unit.
    ratios = sorted(after / before for before, after in quartiles if before)
    if len(ratios) < 2 or not 0 < ratios[0] <= ratios[-1] < math.inf or ratios[-1] > _ALIKE * ratios[0]:
        return None
    factor = ratios[len(ratios) // 2]
    return None if 1 / _SCALED < factor < _SCALED else factor


def _is_constant(column: AtomProfile) -> bool:
    if isinstance(column, NumberProfile):
        return column.low == column.high and not column.infinities
    return len(column.named) == 1 and not column.folded


def _categories(column: CategoryProfile) -> int:
    """Estimate how many there are: of those new to the reference, one in 2^level is named."""
    known = len(set(column.known or ()).intersection(name for name, _ in column.named))
    return known + (len(column.named) - known) * (1 << column.level)


def _middle(interval: tuple[float, float]) -> float:
    return interval[0] / 2 + interval[1] / 2
