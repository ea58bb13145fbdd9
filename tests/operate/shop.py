"""The tiny product as a shop: what an order amounts to is a feature of its customer."""

from __future__ import annotations

from datetime import datetime

import polars as pl
from tests.operate.tiny import PRODUCT
from tests.products.tiny.orders import FIRST, parquet

MOMENT = pl.Datetime("us", "UTC")

CUSTOMERS = """
class Customers(pa.DataFrameModel):
    row_id: int
    customer: str
    at: Moment
    amount: float = pa.Field(nullable=True)


customers = ms.Dataset("customers", key="row_id", event_time="at", schema=Customers)
profile = ms.FeatureView(
    "profile", source=customers, entity="customer", event_time="at", ttl="30d", features=["amount"], online=ONLINE
)
"""


def declaration(*, online: bool | str = True, pii: bool = True) -> str:
    """The tiny product, whose amount is a feature of the customer."""
    text = (PRODUCT / "product.py").read_text()
    for old, new in (
        (
            "    amount: float = pa.Field(ge=0, le=1_000)\n",
            f"    customer: str{' = pa.Field(metadata=ms.pii())' if pii else ''}\n",
        ),
        ("@ms.step\ndef recent", f"{CUSTOMERS.replace('ONLINE', repr(online))}\n\n@ms.step\ndef recent"),
        ("    data=orders,\n", "    data=orders,\n    features=[profile],\n"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


def customers(first: int, *, at: datetime = FIRST, **amounts: float) -> bytes:
    rows = {
        "row_id": range(first, first + len(amounts)),
        "customer": [*amounts],
        "amount": [*amounts.values()],
    }
    times = pl.Series("at", [at] * len(amounts), MOMENT)
    return parquet(pl.DataFrame(rows).with_columns(times))
