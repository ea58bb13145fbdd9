"""Metrics of runs as charts need them, however long they are."""

from __future__ import annotations

__all__ = ["curves"]

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mainspring.tracking.record import Metric
    from mainspring.workspace import Workspace

_SHOWN = 2_000
_MOST = 50_000


def curves(workspace: Workspace, run_id: str, keys: Iterable[str]) -> dict[str, tuple[Metric, ...]]:
    """Give the points of metrics of a run that a chart shows, by step: the extremes of each stretch of time among them.

    A long history that was logged before stretches were kept is divided now, once, which takes a few seconds for a
    million points.

    Raises
    ------
    mainspring.tracking.store.RunNotFound
    """
    found = {}
    for key in keys:
        while True:
            with workspace.database.read() as tx:
                found[key], whole = tx.logged_runs.curve(run_id, key, shown=_SHOWN, most=_MOST)
            if whole:
                break
            more = True
            while more:
                with workspace.database.write() as tx:
                    more = tx.logged_runs.mark(run_id, key)
    return found
