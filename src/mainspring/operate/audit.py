"""Audits: the predictions whose labels are wanted, whether or not they would come by themselves."""

from __future__ import annotations

__all__ = ["WantedLabel", "wanted_labels"]

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from mainspring.monitoring import audit_share, is_audited
from mainspring.operate.status import check_product
from mainspring.operate.suspicion import is_suspected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace

_DAYS = 7


class WantedLabel(msgspec.Struct, frozen=True, kw_only=True):
    """A prediction whose label is asked for.

    Attributes
    ----------
    prediction_id, version, at : str, int, datetime
        Which one.
    share : float
        The share of its day's predictions that are audited.
    """

    prediction_id: str
    version: int
    at: datetime
    share: float


def wanted_labels(workspace: Workspace, product: str, *, limit: int = 100) -> list[WantedLabel]:
    """Give audited predictions of the last 7 days and today that have no label yet, oldest first.

    A day's share is settled by what was known as it began: 10 % for a version about which a drift alarm stands, 1 %
    otherwise. So a prediction once wanted stays so until its label comes, and the list is the same whoever asks.

    Raises
    ------
    mainspring.operate.status.UnknownProduct
        There is no such product.
    """
    found: list[WantedLabel] = []
    today = workspace.clock.now().date()
    with workspace.database.read() as tx:
        check_product(tx, product)
        for back in range(_DAYS, -1, -1):
            for wanted in _of_day(tx, product, today - timedelta(days=back)):
                if len(found) == limit:
                    return found
                found.append(wanted)
    return found


def _of_day(tx: Transaction, product: str, day: date) -> Iterator[WantedLabel]:
    begin = datetime.combine(day, time(), UTC)

    @lru_cache
    def share_of(version: int) -> float:
        return audit_share(suspected=is_suspected(tx, product, version, begin))

    for prediction in tx.monitoring.unlabelled(product, since=begin, until=begin + timedelta(days=1)):
        share = share_of(prediction.version)
        if is_audited(prediction.prediction_id, salt=product, share=share):
            yield WantedLabel(
                prediction_id=prediction.prediction_id,
                version=prediction.version,
                at=prediction.at,
                share=share,
            )
