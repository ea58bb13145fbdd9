"""Whether a model answers a row alike whatever rows are asked with it, so that requests may share a call."""

from __future__ import annotations

__all__ = ["SIZES", "Rowwise", "rowwise"]

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mainspring.formats.parity import apart

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIZES = (1, 2, 7, 32, 100)
TOLERANCE = 1e-6
"""By how much an answer may be apart from that of the row alone: kernels for one row and for many add up float32
in another order."""

Columns = Mapping[str, "NDArray[Any]"]


class Rowwise(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was found.

    Attributes
    ----------
    proved : bool
        Every row was answered alike, alone and in every batch.
    why : str
        The finding in words.
    rows : int
        How many were asked.
    sizes : tuple of int
        In batches of so many.
    max_abs_diff : float
        The greatest difference from the row alone; 0 where all are the same to the bit.
    """

    proved: bool
    why: str
    rows: int
    sizes: tuple[int, ...]
    max_abs_diff: float


def rowwise(
    predict: Callable[[Columns], NDArray[Any]],
    columns: Columns,
    *,
    sizes: Sequence[int] = SIZES,
    tolerance: float = TOLERANCE,
    seed: int = 0,
) -> Rowwise:
    """Ask rows alone, and then in shuffled batches of several sizes, and compare.

    Parameters
    ----------
    predict : callable
        Takes columns and gives an array of shape (rows,).
    columns : mapping of str to ndarray, each of shape (rows,)
        The sample, at least one row.
    sizes : sequence of int
        Batches to try; all rows together are tried as well.
    tolerance : float
    seed : int
        Of the permutations.

    Returns
    -------
    Rowwise
        Fails closed: an error, NaN or another number of answers proves nothing.

    Examples
    --------
    >>> import numpy as np
    >>> half = rowwise(lambda columns: columns["x"] / 2, {"x": np.arange(9.0)}, sizes=(2, 4))
    >>> half.proved, half.sizes
    (True, (2, 4, 9))
    >>> rowwise(lambda columns: columns["x"] - columns["x"].mean(), {"x": np.arange(9.0)}).proved
    False
    """
    import numpy as np

    rows = len(next(iter(columns.values())))
    tried = tuple(sorted({min(size, rows) for size in sizes} | {rows}))
    random = np.random.default_rng(seed)
    worst = 0.0

    def answers(order: NDArray[np.intp], size: int) -> NDArray[np.float64]:
        given = np.empty(rows)
        for start in range(0, rows, size):
            which = order[start : start + size]
            answer = np.asarray(predict({name: values[which] for name, values in columns.items()}))
            if answer.shape != which.shape:
                raise ValueError(f"{len(which)} rows were answered with the shape {answer.shape}")
            given[which] = answer
        return given

    def found(why: str) -> Rowwise:
        return Rowwise(False, why, rows, tried, worst)

    try:
        alone = answers(np.arange(rows), 1)
        for size in tried:
            together = answers(random.permutation(rows), size)
            differences = apart(alone, together)
            if not np.isfinite(differences).all():
                return found(f"in batches of {size} an answer was no number")
            worst = max(worst, float(differences.max()))
            if worst > tolerance:
                return found(
                    f"in batches of {size} a row was answered otherwise than alone, by up to {worst:.2g}"
                )
    except Exception as error:  # noqa: BLE001 - whatever a model raises, it proves nothing
        return found(f"it failed: {type(error).__name__}: {error}"[:300])
    alike = "to the bit" if worst == 0 else f"to within {worst:.1g}"
    told = ", ".join(map(str, tried))
    why = f"{rows} rows were answered alike {alike}, alone and in shuffled batches of {told}"
    return Rowwise(True, why, rows, tried, worst)
