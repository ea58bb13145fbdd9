"""Rows kept beside a model, with the answers that it gave: to warm it up, and to see that it still answers so."""

from __future__ import annotations

__all__ = ["Sample"]

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import DTypeLike, NDArray


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Rows as columns, and the answers to them.

    Attributes
    ----------
    numbers : dict of str to list
        With None for null.
    texts : dict of str to list
        With the empty text for null.
    expected : list of float
        By row.
    """

    numbers: dict[str, list[float | None]]
    texts: dict[str, list[str]]
    expected: list[float]

    @classmethod
    def of(cls, columns: Mapping[str, NDArray[Any]], answers: NDArray[np.floating[Any]]) -> Sample:
        """Keep columns as a model takes them, and its answers."""
        texts = {name for name, values in columns.items() if values.dtype == object}
        return cls(
            numbers={
                name: [None if math.isnan(value) else float(value) for value in values]
                for name, values in columns.items()
                if name not in texts
            },
            texts={name: columns[name].tolist() for name in columns if name in texts},
            expected=[float(value) for value in answers],
        )

    def columns(self, dtype: DTypeLike) -> dict[str, NDArray[Any]]:
        """The columns as a model takes them, numbers of this type."""
        import numpy as np

        columns: dict[str, NDArray[Any]] = {
            name: np.array(values, dtype) for name, values in self.numbers.items()
        }
        return columns | {name: np.array(values, object) for name, values in self.texts.items()}
