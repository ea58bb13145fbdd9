"""What monitoring keeps, in SQL."""

# ruff: noqa: D102 - the methods are those of MonitoringStore

from __future__ import annotations

__all__ = ["SqlMonitoringStore"]

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, bindparam, delete, select, update

from mainspring.clock import parse_time, time_text
from mainspring.errors import Conflict
from mainspring.monitoring.alarm import Alarm
from mainspring.monitoring.store import DayQuality, LogCursor, OpenPrediction
from mainspring.stores.sql.insert import add, insert
from mainspring.stores.sql.schema import alarms, daily_quality, daily_tables, log_cursors, open_predictions
from mainspring.stores.sql.texts import fields_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

_CHUNK = 500
_SUMS = ("predictions", "labelled", "positives", "log_loss_millionths", "brier_millionths")
_TAKE = (
    delete(open_predictions)
    .where(open_predictions.c.prediction_id.in_(bindparam("ids", expanding=True)))
    .returning(open_predictions)
)


@dataclass(frozen=True, slots=True)
class SqlMonitoringStore:
    """`mainspring.monitoring.MonitoringStore` in SQL."""

    connection: Connection

    def cursor(self, log: str) -> LogCursor:
        row = self.connection.execute(select(log_cursors).where(log_cursors.c.log == log)).first()
        return LogCursor(row.segment, row.byte_offset) if row else LogCursor()

    def move_cursor(self, log: str, *, expected: LogCursor, to: LogCursor) -> None:
        table = log_cursors.c
        there = {"segment": to.segment, "byte_offset": to.offset}
        moved = self.connection.execute(
            update(log_cursors)
            .where(table.log == log, table.segment == expected.segment, table.byte_offset == expected.offset)
            .values(there)
        )
        if moved.rowcount:
            return
        if expected != LogCursor() or not add(self.connection, log_cursors, {"log": log, **there}):
            raise Conflict(
                f"The log {log!r} was read to {self.cursor(log)} by another reader; {expected} was expected. "
                "Read its cursor again."
            )

    def add_open(self, predictions: Sequence[OpenPrediction]) -> None:
        if predictions:
            rows = [fields_of(prediction) | {"at": time_text(prediction.at)} for prediction in predictions]
            self.connection.execute(insert(self.connection, open_predictions).on_conflict_do_nothing(), rows)

    def take_open(self, ids: Iterable[str]) -> dict[str, OpenPrediction]:
        asked = list(dict.fromkeys(ids))
        taken = {}
        for start in range(0, len(asked), _CHUNK):
            for row in self.connection.execute(_TAKE, {"ids": asked[start : start + _CHUNK]}):
                taken[row.prediction_id] = OpenPrediction(**{**row._mapping, "at": parse_time(row.at)})
        # In the order of asking: that in which rows leave a table is the database's own.
        return {prediction_id: taken[prediction_id] for prediction_id in asked if prediction_id in taken}

    def add_quality(self, rows: Sequence[DayQuality]) -> None:
        if rows:
            statement = insert(self.connection, daily_quality)
            added = {name: daily_quality.c[name] + statement.excluded[name] for name in _SUMS}
            self.connection.execute(
                statement.on_conflict_do_update(index_elements=["product", "version", "day"], set_=added),
                [fields_of(row) | {"day": row.day.isoformat()} for row in rows],
            )

    def quality(self, product: str, *, since: date | None = None) -> tuple[DayQuality, ...]:
        table = daily_quality.c
        statement = select(daily_quality).where(table.product == product).order_by(table.day, table.version)
        if since is not None:
            statement = statement.where(table.day >= since.isoformat())
        return tuple(map(_quality, self.connection.execute(statement)))

    def table(self, product: str, version: int, kind: str, day: date) -> str | None:
        table = daily_tables.c
        rows = self.connection.execute(
            select(table.text).where(
                table.product == product,
                table.version == version,
                table.kind == kind,
                table.day == day.isoformat(),
            )
        )
        found: str | None = rows.scalar_one_or_none()
        return found

    def tables(self, product: str, version: int, kind: str) -> dict[date, str]:
        table = daily_tables.c
        rows = self.connection.execute(
            select(table.day, table.text)
            .where(table.product == product, table.version == version, table.kind == kind)
            .order_by(table.day)
        )
        return {date.fromisoformat(row.day): row.text for row in rows}

    def put_table(self, product: str, version: int, kind: str, day: date, text: str) -> None:
        statement = insert(self.connection, daily_tables)
        self.connection.execute(
            statement.on_conflict_do_update(
                index_elements=["product", "version", "kind", "day"], set_={"text": statement.excluded.text}
            ),
            {"product": product, "version": version, "kind": kind, "day": day.isoformat(), "text": text},
        )

    def add_alarm(self, alarm: Alarm) -> None:
        add(self.connection, alarms, fields_of(alarm) | {"at": time_text(alarm.at)})

    def alarms(self, product: str, *, since: datetime | None = None) -> tuple[Alarm, ...]:
        table = alarms.c
        statement = select(alarms).where(table.product == product).order_by(table.at, table.position)
        if since is not None:
            statement = statement.where(table.at >= time_text(since))
        return tuple(map(_alarm, self.connection.execute(statement)))


def _quality(row: Row[Any]) -> DayQuality:
    return DayQuality(**{**row._mapping, "day": date.fromisoformat(row.day)})


def _alarm(row: Row[Any]) -> Alarm:
    return Alarm(
        product=row.product,
        monitor=row.monitor,
        about=row.about,
        at=parse_time(row.at),
        version=row.version,
        evidence=row.evidence,
    )
