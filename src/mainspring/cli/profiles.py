"""Profiles printed: what to know first, then counts, then values, then effects."""

from __future__ import annotations

__all__ = ["show_profile", "value_columns"]

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mainspring.cli.show import display, harmless, table
from mainspring.monitoring import Kind, value_text

if TYPE_CHECKING:
    from mainspring.operate.profiling import PartRow, ProfileRow


def show_profile(row: ProfileRow) -> None:
    """Print one window or slice."""
    beside = f" against {row.against} ({row.rows_against:,} rows)" if row.against else ""
    display(harmless(f"{row.of}{f', {row.slice}' if row.slice else ''}: {row.rows:,} rows{beside}"))
    told = [(part.column, found.what.value, found.said) for part in row.columns for found in part.found]
    told += [(name, "absent", "The reference has this column, and these rows have not.") for name in row.lost]
    told += [(name, "not_in_reference", "The reference has no such column.") for name in row.added]
    told += [
        (name, "not_comparable", "It is of another kind than in the reference.") for name in row.other_kind
    ]
    if told:
        display(table(("Column", "Found", ""), told))
    display(
        table(
            (
                "Column",
                "Kind",
                ">Nulls",
                ">NaN",
                ">Infinite",
                ">Other type",
                ">Out of range",
                ">New category",
            ),
            (
                (
                    part.column,
                    part.kind,
                    part.nulls,
                    part.nans,
                    part.infinities,
                    part.mistyped,
                    part.out_of_range,
                    part.new_categories,
                )
                for part in row.columns
            ),
        )
    )
    display(
        table(
            ("Column", ">5 %", ">Median", ">95 %", "Most frequent"),
            ((part.column, *value_columns(part)) for part in row.columns),
        )
    )
    if row.against:
        display(
            table(
                ("Column", ">PSI", ">Jensen-Shannon", ">KS", ">Wasserstein / sd", ">Cramér's V"),
                (
                    (
                        part.column,
                        *(
                            _within(part.effects.get(name))
                            for name in (
                                "stability_index",
                                "jensen_shannon",
                                "kolmogorov_smirnov",
                                "normalised_wasserstein",
                                "cramers_v",
                            )
                        ),
                    )
                    for part in row.columns
                ),
            )
        )


def value_columns(part: PartRow) -> tuple[str | dict[str, int] | None, ...]:
    """Give what a table says of values: three quantiles, and the most frequent."""
    return *(_quantile(part, share) for share in ("0.05", "0.5", "0.95")), _frequent(part)


def _frequent(part: PartRow) -> dict[str, int]:
    return {harmless(name): rows for name, rows in part.frequent.items()}


def _quantile(part: PartRow, share: str) -> str | None:
    if share not in part.quantiles:
        return None
    low, high = (value_text(value, Kind(part.kind)) for value in part.quantiles[share])
    return low if low == high else f"{low} to {high}"


def _within(effect: Sequence[float] | None) -> str | None:
    if effect is None:
        return None
    value, low, high = (f"{each:.3f}" for each in effect)
    return value if low == high else f"{value} ({low} to {high.replace('inf', '∞')})"
