"""What the monitor of attributions sees: by how much each input moves answers, day by day and on the hold-out."""

from __future__ import annotations

__all__ = ["ATTRIBUTIONS", "AttributionSight", "Unattributed"]

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from mainspring.errors import MainspringError, NotFound
from mainspring.monitoring.attribution import AttributionTable, attribution_streams
from mainspring.operate.sights.sight import DETECTOR, tables_before

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from mainspring.monitoring import Budget, Evidence, Stream
    from mainspring.monitors import AttributionDrift
    from mainspring.operate.judging import Reference
    from mainspring.ref import ModelRef
    from mainspring.stores.sql.database import Transaction

ATTRIBUTIONS = "attributions"
"""The kind of table by day that has them."""


class _Why(msgspec.Struct, frozen=True):
    unattributed: str = ""


class Unattributed(MainspringError):
    """A day whose rows could not be attributed."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return f"The newest rows could not be attributed: {self.why}."

    def to_json(self) -> str:
        """Text that stands in place of a day's table."""
        return msgspec.json.encode(_Why(self.why)).decode()

    @classmethod
    def read(cls, text: str) -> Unattributed | None:
        """Give what a text tells, if it is no table."""
        why = msgspec.json.decode(text, type=_Why).unattributed
        return cls(why) if why else None


class NoAttributions(NotFound):
    """A version whose reference has no attributions to compare with."""

    def __str__(self) -> str:
        return (
            "The champion was judged before this monitor was declared, so its hold-out was not attributed: the next "
            "version is compared with its own."
        )


@dataclass(frozen=True, slots=True)
class AttributionSight:
    """What `AttributionDrift` sees."""

    monitor: AttributionDrift
    unit = "change of the answer"
    scale = 1.0

    def read(self, tx: Transaction, ref: ModelRef, before: date) -> dict[date, str]:
        """Read the attributions by day."""
        return tables_before(tx, ref, ATTRIBUTIONS, before)

    def streams(self, reference: Reference, tables: Sequence[str]) -> tuple[Stream, ...]:
        """Count every input that is not ignored."""
        if not reference.attributions:
            raise NoAttributions(self.monitor.name)
        for text in tables:
            if (why := Unattributed.read(text)) is not None:
                raise why
        return attribution_streams(
            AttributionTable.from_json(reference.attributions),
            [AttributionTable.from_json(text) for text in tables],
            ignore=self.monitor.ignore,
            tolerance=self.monitor.tolerance,
        )

    def weigh(self, streams: Sequence[Stream], budget: Budget) -> Evidence:
        """Weigh all inputs together."""
        return DETECTOR.weigh(streams, budget=budget)
