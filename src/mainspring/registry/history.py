"""Where the aliases of clients' models pointed when, told by events alone."""

from __future__ import annotations

__all__ = ["CHANGES", "Names", "names_after"]

from collections.abc import Mapping
from typing import Any, TypeAlias

from mainspring.events import EventType

Names: TypeAlias = Mapping[str, Mapping[str, int]]
"""By the name of a model, by alias, the number of the version that it points to."""

CHANGES = frozenset(
    {
        EventType.MODEL_REGISTERED,
        EventType.MODEL_RENAMED,
        EventType.MODEL_DELETED,
        EventType.MODEL_ALIAS_MOVED,
        EventType.MODEL_VERSION_DELETED,
    }
)
"""The events that say where aliases point."""


def names_after(names: Names, kind: EventType, subject: str, data: Mapping[str, Any]) -> Names:
    """Give where all aliases point after one of the `CHANGES`.

    Examples
    --------
    >>> one = names_after({}, EventType.MODEL_REGISTERED, "Fraud", {})
    >>> two = names_after(one, EventType.MODEL_ALIAS_MOVED, "Fraud@live", {"version": 3})
    >>> names_after(two, EventType.MODEL_RENAMED, "Scam", {"before": "Fraud"})
    {'Scam': {'live': 3}}
    """
    match kind:
        case EventType.MODEL_REGISTERED:
            return {**names, subject: {}}
        case EventType.MODEL_RENAMED:
            others = {name: aliases for name, aliases in names.items() if name != data["before"]}
            return {**others, subject: names.get(data["before"], {})}
        case EventType.MODEL_DELETED:
            return {name: aliases for name, aliases in names.items() if name != subject}
        case EventType.MODEL_ALIAS_MOVED:
            name, _, alias = subject.rpartition("@")
            gone, to = [alias], data["version"]
        case EventType.MODEL_VERSION_DELETED:
            name, gone, to = subject.rpartition("@")[0], data["aliases"], None
        case _:
            return names
    kept = {alias: number for alias, number in names.get(name, {}).items() if alias not in gone}
    return {**names, name: kept if to is None else {**kept, gone[0]: to}}
