"""Orders for the tiny product: the same seed and days give the same rows."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

FIRST = datetime(2024, 1, 1, tzinfo=UTC)


def orders(
    first: datetime = FIRST, *, days: int = 30, per_day: int = 100, turned: bool = False, seed: int = 0
) -> pl.DataFrame:
    """Rows in the order of `asked_at`; each is settled within a day of it.

    Parameters
    ----------
    first : datetime
        The first day.
    days, per_day : int
        How many.
    turned : bool
        Whether large amounts are paid on time and small ones late, as they are not otherwise.
    seed : int
        Of amounts, kinds and outcomes; with the first day it names the orders.
    """
    rng = np.random.default_rng([seed, int(first.timestamp())])
    n = days * per_day
    asked = [first + timedelta(days=days) * (i / n) for i in range(n)]
    amount = np.round(rng.gamma(2.0, 60.0, n).clip(0, 1_000), 2)
    kind = rng.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2])
    large = (amount - 120) / 60 * (-1 if turned else 1)
    late = rng.random(n) < 1 / (1 + np.exp(1.5 - large - 1.2 * (kind == "c")))
    settled = [
        moment + timedelta(hours=hours) for moment, hours in zip(asked, rng.uniform(1, 24, n), strict=True)
    ]
    return pl.DataFrame(
        {
            "order_id": [f"{seed}-{moment:%Y%m%d}-{i:05}" for i, moment in enumerate(asked)],
            "asked_at": asked,
            "amount": amount,
            "hour": [moment.hour for moment in asked],
            "kind": kind,
            "late": late,
            "settled_at": settled,
        },
        schema_overrides={name: pl.Datetime("us", "UTC") for name in ("asked_at", "settled_at")},
    )


def parquet(rows: pl.DataFrame) -> bytes:
    """The rows as a file to hand in."""
    buffer = io.BytesIO()
    rows.write_parquet(buffer)
    return buffer.getvalue()
