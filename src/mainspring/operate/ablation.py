"""Rows with one input at a time at its usual value, and what that does to answers."""

from __future__ import annotations

__all__ = ["ablated", "baseline_of", "table_of"]

from typing import TYPE_CHECKING

from mainspring.monitoring.attribution import AttributionTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from mainspring.monitoring.attribution import Baseline


def baseline_of(rows: pl.DataFrame, inputs: Sequence[str]) -> dict[str, Baseline]:
    """Give the usual value of each input: the median of numbers, which one of them has, and else the most frequent."""
    usual: dict[str, Baseline] = {}
    for name in inputs:
        values = rows[name].drop_nulls()
        if not len(values):
            usual[name] = None
        elif values.dtype.is_numeric():
            usual[name] = values.sort()[len(values) // 2]
        else:
            counts = values.value_counts(name="__rows").sort("__rows", name, descending=[True, False])
            usual[name] = counts[name][0]
    return usual


def ablated(rows: pl.DataFrame, baseline: Mapping[str, Baseline]) -> pl.DataFrame:
    """Give the rows, and then all of them once more for each input, with its usual value."""
    import polars as pl

    return pl.concat(
        [
            rows,
            *(
                rows.with_columns(pl.lit(usual, rows.schema[name]).alias(name))
                for name, usual in sorted(baseline.items())
            ),
        ]
    )


def table_of(
    answered: NDArray[np.float64], baseline: Mapping[str, Baseline], rows: int, start: int, end: int
) -> AttributionTable:
    """Count some of the rows whose answers, and those without each input, lie one behind the other."""
    without = {
        name: answered[rows * place + start : rows * place + end]
        for place, name in enumerate(sorted(baseline), start=1)
    }
    return AttributionTable.of(answered[start:end], without, baseline)
