"""Online stores: of feature views the rows that count now, by entity, where gateways look them up."""

from __future__ import annotations

__all__ = ["MemoryOnline", "open_online"]

from typing import TYPE_CHECKING

from mainspring.stores.online.memory import MemoryOnline

if TYPE_CHECKING:
    from mainspring.features.store import OnlineStore


def open_online(url: str) -> OnlineStore:
    """Give the store at a URL: `sqlite:///FILE`, `postgresql://…`, `redis://…` or `rediss://…`.

    Nothing is connected before something is asked of it.

    Raises
    ------
    mainspring.errors.Invalid
        What the store needs is not installed.
    """
    kind = url.partition(":")[0]
    if kind in ("redis", "rediss"):
        from mainspring.stores.online.redis import RedisOnline

        return RedisOnline(url)
    from mainspring.stores.online.sql import postgresql_online, sqlite_online

    return postgresql_online(url) if kind == "postgresql" else sqlite_online(url.removeprefix("sqlite:///"))
