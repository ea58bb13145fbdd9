"""The control: the same product on rows that carry their features with them, so that they can be shuffled in time.

Shuffled rows have no seasons, no storms and no drift: a cycle that drift starts on them is a false alarm. This file is
the product file of the control's workspace, where the real one stands beside it as `late_arrivals.py`.
"""

from __future__ import annotations

from dataclasses import replace

import late_arrivals
import pandera.polars as pa


class Carried(late_arrivals.Flights):
    """A flight with its features as they were when it was asked."""

    temp: float = pa.Field(nullable=True)
    dewp: float = pa.Field(nullable=True)
    humid: float = pa.Field(nullable=True)
    wind_dir: float = pa.Field(nullable=True)
    wind_speed: float = pa.Field(nullable=True)
    precip: float = pa.Field(nullable=True)
    pressure: float = pa.Field(nullable=True)
    visib: float = pa.Field(nullable=True)
    origin_delay_3h: float = pa.Field(nullable=True)
    dest_delay_6h: float = pa.Field(nullable=True)
    carrier_delay_1d: float = pa.Field(nullable=True)


product = replace(late_arrivals.product, data=replace(late_arrivals.flights, schema=Carried), features=[])
