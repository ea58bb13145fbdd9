"""Feature views as a person looks for them: whose features there are, how new they are, and who uses them."""

from __future__ import annotations

__all__ = ["FeatureRow", "ViewReport", "ViewRow", "feature_views", "view_report"]

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from mainspring.operate.materialize import UnknownView
from mainspring.operate.profiling import PartRow, profile_data
from mainspring.product import Mean
from mainspring.ref import DataAddress

if TYPE_CHECKING:
    from mainspring.product import FeatureViewSpec, ProductSpec
    from mainspring.workspace import Workspace


class ViewRow(msgspec.Struct, frozen=True, kw_only=True):
    """A feature view of a product.

    Attributes
    ----------
    product, view : str
        Whose, and its name.
    source : str
        The data version that it looks in, or the dataset while there is none.
    entity, source_entity : str
        The column that says whose features are wanted, and the source's of whose row it is.
    ttl : str
        How old a value may be and still be used.
    online : str
        Where it is looked up: `memory`, `store`, or empty where gateways do not.
    rows : int or None
        Of the source.
    newest : datetime or None
        The newest event time of the source.
    features, used : list of str
        All of them, and those that are inputs of the product.
    """

    product: str
    view: str
    source: str
    entity: str
    source_entity: str
    ttl: str
    online: str
    rows: int | None
    newest: datetime | None
    features: list[str]
    used: list[str]


class FeatureRow(msgspec.Struct, frozen=True, kw_only=True):
    """A feature of a view.

    Attributes
    ----------
    feature, of : str
        Its name, and what it is of the source: a column, or the mean of one.
    used : bool
        Whether it is an input of the product.
    statistics : list of PartRow
        Of the source's column, over all rows of the newest version: one, or one for each part of a text or a list. None
        while there is no version.
    """

    feature: str
    of: str
    used: bool
    statistics: list[PartRow]


class ViewReport(msgspec.Struct, frozen=True, kw_only=True):
    """A feature view with its features."""

    view: ViewRow
    features: list[FeatureRow]


def feature_views(workspace: Workspace, view: str | None = None) -> list[ViewRow]:
    """Give the feature views of all products, by product and as they are declared.

    Parameters
    ----------
    workspace : Workspace
    view : str, optional
        Those of this name alone.

    Raises
    ------
    UnknownView
        No product has one of that name.
    """
    return [_row(workspace, spec, each) for spec, each in _views(workspace, view)]


def view_report(workspace: Workspace, view: str) -> list[ViewReport]:
    """Give the feature views of one name, with the statistics of their features; raises `UnknownView`."""
    found = []
    for spec, each in _views(workspace, view):
        row = _row(workspace, spec, each)
        parts: dict[str, list[PartRow]] = {}
        if row.rows:
            for part in profile_data(workspace, DataAddress.parse(row.source))[0].columns:
                parts.setdefault(part.column.partition("[")[0], []).append(part)
        features = []
        for feature, name in zip(each.features, each.feature_names, strict=True):
            column = feature.column if isinstance(feature, Mean) else each.source_column(name)
            of = f"mean of {column} over {feature.over}" if isinstance(feature, Mean) else column
            features.append(
                FeatureRow(feature=name, of=of, used=name in row.used, statistics=parts.get(column, []))
            )
        found.append(ViewReport(view=row, features=features))
    return found


def _views(workspace: Workspace, name: str | None) -> list[tuple[ProductSpec, FeatureViewSpec]]:
    with workspace.database.read() as tx:
        specs = workspace.specs(tx)
    views = [(spec, view) for spec in specs.values() for view in spec.features]
    found = [(spec, view) for spec, view in views if name in (None, view.name)]
    if name is not None and not found:
        raise UnknownView(name, tuple(sorted({view.name for _, view in views})))
    return found


def _row(workspace: Workspace, spec: ProductSpec, view: FeatureViewSpec) -> ViewRow:
    import polars as pl

    with workspace.database.read() as tx:
        version = tx.data.newest(view.source)
    newest = None
    if version is not None:
        rows = workspace.tables.scan(view.source, version.table_version)
        newest = rows.select(pl.col(view.event_time).max()).collect().item()
    inputs = {column.name for column in spec.inputs}
    return ViewRow(
        product=spec.name,
        view=view.name,
        source=str(version.ref) if version else view.source,
        entity=view.entity,
        source_entity=view.source_entity,
        ttl=view.ttl,
        online="memory" if view.online is True else view.online or "",
        rows=version.rows if version else None,
        newest=newest,
        features=[*view.feature_names],
        used=[name for name in view.feature_names if name in inputs],
    )
