"""What a record of the prediction log says of the units of a rollout."""

from __future__ import annotations

__all__ = ["metrics_of", "units_of"]

from typing import TYPE_CHECKING

from mainspring.rollouts import OTHER, Rollout, UnitOutcome
from mainspring.rollouts.timing import is_timed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mainspring.monitoring.record import PredictionRecord
    from mainspring.monitoring.store import OpenPrediction
    from mainspring.task import Task


def metrics_of(
    prediction: OpenPrediction, rollout: Rollout, metrics: Mapping[str, float]
) -> list[UnitOutcome]:
    """Figures that came for a prediction, if its version was the one that its unit is compared as.

    A prediction whose version the caller has named is kept with no unit, and is part of no comparison.
    """
    if not prediction.unit or rollout.shadow_share:
        return []
    [version] = rollout.assign([prediction.unit])
    if version != prediction.version:
        return []
    return [UnitOutcome(unit=prediction.unit, version=version, metrics=metrics)]


def units_of(record: PredictionRecord, rollout: Rollout, task: Task) -> list[UnitOutcome]:
    """What a request says of the units that it asked for."""
    failed = {(failure.row, failure.version) for failure in record.failures}
    assigned = rollout.assign(record.units)
    shadow = record.shadow.get(str(rollout.challenger)) if rollout.shadow_share else None
    given = record.columns if rollout.slices else {}
    columns = {name: given.get(name, []) for name in rollout.slices}
    timed = not failed and _is_timed(record, rollout)
    units = []
    for row, (unit, version) in enumerate(zip(record.units, assigned, strict=True)):
        if version is None or (rollout.shadow_share and (shadow is None or shadow[row] is None)):
            continue
        answered = record.versions[row] if record.versions else None
        if version != answered and (row, version) not in failed:
            continue  # another version was asked: under the route before, or for a request that nobody could answer
        units.append(
            UnitOutcome(
                unit=unit,
                version=version,
                failed=(row, version) in failed,
                took_s=record.took_s.get(str(version)) if timed and row == 0 else None,
                score=task.share(record.scores[row]) if version == answered else None,
                slices={
                    name: _slice(values[row] if values else None, rollout.slices[name])
                    for name, values in columns.items()
                },
            )
        )
    return units


def _is_timed(record: PredictionRecord, rollout: Rollout) -> bool:
    shares = {version: share for version, share in rollout.shares.items() if version != rollout.champion}
    # The champion's call has the rows of dropped challengers as well.
    shares[rollout.champion] = 1.0 - sum(shares.values())
    served = {version: share for version, share in shares.items() if share > 0}
    return bool(record.versions) and is_timed(record.units, record.versions, served, record.ids[0])


def _slice(value: object, known: Sequence[str]) -> str:
    text = "null" if value is None else str(value)
    return text if text in known else OTHER
