"""Features as a gateway would look them up, for whoever asks the control plane."""

from __future__ import annotations

__all__ = ["Asked", "NoSuchFeature", "NoSuchService", "NoSuchView", "features_of", "look_up_online"]

from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from mainspring.errors import Invalid, NotFound
from mainspring.features.online import Found, Snapshot, look_up, snapshot_name, use
from mainspring.features.store import NothingPublished
from mainspring.operate.snapshots import snapshots_in_force

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mainspring.digest import Digest
    from mainspring.features.online import Value
    from mainspring.product import FeatureViewSpec
    from mainspring.stores.blobs import FileBlobs
    from mainspring.workspace import Workspace

Asked: TypeAlias = tuple[str, str]
"""A view and a feature of it, by name."""

_SNAPSHOTS = 8


class NoSuchView(NotFound):
    """A view that no product declares online."""

    def __init__(self, view: str, known: tuple[str, ...]) -> None:
        super().__init__(view, known)
        self.view, self.known = view, known

    def __str__(self) -> str:
        known = ", ".join(self.known) or "none"
        return f"There is no feature view {self.view[:100]!r} online. Those that are: {known}."


class NoSuchFeature(NotFound):
    """A feature that its view does not have online."""

    def __init__(self, view: str, feature: str, known: tuple[str, ...]) -> None:
        super().__init__(view, feature, known)
        self.view, self.feature, self.known = view, feature, known

    def __str__(self) -> str:
        return (
            f"Feature view {self.view} has no {self.feature[:100]!r} online. It has {', '.join(self.known)}."
        )


class NoSuchService(NotFound):
    """A product that there is not, by whose name its features are asked for."""

    def __init__(self, service: str, known: tuple[str, ...]) -> None:
        super().__init__(service, known)
        self.service, self.known = service, known

    def __str__(self) -> str:
        known = ", ".join(self.known) or "none"
        return f"There is no product {self.service[:100]!r} with features online. Those that have: {known}."


class Unanswerable(Invalid):
    """Entities that do not say whose features are asked for."""


def features_of(workspace: Workspace, service: str) -> list[Asked]:
    """Give the features that a product has online, by its name; raises `NoSuchService`."""
    with workspace.database.read() as tx:
        specs = workspace.specs(tx)
    online = {name: spec.online for name, spec in specs.items() if spec.online}
    if service not in online:
        raise NoSuchService(service, tuple(online))
    return [(view.name, feature) for view in online[service] for feature in view.feature_names]


def look_up_online(
    workspace: Workspace, features: Sequence[Asked], entities: Mapping[str, Sequence[Value]]
) -> list[tuple[Asked, Found]]:
    """Look features up as of now.

    Parameters
    ----------
    workspace : Workspace
    features : sequence of (str, str)
    entities : mapping of str to sequence
        By the name of the entity its values, as many of each.

    Returns
    -------
    list of ((str, str), Found)
        For each feature what was found of its view.

    Raises
    ------
    NoSuchView, NoSuchFeature, Unanswerable
    NothingPublished
        The view's source has no data yet.
    StoreUnavailable
    """
    if len({len(values) for values in entities.values()}) > 1:
        raise Unanswerable("All entities must have as many values.")
    with workspace.database.read() as tx:
        views = [view for spec in workspace.specs(tx).values() for view in spec.online]
        taken = snapshots_in_force(tx)
    chosen = [_holding(views, *asked) for asked in features]
    lacking = sorted({view.entity for view in chosen} - {name for name, values in entities.items() if values})
    if lacking:
        raise Unanswerable(f"Values are missing of the entities: {', '.join(lacking)}.")
    now = workspace.clock.now()
    found: dict[FeatureViewSpec, Found] = {}
    for view in dict.fromkeys(chosen):
        name, of = snapshot_name(view), entities[view.entity]
        if view.online == "store":
            found[view] = use(view, of, workspace.online.read(name, of, now), now)
        elif name in taken:
            found[view] = look_up(view, _snapshot(workspace.blobs, taken[name].digest), of, now)
        else:
            raise NothingPublished(view.name)
    return [(asked, found[view]) for asked, view in zip(features, chosen, strict=True)]


def _holding(views: Sequence[FeatureViewSpec], name: str, feature: str) -> FeatureViewSpec:
    named = [view for view in views if view.name == name]
    if not named:
        raise NoSuchView(name, tuple(sorted({view.name for view in views})))
    for view in named:
        if feature in view.feature_names:
            return view
    known = sorted({each for view in named for each in view.feature_names})
    raise NoSuchFeature(name, feature, tuple(known))


@lru_cache(_SNAPSHOTS)
def _snapshot(blobs: FileBlobs, digest: Digest) -> Snapshot:
    return Snapshot(blobs.get(digest))
