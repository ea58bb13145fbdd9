"""Whether a converted model answers like the model that was trained."""

from __future__ import annotations

__all__ = ["TOLERANCE", "ParityReport", "compare"]

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TOLERANCE = 1e-5
"""By how much two probabilities may differ and still count as alike."""


class ParityReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the answers of two forms of one model compare on the same rows.

    Attributes
    ----------
    rows : int
        How many were compared.
    max_abs_diff : float
        The greatest difference of two probabilities; infinite where one of them is no number.
    rows_over : int
        Rows whose answers differ by more than the tolerance.
    passed : bool
        No row is over, and there was at least one.
    """

    rows: int
    max_abs_diff: float
    rows_over: int
    passed: bool

    @property
    def told(self) -> str:
        """How far apart they are, in words."""
        return "with no number" if self.max_abs_diff == float("inf") else f"by up to {self.max_abs_diff:.2g}"


def compare(
    native: NDArray[np.floating[Any]], served: NDArray[np.floating[Any]], *, tolerance: float = TOLERANCE
) -> ParityReport:
    """Compare two answers to the same rows.

    Parameters
    ----------
    native, served : ndarray of float, shape (rows,)
    tolerance : float

    Examples
    --------
    >>> import numpy as np
    >>> compare(np.array([0.25, 0.5]), np.array([0.25, np.nan])).passed
    False
    """
    import numpy as np

    if native.shape != served.shape:
        return ParityReport(len(native), float("inf"), len(native), False)
    apart = np.abs(native.astype(np.float64) - served.astype(np.float64))
    apart[np.isnan(apart)] = np.inf
    over = int((apart > tolerance).sum())
    return ParityReport(len(apart), float(apart.max(initial=0.0)), over, len(apart) > 0 and over == 0)
