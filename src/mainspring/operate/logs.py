"""The gateways' logs as their readers know them: how far each was read, and what of it is damaged, or lost for good.

A damaged log keeps its own records from being read, and nothing else from going on. That it is damaged is in the ledger
and in every status until somebody restores what is missing, or accepts the loss with a reason.

Positions are recorded by the numbers of segments. When the files of a log are taken away, the gateway that starts next
begins at 1 again, where other records were before: such a log goes on under another name.
"""

from __future__ import annotations

__all__ = [
    "Log",
    "LogRow",
    "Loss",
    "NotDamaged",
    "StillWritten",
    "UnknownLog",
    "accept_loss",
    "log_folders",
    "log_rows",
    "tell",
]

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from mainspring.errors import Conflict, Invalid, NotFound, Refused
from mainspring.events import Event, EventType
from mainspring.monitoring.store import Gap, LogCursor
from mainspring.stores.segments import LogBegunAnew, SegmentCorrupt, head, read, segments

if TYPE_CHECKING:
    from pathlib import Path

    from mainspring.monitoring.record import LogRecord
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace

_KEPT = "log:"

_log = logging.getLogger(__name__)


class UnknownLog(NotFound):
    """A log that no gateway has written."""

    def __init__(self, log: str, known: tuple[str, ...]) -> None:
        super().__init__(log, known)
        self.log, self.known = log, known

    def __str__(self) -> str:
        return f"There is no log {self.log!r}. There are: {', '.join(self.known) or 'none yet'}."


class NotDamaged(Refused):
    """A log of which nothing is lost."""

    def __init__(self, log: str) -> None:
        super().__init__(log)
        self.log = log

    def __str__(self) -> str:
        return f"Everything of the log {self.log} can be read: there is no loss to accept."


class StillWritten(Conflict):
    """A damaged segment to which more is added: where its sound records begin again cannot be known yet."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return (
            f"{self.path} is still written to. Restart its gateway, which then begins another segment, and accept the "
            "loss of the rest of this one."
        )


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the log in a folder, besides the cursor and the last sealed segment.

    Attributes
    ----------
    life : int
        How often it was begun.
    first : int
        The segment with which it begins; 0 as long as there is none.
    head : str
        How the segment begins in which the cursor is, in hexadecimal digits.
    gaps : list of Gap
        In the order in which they lie in the log.
    losses : int
        How often a loss was accepted, whether a gap or the log before this one.
    damage : dict of str
        By the reader that has met it, what is wrong now.
    """

    life: int = 1
    first: int = 1
    head: str = ""
    gaps: list[Gap] = []
    losses: int = 0
    damage: dict[str, str] = {}


class LogRow(msgspec.Struct, frozen=True, kw_only=True):
    """A log for people and programs: how far it is counted, and in tables, the losses accepted, and what is wrong."""

    log: str
    segment: int
    offset: int
    sealed: int
    losses: int
    damage: str


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """A loss that was accepted: of which log, from where up to where (None: all that was left), and in words."""

    log: str
    since: LogCursor
    until: LogCursor | None
    told: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A log as it was known at a moment.

    Attributes
    ----------
    folder : Path
        Where its segments are.
    name : str
        Under which its cursor, its seals and its appends to tables are kept.
    cursor : LogCursor
        How far it is counted.
    sealed : int
        Its last segment that is in the tables for good.
    """

    folder: Path
    name: str
    cursor: LogCursor
    sealed: int
    _kept: _Kept

    @classmethod
    def of(cls, tx: Transaction, folder: Path) -> Log:
        """Read what is known of the log in a folder."""
        kept = _kept_of(tx, folder.name)
        if not kept.first:
            kept = msgspec.structs.replace(kept, first=min(segments(folder), default=0))
        name = folder.name if kept.life == 1 else f"{folder.name}.{kept.life}"
        cursor, sealed = tx.monitoring.cursor(name), tx.values.get(f"sealed:{name}")
        return cls(
            folder=folder,
            name=name,
            cursor=_start(kept) if cursor == LogCursor() else cursor,
            sealed=int(sealed or _start(kept).segment - 1),
            _kept=kept,
        )

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What was accepted as lost."""
        return tuple(self._kept.gaps)

    @property
    def life(self) -> int:
        """How often the log in the folder was begun."""
        return self._kept.life

    def need_same(self) -> None:
        """Raise `LogBegunAnew` when the files are not those that were read before."""
        if self.cursor == _start(self._kept):
            return
        there = segments(self.folder)
        known, found = bytes.fromhex(self._kept.head), head(self.folder, self.cursor.segment)
        path = self.folder / f"{self.cursor.segment:08}.log"
        if not there:
            raise LogBegunAnew(path, 0, "all files of the log are gone")
        if there[-1] < self.cursor.segment or (found and not found.startswith(known)):
            raise LogBegunAnew(path, 0, "the files were taken away, and the log was begun anew")

    def need_counted(self) -> None:
        """Raise `SegmentCorrupt` when a segment is gone that was counted and is not in the tables."""
        self.need_same()
        there = segments(self.folder)
        for number in range(self.sealed + 1, self.cursor.segment):
            at = LogCursor(number, 0)
            if number not in there and not any(gap.since <= at < gap.until for gap in self.gaps):
                raise SegmentCorrupt(self.folder / f"{number:08}.log", 0, "the file is gone")

    def read(self, cursor: LogCursor) -> tuple[list[LogRecord], LogCursor]:
        """Read on from a cursor, over what was accepted as lost; raises as `mainspring.stores.segments.read`."""
        return read(self.folder, cursor, gaps=self.gaps)

    def move(self, tx: Transaction, to: LogCursor) -> None:
        """Record that it is counted up to a place; raises `Conflict` when another reader was first."""
        kept = _kept_of(tx, self.folder.name)
        if kept.life != self.life:
            raise Conflict(f"The log {self.name!r} was given up meanwhile. Read it again.")
        expected = LogCursor() if self.cursor == _start(self._kept) else self.cursor
        tx.monitoring.move_cursor(self.name, expected=expected, to=to)
        known = head(self.folder, to.segment).hex()
        _keep(tx, self.folder, msgspec.structs.replace(kept, first=self._kept.first, head=known))


def log_folders(tx: Transaction, workspace: Workspace) -> list[Path]:
    """Give the folders of all logs, also of those that somebody has deleted."""
    known = {key.removeprefix(_KEPT) for key in tx.values.items(_KEPT)}
    there = {each.name for each in workspace.logs.glob("*") if each.is_dir()}
    return [workspace.logs / name for name in sorted(known | there)]


def tell(workspace: Workspace, folder: Path, reader: str, damage: SegmentCorrupt | None) -> None:
    """Record what a reader has found wrong with a log, or that there is nothing any more; once as long as it stays.

    Parameters
    ----------
    workspace : Workspace
    folder : Path
        Of the log.
    reader : str
        Who reads: what one has met, another need not meet.
    damage : SegmentCorrupt, optional
    """
    what = str(damage) if damage else ""
    with workspace.database.read() as tx:
        if _kept_of(tx, folder.name).damage.get(reader, "") == what:
            return
    with workspace.database.write() as tx:
        kept = _kept_of(tx, folder.name)
        others = {name: text for name, text in kept.damage.items() if name != reader}
        _keep(tx, folder, msgspec.structs.replace(kept, damage=others | ({reader: what} if what else {})))
        kind, why = (
            (EventType.LOG_DAMAGED, what) if what else (EventType.LOG_RESTORED, "it can be read on again")
        )
        tx.ledger.append(
            Event(type=kind, subject=f"log/{folder.name}", at=workspace.clock.now(), actor="loop", reason=why)
        )
    if what:
        _log.error("%s", what)


def log_rows(tx: Transaction, workspace: Workspace) -> list[LogRow]:
    """Tell of every log."""
    rows = []
    for folder in log_folders(tx, workspace):
        log, kept = Log.of(tx, folder), _kept_of(tx, folder.name)
        rows.append(
            LogRow(
                log=folder.name,
                segment=log.cursor.segment,
                offset=log.cursor.offset,
                sealed=log.sealed,
                losses=kept.losses,
                damage=" ".join(dict.fromkeys(kept.damage.values())),
            )
        )
    return rows


def accept_loss(workspace: Workspace, log: str, *, actor: str, reason: str) -> Loss:
    """Accept that the next part of a log that cannot be read is lost; readers then go on behind it.

    Parameters
    ----------
    workspace : Workspace
    log : str
        Its name.
    actor, reason : str
        Who accepts it, and why.

    Raises
    ------
    UnknownLog, NotDamaged, StillWritten
    Invalid
        There is no reason.
    Conflict
        Somebody else has accepted it meanwhile.
    """
    if not reason.strip():
        raise Invalid("Say why the loss is accepted: it stands in the ledger for those who miss the records.")
    with workspace.database.read() as tx:
        folders = {each.name: each for each in log_folders(tx, workspace)}
        if log not in folders:
            raise UnknownLog(log, tuple(folders))
        known = Log.of(tx, folders[log])
    damage = _damage(known)
    if damage is None:
        raise NotDamaged(log)
    with workspace.database.write() as tx:
        kept = _kept_of(tx, log)
        if (kept.life, kept.gaps) != (known.life, list(known.gaps)):
            raise Conflict(f"A loss of {log} was accepted meanwhile. See `mainspring log list`.")
        if isinstance(damage, LogBegunAnew):
            since, until = LogCursor(known.sealed + 1, 0), None
            told = f"What {log} held from {_place(since)} on and is neither counted nor in a table is lost"
            first = min(segments(known.folder), default=0)
            kept = _Kept(life=kept.life + 1, first=first, losses=kept.losses + 1)
        else:
            since, until = _bounds(known.folder, damage)
            told = f"What {log} held from {_place(since)} up to {_place(until)} is lost"
            gaps = sorted([*kept.gaps, Gap(since, until)], key=lambda gap: gap.since)
            kept = msgspec.structs.replace(kept, gaps=gaps, losses=kept.losses + 1, damage={})
        loss = Loss(log=known.name, since=since, until=until, told=told)
        _keep(tx, known.folder, kept)
        tx.ledger.append(
            Event(
                type=EventType.LOG_LOSS_ACCEPTED,
                subject=f"log/{log}",
                at=workspace.clock.now(),
                actor=actor,
                reason=reason,
                data={"damage": damage.what, **msgspec.to_builtins(loss)},
            )
        )
    return loss


def _damage(log: Log) -> SegmentCorrupt | None:
    """Read all that is not in the tables, and give the first thing that is wrong."""
    try:
        log.need_same()
        cursor = LogCursor(log.sealed + 1, 0)
        while (reached := log.read(cursor)[1]) != cursor:
            cursor = reached
    except SegmentCorrupt as damage:
        return damage
    return None


def _bounds(folder: Path, damage: SegmentCorrupt) -> tuple[LogCursor, LogCursor]:
    number = int(damage.path.stem)
    later = next((each for each in segments(folder) if each > number), None)
    if later is None:
        raise StillWritten(damage.path)
    # A file that is gone is so from its beginning, wherever the reader stood that has missed it.
    return LogCursor(number, damage.offset if damage.path.exists() else 0), LogCursor(later, 0)


def _start(kept: _Kept) -> LogCursor:
    return LogCursor(max(1, kept.first), 0)


def _place(at: LogCursor) -> str:
    return f"segment {at.segment}" + (f", byte {at.offset}," if at.offset else "")


def _kept_of(tx: Transaction, name: str) -> _Kept:
    return msgspec.json.decode(tx.values.get(_KEPT + name) or "{}", type=_Kept)


def _keep(tx: Transaction, folder: Path, kept: _Kept) -> None:
    tx.values.put(_KEPT + folder.name, msgspec.json.encode(kept).decode())
