"""The online store: of each entity the rows of a feature view that count now, or will once their time has come."""

from __future__ import annotations

__all__ = ["NothingPublished", "OnlineStore", "Published", "Row", "Written"]

from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from mainspring.errors import MainspringError
from mainspring.features.online import Entity, Known, Value

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


class NothingPublished(MainspringError):
    """A view of which the store holds nothing, or nothing any more."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return (
            f"The online store holds nothing of the feature view that it knows as {self.name}. "
            "To write what there is, run `mainspring features materialize`."
        )


class Row(NamedTuple):
    """A row of a view's source.

    Attributes
    ----------
    entity : str, int, float or bool
    at : datetime
        What the values are of: the event time.
    known : datetime
        Since when they were known.
    values : tuple
        In the order of the view's features.
    """

    entity: Entity
    at: datetime
    known: datetime
    values: tuple[Value, ...]


class Written(msgspec.Struct, frozen=True):
    """What became of rows: those that were kept, and those that could never count, since a newer one does already."""

    kept: int = 0
    older: int = 0

    def __add__(self, other: Written) -> Written:
        return Written(self.kept + other.kept, self.older + other.older)


class Published(msgspec.Struct, frozen=True):
    """What readers of a view read: a space of the store, and the data version of which it holds every row."""

    space: str
    version: int


class OnlineStore(Protocol):
    """Rows by entity, in spaces of which one is read under a view's name.

    Of two rows that have both happened and become known, that of the larger (event time, time of becoming known)
    counts, whichever was written first; of two with the same times the one written last. A row whose time has not come
    waits for it. Writing is idempotent, and any number of processes may write at once.

    All methods raise `mainspring.stores.errors.StoreUnavailable` where the store is away. Instants that are asked for
    never lie before those at which was written.
    """

    def write(self, space: str, rows: Sequence[Row], now: datetime) -> Written:
        """Write rows into a space, which need not be there; they are durable, as far as the store is, on return."""
        ...

    def publish(self, name: str, space: str, version: int, *, after: Published | None) -> bool:
        """Let readers of a name read a space from now on, which holds all of a version; drop the name's other spaces.

        The space's name is the name, a colon, and more. Where something else is published than `after`, nothing
        changes, and the answer is False: whoever else has published may have dropped this space.
        """
        ...

    def published(self, name: str) -> Published | None:
        """Say what is read under a name; None where nothing is, or what was there is lost."""
        ...

    def read(self, name: str, entities: Sequence[Value], now: datetime) -> list[Known | None]:
        """Give of each entity the row that counts at an instant, however old; None where there is none.

        Raises
        ------
        NothingPublished
            As opposed to an entity that is not there.
        """
        ...

    def drop(self, name: str) -> None:
        """Forget all that is read under a name, and its spaces; fine where there is nothing."""
        ...

    def close(self) -> None:
        """Let go of what is open; the store opens again when it is asked."""
        ...
