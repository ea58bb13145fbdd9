"""What a detector looks at to see that values are faulty: missing, out of range, of a category never seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mainspring.monitoring.detector import Stream
from mainspring.monitoring.profiles import (
    AtomProfile,
    CategoryProfile,
    NumberProfile,
    Profile,
    merge_columns,
)

__all__ = ["fault_streams"]

_EVENT = (0.0, 1.0)


def fault_streams(
    reference: Profile, checks: Sequence[Profile], *, tolerance: float = 0.005
) -> tuple[Stream, ...]:
    """Streams of the faults of every column of a reference: 1 for a row with one, 0 for any other.

    Rows are faulty that have no value, or one of another type, or no number; whose number is less than the least of the
    reference, greater than its greatest, or infinite; whose category the reference has never seen. Where values lie
    within that is no fault, and no matter of this.

    Parameters
    ----------
    reference : Profile
        Rows that are as they should be.
    checks : sequence of Profile
        Windows since, oldest first, profiled with the reference's frame.
    tolerance : float, default 0.005
        Rise of a share of rows that is not worth an alarm.

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
    By construction no value of the reference is out of its own range. Of rows to come, two in n + 1 are expected to be,
    so its least and its greatest count as two that were, as categories seen once count as unseen, after Good and Turing
    (see `mainspring.monitoring.drift_streams`).

    Examples
    --------
    >>> import numpy as np
    >>> from mainspring.monitoring.profiles import frame, profile
    >>> rows = {"wind": np.arange(200.0)}
    >>> reference = profile(rows, frame(rows))
    >>> gust = profile({"wind": np.array([7.0, 1048.0, np.nan])}, reference.frame)
    >>> [(stream.name, stream.checks[0]) for stream in fault_streams(reference, [gust])]
    [('wind missing', (2, 1)), ('wind out of range', (1, 1))]
    """
    streams = []
    for name in sorted(reference.columns):
        column = reference.columns[name]
        windows = [
            merge_columns(name, column.empty, check.columns.get(name, column.empty)) for check in checks
        ]
        for part, before in column.parts.items():
            if part == "elements":
                continue  # those of one list are not independent, and the bound would not hold
            label = f"{name}[{part}]" if part else name
            for what, counted, since in _faults(before, [window.parts[part] for window in windows]):
                streams.append(
                    Stream(
                        name=f"{label} {what}",
                        column=name,
                        lower=_EVENT,
                        upper=_EVENT,
                        reference=counted,
                        checks=tuple(since),
                        tolerance=tolerance,
                    )
                )
    return tuple(streams)


_Counts = tuple[int, int]


def _faults(
    column: AtomProfile, windows: Sequence[AtomProfile]
) -> Iterator[tuple[str, _Counts, list[_Counts]]]:
    yield (
        "missing",
        (column.valid, column.missing),
        [(window.valid, window.missing) for window in windows],
    )
    if isinstance(column, NumberProfile):
        if column.limits is not None and column.valid > 2:
            out = [window.below + window.above for window in windows if isinstance(window, NumberProfile)]
            since = [(window.valid - count, count) for window, count in zip(windows, out, strict=True)]
            yield "out of range", (column.valid - 2, 2), since
    elif column.level == 0:
        once = sum(count == 1 for _, count in column.named)
        named = [window for window in windows if isinstance(window, CategoryProfile)]
        unseen = [window.surely_unseen(column) for window in named]
        since = [(window.valid - count, count) for window, count in zip(named, unseen, strict=True)]
        yield "unseen", (column.valid - once, once), since
