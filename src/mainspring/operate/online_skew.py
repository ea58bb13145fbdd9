"""Whether features that were looked up during predictions are those that training joins at the same instants."""

from __future__ import annotations

__all__ = ["Difference", "FeatureSkew", "Reason", "online_skew"]

from collections import Counter
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from mainspring.features import BadJoin
from mainspring.operate.compact import prediction_log
from mainspring.operate.joining import join_features
from mainspring.operate.log_table import input_column
from mainspring.operate.skew import same_value
from mainspring.operate.snapshots import plain_values
from mainspring.operate.status import check_product
from mainspring.stores.tables import TableNotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

    from mainspring.product import FeatureViewSpec, ProductSpec
    from mainspring.workspace import Workspace

_AT, _LOOKED_UP, _EXAMPLES = "__at", "__looked_up_of", 5
_EVER = "30000d"


class Reason(StrEnum):
    """Why a value that was looked up is not the one that is joined."""

    LATE = "late"
    """A newer row came only after the prediction."""
    CORRECTED = "corrected"
    """The row of that time has other values now."""
    EXPIRED = "expired"
    """The row is older than the view's ttl allows now."""
    REMOVED = "removed"
    """The row is not there any more."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A value that was looked up, and the other one that is joined, each with the event time of its row."""

    at: datetime
    prediction_id: str | None
    entity: Any
    looked_up: Any
    looked_up_of: datetime | None
    joined: Any
    joined_of: datetime | None
    reason: Reason


class FeatureSkew(msgspec.Struct, frozen=True, kw_only=True):
    """What came of comparing one feature.

    Attributes
    ----------
    product, view, feature : str
    rows, equal, different : int
        Rows that were compared, and how many of them have the same value.
    reasons : dict of int
        Those that differ, by `Reason`.
    examples : list of Difference
        The newest of them.
    why : str
        Why rows were not compared; empty where all were.
    """

    product: str
    view: str
    feature: str
    rows: int = 0
    equal: int = 0
    different: int = 0
    reasons: dict[str, int] = {}
    examples: list[Difference] = []
    why: str = ""

    @property
    def sound(self) -> bool:
        """Whether values were compared, and none differs: what nothing speaks for is not taken for well."""
        return self.rows > 0 and not self.different


def online_skew(
    workspace: Workspace,
    product: str | None = None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[FeatureSkew]:
    """Compare what gateways looked up and logged with the join on the newest data at the same instants.

    Parameters
    ----------
    workspace : Workspace
    product : str, optional
        This one alone.
    since, until : datetime, optional
        Bounds of the predictions' times, both included.

    Returns
    -------
    list of FeatureSkew
        One for each feature of each view that is online.

    Raises
    ------
    mainspring.errors.NotFound
        There is no such product.
    """
    import polars as pl

    with workspace.database.read() as tx:
        if product is not None:
            check_product(tx, product)
        specs = workspace.specs(tx)
    found: list[FeatureSkew] = []
    for name, spec in specs.items():
        if not spec.online or product not in (None, name):
            continue
        rows, _ = prediction_log(workspace, name, since=since)
        if until is not None:
            rows = rows.filter(pl.col("at") <= until)
        for view in spec.online:
            found += _of_view(workspace, spec, view, rows)
    return found


def _of_view(
    workspace: Workspace, spec: ProductSpec, view: FeatureViewSpec, rows: pl.DataFrame
) -> Iterator[FeatureSkew]:
    import polars as pl

    def told(feature: str, why: str) -> FeatureSkew:
        return FeatureSkew(product=spec.name, view=view.name, feature=feature, why=why)

    own = pl.col("features_at").list.eval(pl.element().filter(pl.element().struct.field("view") == view.name))
    rows = rows.with_columns(own).filter(pl.col("features_at").list.len() > 0)
    rows = rows.with_columns(pl.col("features_at").list.first().struct.field("at").alias(_LOOKED_UP))
    if rows.is_empty():
        yield from (told(feature, "no prediction has looked it up") for feature in view.feature_names)
        return
    entity = input_column(view.entity)
    open_to_all = ~pl.col("redacted").list.contains(view.entity)
    hidden = rows.height - rows.filter(open_to_all).height
    if entity not in rows.columns or hidden == rows.height:
        why = f"the log does not hold {view.entity}"
        yield from (told(feature, why) for feature in view.feature_names)
        return
    rows = rows.filter(open_to_all)
    try:
        joined = _joined(
            workspace, spec, view, rows.select(pl.col("at").alias(_AT), pl.col(entity).alias(view.entity))
        )
    except (BadJoin, TableNotFound) as error:
        yield from (told(feature, str(error)) for feature in view.feature_names)
        return
    for feature in view.feature_names:
        column = input_column(feature)
        if column not in rows.columns or rows["redacted"].list.contains(feature).any():
            yield told(feature, f"the log does not hold {feature}")
        else:
            skew = _compared(spec.name, view, feature, rows, rows[column].to_list(), joined)
            why = f"{hidden:,} rows hide their {view.entity}" if hidden else ""
            yield msgspec.structs.replace(skew, why=why)


def _joined(
    workspace: Workspace, spec: ProductSpec, view: FeatureViewSpec, asked: pl.DataFrame
) -> pl.DataFrame:
    """The view's features as training would join them, and the event time of the row that they are of."""
    import polars as pl

    with workspace.database.read() as tx:
        newest = tx.data.newest(view.source)
    if newest is None:
        raise TableNotFound(view.source, None)
    source = workspace.tables.scan(view.source, newest.table_version).collect_schema()
    asked = asked.cast({view.entity: source[view.source_entity]}, strict=False)
    with_time = msgspec.structs.replace(
        view, features=tuple(dict.fromkeys((*view.features, view.event_time)))
    )
    whenever = msgspec.structs.replace(view, ttl=_EVER, features=(view.event_time,))
    frames = [
        join_features(
            asked,
            at=_AT,
            views=[each],
            keys={every.name: every.key for every in spec.datasets},
            tables=workspace.tables,
            versions={view.source: newest.table_version},
            known=workspace.clock.now(),
        )
        for each in (with_time, whenever)
    ]
    return pl.concat(
        [frames[0], frames[1].select(pl.col(view.event_time).alias(_LOOKED_UP))], how="horizontal"
    )


def _compared(
    product: str,
    view: FeatureViewSpec,
    feature: str,
    rows: pl.DataFrame,
    looked_up: list[Any],
    joined: pl.DataFrame,
) -> FeatureSkew:
    values = plain_values(joined[feature]).to_list()
    reasons: Counter[str] = Counter()
    examples: list[Difference] = []
    at, ids, entities = rows["at"], rows["prediction_id"], joined[view.entity]
    used, joined_of, ever = rows[_LOOKED_UP], joined[view.event_time], joined[_LOOKED_UP]
    # The newest first, of which some are told.
    for row in reversed(range(rows.height)):
        if same_value(looked_up[row], values[row]):
            continue
        reason = _reason(used[row], joined_of[row], ever[row])
        reasons[reason.value] += 1
        if len(examples) < _EXAMPLES:
            examples.append(
                Difference(
                    at=at[row],
                    prediction_id=ids[row],
                    entity=entities[row],
                    looked_up=looked_up[row],
                    looked_up_of=used[row],
                    joined=values[row],
                    joined_of=joined_of[row],
                    reason=reason,
                )
            )
    different = reasons.total()
    return FeatureSkew(
        product=product,
        view=view.name,
        feature=feature,
        rows=rows.height,
        equal=rows.height - different,
        different=different,
        reasons=dict(sorted(reasons.items())),
        examples=examples,
    )


def _reason(looked_up: datetime | None, joined: datetime | None, ever: datetime | None) -> Reason:
    """Say why, by the event times of the row that was looked up, of the one that is joined, and of that at any age."""
    if ever is not None and (looked_up is None or ever > looked_up):
        return Reason.LATE
    if ever != looked_up:
        return Reason.REMOVED
    return Reason.CORRECTED if joined is not None else Reason.EXPIRED
