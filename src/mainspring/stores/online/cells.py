"""A cell: all rows of one entity that count or may yet, which nearly always is one; how cells merge, and their bytes.

Of the rows that have happened and are known, the one of the largest stamp counts, and none of a smaller stamp ever will
again. To keep the others is all that there is to merging, so that it comes to the same in whatever order rows are
written, and however often.
"""

from __future__ import annotations

__all__ = ["Cell", "Stamp", "entity_key", "from_values", "merged", "micros", "newest", "stamped", "to_known"]

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from mainspring.features.online import Entity, Known, Value

if TYPE_CHECKING:
    from mainspring.features.store import Row

Stamp: TypeAlias = tuple[int, int]
"""Event time, and when the row became known, in microseconds since 1970."""

Cell: TypeAlias = Mapping[Stamp, bytes]
"""Values, packed, by stamp."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

from_values = msgspec.msgpack.Encoder().encode
_to_values = msgspec.msgpack.Decoder(tuple[Value, ...]).decode


def micros(at: datetime) -> int:
    """Count microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def entity_key(entity: Entity) -> bytes:
    """Give the bytes under which an entity is kept; the same for numbers that are equal.

    Examples
    --------
    >>> entity_key("5"), entity_key(5), entity_key(5.0), entity_key(0.5)
    (b'"5', b'5', b'5', b'0.5')
    """
    if isinstance(entity, str):
        return b'"' + entity.encode()
    return repr(int(entity) if entity == entity // 1 else entity).encode()


def stamped(rows: Sequence[Row]) -> dict[bytes, dict[Stamp, bytes]]:
    """Give the cells that rows make, in the order of their entities; of equal stamps the last one stays."""
    cells: dict[bytes, dict[Stamp, bytes]] = {}
    for row in rows:
        cell = cells.setdefault(entity_key(row.entity), {})
        cell[micros(row.at), micros(row.known)] = from_values(row.values)
    return dict(sorted(cells.items()))


def newest(stamps: Mapping[Stamp, object], now: int) -> Stamp | None:
    """Give the stamp that counts at an instant.

    Examples
    --------
    >>> newest({(1, 1): b"", (2, 9): b"", (5, 5): b""}, 3), newest({(5, 5): b""}, 3)
    ((1, 1), None)
    """
    return max((stamp for stamp in stamps if stamp[0] <= now and stamp[1] <= now), default=None)


def merged(held: Cell, more: Cell, now: int) -> Cell:
    """Give what is left of two cells: what counts, and what may count later.

    Examples
    --------
    >>> merged({(1, 1): b"a"}, {(2, 2): b"b", (9, 9): b"c"}, 3)
    {(2, 2): b'b', (9, 9): b'c'}
    """
    both = {**held, **more}
    least = newest(both, now)
    return both if least is None else {stamp: values for stamp, values in both.items() if stamp >= least}


def to_known(stamp: Stamp, values: bytes) -> Known:
    """Give a row as it is looked up."""
    return Known(_EPOCH + stamp[0] * _MICROSECOND, _to_values(values))
