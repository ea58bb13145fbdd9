"""The contract of a store of what monitoring keeps."""

# ruff: noqa: D102 - a test is named after what it shows

from __future__ import annotations

__all__ = ["MonitoringStoreContract"]

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from mainspring.errors import Conflict
from mainspring.monitoring.alarm import Alarm, AlarmNotFound, AlarmState, Blame, Change
from mainspring.monitoring.store import DayQuality, KnownLabel, LogCursor, MonitoringStore, OpenPrediction

_NOON = datetime(2013, 2, 1, 12, 0, 0, 123456, tzinfo=UTC)
_DAY = date(2013, 2, 1)
_PRODUCT = "late-arrivals"


class MonitoringStoreContract:
    """What a `MonitoringStore` promises."""

    prediction = OpenPrediction(
        prediction_id="p1",
        product=_PRODUCT,
        version=1,
        at=_NOON,
        unit="N14228",
        score=0.1 + 0.2,
        groups=("carrier=Ä", "origin=null"),
    )
    quality_row = DayQuality(
        product=_PRODUCT,
        version=1,
        day=_DAY,
        predictions=10,
        labelled=8,
        positives=2,
        log_loss_millionths=3_000_000_000,
        brier_millionths=1,
        mse_millionths=5,
    )
    alarm = Alarm(
        product=_PRODUCT,
        monitor="input-drift",
        about="drift",
        at=_NOON,
        version=1,
        state=AlarmState.SUSPECTED,
        evidence="wind: e-value 1e9",
        change=Change(
            unit="share of rows",
            log_e=20.7,
            needed=8.1,
            since=_DAY,
            earliest=_DAY - timedelta(days=2),
            latest=_DAY,
            blame=(
                Blame(
                    feature="wind", stream="wind > 12", log_e=20.7, before=0.1 + 0.2, after=0.5, effect=0.2
                ),
            ),
        ),
    )

    @pytest.fixture
    def store(self) -> MonitoringStore:
        """Give an empty store."""
        pytest.fail("Inherit this contract, and give the store that it is to be held against.")

    def test_a_new_log_is_read_from_its_start(self, store: MonitoringStore) -> None:
        assert store.cursor("gateway-1") == LogCursor(1, 0)

    def test_a_cursor_is_where_it_was_moved_to(self, store: MonitoringStore) -> None:
        store.move_cursor("gateway-1", expected=LogCursor(), to=LogCursor(1, 100))
        store.move_cursor("gateway-1", expected=LogCursor(1, 100), to=LogCursor(2, 2**40))
        assert store.cursor("gateway-1") == LogCursor(2, 2**40)
        assert store.cursor("gateway-2") == LogCursor()

    @pytest.mark.parametrize("expected", [LogCursor(), LogCursor(1, 99), LogCursor(2, 100)])
    def test_a_stale_move_of_a_cursor_changes_nothing(
        self, store: MonitoringStore, expected: LogCursor
    ) -> None:
        store.move_cursor("gateway-1", expected=LogCursor(), to=LogCursor(1, 100))
        with pytest.raises(Conflict):
            store.move_cursor("gateway-1", expected=expected, to=LogCursor(3, 0))
        with pytest.raises(Conflict):
            store.move_cursor("gateway-2", expected=LogCursor(1, 5), to=LogCursor(3, 0))
        assert (store.cursor("gateway-1"), store.cursor("gateway-2")) == (LogCursor(1, 100), LogCursor())

    def test_an_open_prediction_is_new_once_and_stays_as_it_came_first(self, store: MonitoringStore) -> None:
        second = replace(self.prediction, prediction_id="p2")
        assert store.add_open([self.prediction]) == {"p1"}
        again = replace(self.prediction, score=0.9)
        assert store.add_open([again, second, replace(second, score=0.9)]) == {"p2"}
        assert store.add_open([]) == frozenset()
        assert store.find_open(["p1", "unknown"]) == {"p1": self.prediction}
        assert list(store.find_open(["p2", "p1", "p2"]).values()) == [second, self.prediction]

    def test_predictions_of_a_list_are_found_together(self, store: MonitoringStore) -> None:
        first, second, other = (
            replace(self.prediction, prediction_id=name, list_id=list_id)
            for name, list_id in (("p2", "p2"), ("p3", "p2"), ("q1", "q1"))
        )
        store.add_open([second, first, other, replace(self.prediction, prediction_id="alone")])
        assert store.in_lists(["p2", "unknown", "p2"]) == {"p2": [first, second]}
        assert store.in_lists([""]) == {}

    def test_thousands_of_predictions_are_found_in_the_order_of_asking(self, store: MonitoringStore) -> None:
        many = [replace(self.prediction, prediction_id=f"p{n:04}") for n in range(2500)]
        assert len(store.add_open(many)) == 2500
        asked = [prediction.prediction_id for prediction in reversed(many)]
        assert list(store.find_open(iter(asked))) == asked
        assert store.find_open([]) == {}

    @pytest.mark.parametrize("value", [True, 1, 0.1 + 0.2, "late"])
    def test_a_label_is_kept_as_it_came_until_the_next(
        self, store: MonitoringStore, value: bool | int | float | str
    ) -> None:
        label = KnownLabel(prediction_id="p1", value=value, known_at=_NOON)
        paid = replace(label, metric="paid", value=12.5)
        store.put_labels([label, paid, replace(label, prediction_id="p2")])
        (kept, other) = store.labels(iter(["p1", "unknown"])).values()
        assert {(each.metric, each.value, type(each.value)) for each in (kept, other)} == {
            ("", value, type(value)),
            ("paid", 12.5, float),
        }
        better = replace(label, value="better", known_at=_NOON + timedelta(days=1))
        store.put_labels([better])
        store.put_labels([])
        assert store.labels(["p1"]) == {("p1", ""): better, ("p1", "paid"): paid}
        assert store.labels([]) == {}

    def test_predictions_are_forgotten_when_they_are_old_and_their_truth_is_known(
        self, store: MonitoringStore
    ) -> None:
        young = replace(self.prediction, prediction_id="young", at=_NOON + timedelta(days=1))
        waiting = replace(self.prediction, prediction_id="waiting")
        unanswered = replace(self.prediction, prediction_id="unanswered", version=0)
        store.add_open([self.prediction, young, waiting, unanswered])
        label = KnownLabel(prediction_id="p1", value=True, known_at=_NOON)
        store.put_labels([label, replace(label, metric="paid"), replace(label, prediction_id="young")])
        store.put_labels([replace(label, prediction_id="waiting", metric="paid", value=1.0)])
        assert store.forget_labelled(_NOON + timedelta(hours=1)) == 2
        assert store.forget_labelled(_NOON + timedelta(hours=1)) == 0
        assert set(store.find_open(["p1", "young", "waiting", "unanswered"])) == {"young", "waiting"}
        assert set(store.labels(["p1", "young", "waiting"])) == {("young", ""), ("waiting", "paid")}

    def test_predictions_without_their_truth_are_given_by_time(self, store: MonitoringStore) -> None:
        store.add_open(
            [
                self.prediction,
                replace(self.prediction, prediction_id="paid"),
                replace(self.prediction, prediction_id="known"),
                replace(self.prediction, prediction_id="early", at=_NOON - timedelta(hours=1)),
                replace(self.prediction, prediction_id="before", at=_NOON - timedelta(hours=2)),
                replace(self.prediction, prediction_id="late", at=_NOON + timedelta(hours=1)),
                replace(self.prediction, prediction_id="other", product="fares"),
            ]
        )
        store.put_labels(
            [
                KnownLabel(prediction_id="paid", metric="paid", value=1.0, known_at=_NOON),
                KnownLabel(prediction_id="known", value=True, known_at=_NOON),
            ]
        )
        found = store.unlabelled(_PRODUCT, since=_NOON - timedelta(hours=1), until=_NOON + timedelta(hours=1))
        assert [each.prediction_id for each in found] == ["early", "p1", "paid"]

    def test_quality_of_a_day_adds_up(self, store: MonitoringStore) -> None:
        store.add_quality([self.quality_row, replace(self.quality_row, version=2)])
        store.add_quality([self.quality_row])
        store.add_quality([])
        assert store.quality(_PRODUCT) == (
            replace(
                self.quality_row,
                predictions=20,
                labelled=16,
                positives=4,
                log_loss_millionths=6_000_000_000,
                brier_millionths=2,
                mse_millionths=10,
            ),
            replace(self.quality_row, version=2),
        )

    def test_quality_is_ordered_by_day_and_version(self, store: MonitoringStore) -> None:
        days = [_DAY + timedelta(days=n) for n in range(3)]
        rows = [replace(self.quality_row, day=day, version=version) for day in days for version in (1, 2)]
        store.add_quality([*reversed(rows), replace(self.quality_row, product="fares")])
        assert store.quality(_PRODUCT) == tuple(rows)
        assert store.quality(_PRODUCT, since=days[1]) == tuple(rows[2:])

    def test_a_table_is_replaced_by_the_next_of_its_day(self, store: MonitoringStore) -> None:
        later = _DAY + timedelta(days=1)
        store.put_table(_PRODUCT, 1, "profile", later, "[3]")
        store.put_table(_PRODUCT, 1, "profile", _DAY, "[1]")
        store.put_table(_PRODUCT, 1, "profile", _DAY, "[2]")
        store.put_table(_PRODUCT, 1, "losses", _DAY, "[4]")
        store.put_table(_PRODUCT, 2, "profile", _DAY, "[5]")
        assert store.table(_PRODUCT, 1, "profile", _DAY) == "[2]"
        assert store.table(_PRODUCT, 3, "profile", _DAY) is None
        assert list(store.tables(_PRODUCT, 1, "profile").items()) == [(_DAY, "[2]"), (later, "[3]")]

    def test_alarms_come_oldest_first(self, store: MonitoringStore) -> None:
        later = replace(self.alarm, at=_NOON + timedelta(days=1))
        same_moment = replace(self.alarm, monitor="a-monitor")
        for alarm in (later, self.alarm, same_moment, replace(self.alarm, product="fares")):
            store.put_alarm(alarm)
        assert store.alarms(_PRODUCT) == (self.alarm, same_moment, later)
        assert store.alarms(_PRODUCT, since=later.at) == (later,)
        assert store.alarms(_PRODUCT, since=later.at + timedelta(microseconds=1)) == ()

    def test_what_is_made_of_an_alarm_leaves_it_in_its_place(self, store: MonitoringStore) -> None:
        later = replace(self.alarm, at=_NOON + timedelta(days=1))
        for alarm in (self.alarm, later):
            store.put_alarm(alarm)
        taken = replace(self.alarm, state=AlarmState.CONFIRMED, acknowledged_by="ana", snoozed_until=_NOON)
        store.put_alarm(taken)
        assert store.alarm(self.alarm.alarm_id) == taken
        assert store.alarms(_PRODUCT) == (taken, later)

    def test_an_alarm_that_was_never_raised_is_not_found(self, store: MonitoringStore) -> None:
        store.put_alarm(self.alarm)
        with pytest.raises(AlarmNotFound):
            store.alarm("000000000000")
