"""What monitoring keeps, in SQL."""

# ruff: noqa: D102 - the methods are those of MonitoringStore

from __future__ import annotations

__all__ = ["SqlMonitoringStore"]

import json
from dataclasses import dataclass, fields
from datetime import date
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import BindParameter, Row, Select, bindparam, delete, exists, or_, select, update

from mainspring.clock import parse_time, time_text
from mainspring.errors import Conflict
from mainspring.monitoring.alarm import Alarm, AlarmNotFound
from mainspring.monitoring.store import DayQuality, KnownLabel, LogCursor, OpenPrediction
from mainspring.stores.sql.insert import add, insert
from mainspring.stores.sql.schema import (
    alarms,
    daily_quality,
    daily_tables,
    known_labels,
    log_cursors,
    open_predictions,
)
from mainspring.stores.sql.texts import fields_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

_CHUNK = 500
_SUMS = tuple(each.name for each in fields(DayQuality) if each.name not in ("product", "version", "day"))
_IDS: BindParameter[list[str]] = bindparam("ids", expanding=True)
_OPEN = select(open_predictions).where(open_predictions.c.prediction_id.in_(_IDS))
_LISTED = (
    select(open_predictions)
    .where(open_predictions.c.list_id.in_(_IDS), open_predictions.c.list_id != "")
    .order_by(open_predictions.c.list_id, open_predictions.c.prediction_id)
)
_LABELS = select(known_labels).where(known_labels.c.prediction_id.in_(_IDS))

_LABELLED = exists().where(
    known_labels.c.prediction_id == open_predictions.c.prediction_id, known_labels.c.metric == ""
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

    def add_open(self, predictions: Sequence[OpenPrediction]) -> frozenset[str]:
        if not predictions:
            return frozenset()
        rows = [
            fields_of(prediction)
            | {"at": time_text(prediction.at), "groups": json.dumps(prediction.groups, ensure_ascii=False)}
            for prediction in predictions
        ]
        statement = insert(self.connection, open_predictions).on_conflict_do_nothing()
        added = self.connection.execute(statement.returning(open_predictions.c.prediction_id), rows)
        return frozenset(added.scalars())

    def find_open(self, ids: Iterable[str]) -> dict[str, OpenPrediction]:
        asked = list(dict.fromkeys(ids))
        found = {row.prediction_id: _open(row) for row in self._rows(_OPEN, asked)}
        # In the order of asking: that in which rows leave a table is the database's own.
        return {prediction_id: found[prediction_id] for prediction_id in asked if prediction_id in found}

    def in_lists(self, list_ids: Iterable[str]) -> dict[str, list[OpenPrediction]]:
        found: dict[str, list[OpenPrediction]] = {}
        for row in self._rows(_LISTED, list(dict.fromkeys(list_ids))):
            found.setdefault(row.list_id, []).append(_open(row))
        return found

    def unlabelled(self, product: str, *, since: datetime, until: datetime) -> Iterator[OpenPrediction]:
        open_to = open_predictions.c
        statement = (
            select(open_predictions)
            .where(
                open_to.product == product,
                open_to.at >= time_text(since),
                open_to.at < time_text(until),
                ~_LABELLED,
            )
            .order_by(open_to.at, open_to.prediction_id)
            .execution_options(yield_per=_CHUNK)
        )
        for row in self.connection.execute(statement):
            yield _open(row)

    def labels(self, ids: Iterable[str]) -> dict[tuple[str, str], KnownLabel]:
        return {
            (row.prediction_id, row.metric): KnownLabel(
                prediction_id=row.prediction_id,
                metric=row.metric,
                value=json.loads(row.value),
                known_at=parse_time(row.known_at),
            )
            for row in self._rows(_LABELS, list(dict.fromkeys(ids)))
        }

    def put_labels(self, labels: Sequence[KnownLabel]) -> None:
        if labels:
            statement = insert(self.connection, known_labels)
            renewed = {name: statement.excluded[name] for name in ("value", "known_at")}
            self.connection.execute(
                statement.on_conflict_do_update(index_elements=["prediction_id", "metric"], set_=renewed),
                [
                    fields_of(each) | {"value": json.dumps(each.value), "known_at": time_text(each.known_at)}
                    for each in labels
                ],
            )

    def forget_labelled(self, before: datetime) -> int:
        label, open_to = known_labels.c, open_predictions.c
        of_old = open_to.at < time_text(before)
        gone = self.connection.execute(
            delete(open_predictions)
            .where(of_old, or_(_LABELLED, open_to.version == 0))
            .returning(open_to.prediction_id)
        )
        ids = list(gone.scalars())
        for start in range(0, len(ids), _CHUNK):
            some = ids[start : start + _CHUNK]
            self.connection.execute(delete(known_labels).where(label.prediction_id.in_(some)))
        return len(ids)

    def _rows(self, statement: Select[Any], ids: list[str]) -> Iterator[Row[Any]]:
        for start in range(0, len(ids), _CHUNK):
            yield from self.connection.execute(statement, {"ids": ids[start : start + _CHUNK]})

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

    def put_alarm(self, alarm: Alarm) -> None:
        statement = insert(self.connection, alarms)
        self.connection.execute(
            statement.on_conflict_do_update(
                index_elements=["alarm_id"], set_={"alarm": statement.excluded.alarm}
            ),
            {
                "alarm_id": alarm.alarm_id,
                "product": alarm.product,
                "at": time_text(alarm.at),
                "alarm": msgspec.json.encode(alarm, order="sorted").decode(),
            },
        )

    def alarm(self, alarm_id: str) -> Alarm:
        text = self.connection.execute(
            select(alarms.c.alarm).where(alarms.c.alarm_id == alarm_id)
        ).scalar_one_or_none()
        if text is None:
            raise AlarmNotFound(alarm_id)
        return msgspec.json.decode(text, type=Alarm)

    def alarms(self, product: str, *, since: datetime | None = None) -> tuple[Alarm, ...]:
        table = alarms.c
        statement = select(table.alarm).where(table.product == product).order_by(table.at, table.position)
        if since is not None:
            statement = statement.where(table.at >= time_text(since))
        return tuple(
            msgspec.json.decode(text, type=Alarm) for text in self.connection.execute(statement).scalars()
        )


def _open(row: Row[Any]) -> OpenPrediction:
    return OpenPrediction(
        **{**row._mapping, "at": parse_time(row.at), "groups": tuple(json.loads(row.groups))}
    )


def _quality(row: Row[Any]) -> DayQuality:
    return DayQuality(**{**row._mapping, "day": date.fromisoformat(row.day)})
