"""What a detector looks at to see that inputs, or predictions, have moved: shares and scores counted from profiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from mainspring.monitoring.detector import Stream
from mainspring.monitoring.profiles import (
    AtomProfile,
    CategoryProfile,
    Frame,
    ListProfile,
    NumberProfile,
    Profile,
    ProfileSet,
    merge_columns,
)
from mainspring.monitoring.scores import OTHER_VALUES, group_name, values_among

__all__ = ["drift_streams", "sliced_drift_streams"]

_THRESHOLDS = 9
_CATEGORIES = 10

Counts = tuple[int, ...]
"""Rows at each of some levels; of an event, rows surely outside and surely inside."""
Seen = tuple[str, tuple[float, ...], Counts, Sequence[Counts]]
"""What may rise, its levels, and its rows in the reference and in each check."""

_EVENT = (0.0, 1.0)


def drift_streams(
    reference: Profile, checks: Sequence[Profile], *, tolerance: float = 0.02
) -> tuple[Stream, ...]:
    """Streams of every column of a reference.

    A number has ``X <= q`` and ``X > q`` at about nine quantiles q of the reference, at bucket edges, over rows with a
    value. It has two scores besides: where a row lies between these edges, from 0 to 1, which rises when values are
    higher; and how far that is from the middle, which rises when they are more spread, and sees both ends at once. Each
    is watched in both directions. A category has its ten most frequent values, more often and less often, and values
    that the reference has never seen; all have missing values. Texts, vectors and lists have the streams of their
    parts, except for the elements of lists. All but the scores are of 0 and 1. Where a check has so many categories
    that it counts them by hash, only the rows that are surely inside an event count as 1.

    Parameters
    ----------
    reference : Profile
        Rows that are as they should be: those that the model was judged on, or its first weeks of traffic.
    checks : sequence of Profile
        Windows since, oldest first, profiled with the reference's frame. A column that one lacks has no rows in it.
    tolerance : float, default 0.02
        Change of a share, in rows per row, or of a mean score, that is not worth an alarm.

    Returns
    -------
    tuple of Stream
        Column by column, ordered by name.

    Raises
    ------
    ProfileMismatch
        A column is of one kind here and of another there, or was profiled in two frames.

    Notes
    -----
    The thresholds are quantiles of the rows that are then counted against them, while the detector's bound wants
    them chosen apart. This has no price: the true share below an order statistic has a Beta distribution, and over it
    the expected value of the reference's e-value is below 1 (0.67 to 0.99 for 200 to 50,000 rows, by quadrature).
    Rows of unseen categories in the reference are estimated by its categories seen once, as by Good and Turing [1]_; a
    reference that has seen more than 4,096 categories has no such stream.

    References
    ----------
    .. [1] I. J. Good (1953). The population frequencies of species and the estimation of population parameters.
       Biometrika 40, 237-264.

    Examples
    --------
    >>> from mainspring.monitoring.profiles import profile
    >>> reference = profile({"carrier": ["UA"] * 60 + ["B6"] * 40})
    >>> streams = drift_streams(reference, [profile({"carrier": ["UA", "DL", None]})])
    >>> [(stream.name, stream.reference, stream.checks[0]) for stream in streams][-2:]
    [('carrier missing more often', (100, 0), (2, 1)), ('carrier unseen more often', (100, 0), (1, 1))]
    """
    streams = []
    for name in sorted(reference.columns):
        column = reference.columns[name]
        # Merged with no rows, a window is what it was, or is refused.
        windows = [
            merge_columns(name, column.empty, check.columns.get(name, column.empty)) for check in checks
        ]
        for part, before in column.parts.items():
            if isinstance(column, ListProfile) and part == "elements":
                continue  # those of one list are not independent, and the bound would not hold
            events = _events(before, [window.parts[part] for window in windows])
            label = f"{name}[{part}]" if part else name
            for what, levels, counted, since in events:
                streams.append(
                    Stream(
                        name=f"{label} {what}",
                        column=name,
                        lower=levels,
                        upper=levels,
                        reference=counted,
                        checks=tuple(since),
                        tolerance=tolerance,
                    )
                )
    return tuple(streams)


def sliced_drift_streams(
    reference: ProfileSet,
    checks: Sequence[ProfileSet],
    *,
    frame: Frame,
    attribute: str,
    ignore: Sequence[str] = (),
    tolerance: float = 0.02,
) -> tuple[Stream, ...]:
    """Streams of every column within each value of an attribute.

    Parameters
    ----------
    reference : ProfileSet
        Slices of the rows that are as they should be, named as by `group_name`.
    checks : sequence of ProfileSet
        Windows since, oldest first. One that lacks a slice has no rows in it.
    frame : mapping of str to ColumnProfile
        In which all of them are profiled.
    attribute : str
        Whose values are the slices. Its own column is left out, which is the same throughout a slice.
    ignore : sequence of str
        Other columns to leave out.
    tolerance : float, default 0.02
        As in `drift_streams`.

    Returns
    -------
    tuple of Stream
        Slice by slice, each with a column that names both: `wind where carrier=AA`. Where the checks have rows of other
        values and the reference has none, the streams of these have an empty reference: they lack data, and are not
        quiet.
    """
    before = values_among(reference.slices(), attribute)
    since = {value for check in checks for value in values_among(check.slices(), attribute)}
    streams = []
    for value in sorted({*before, *since & {OTHER_VALUES}}):
        group = group_name(attribute, value)
        columns = reference.of_slice(group).columns or frame
        watched = {name: each for name, each in columns.items() if name not in (attribute, *ignore)}
        windows = [check.of_slice(group) for check in checks]
        for stream in drift_streams(Profile(rows=0, columns=watched), windows, tolerance=tolerance):
            where = f" where {group}"
            streams.append(replace(stream, name=f"{stream.name}{where}", column=f"{stream.column}{where}"))
    return tuple(streams)


def _events(column: AtomProfile, windows: Sequence[AtomProfile]) -> Iterator[Seen]:
    """Name what may rise, and count it in the reference and in each window."""
    if isinstance(column, NumberProfile):
        numbers = [window for window in windows if isinstance(window, NumberProfile)]
        keys = _thresholds(column)
        yield from _scores(column, numbers, keys)
        yield from _threshold_events(column, numbers, keys)
        yield "missing more often", _EVENT, _missing(column), [_missing(window) for window in windows]
        return
    named = [window for window in windows if isinstance(window, CategoryProfile)]
    yield from _share_events(column, named)
    yield "missing more often", _EVENT, _missing(column), [_missing(window) for window in windows]
    if column.level == 0:
        once = sum(count == 1 for _, count in column.named)
        unseen = [(window.valid - new, new) for window in named for new in (window.surely_unseen(column),)]
        yield "unseen more often", _EVENT, (column.valid - once, once), unseen


def _missing(column: AtomProfile) -> Counts:
    return column.valid, column.missing


def _thresholds(column: NumberProfile) -> list[int]:
    """Keys of the bucket edges to count above and below, lowest first."""
    if not column.valid:
        return []
    keys = {column.key_at(j / (_THRESHOLDS + 1)) for j in range(1, _THRESHOLDS + 1)}
    # Fifteen digits hide that an edge is the last float before a round number; edges that they do not tell apart
    # differ by the rounding of the offset only, and one of them is enough.
    return sorted({_edge(column, key): key for key in sorted(keys)}.values())


def _edge(column: NumberProfile, key: int) -> str:
    return f"{column.edge(key):.15g}"


def _scores(column: NumberProfile, windows: Sequence[NumberProfile], keys: Sequence[int]) -> Iterator[Seen]:
    if len(keys) < 2:  # one edge says all that there is, by itself
        return
    reference, *since = (
        tuple(above - below for below, above in pairwise([0, *map(window.at_most, keys), window.valid]))
        for window in (column, *windows)
    )
    place = tuple(j / len(keys) for j in range(len(keys) + 1))
    distance = tuple(abs(2 * score - 1) for score in place)
    for rises, falls, scores in (("higher", "lower", place), ("more spread", "less spread", distance)):
        yield rises, scores, reference, since
        yield falls, tuple(1 - score for score in scores), reference, since


def _threshold_events(
    column: NumberProfile, windows: Sequence[NumberProfile], keys: Sequence[int]
) -> Iterator[Seen]:
    for key in keys:
        label = _edge(column, key)
        tables = [(window.valid - window.at_most(key), window.at_most(key)) for window in (column, *windows)]
        yield f"> {label} more often", _EVENT, tables[0][::-1], [table[::-1] for table in tables[1:]]
        # At the greatest value seen the share of rows up to it is 1 and cannot rise.
        if tables[0][0]:
            yield f"<= {label} more often", _EVENT, tables[0], tables[1:]


def _share_events(column: CategoryProfile, windows: Sequence[CategoryProfile]) -> Iterator[Seen]:
    frequent = sorted(column.named, key=lambda pair: (-pair[1], pair[0]))[:_CATEGORIES]
    for category, count in sorted(frequent):
        before = column.valid - count, count
        bounds = [(window.valid, *window.bounds(category)) for window in windows]
        more = [(valid - least, least) for valid, least, _ in bounds]
        less = [(most, valid - most) for valid, _, most in bounds]
        yield f"= {category!r} more often", _EVENT, before, more
        yield f"= {category!r} less often", _EVENT, before[::-1], less
