"""Values by entity: what a snapshot of a feature view holds, and what is known of an entity at an instant.

A snapshot is made of one version of a view's source, at an instant `until`. It holds of each entity the newest row
until then, and all rows of later times, which wait for their time: for every instant from `until` on it gives what the
point-in-time join gives on that version, of the rows that were known at `until`.
"""

from __future__ import annotations

__all__ = [
    "Entity",
    "Found",
    "Known",
    "Snapshot",
    "Status",
    "Value",
    "look_up",
    "pack",
    "snapshot_name",
    "use",
]

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import msgspec

from mainspring.clock import parse_duration
from mainspring.digest import digest_of_json
from mainspring.errors import MainspringError
from mainspring.product import FeatureViewSpec

Entity: TypeAlias = str | int | float | bool
Value: TypeAlias = str | int | float | bool | None

_CHUNK = 10_000  # rows that are decoded at once; more would keep other threads waiting


class Status(StrEnum):
    """What became of looking up a value, in the words of Feast."""

    PRESENT = "PRESENT"
    NULL_VALUE = "NULL_VALUE"
    NOT_FOUND = "NOT_FOUND"
    OUTSIDE_MAX_AGE = "OUTSIDE_MAX_AGE"


class SnapshotUnreadable(MainspringError):
    """Bytes that are no snapshot."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return f"This is no snapshot of a feature view: {self.why}. Another version of mainspring may have made it."


class Known(NamedTuple):
    """A row of a view's source: since when it was known, and the features' values in the view's order."""

    at: datetime
    values: tuple[Value, ...]


class _Rows(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Some rows, by column: of objects that hold others, millions would keep the garbage collector busy."""

    entities: tuple[Entity, ...]
    at: tuple[datetime, ...]
    columns: tuple[tuple[Value, ...], ...]


class _Packed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A snapshot as it is kept: its rows in pieces of `_CHUNK`, the last of which may have fewer."""

    features: tuple[str, ...]
    until: datetime
    chunks: list[msgspec.Raw]


_duration = lru_cache(256)(parse_duration)
_encode = msgspec.msgpack.Encoder().encode
_decode_rows = msgspec.msgpack.Decoder(_Rows).decode


def snapshot_name(view: FeatureViewSpec) -> str:
    """Name what a view reads: views with one name here share a snapshot, whatever their own names and ttl are."""
    known_at: list[object] = [] if view.known_at is None else [view.known_at]
    # Rows are kept by what the source calls them, so that views of one source by other names share them where they can.
    names = [view.source_column(name) for name in view.feature_names]
    return digest_of_json([view.source, view.source_entity, view.event_time, names, *known_at])[:16]


def pack(
    features: Sequence[str],
    until: datetime,
    entities: Sequence[Entity],
    at: Sequence[datetime],
    columns: Sequence[Sequence[Value]],
) -> bytes:
    """Give the bytes of a snapshot; the same rows in the same order give the same bytes.

    Parameters
    ----------
    features : sequence of str
    until : datetime
        The instant from which on the snapshot holds.
    entities, at : sequence, shape (rows,)
        In the order of time; of equal times the last one counts.
    columns : sequence of sequence, shape (features, rows)
        The values.
    """
    chunks = []
    for first in range(0, len(entities), _CHUNK):
        piece = slice(first, first + _CHUNK)
        rows = _Rows(tuple(entities[piece]), tuple(at[piece]), tuple(tuple(each[piece]) for each in columns))
        chunks.append(msgspec.Raw(_encode(rows)))
    return _encode(_Packed(tuple(features), until, chunks))


class Snapshot:
    """What is known of each entity.

    Attributes
    ----------
    features : tuple of str
    until : datetime
        The instant from which on it holds.
    """

    __slots__ = ("_chunks", "_earlier", "_newest", "features", "until")

    def __init__(self, content: bytes) -> None:
        """Read what `pack` gave; raises `SnapshotUnreadable`."""
        self._chunks: list[tuple[tuple[datetime, ...], tuple[tuple[Value, ...], ...]]] = []
        self._newest: dict[Entity, int] = {}  # the number of the row
        self._earlier: dict[int, int] = {}  # of a row that is not its entity's only one, the one before
        newest = self._newest
        try:
            packed = msgspec.msgpack.decode(content, type=_Packed)
            for number, chunk in enumerate(packed.chunks):
                rows = _decode_rows(chunk)
                for row, entity in enumerate(rows.entities, number * _CHUNK):
                    before = newest.get(entity)
                    if before is not None:
                        self._earlier[row] = before
                    newest[entity] = row
                self._chunks.append((rows.at, rows.columns))
        except msgspec.DecodeError as error:
            raise SnapshotUnreadable(str(error).rstrip(".")) from error
        self.features, self.until = packed.features, packed.until

    def __len__(self) -> int:
        """Count the entities."""
        return len(self._newest)

    def newest(self, entity: Value, now: datetime) -> Known | None:
        """Give the newest row of an entity that is no later than `now`."""
        row = None if entity is None else self._newest.get(entity)
        while row is not None:
            chunk, place = divmod(row, _CHUNK)
            times, columns = self._chunks[chunk]
            if times[place] <= now:
                return Known(times[place], tuple([column[place] for column in columns]))
            row = self._earlier.get(row)
        return None


class Found(msgspec.Struct, frozen=True):
    """What was found of one view for the rows of a request.

    Attributes
    ----------
    view : FeatureViewSpec
    entities : sequence
        By row, None where it was not sent.
    statuses : list of Status
        By row; a value that is null although its row is `PRESENT` is a `NULL_VALUE`.
    at : list of datetime or None
        When the values were known, also of those that are too old.
    columns : dict of list
        By feature the values, None where there is none that may be used.
    """

    view: FeatureViewSpec
    entities: Sequence[Value]
    statuses: list[Status]
    at: list[datetime | None]
    columns: dict[str, list[Value]]

    def status(self, feature: str, row: int) -> Status:
        """Say what became of one value."""
        status = self.statuses[row]
        null = status is Status.PRESENT and self.columns[feature][row] is None
        return Status.NULL_VALUE if null else status


def look_up(view: FeatureViewSpec, snapshot: Snapshot, entities: Sequence[Value], now: datetime) -> Found:
    """Look up the features of entities at an instant.

    A value is used if its row's time lies in ``[now - ttl, now]``, as in the point-in-time join.

    Parameters
    ----------
    view : FeatureViewSpec
    snapshot : Snapshot
        Of the view.
    entities : sequence
        By row.
    now : datetime

    Examples
    --------
    >>> from datetime import UTC
    >>> six, eight, ten = (datetime(2013, 1, 1, hour, tzinfo=UTC) for hour in (6, 8, 10))
    >>> view = FeatureViewSpec("wind", "weather", entity="place", event_time="seen", ttl="3h", features=("wind",))
    >>> snapshot = Snapshot(pack(["wind"], six, ["EWR"], [six], [[8]]))
    >>> [look_up(view, snapshot, ["EWR"], now).columns for now in (eight, ten)]
    [{'wind': [8]}, {'wind': [None]}]
    >>> look_up(view, snapshot, ["EWR", "LGA"], ten).statuses
    [<Status.OUTSIDE_MAX_AGE: 'OUTSIDE_MAX_AGE'>, <Status.NOT_FOUND: 'NOT_FOUND'>]
    """
    rows = [snapshot.newest(entity, now) for entity in entities]
    return use(view, entities, rows, now, features=snapshot.features)


def use(
    view: FeatureViewSpec,
    entities: Sequence[Value],
    newest: Sequence[Known | None],
    now: datetime,
    *,
    features: Sequence[str] = (),
) -> Found:
    """Say what may be used at an instant of the newest rows of entities, whose values are of `features`.

    These are columns of the view's source; by default those of the view's features.
    """
    names = [view.source_column(name) for name in view.feature_names]
    features = features or names
    oldest = _before(now, view.ttl)
    places = [features.index(name) for name in names]
    nothing: tuple[Value, ...] = (None,) * len(features)
    statuses: list[Status] = []
    at: list[datetime | None] = []
    rows: list[tuple[Value, ...]] = []
    for known in newest:
        if known is None:
            status, values = Status.NOT_FOUND, nothing
        elif known.at < oldest:
            status, values = Status.OUTSIDE_MAX_AGE, nothing
        else:
            status, values = Status.PRESENT, known.values
        statuses.append(status)
        at.append(known.at if known else None)
        rows.append(values)
    columns = {
        name: [values[place] for values in rows]
        for name, place in zip(view.feature_names, places, strict=True)
    }
    return Found(view, entities, statuses, at, columns)


def _before(now: datetime, ttl: str) -> datetime:
    return now - min(_duration(ttl), now - datetime.min.replace(tzinfo=now.tzinfo))
