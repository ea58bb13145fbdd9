"""What a Feast repository defines, as `tell` says it."""

from __future__ import annotations

__all__ = ["Definitions", "Projection", "Service", "Source", "View"]

import msgspec


class Source(msgspec.Struct, frozen=True):
    """Where the rows of views come from; `renamed` says what views call columns of it."""

    name: str
    kind: str
    place: str
    event_time: str
    known_at: str
    renamed: dict[str, str]


class View(msgspec.Struct, frozen=True):
    """A feature view: its entities by name, and the type of each feature."""

    name: str
    kind: str
    entities: list[str]
    ttl_s: float
    online: bool
    features: dict[str, str]
    source: Source | None


class Projection(msgspec.Struct, frozen=True):
    """What a service takes of a view, under which name, and by which columns in place of which join keys."""

    view: str
    alias: str
    features: list[str]
    keys: dict[str, str]


class Service(msgspec.Struct, frozen=True):
    """A feature service."""

    name: str
    views: list[Projection]


class Definitions(msgspec.Struct, frozen=True):
    """All that is defined: entities with their join key and its type, views, services."""

    feast: str
    entities: dict[str, tuple[str, str]]
    views: list[View]
    on_demand: list[str]
    services: list[Service]
