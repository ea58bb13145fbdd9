"""Lists that were put in order: how many were asked, and by level what their order lacks, for all and by slice."""

from __future__ import annotations

__all__ = ["ListCounts", "ListTable"]

from collections.abc import Iterable, Mapping

import msgspec

from mainspring.metric import LEVELS, level_of
from mainspring.monitoring.quality import LossTable
from mainspring.monitoring.scores import ALL_ROWS
from mainspring.ranking import LIST_METRICS


class ListCounts(msgspec.Struct, frozen=True):
    """Lists by what their labels say: a row was right, or none was; of those that are neither, labels lack.

    `levels` has by metric the lists of which a row was right, by the level of what their order lacks.
    """

    asked: int = 0
    without: int = 0
    levels: dict[str, dict[int, int]] = {}

    @property
    def measured(self) -> int:
        """Lists of which a row was right."""
        return sum(self.levels.get(LIST_METRICS[0], {}).values())

    @property
    def awaited(self) -> int:
        """Lists of which labels lack."""
        return max(self.asked - self.measured - self.without, 0)

    def losses(self, metric: str, *, awaited: bool) -> LossTable:
        """Give them as a table that a detector can weigh."""
        found = self.levels.get(metric, {})
        counts = tuple(found.get(level, 0) for level in range(LEVELS))
        return LossTable(loss=metric, counts=counts, awaited=self.awaited if awaited else None)

    def merge(self, other: ListCounts) -> ListCounts:
        """Count both."""
        levels = {metric: dict(of) for metric, of in self.levels.items()}
        for metric, of in other.levels.items():
            mine = levels.setdefault(metric, {})
            for level, count in of.items():
                mine[level] = mine.get(level, 0) + count
        return ListCounts(self.asked + other.asked, self.without + other.without, levels)


class ListTable(msgspec.Struct, frozen=True):
    """Lists of a day, or of a hold-out, by the name of a slice; `ALL_ROWS` is that of all."""

    groups: dict[str, ListCounts] = {}

    @classmethod
    def asked(cls, groups: Iterable[str]) -> ListTable:
        """Table of one list that was asked; it is in these slices."""
        return cls(dict.fromkeys((ALL_ROWS, *groups), ListCounts(asked=1)))

    @classmethod
    def labelled(cls, losses: Mapping[str, float] | None, groups: Iterable[str]) -> ListTable:
        """Table of the labels of one list: its losses, None where no row was right."""
        if losses is None:
            found = ListCounts(without=1)
        else:
            found = ListCounts(levels={name: {level_of(loss): 1} for name, loss in losses.items()})
        return cls(dict.fromkeys((ALL_ROWS, *groups), found))

    def of_group(self, name: str) -> ListCounts:
        """Lists of a slice; none where it is not there."""
        return self.groups.get(name, ListCounts())

    def merge(self, other: ListTable) -> ListTable:
        """Table of the lists of both; exact, in any order."""
        names = {**self.groups, **other.groups}
        return ListTable({name: self.of_group(name).merge(other.of_group(name)) for name in names})

    def to_json(self) -> str:
        """Text that `from_json` reads back; the same for equal tables."""
        plain = msgspec.to_builtins(self, str_keys=True)
        return msgspec.json.encode(plain, order="sorted").decode()

    @classmethod
    def from_json(cls, text: str) -> ListTable:
        """Read what `to_json` wrote."""
        return msgspec.json.decode(text, type=cls)
