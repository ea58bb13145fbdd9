"""Whether a converted model answers like the model that was trained."""

from __future__ import annotations

__all__ = ["TOLERANCE", "ParityReport", "apart", "compare"]

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TOLERANCE = 1e-5
"""By how much two answers may differ and still count as alike; where they are above 1, as a share of them."""


class ParityReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the answers of two forms of one model compare on the same rows.

    Attributes
    ----------
    rows : int
        How many were compared.
    max_abs_diff : float
        The greatest difference of two answers, as `apart` tells it; infinite where one of them is no number.
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


def apart(answers: NDArray[np.floating[Any]], others: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """How far answers are from one another: their difference, and where they are above 1 its share of them.

    Probabilities differ by so much; numbers in units of their own have no other scale than their size.

    Examples
    --------
    >>> import numpy as np
    >>> apart(np.array([0.5, 2000.0]), np.array([0.25, 2001.0])).tolist()
    [0.25, 0.0005]
    """
    import numpy as np

    one, other = answers.astype(np.float64), others.astype(np.float64)
    return np.asarray(np.abs(one - other) / np.maximum(np.abs(one), 1.0))


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
    differences = apart(native, served)
    differences[np.isnan(differences)] = np.inf
    over, rows = int((differences > tolerance).sum()), len(differences)
    return ParityReport(rows, float(differences.max(initial=0.0)), over, rows > 0 and over == 0)
