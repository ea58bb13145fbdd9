"""Training/serving skew: features as they were served, and as they would be learned, once all sources have told."""

from __future__ import annotations

__all__ = ["join_days", "same_value"]

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from mainspring.features.join import BadJoin
from mainspring.monitoring.sample import RowSample
from mainspring.monitoring.skew import SkewTable
from mainspring.monitors import ServingSkew
from mainspring.operate.event_time import newest_moment
from mainspring.operate.joining import join_features
from mainspring.operate.sights.joint import ROWS
from mainspring.operate.sights.skew import SKEW

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    import polars as pl

    from mainspring.data import DataVersion
    from mainspring.product import FeatureViewSpec, ProductSpec
    from mainspring.registry import ModelVersion
    from mainspring.workspace import Workspace

_AT = "__asked"
_EQUAL = 1e-5
"""Numbers are the same that differ by no more than so much of themselves: they may have been sent in 32 bits."""


def join_days(workspace: Workspace, spec: ProductSpec, version: ModelVersion, today: date) -> None:
    """Join the sampled rows of each day with their features anew, once every source has rows of a later time.

    A day is joined once. Until its sources have told it is looked at by no monitor.
    """
    if not any(isinstance(each, ServingSkew) for each in spec.monitors):
        return
    with workspace.database.read() as tx:
        done = tx.monitoring.tables(spec.name, version.number, SKEW)
        sources = {view.source: tx.data.newest(view.source) for view in spec.features}
        samples = {
            day: RowSample.from_json(text)
            for day, text in tx.monitoring.tables(spec.name, version.number, ROWS).items()
            if day < today and day not in done
        }
    reached = _reached(workspace, spec, sources)
    told = {
        day: sample
        for day, sample in samples.items()
        if reached is not None and reached >= datetime.combine(day + timedelta(days=1), time(), UTC)
    }
    texts = {day: _table(workspace, spec, sources, sample).to_json() for day, sample in told.items()}
    if texts:
        with workspace.database.write() as tx:
            for day, text in texts.items():
                tx.monitoring.put_table(spec.name, version.number, SKEW, day, text)


def _reached(
    workspace: Workspace, spec: ProductSpec, sources: Mapping[str, DataVersion | None]
) -> datetime | None:
    """How far the time has come by which all views are joined; None where a source has no row yet."""
    reached = []
    for view in spec.features:
        version = sources[view.source]
        if version is None:
            return None
        newest = newest_moment(workspace.tables, view.source, version.table_version, view.event_time)
        if newest is None:
            return None
        reached.append(newest)
    return min(reached, default=None)


def _table(
    workspace: Workspace, spec: ProductSpec, sources: Mapping[str, DataVersion | None], sample: RowSample
) -> SkewTable:
    import polars as pl

    inputs = {each.name for each in spec.inputs}
    served = {name for view in spec.features for name in view.feature_names if name in inputs}
    entities = {view.entity for view in spec.features if served & set(view.feature_names)}
    if lacking := sorted((entities | served) - sample.columns.keys()):
        return SkewTable(why=f"the log does not hold {', '.join(lacking)}")
    types: dict[str, Any] = {"BYTES": pl.String, "BOOL": pl.Boolean, "INT64": pl.Int64}
    declared = {each.name: types.get(each.dtype, pl.Float64) for each in spec.data.columns}
    rows = pl.DataFrame(
        {_AT: sample.at, **{name: sample.columns[name] for name in sorted(entities)}},
        schema={_AT: pl.Datetime("us", "UTC"), **{name: declared[name] for name in sorted(entities)}},
        strict=False,
    )
    try:
        joined = join_features(
            rows,
            at=_AT,
            views=[_used(view, served) for view in spec.features if served & set(view.feature_names)],
            keys={each.name: each.key for each in spec.datasets},
            tables=workspace.tables,
            versions={name: version.table_version for name, version in sources.items() if version},
            known=workspace.clock.now(),
        )
    except BadJoin as error:
        return SkewTable(why=str(error))
    return SkewTable(counts={name: _compared(sample.columns[name], joined[name]) for name in sorted(served)})


def _used(view: FeatureViewSpec, served: set[str]) -> FeatureViewSpec:
    import msgspec

    kept = tuple(each for each, name in zip(view.features, view.feature_names, strict=True) if name in served)
    return msgspec.structs.replace(view, features=kept)


def _compared(served: list[Any], learned: pl.Series) -> tuple[int, int]:
    """Count the rows whose two values are the same, and those whose are not; NaN is a null."""
    same = sum(same_value(one, other) for one, other in zip(served, learned.to_list(), strict=True))
    return same, len(served) - same


def same_value(one: object, other: object) -> bool:
    """Whether two values are the same to a model: NaN is a null, and floats may have been sent in 32 bits."""
    one, other = (None if isinstance(each, float) and each != each else each for each in (one, other))
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other) <= _EQUAL * max(abs(one), abs(other), _EQUAL)
    return one == other
