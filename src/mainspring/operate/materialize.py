"""Keeping the online store at the newest data: what each data version adds, or all of it where rows were changed.

What is new is known by the files that a version adds to the one before. So no row is missed, however late it comes and
however old it is: there is no window of lateness to choose.
"""

from __future__ import annotations

__all__ = ["MaterializedView", "UnknownView", "keep_up", "materialize"]

import logging
from typing import TYPE_CHECKING

import msgspec

from mainspring.data import Change
from mainspring.errors import MainspringError, NotFound
from mainspring.features.online import snapshot_name
from mainspring.operate.snapshots import online_views
from mainspring.operate.tasks import Materialize, Materialized
from mainspring.operate.workers import TaskFailed
from mainspring.ref import DataRef
from mainspring.stores.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from mainspring.data import DataVersion
    from mainspring.features.store import Published
    from mainspring.product import FeatureViewSpec, ProductSpec
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace

_KNOWN = "online:"
_TRIES = 5

_log = logging.getLogger(__name__)
_told: dict[tuple[str, str], str] = {}
"""What was last said of a view in a store: it is tried again with every turn of the loop."""


class UnknownView(NotFound):
    """A name that no feature view has, or none in the online store where that is asked for."""

    def __init__(self, view: str, known: tuple[str, ...]) -> None:
        super().__init__(view, known)
        self.view, self.known = view, known

    def __str__(self) -> str:
        known = ", ".join(self.known) or 'none yet: declare one with `online="store"`'
        return f"There is no feature view {self.view[:100]!r} here. Those that there are: {known}."


class Overtaken(MainspringError):
    """A view that others publish all the time."""

    def __init__(self, view: str) -> None:
        super().__init__(view)
        self.view = view

    def __str__(self) -> str:
        return f"Others wrote feature view {self.view!r} into the online store {_TRIES} times meanwhile: try again."


class MaterializedView(msgspec.Struct, frozen=True, kw_only=True):
    """What was written of a view.

    Attributes
    ----------
    view, source : str
    version : int or None
        The source's data version that the store holds now; None where there is no data.
    whole : bool
        Whether all rows were written, into a space of their own that then took the place of the one before.
    written, older : int
        Rows that were kept; and those that can never count, since their entity has a newer one.
    """

    view: str
    source: str
    version: int | None
    whole: bool = False
    written: int = 0
    older: int = 0


def keep_up(workspace: Workspace, source: str | None = None, specs: Sequence[ProductSpec] = ()) -> None:
    """Write what the store lacks, of one source or of all; what cannot be written now is told of, and written later.

    `specs` are declarations that are about to be in force. Where all sources are looked at, what no view is looked up
    in any more is dropped.
    """
    views = _stored(workspace, specs)
    for view in views:
        if source in (None, view.source):
            place, why = (workspace.settings.online_url, view.name), ""
            try:
                _catch_up(workspace, view)
            except (StoreUnavailable, TaskFailed, Overtaken) as error:
                why = str(error)
            if why and why != _told.get(place):
                _log.warning("The online store stays behind with feature view %s: %s", view.name, why)
            _told[place] = why
    if source is None:
        _drop_others(workspace, {snapshot_name(view) for view in views})


def _drop_others(workspace: Workspace, wanted: set[str]) -> None:
    with workspace.database.read() as tx:
        known = tx.values.items(_KNOWN)
    for name in sorted({key.removeprefix(_KNOWN) for key in known} - wanted):
        try:
            workspace.online.drop(name)
        except StoreUnavailable as error:
            _log.warning("The online store keeps what no feature view needs: %s", error)
            return
        with workspace.database.write() as tx:
            tx.values.remove(_KNOWN + name)


def materialize(
    workspace: Workspace,
    view: str | None = None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[MaterializedView]:
    """Write into the online store what it lacks of a view, or of all; the loop does so by itself.

    Parameters
    ----------
    workspace : Workspace
    view : str, optional
        This one alone.
    since, until : datetime, optional
        Write again the rows of the newest version with an event time from the one to the other, both included.

    Raises
    ------
    UnknownView
    StoreUnavailable
    """
    views = _stored(workspace)
    if view is not None and view not in {each.name for each in views}:
        raise UnknownView(view, tuple(sorted({each.name for each in views})))
    done = []
    for each in views:
        if view in (None, each.name):
            told = _catch_up(workspace, each)
            if since is not None or until is not None:
                told = _again(workspace, each, since, until)
            done.append(told)
    return done


def _stored(workspace: Workspace, specs: Sequence[ProductSpec] = ()) -> list[FeatureViewSpec]:
    """Give the views that are looked up in the store, those of one name and the same contents once, in order."""
    with workspace.database.read() as tx:
        views = online_views(tx, [*workspace.specs(tx).values(), *specs])
    found = {(view.name, snapshot_name(view)): view for view in views if view.online == "store"}
    return [found[key] for key in sorted(found)]


def _catch_up(workspace: Workspace, view: FeatureViewSpec) -> MaterializedView:
    name = snapshot_name(view)
    for _ in range(_TRIES):
        published = workspace.online.published(name)
        with workspace.database.read() as tx:
            newest = tx.data.newest(view.source)
            before = _appended_to(tx, newest, published) if newest and published else None
        if newest is None:
            return MaterializedView(view=view.name, source=view.source, version=None)
        done = MaterializedView(
            view=view.name, source=view.source, version=newest.number, whole=before is None
        )
        if before is not None and before.number == newest.number:
            return done
        # Until all of it is there, what was published before is read.
        space = published.space if before and published else f"{name}:{newest.number}"
        if before is None:  # known before it is there, so that it is dropped one day
            with workspace.database.write() as tx:
                tx.values.put(_KNOWN + name, view.name)
        wrote = _write(workspace, view, space, newest, before)
        if workspace.online.publish(name, space, newest.number, after=published):
            return msgspec.structs.replace(done, written=wrote.written, older=wrote.older)
    raise Overtaken(view.name)


def _again(
    workspace: Workspace, view: FeatureViewSpec, since: datetime | None, until: datetime | None
) -> MaterializedView:
    published = workspace.online.published(snapshot_name(view))
    with workspace.database.read() as tx:
        newest = tx.data.newest(view.source)
    if published is None or newest is None:
        return MaterializedView(view=view.name, source=view.source, version=None)
    wrote = _write(workspace, view, published.space, newest, None, since, until)
    return MaterializedView(
        view=view.name,
        source=view.source,
        version=published.version,
        written=wrote.written,
        older=wrote.older,
    )


def _write(
    workspace: Workspace,
    view: FeatureViewSpec,
    space: str,
    newest: DataVersion,
    before: DataVersion | None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Materialized:
    task = Materialize(
        view=view,
        store=workspace.settings.online_url,
        space=space,
        table_version=newest.table_version,
        before=before.table_version if before else None,
        since=since,
        until=until,
        now=workspace.clock.now(),
    )
    return workspace.workers.ask(task, Materialized)


def _appended_to(tx: Transaction, newest: DataVersion, published: Published) -> DataVersion | None:
    """Give the version that is published, if all that has come since stands beside its rows; else None."""
    at = newest
    while at.number != published.version:
        if at.change is not Change.APPEND or at.parent is None:
            return None
        at = tx.data.get(DataRef(at.dataset, at.parent))
    return at
