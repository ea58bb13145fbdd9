"""Profiles for people: what a data version holds, or a model was asked, and how far that is from something before."""

from __future__ import annotations

__all__ = ["PartRow", "ProfileRow", "profile_data", "profile_traffic"]

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import date, timedelta
from functools import partial, reduce
from typing import TYPE_CHECKING, TypeVar

import msgspec

from mainspring.engines import Pool, ThisProcess
from mainspring.errors import Invalid, NotFound
from mainspring.monitoring import (
    CategoryProfile,
    Found,
    Interval,
    NumberProfile,
    Profile,
    ProfileMismatch,
    ProfileSet,
    effect_sizes,
    findings,
    merge,
)
from mainspring.operate import profile_part
from mainspring.operate.data.datasets import find_version
from mainspring.operate.profile_part import Count, Counted, Freeze, Frozen, Table
from mainspring.operate.references import reference_of
from mainspring.operate.status import check_product
from mainspring.operate.tasks import Failed
from mainspring.operate.workers import failed
from mainspring.ref import DataAddress, ModelRef

if TYPE_CHECKING:
    from mainspring.monitoring import AtomProfile
    from mainspring.workspace import Workspace

A = TypeVar("A", Frozen, Counted)

_PIECE_ROWS = 200_000
_PIECE_COLUMNS = 4
_DECODER = msgspec.json.Decoder(Frozen | Counted | Failed)
_SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
_FREQUENT = 10


class NoSuchColumn(NotFound):
    """A column to slice by that the data does not have."""

    def __init__(self, column: str, known: tuple[str, ...]) -> None:
        super().__init__(column, known)
        self.column, self.known = column, known

    def __str__(self) -> str:
        return f"There is no column {self.column!r} to slice by. There are: {', '.join(self.known)}."


class NoTraffic(NotFound):
    """A window in which a model version answered nobody, or in which nothing was counted yet."""

    def __init__(self, ref: ModelRef, window: str) -> None:
        super().__init__(ref, window)
        self.ref, self.window = ref, window

    def __str__(self) -> str:
        return (
            f"There is no profile of {self.ref} {self.window}. Predictions are counted by `mainspring up`, day by day: "
            "ask for another window."
        )


class PartRow(msgspec.Struct, frozen=True, kw_only=True):
    """A column, or a part of one: what its rows are, and how far from the reference's.

    Attributes
    ----------
    column : str
        Such as `wind`, or `note[length]` for a part of a text, a vector or a list.
    kind : str
        `number`, `integer`, `boolean`, `datetime` (in microseconds since 1970, UTC) or `category`.
    rows, nulls, nans, infinities, mistyped, out_of_range : int
    new_categories : int or None
        Rows of categories that the reference has not; None where that is not known.
    mean : Interval or None
    quantiles : dict of str to (float, float)
        By share the interval that holds it; infinite ends are null in JSON.
    frequent : dict of str to int
        Rows of the ten most frequent categories that are named.
    effects : dict of str to Interval
        By name; without those that the windows have no rows for.
    found : list of Found
        What to know before the figures.
    """

    column: str
    kind: str
    rows: int
    nulls: int
    nans: int
    infinities: int
    mistyped: int
    out_of_range: int
    new_categories: int | None
    mean: Interval | None
    quantiles: dict[str, tuple[float, float]]
    frequent: dict[str, int]
    effects: dict[str, Interval]
    found: list[Found]


class ProfileRow(msgspec.Struct, frozen=True, kw_only=True):
    """A window of rows, or a slice of it.

    Attributes
    ----------
    of, against : str, str or None
        The rows, and what they are compared with.
    slice : str
        Such as `carrier = UA`; empty for all rows.
    rows, rows_against : int, int or None
    lost, added : list of str
        Columns of the reference that the rows have not, and the other way round.
    other_kind : list of str
        Columns that cannot be compared, since they are of another kind than they were.
    columns : list of PartRow
    """

    of: str
    against: str | None
    slice: str
    rows: int
    rows_against: int | None
    lost: list[str]
    added: list[str]
    other_kind: list[str]
    columns: list[PartRow]


def profile_data(
    workspace: Workspace, of: DataAddress, *, against: DataAddress | None = None, by: Sequence[str] = ()
) -> list[ProfileRow]:
    """Profile a data version, and compare it with another, as a whole and slice by slice.

    Parameters
    ----------
    workspace : Workspace
    of : DataAddress
        Whose rows are profiled.
    against : DataAddress, optional
        The reference: offsets, limits, known categories and vocabularies are frozen from it.
    by : sequence of str
        Columns whose values are slices: the 50 most frequent of the reference, nulls apart.

    Returns
    -------
    list of ProfileRow
        First that of all rows, then one for each slice, by name.

    Raises
    ------
    mainspring.data.DataVersionNotFound, NoSuchColumn
        Something that is named does not exist.
    """
    with workspace.database.read() as tx:
        versions = [find_version(tx, each) for each in (of, against) if each]
    tables = [
        Table(dataset=each.dataset, number=each.number, version=each.table_version) for each in versions
    ]
    columns = [workspace.tables.scan(each.dataset, each.version).collect_schema().names() for each in tables]
    for known in columns:
        for name in by:
            if name not in known:
                raise NoSuchColumn(name, tuple(known))
    with _pool(workspace, max(each.rows for each in versions)) as pool:
        frozen = _frozen(pool, tables[-1], columns[-1], tuple(by))
        current, *rest = [
            _counted(pool, table, each.rows, frozen) for table, each in zip(tables, versions, strict=True)
        ]
    reference = rest[0] if rest else None
    return [
        _row(
            str(versions[0].ref),
            current.of_slice(name),
            str(versions[1].ref) if reference else None,
            reference.of_slice(name) if reference else None,
            name,
        )
        for name in current.slices()
    ]


def profile_traffic(
    workspace: Workspace,
    ref: ModelRef,
    *,
    since: date | None = None,
    until: date | None = None,
    against: str = "training",
) -> ProfileRow:
    """Sum up what a model version was asked and answered in a window of days, and compare it.

    Parameters
    ----------
    workspace : Workspace
    ref : ModelRef
        By number or alias.
    since, until : date, optional
        The days, UTC, the second not among them; without, all that there are.
    against : str, default "training"
        The rows that the version was made with; `previous`, as many days right before; or two days with two dots
        between them, such as `2024-01-01..2024-02-01`, the second not among them.

    Raises
    ------
    UnknownProduct, ModelVersionNotFound, NoTraffic
        There is no such version, or nothing of it was counted in a window.
    InvalidWindow
        `against` is none of these.
    """
    with workspace.database.read() as tx:
        check_product(tx, ref.product)
        version = tx.registry.get(ref)
        texts = tx.monitoring.tables(ref.product, version.number, "profile")
    named = ModelRef(ref.product, version.number)
    days = {day: Profile.from_json(text) for day, text in texts.items()}

    def window(first: date | None, last: date | None) -> Profile:
        within = [
            each
            for day, each in days.items()
            if (first is None or day >= first) and (last is None or day < last)
        ]
        if not within:
            raise NoTraffic(named, f"from {first or 'the first day'} to before {last or 'today'}")
        return merge(*within)

    current = window(since, until)
    match against.split(".."):
        case ["training"]:
            inputs, predictions = reference_of(workspace.blobs, version.reference).profiles()
            # The answers' profile is of the hold-out: its rows are no rows of the training data.
            reference = Profile(rows=inputs.rows, columns={**inputs.columns, **predictions.columns})
        case ["previous"]:
            first = (since or min(days)).toordinal()
            length = (until or max(days) + timedelta(days=1)).toordinal() - first
            reference = window(date.fromordinal(max(1, first - length)), date.fromordinal(first))
        case [first_text, last_text]:
            reference = window(_day(first_text, against), _day(last_text, against))
        case _:
            raise InvalidWindow(against)
    return _row(str(named), current, against, reference, "")


class InvalidWindow(Invalid):
    """A window to compare with that cannot be read."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return (
            f"{self.text!r} is no window to compare with. Say training, previous, "
            "or two days such as 2024-01-01..2024-02-01."
        )


def _day(text: str, window: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidWindow(window) from None


def _pool(workspace: Workspace, rows: int) -> AbstractContextManager[Pool]:
    """Workers for many rows; few are counted before a worker has started."""
    if rows <= _PIECE_ROWS and workspace.settings.engine == "local":
        return nullcontext(ThisProcess(partial(profile_part.answer, str(workspace.settings.state))))
    return workspace.workers.pool("mainspring.operate.profile_part")


def _frozen(pool: Pool, table: Table, columns: Sequence[str], by: Sequence[str]) -> Frozen:
    """Freeze what is compared by, a few columns to a task."""
    asked = [
        Freeze(table=table, columns=tuple(columns[first : first + _PIECE_COLUMNS]), by=tuple(by))
        for first in range(0, len(columns), _PIECE_COLUMNS)
    ]
    parts = list(_answers(pool, asked, Frozen))
    slices = {name: values for part in parts for name, values in part.slices.items()}
    return Frozen(
        columns={name: column for part in parts for name, column in part.columns.items()},
        slices={name: slices[name] for name in by},
    )


def _counted(pool: Pool, table: Table, rows: int, frozen: Frozen) -> ProfileSet:
    """Profile all rows of a table, some to a task."""
    asked = [
        Count(table=table, columns=frozen.columns, slices=frozen.slices, first=first, rows=_PIECE_ROWS)
        for first in range(0, max(rows, 1), _PIECE_ROWS)
    ]
    parts = list(_answers(pool, asked, Counted))
    if len({part.order for part in parts}) > 1:
        # A checkpoint of the table's log came between two tasks. It is written once.
        return _counted(pool, table, rows, frozen)
    return reduce(ProfileSet.merge, (ProfileSet.from_json(part.profiles) for part in parts))


def _answers(pool: Pool, questions: Sequence[Freeze | Count], wanted: type[A]) -> Iterator[A]:
    for _, answered in pool.answers([msgspec.json.encode(each) for each in questions]):
        read = _DECODER.decode(answered)
        if isinstance(read, Failed):
            raise failed(read)
        assert isinstance(read, wanted)  # each kind of question is answered with its own kind
        yield read


def _row(
    of: str, current: Profile, against: str | None, reference: Profile | None, slice_: str
) -> ProfileRow:
    mine, theirs = current.parts(), reference.parts() if reference else {}
    parts, other_kind = [], []
    for name, column in mine.items():
        before = theirs.get(name)
        try:
            effects = effect_sizes(before, column) if before is not None else {}
        except ProfileMismatch:
            other_kind.append(name)
            effects, before = {}, None
        parts.append(_part(name, column, before, effects))
    return ProfileRow(
        of=of,
        against=against,
        slice=slice_,
        rows=current.rows,
        rows_against=reference.rows if reference else None,
        lost=sorted(theirs.keys() - mine.keys()),
        added=sorted(mine.keys() - theirs.keys()) if reference else [],
        other_kind=other_kind,
        columns=parts,
    )


def _part(
    name: str, column: AtomProfile, before: AtomProfile | None, effects: dict[str, Interval]
) -> PartRow:
    number = column if isinstance(column, NumberProfile) else None
    named = column.named if isinstance(column, CategoryProfile) else ()
    return PartRow(
        column=name,
        kind=number.kind.value if number else "category",
        rows=column.rows,
        nulls=column.nulls,
        nans=number.nans if number else 0,
        infinities=number.infinities if number else 0,
        mistyped=column.mistyped,
        out_of_range=number.below + number.above if number else 0,
        new_categories=column.unseen if isinstance(column, CategoryProfile) else None,
        mean=number.mean() if number and number.valid > number.infinities else None,
        quantiles={f"{share:g}": number.quantile(share) for share in _SHARES}
        if number and number.valid
        else {},
        frequent=dict(sorted(named, key=lambda pair: (-pair[1], pair[0]))[:_FREQUENT]),
        effects=effects,
        found=list(findings(column, before)),
    )
