"""The point-in-time join: to each row, what was known of its entity at the row's own time, and nothing later."""

from __future__ import annotations

__all__ = ["BadJoin", "BoundView", "as_of"]

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from mainspring.clock import parse_duration
from mainspring.errors import Fault, Faults
from mainspring.product import FeatureViewSpec, Mean

_AT_ONCE = 4_000_000
"""Rows of windows that are looked at one by one at a time: some bound on memory."""

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    Int64s = NDArray[np.int64]


class BadJoin(Faults):
    """Rows and views that do not fit together; every reason is told."""


@dataclass(frozen=True, slots=True)
class BoundView:
    """A feature view and the rows to look in.

    Attributes
    ----------
    view : FeatureViewSpec
    frame : polars.DataFrame
        The rows of the view's source, in any order. A row without an entity or an event time was never observed,
        and is passed over.
    """

    view: FeatureViewSpec
    frame: pl.DataFrame


def as_of(rows: pl.DataFrame, *, at: str, views: Sequence[BoundView]) -> pl.DataFrame:
    """Add to each row the features of its entities as they were known at the row's time.

    A column of a view comes from the entity's newest row in ``[at - ttl, at]``; among rows of the same time from
    the one that became known last, and among these from the one that stands last. A mean is over the entity's rows in
    ``(at - over, at]``, null and NaN left out. Where a view has a `known_at`, rows that became known after `at`, or
    never, are as if they were not there. Where there is no row the feature is null. What is later than `at`, and what
    is older than the window, has no influence, not even on the rounding: a mean is summed from the rows of its own
    window alone.

    Parameters
    ----------
    rows : polars.DataFrame
    at : str
        The column of `rows` with the moment of each row. A row without one gets no features.
    views : sequence of BoundView

    Returns
    -------
    polars.DataFrame
        `rows`, as many and in the same order, and a column for each feature.

    Raises
    ------
    BadJoin
        A column is missing, two have one name, or the times are of different kinds.

    Examples
    --------
    >>> import polars as pl
    >>> from datetime import datetime
    >>> five, six, noon = (datetime(2013, 1, 1, hour) for hour in (5, 6, 12))
    >>> seen = pl.DataFrame({"place": ["EWR"], "seen": [six], "wind": [8]})
    >>> view = FeatureViewSpec("wind", "weather", entity="place", event_time="seen", ttl="3h", features=("wind",))
    >>> asked = pl.DataFrame({"place": ["EWR"] * 3, "at": [five, six, noon]})
    >>> as_of(asked, at="at", views=[BoundView(view, seen)])["wind"].to_list()
    [None, 8, None]
    """
    if faults := tuple(_faults(rows, at, views)):
        raise BadJoin("The point-in-time join", faults)
    return rows.with_columns([column for bound in views for column in _features(rows, at, bound)])


def _features(rows: pl.DataFrame, at: str, bound: BoundView) -> list[pl.Series]:
    import numpy as np
    import polars as pl

    view, entity, time = bound.view, bound.view.entity, bound.view.event_time
    since = view.known_at or time
    known = bound.frame.drop_nulls([entity, time, since])
    entities = known.select(pl.col(entity).unique(maintain_order=True)).with_row_index("__code")
    # Only the keys are sorted: of values, which may be a thousand columns wide, no more is read than is asked for.
    keys = _with_code(known.select(*dict.fromkeys((entity, time, since))), entity, entities)
    codes, moments = _keys(_with_code(rows.select(entity, at), entity, entities), at)
    owners, times = _keys(keys, time)
    timeline = _Timeline(owners, times)
    places = timeline.sort(*([] if view.known_at is None else [_keys(keys, since)[1]]))
    end = timeline.rows_until(codes, moments)
    seen = None
    if view.known_at is not None:
        seen = _Seen(owners[places], times[places], _keys(keys, since)[1][places])

    features = []
    found = None
    for feature in view.features:
        if isinstance(feature, Mean):
            begin = moments - _micros(feature.over)
            start = np.where(codes < 0, end, timeline.rows_until(codes, begin))
            values = known[feature.column].gather(places).cast(pl.Float64).fill_null(float("nan")).to_numpy()
            means = (
                _window_means(values, start, end)
                if seen is None
                else seen.window_means(values, start, end, moments)
            )
            features.append(pl.Series(feature.name, means, nan_to_null=True))
        else:
            if found is None:  # one lookup for all features of the view
                # A closed window begins one tick before what an open one would begin with.
                start = np.where(codes < 0, end, timeline.rows_until(codes, moments - _micros(view.ttl) - 1))
                newest = end - 1 if seen is None else seen.newest(codes, moments)
                place = pl.when(pl.lit(pl.Series(start <= newest))).then(pl.lit(pl.Series(newest)))
                found = places.gather(pl.select(place).to_series().cast(pl.get_index_type()))
            features.append(known[feature].gather(found))
    return features


class _Timeline:
    """Rows by entity and time; once they are sorted, the places of moments can be looked up for many at once."""

    def __init__(self, codes: Int64s, moments: Int64s) -> None:
        import numpy as np

        first, last = (int(moments.min()), int(moments.max())) if len(moments) else (0, 0)
        self._first, self._last, self._width = first, last, last - first + 2
        self._ticks = None
        if (int(codes.max(initial=0)) + 1) * self._width >= 2**63:
            # Entity and time do not fit in one integer. With the time's rank in its place no product overflows.
            self._ticks = np.unique(moments)
            self._width = len(self._ticks) + 1
        # What is not later than a row's own time ends one after it.
        self._keys = codes * self._width + self._rank(moments) - 1

    def sort(self, *then: Int64s) -> pl.Series:
        """Sort the rows, those of one entity and time as given or as they stand, and say where each has stood."""
        import polars as pl

        # One integer is sorted in a third of the time that its two parts take.
        keys = pl.DataFrame([pl.Series("key", self._keys), *(pl.Series("then", each) for each in then)])
        keys = keys.with_row_index("place").sort("key", *(["then"] if then else []), maintain_order=True)
        self._keys = keys["key"].to_numpy()
        return keys["place"]

    def _rank(self, moments: Int64s) -> Int64s:
        import numpy as np

        if self._ticks is not None:
            return np.searchsorted(self._ticks, moments, side="right")
        return np.clip(moments, self._first - 1, self._last) - (self._first - 1)

    def rows_until(self, codes: Int64s, moments: Int64s) -> Int64s:
        """How many rows stand before the entity's first row that is later than the moment."""
        import numpy as np

        return np.searchsorted(self._keys, codes * self._width + self._rank(moments))


class _Seen:
    """Rows sorted by entity, time and when they became known, of which a moment sees those that it could know."""

    def __init__(self, owners: Int64s, times: Int64s, known: Int64s) -> None:
        import numpy as np

        self._known, self._owners = known, owners
        # A row is to be seen when it has both happened and become known; of those that are, the newest counts. Places
        # rise from entity to entity, so that one running maximum serves all of them.
        visible = np.maximum(times, known)
        order = np.lexsort((np.arange(len(owners)), visible, owners))
        self._timeline = _Timeline(owners[order], visible[order])
        self._newest = np.maximum.accumulate(order) if len(order) else order

    def newest(self, codes: Int64s, moments: Int64s) -> Int64s:
        """The place of the entity's newest row that a moment sees, -1 where it sees none."""
        import numpy as np

        until = self._timeline.rows_until(codes, moments)
        found = self._newest[np.maximum(until - 1, 0)] if len(self._newest) else np.zeros_like(until)
        owner = self._owners[found] if len(self._owners) else np.full_like(found, -2)
        return np.where((until > 0) & (owner == codes), found, -1)

    def window_means(
        self, values: NDArray[np.float64], start: Int64s, end: Int64s, moments: Int64s
    ) -> NDArray[np.float64]:
        """Means over ``start:end`` of the rows that each moment sees."""
        import numpy as np

        means = np.full(len(start), np.nan)
        filled = np.flatnonzero(start < end)
        if not len(filled):
            return means
        # Where all rows of a window were known, which is the usual, the window itself will do.
        latest = np.maximum.reduceat(
            np.append(self._known, 0), np.stack([start, end], axis=1)[filled].ravel()
        )[::2]
        whole = latest <= moments[filled]
        plain, partly = filled[whole], filled[~whole]
        means[plain] = _window_means(values, start[plain], end[plain])
        for some in _parts(partly, end[partly] - start[partly]):
            lengths = (end - start)[some]
            ends = np.cumsum(lengths)
            places = np.arange(ends[-1]) - np.repeat(ends - lengths - start[some], lengths)
            unseen = self._known[places] > np.repeat(moments[some], lengths)
            means[some] = _window_means(np.where(unseen, np.nan, values[places]), ends - lengths, ends)
        return means


def _parts(which: Int64s, lengths: Int64s) -> Iterator[Int64s]:
    """Cut windows into parts that have no more than some millions of rows together, or are one window."""
    import numpy as np

    part = np.cumsum(lengths) // _AT_ONCE
    yield from np.split(which, np.flatnonzero(np.diff(part)) + 1) if len(which) else ()


def _with_code(frame: pl.DataFrame, entity: str, entities: pl.DataFrame) -> pl.DataFrame:
    return frame.join(entities, on=entity, how="left", maintain_order="left")


def _keys(coded: pl.DataFrame, time: str) -> tuple[Int64s, Int64s]:
    """The entity's code, -1 where there is no entity or no time, and the time in microseconds."""
    import polars as pl

    keys = coded.select(
        pl.when(pl.col(time).is_not_null()).then("__code").cast(pl.Int64).fill_null(-1).alias("code"),
        pl.col(time).dt.cast_time_unit("us").to_physical().fill_null(0).alias("time"),
    )
    return keys["code"].to_numpy(), keys["time"].to_numpy()


def _window_means(values: NDArray[np.float64], start: Int64s, end: Int64s) -> NDArray[np.float64]:
    """Means of ``values[start:end]``, NaN where nothing is there; a NaN among the values counts as nothing."""
    import numpy as np

    # Differences of one running sum would be quicker, but then each mean would carry the rounding, and any
    # infinity, of all that came before its window.
    windows, which = np.unique(np.stack([start, end], axis=1), axis=0, return_inverse=True)
    filled = windows[windows[:, 0] < windows[:, 1]].ravel()
    means = np.full(len(windows), np.nan)
    if len(filled):
        present = ~np.isnan(values)
        # reduceat cannot end a window at the very end of an array, so each gets one more element.
        total = np.add.reduceat(np.append(np.where(present, values, 0.0), 0.0), filled)[::2]
        count = np.add.reduceat(np.append(present, False).astype(np.int64), filled)[::2]
        means[windows[:, 0] < windows[:, 1]] = np.divide(
            total, count, out=np.full(len(total), np.nan), where=count > 0
        )
    return means[which.ravel()]


def _micros(duration: str) -> int:
    return parse_duration(duration) // timedelta(microseconds=1)


def _faults(rows: pl.DataFrame, at: str, views: Sequence[BoundView]) -> Iterator[Fault]:
    if at not in rows.columns:
        yield Fault("rows", f"there is no column {at!r} to take the time from.")
    taken = set(rows.columns)
    for bound in views:
        view, where = bound.view, f"view {bound.view.name}"
        sources = [each.column if isinstance(each, Mean) else each for each in view.features]
        known_at = [view.known_at] if view.known_at else []
        for column in dict.fromkeys([view.entity, view.event_time, *known_at, *sources]):
            if column not in bound.frame.columns:
                yield Fault(where, f"its source {view.source!r} has no column {column!r}.")
        if view.entity not in rows.columns:
            yield Fault("rows", f"there is no column {view.entity!r}, the entity of {where}.")
        elif (
            view.entity in bound.frame.columns and rows.schema[view.entity] != bound.frame.schema[view.entity]
        ):
            yield Fault(
                where,
                f"its entity {view.entity!r} is {bound.frame.schema[view.entity]} in the source and "
                f"{rows.schema[view.entity]} in the rows.",
                "Cast one of them.",
            )
        for name in view.feature_names:
            if name in taken:
                yield Fault(where, f"there is a column {name!r} already.", "Give the feature another name.")
            taken.add(name)
        if at in rows.columns and view.event_time in bound.frame.columns:
            for name in (view.event_time, *known_at):
                asked, known = rows.schema[at], bound.frame.schema.get(name, rows.schema[at])
                if getattr(asked, "time_zone", "") != getattr(known, "time_zone", "") or not hasattr(
                    asked, "time_zone"
                ):
                    yield Fault(
                        where,
                        f"{name!r} is {known} and {at!r} is {asked}.",
                        "Both must be datetimes of one time zone.",
                    )
