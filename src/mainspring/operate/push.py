"""Rows of a feature view, handed in as they come about: a batch of its source, and in the online store at once."""

from __future__ import annotations

__all__ = ["push"]

from typing import TYPE_CHECKING

from mainspring.errors import Invalid
from mainspring.operate.data.publish import Adding, add_batch
from mainspring.operate.materialize import UnknownView

if TYPE_CHECKING:
    from pathlib import Path

    from mainspring.data import Batch
    from mainspring.workspace import Workspace


class SeveralSources(Invalid):
    """A view's name that products give to views of different sources."""

    def __init__(self, view: str, sources: tuple[str, ...]) -> None:
        super().__init__(view, sources)
        self.view, self.sources = view, sources

    def __str__(self) -> str:
        return (
            f"Several feature views are named {self.view!r}, of the sources {', '.join(self.sources)}: add the rows to "
            "one of those with `mainspring data add`."
        )


def push(
    workspace: Workspace,
    view: str,
    content: bytes | Path,
    *,
    actor: str,
    reason: str = "",
    time_zone: str = "",
) -> Batch:
    """Add rows to the source of a feature view, so that they are looked up from the return on.

    They are a batch as any other: checked, published as a data version, and joined in training. Where the source has a
    `known_at` and a row does not say it, the row is known from now on. Handed in again, the same bytes get the same
    answer.

    Parameters
    ----------
    workspace : Workspace
    view : str
        Its name.
    content : bytes or Path
        A Parquet, Arrow, NDJSON or CSV file.
    actor, reason : str
        Who hands them in, and why.
    time_zone : str
        Of moments that have none.

    Raises
    ------
    UnknownView
    SeveralSources
    """
    with workspace.database.read() as tx:
        views = [each for spec in workspace.specs(tx).values() for each in spec.features]
    sources = sorted({each.source for each in views if each.name == view})
    if not sources:
        raise UnknownView(view, tuple(sorted({each.name for each in views})))
    if len(sources) > 1:
        raise SeveralSources(view, tuple(sources))
    adding = Adding(pushed=True, time_zone=time_zone, source=f"pushed to {view}")
    return add_batch(workspace, sources[0], content, actor=actor, reason=reason, adding=adding)
