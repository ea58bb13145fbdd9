"""Points of long histories that a chart of them needs, kept beside the points.

A history is marked in stretches of 4,096 points in the order of time, but for the last two. Charts go by step, so the
points of a stretch are put in groups by step, wherever the next step is further than a 64th of the stretch's range:
one group where a metric is logged in order, one for each where several processes log it at once, each in steps of its
own. Of each group the first, the last, the least and the largest point are marks. So a chart of ten million points
reads ten thousand, with the extremes of every group.

A point that comes so late that its stretch was marked before is kept by itself. When there are more of these than a
stretch has, they are put in stretches of their own, so that a history which is logged newest first is read no more
than any other.

A history is looked at when the hash of a point says so, which is every 1,024th time: that needs no count that writers
would have to share. What two of them mark at once is the same.
"""

from __future__ import annotations

__all__ = ["STRETCH", "keep_marks", "mark", "read_curve"]

from typing import TYPE_CHECKING, Any
from zlib import crc32

from sqlalchemy import delete, func, select, tuple_

from mainspring.stores.sql.insert import add_new, put
from mainspring.stores.sql.tracking_schema import metric_late, metric_marked, metric_marks, metric_points

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Row, Select, Table

STRETCH = 4096
_AT_ONCE = 64
"""Stretches that are marked in one transaction, where nothing else is done in it."""
_LOOKS = 4
"""How often a history is looked at while a stretch of it is written."""
_GAP = 64
"""Steps that are further apart than this part of a stretch's range belong to different groups."""
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
        add_new(connection, metric_late, late)
    for key in {point["key"] for point in points if _hash(point) % (stretch // _LOOKS) == 0}:
        mark(connection, run, key, most=_CATCH_UP, stretch=stretch)
        _mark_late(connection, run, key, stretch)


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
        _add_marks(connection, next_one)
        head = {"run": run, "key": key, "until_ms": after[0], "until_step": after[1]}
        put(
            connection,
            metric_marked,
            [head],
            unless_below=(metric_marked.c.until_ms, metric_marked.c.until_step),
        )
    return True


def _mark_late(connection: Connection, run: int, key: str, stretch: int) -> None:
    of_history = metric_late.c.run == run, metric_late.c.key == key
    count = select(func.count()).select_from(metric_late).where(*of_history)
    if connection.execute(count).scalar_one() <= stretch:
        return
    # What is taken away is what is marked, also where another writer adds to it meanwhile.
    taken = delete(metric_late).where(*of_history).returning(*metric_late.c)
    rows = sorted(connection.execute(taken).all(), key=lambda row: (row.timestamp_ms, row.step))
    for first in range(0, len(rows), stretch):
        _add_marks(connection, rows[first : first + stretch])


def read_curve(connection: Connection, run: int, key: str, *, most: int) -> tuple[list[Sequence[Any]], bool]:
    """Give the marks of a history, its late points and those after them; and whether there are too many of the last.

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
    marks = [
        row
        for table in (metric_marks, metric_late)
        for row in connection.execute(_shown(_points_after(table, run, key, None)))
    ]
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


def _add_marks(connection: Connection, stretch: Sequence[Row[Any]]) -> None:
    marks = [dict(row._mapping) for group in _groups(stretch) for row in _marks(group)]
    add_new(connection, metric_marks, marks)


def _groups(stretch: Sequence[Row[Any]]) -> Iterator[list[Row[Any]]]:
    """Cut a stretch, by step, where the next step is far."""
    rows = sorted(stretch, key=lambda row: (row.step, row.timestamp_ms))
    furthest = max(1, (rows[-1].step - rows[0].step) // _GAP)
    begin = 0
    for place in range(1, len(rows)):
        if rows[place].step - rows[place - 1].step > furthest:
            yield rows[begin:place]
            begin = place
    yield rows[begin:]


def _marks(group: Sequence[Row[Any]]) -> list[Row[Any]]:
    numbers = [row for row in group if not row.is_nan] or group
    chosen = (
        group[0],
        group[-1],
        min(numbers, key=lambda row: row.value),
        max(numbers, key=lambda row: row.value),
    )
    return list({tuple(row): row for row in chosen}.values())


def _hash(point: Mapping[str, Any]) -> int:
    return crc32(f"{point['key']} {point['timestamp_ms']} {point['step']} {point['value']}".encode())
