"""Points of long histories that a chart of them needs, kept beside the points: of each stretch four.

A history is marked in stretches of 4,096 points in the order in which it is told, but for the last two. Of each the
first, the last, the least and the largest point are marks. So a chart of ten million points reads ten thousand,
with the extremes of every stretch of time; those of one range of steps may be missing where another one was logged at
the same time. A point that comes so late that its stretch was marked before is a mark itself.

A history is looked at when the hash of a point says so, which is every 1,024th time: that needs no count that writers
would have to share. What two of them mark at once is the same.
"""

from __future__ import annotations

__all__ = ["STRETCH", "keep_marks", "mark", "read_curve"]

from typing import TYPE_CHECKING, Any
from zlib import crc32

from sqlalchemy import select, tuple_

from mainspring.stores.sql.insert import add_new, put
from mainspring.stores.sql.tracking_schema import metric_marked, metric_marks, metric_points

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Row, Select, Table

STRETCH = 4096
_AT_ONCE = 64
"""Stretches that are marked in one transaction, where nothing else is done in it."""
_LOOKS = 4
"""How often a history is looked at while a stretch of it is written."""
_CATCH_UP = 4
"""Stretches that a writer marks at most when it looks, so that none falls behind by chance."""

_ORDER = ("timestamp_ms", "step", "value", "is_nan")


def keep_marks(
    connection: Connection, run: int, points: Sequence[Mapping[str, Any]], *, stretch: int = STRETCH
) -> None:
    """Keep the marks of a run's histories as points are added to them."""
    marked = {
        row.key: (row.until_ms, row.until_step)
        for row in connection.execute(select(metric_marked).where(metric_marked.c.run == run))
    }
    late = [
        point
        for point in points
        if point["key"] in marked and (point["timestamp_ms"], point["step"]) <= marked[point["key"]]
    ]
    if late:
        add_new(connection, metric_marks, late)
    for key in {point["key"] for point in points if _hash(point) % (stretch // _LOOKS) == 0}:
        mark(connection, run, key, most=_CATCH_UP, stretch=stretch)


def mark(connection: Connection, run: int, key: str, *, most: int = _AT_ONCE, stretch: int = STRETCH) -> bool:
    """Mark the next stretches of a history; says whether there are more."""
    after = _until(connection, run, key)
    for _ in range(most):
        # Two stretches are left as they are: what comes late by a little is of no stretch yet.
        if not connection.execute(
            _points_after(metric_points, run, key, after).offset(2 * stretch).limit(1)
        ).first():
            return False
        next_one = connection.execute(_points_after(metric_points, run, key, after).limit(stretch)).all()
        after = (next_one[-1].timestamp_ms, next_one[-1].step)
        # Of points of the last one's time and step there may be more than a stretch has room for.
        next_one = [*next_one, *connection.execute(_points_at(run, key, after)).all()]
        add_new(connection, metric_marks, [dict(row._mapping) for row in _marks(next_one)])
        head = {"run": run, "key": key, "until_ms": after[0], "until_step": after[1]}
        put(
            connection,
            metric_marked,
            [head],
            unless_below=(metric_marked.c.until_ms, metric_marked.c.until_step),
        )
    return True


def read_curve(connection: Connection, run: int, key: str, *, most: int) -> tuple[list[Sequence[Any]], bool]:
    """Give the marks of a history and the points after them, in its order; and whether there are too many of those.

    Each is given by its timestamp, step and value, and whether that is NaN.

    Parameters
    ----------
    connection : Connection
    run : int
    key : str
    most : int
        How many points that are not marked are read; with more of them the history is to be marked first.
    """
    after = _until(connection, run, key)
    marks = connection.execute(_shown(_points_after(metric_marks, run, key, None))).all()
    points = connection.execute(_shown(_points_after(metric_points, run, key, after)).limit(most + 1)).all()
    return [*marks, *points[:most]], len(points) > most


def _until(connection: Connection, run: int, key: str) -> tuple[int, int] | None:
    table = metric_marked.c
    wanted = select(table.until_ms, table.until_step).where(table.run == run, table.key == key)
    row = connection.execute(wanted).first()
    return None if row is None else (row.until_ms, row.until_step)


def _points_after(table: Table, run: int, key: str, after: tuple[int, int] | None) -> Select[Any]:
    columns = table.c
    wanted = select(table).where(columns.run == run, columns.key == key)
    if after is not None:
        wanted = wanted.where(tuple_(columns.timestamp_ms, columns.step) > tuple_(*after))
    return wanted.order_by(*(columns[name] for name in _ORDER))


def _shown(wanted: Select[Any]) -> Select[Any]:
    # Nothing else is read: of ten thousand rows that is a third of the time.
    return wanted.with_only_columns(*(wanted.selected_columns[name] for name in _ORDER))


def _points_at(run: int, key: str, at: tuple[int, int]) -> Select[Any]:
    columns = metric_points.c
    return select(metric_points).where(
        columns.run == run, columns.key == key, columns.timestamp_ms == at[0], columns.step == at[1]
    )


def _marks(stretch: Sequence[Row[Any]]) -> list[Row[Any]]:
    numbers = [row for row in stretch if not row.is_nan] or stretch
    chosen = (
        stretch[0],
        stretch[-1],
        min(numbers, key=lambda row: row.value),
        max(numbers, key=lambda row: row.value),
    )
    return list({tuple(row): row for row in chosen}.values())


def _hash(point: Mapping[str, Any]) -> int:
    return crc32(f"{point['key']} {point['timestamp_ms']} {point['step']} {point['value']}".encode())
