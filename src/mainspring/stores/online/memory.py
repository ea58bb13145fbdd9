"""The online store of one process: for tests, and as the shortest account of what the others do."""

from __future__ import annotations

__all__ = ["MemoryOnline"]

from threading import Lock
from typing import TYPE_CHECKING

from mainspring.features.store import NothingPublished, Published, Written
from mainspring.stores.online.cells import Cell, entity_key, merged, micros, newest, stamped, to_known

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from mainspring.features.online import Known, Value
    from mainspring.features.store import Row


class MemoryOnline:
    """Keeps rows as long as the process lives."""

    def __init__(self) -> None:
        self._spaces: dict[str, dict[bytes, Cell]] = {}
        self._published: dict[str, Published] = {}
        self._lock = Lock()

    def write(self, space: str, rows: Sequence[Row], now: datetime) -> Written:
        """Write rows into a space."""
        written = Written()
        with self._lock:
            cells = self._spaces.setdefault(space, {})
            for entity, more in stamped(rows).items():
                cells[entity] = merged(cells.get(entity, {}), more, micros(now))
                kept = len(more.keys() & cells[entity].keys())
                written += Written(kept, len(more) - kept)
        return written

    def publish(self, name: str, space: str, version: int, *, after: Published | None) -> bool:
        """Let readers of a name read a space."""
        with self._lock:
            if self._published.get(name) != after:
                return False
            self._published[name] = Published(space, version)
            for other in [each for each in self._spaces if each.startswith(f"{name}:") and each != space]:
                del self._spaces[other]
        return True

    def published(self, name: str) -> Published | None:
        """Say what is read under a name."""
        return self._published.get(name)

    def read(self, name: str, entities: Sequence[Value], now: datetime) -> list[Known | None]:
        """Give of each entity the row that counts."""
        with self._lock:
            published = self._published.get(name)
            if published is None:
                raise NothingPublished(name)
            cells, at = self._spaces.get(published.space, {}), micros(now)
            found: list[Known | None] = []
            for entity in entities:
                cell = {} if entity is None else cells.get(entity_key(entity), {})
                stamp = newest(cell, at)
                found.append(None if stamp is None else to_known(stamp, cell[stamp]))
        return found

    def drop(self, name: str) -> None:
        """Forget all that is read under a name."""
        with self._lock:
            self._published.pop(name, None)
            for each in [space for space in self._spaces if space.startswith(f"{name}:")]:
                del self._spaces[each]

    def close(self) -> None:
        """Keep everything."""
