"""Deliveries for the product of minutes: the same seed and days give the same rows."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

FIRST = datetime(2024, 1, 1, tzinfo=UTC)


def deliveries(
    first: datetime = FIRST, *, days: int = 30, per_day: int = 100, slower: float = 1.0, seed: int = 0
) -> pl.DataFrame:
    """Rows in the order of `asked_at`; each delivery is there within two hours of it.

    Parameters
    ----------
    first : datetime
        The first day.
    days, per_day : int
        How many.
    slower : float
        By how much longer all take than they usually do.
    seed : int
        Of all that varies; with the first day it names the deliveries.
    """
    rng = np.random.default_rng([seed, int(first.timestamp())])
    n = days * per_day
    asked = [first + timedelta(days=days) * (i / n) for i in range(n)]
    distance = np.round(rng.gamma(3.0, 1.5, n).clip(0.1, 15), 2)
    vehicle = rng.choice(["bicycle", "car"], n, p=[0.6, 0.4])
    pace = np.where(vehicle == "bicycle", 6.0, 4.0)
    minutes = slower * (8 + pace * distance + rng.normal(0, 4, n)).clip(1, None)
    return pl.DataFrame(
        {
            "delivery_id": [f"{seed}-{moment:%Y%m%d}-{i:05}" for i, moment in enumerate(asked)],
            "asked_at": asked,
            "distance": distance,
            "hour": [moment.hour for moment in asked],
            "vehicle": vehicle,
            "minutes": np.round(minutes, 2),
            "arrived_at": [at + timedelta(minutes=m) for at, m in zip(asked, minutes.tolist(), strict=True)],
        },
        schema_overrides={name: pl.Datetime("us", "UTC") for name in ("asked_at", "arrived_at")},
    )


def parquet(rows: pl.DataFrame) -> bytes:
    """The rows as a file that can be handed in."""
    content = io.BytesIO()
    rows.write_parquet(content)
    return content.getvalue()
