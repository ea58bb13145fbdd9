"""Certifying a shadow: pairs from the prediction log, the certificate, and what it lets the rollout do."""

from __future__ import annotations

__all__ = ["NoShadow", "certificate_of", "certify_due", "certify_shadow", "version_certificate"]

from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from mainspring.clock import parse_time, time_text
from mainspring.digest import Digest
from mainspring.errors import Conflict
from mainspring.events import EventType
from mainspring.operate.acts.roll_out import keep_champion
from mainspring.operate.acts.stage import LOOP, Stage
from mainspring.operate.compact import prediction_log
from mainspring.operate.log_table import input_column, outcome, truth
from mainspring.operate.status import check_product
from mainspring.operate.steer import NoRollout
from mainspring.operate.verify_version import need_sound
from mainspring.ref import ModelRef
from mainspring.rollouts import Mode, Phase
from mainspring.rollouts.certificate import Certificate, LossTerm, Pair, Terms, Verdict, certify
from mainspring.strategy import LOSSES, NoMoreErrors, NotWorse, SameOutputs
from mainspring.task import Regression

if TYPE_CHECKING:
    import polars as pl

    from mainspring.product import ProductSpec
    from mainspring.rollouts import Rollout
    from mainspring.stores.sql.database import Transaction
    from mainspring.task import Task
    from mainspring.workspace import Workspace

_AGAIN = timedelta(hours=1)


class NoShadow(Conflict):
    """A rollout that has no shadow at present."""

    def __init__(self, product: str, mode: str) -> None:
        super().__init__(product, mode)
        self.product, self.mode = product, mode

    def __str__(self) -> str:
        return (
            f"The rollout of {self.product!r} has no shadow at present (it is in {self.mode}), so there are no pairs "
            "of answers to certify. Declare `Shadow(then=…)` to begin with one."
        )


def certify_due(workspace: Workspace, spec: ProductSpec) -> Certificate | None:
    """Certify a product's shadow when it has lasted long enough, and again from time to time until it is decided.

    Returns
    -------
    Certificate or None
        None where there is nothing to certify now.
    """
    now = workspace.clock.now()
    with workspace.database.read() as tx:
        rollout = tx.rollouts.running(spec.name)
        step = rollout.present if rollout else None
        if rollout is None or step is None or step.mode is not Mode.SHADOW or rollout.certificate:
            return None
        if rollout.phase is not Phase.RUNNING or now - rollout.step_started_at < step.bake:
            return None
        asked = tx.values.get(_asked(rollout))
        if asked is not None and now - parse_time(asked) < max(_AGAIN, step.bake / 24):
            return None
    return _certify(workspace, spec, rollout, actor=LOOP, reason="the shadow has lasted for its bake")


def certify_shadow(workspace: Workspace, product: str, *, actor: str, reason: str) -> Certificate:
    """Compare the shadow's answers with the champion's now: let the rollout go on if certified, end it if refused.

    Asked again, on more pairs, it gives another certificate: its intervals hold for all looks at once.

    Parameters
    ----------
    workspace : Workspace
    product : str
    actor, reason : str
        Who asks, and why.

    Returns
    -------
    Certificate
        Kept whatever it says, with the version that it is about; an event tells of it.

    Raises
    ------
    UnknownProduct, NoRollout, NoShadow
        There is no shadow.
    """
    with workspace.database.read() as tx:
        check_product(tx, product)
        spec = workspace.specs(tx)[product]
        rollout = tx.rollouts.running(product)
    if rollout is None:
        raise NoRollout(product)
    step = rollout.present
    if step is None or step.mode is not Mode.SHADOW:
        raise NoShadow(product, step.mode.value if step else "no step")
    return _certify(workspace, spec, rollout, actor=actor, reason=reason)


def _certify(
    workspace: Workspace, spec: ProductSpec, rollout: Rollout, *, actor: str, reason: str
) -> Certificate:
    with workspace.database.read() as tx:
        challenger = tx.registry.get(ModelRef(rollout.product, rollout.challenger))
    need_sound(workspace, challenger)  # what is certified is what was registered
    pairs, champion_failed = read_pairs(workspace, spec, rollout)
    found = certify(
        rollout.product,
        rollout.champion,
        rollout.challenger,
        pairs,
        terms_of(rollout, spec.task),
        champion_failed=champion_failed,
    )
    digest = workspace.blobs.put(msgspec.json.encode(found, order="deterministic"))
    stage = Stage(workspace, spec, lambda place: None)
    told = f"{found.verdict.value.replace('_', ' ')}: {'; '.join(found.reasons)}"
    with workspace.database.write() as tx:
        now = tx.rollouts.running(rollout.product)
        if now is None or now.rollout_id != rollout.rollout_id:
            raise NoRollout(rollout.product)
        before = certificate_of(workspace, tx, now)
        tx.values.put(_asked(rollout), time_text(stage.now))
        tx.values.put(_key(rollout), digest)
        # The loop asks again and again while data is lacking, and tells of it once.
        if actor != LOOP or before is None or before.verdict is not found.verdict:
            stage.event(
                tx,
                EventType.ROLLOUT_CERTIFIED
                if found.verdict is Verdict.CERTIFIED
                else EventType.ROLLOUT_NOT_CERTIFIED,
                ModelRef(rollout.product, rollout.challenger),
                f"{reason}; {told}",
                actor=actor,
                cycle=rollout.rollout_id,
                certificate=digest,
                verdict=found.verdict.value,
                rows=found.rows,
                units=found.overall.units,
            )
        match found.verdict:
            case Verdict.CERTIFIED:
                tx.rollouts.put(now.certified(digest))
            case Verdict.REFUSED:
                cycle = tx.loop.get(now.rollout_id)  # a rollout has the id of its cycle
                keep_champion(
                    stage, tx, cycle, now.rolled_back(), f"its shadow certificate is {told}", actor=actor
                )
            case Verdict.INSUFFICIENT_DATA:
                pass
    return found


def certificate_of(workspace: Workspace, tx: Transaction, rollout: Rollout) -> Certificate | None:
    """Give the newest certificate of a rollout's challenger, whatever it says."""
    return version_certificate(workspace, tx, ModelRef(rollout.product, rollout.challenger))


def version_certificate(workspace: Workspace, tx: Transaction, ref: ModelRef) -> Certificate | None:
    """Give the newest certificate of a model version."""
    digest = tx.values.get(f"certificate:{ref.product}:{ref.version}")
    if digest is None:
        return None
    return msgspec.json.decode(workspace.blobs.get(Digest(digest)), type=Certificate)


def _key(rollout: Rollout) -> str:
    return f"certificate:{rollout.product}:{rollout.challenger}"


def _asked(rollout: Rollout) -> str:
    return f"certificate-asked:{rollout.rollout_id}"


def terms_of(rollout: Rollout, task: Task) -> Terms:
    """Say what a rollout's guards ask of its shadow.

    `NotWorse` asks of the loss, `NoMoreErrors` of failures and `SameOutputs` of the answers. `NotSlower` and
    `NotLess` ask nothing: a shadow's calls have no client waiting, and what callers report follows from what was
    answered.
    """
    losses: list[LossTerm] = []
    failures, same_outputs = None, None
    columns: set[str] = set()
    for guard in rollout.strategy.guards:
        match guard:
            case NotWorse() if guard.metric in LOSSES:
                losses.append(
                    LossTerm(
                        metric=guard.metric,
                        margin=guard.margin,
                        within=guard.within,
                        alpha=guard.alpha,
                        beta=guard.beta,
                    )
                )
            case NoMoreErrors():
                failures = guard.alpha
            case SameOutputs():
                same_outputs = guard.alpha
            case _:
                continue
        columns.update(guard.slices)
    return Terms(
        minimum_units=rollout.present.minimum_units if rollout.present else 0,
        losses=tuple(losses),
        failures=failures,
        same_outputs=same_outputs,
        slices={column: rollout.slices.get(column, ()) for column in sorted(columns)},
        numbers=task if isinstance(task, Regression) else None,
    )


def read_pairs(workspace: Workspace, spec: ProductSpec, rollout: Rollout) -> tuple[list[Pair], int]:
    """Read what both versions have answered since the shadow began.

    Returns
    -------
    list of Pair
        In the order of the log.
    int
        For how many units the champion failed, so that the shadow was not asked.
    """
    import polars as pl

    since, labels = prediction_log(workspace, spec.name, since=rollout.step_started_at)
    champion_failed = since.filter(_failed(rollout.champion))["unit"].n_unique()
    asked = (
        since.filter(pl.col("version") == rollout.champion, ~pl.col("pinned").fill_null(value=False))
        .explode("shadow")
        .filter(pl.col("shadow").struct.field("version") == rollout.challenger)
        .with_columns(pl.col("shadow").struct.field("score").alias("theirs"))
        # Without an answer and without a failure it was not asked: its share has no room for that unit.
        .filter(pl.col("theirs").is_not_null() | _failed(rollout.challenger))
        .join(truth(labels).with_columns(outcome(spec)), on="prediction_id", how="left")
        .sort("at", "prediction_id", maintain_order=True)
    )
    columns = [pl.col(input_column(name)).cast(pl.String) for name in rollout.slices]
    given = asked.select("prediction_id", "unit", "score", "theirs", "outcome", *columns)
    pairs = [
        Pair(
            example=example,
            unit=unit,
            champion=score,
            shadow=theirs,
            outcome=known,
            values={
                name: "null" if value is None else value
                for name, value in zip(rollout.slices, values, strict=True)
            },
        )
        for example, unit, score, theirs, known, *values in given.iter_rows()
    ]
    return pairs, champion_failed


def _failed(version: int) -> pl.Expr:
    import polars as pl

    return pl.col("failures").str.contains(rf"(^|; ){version}: ").fill_null(value=False)
