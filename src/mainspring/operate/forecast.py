"""Forecasts of rollouts from the prediction log: what one will need, and how it would have gone on past traffic."""

from __future__ import annotations

__all__ = ["NoTraffic", "NothingServes", "expectation", "plan_begun", "plan_rollout", "simulate_rollout"]

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from mainspring.clock import duration_text
from mainspring.errors import Conflict
from mainspring.events import EventType
from mainspring.formats.onnx import OnnxModel
from mainspring.formats.served import feed, is_native
from mainspring.operate.acts.stage import Stage
from mainspring.operate.column_types import as_numbers
from mainspring.operate.compact import prediction_log
from mainspring.operate.log_table import input_column, outcome, truth
from mainspring.operate.status import check_product
from mainspring.operate.verify_version import need_sound
from mainspring.ref import ModelRef
from mainspring.rollouts import OTHER, Rollout, latency_bucket
from mainspring.rollouts.observed import answer_bin
from mainspring.rollouts.plan import Baseline, Harm, Moments, Pace, Plan, plan
from mainspring.rollouts.simulate import Answers, Effect, Simulation, Traffic, simulate
from mainspring.strategy import Shadow
from mainspring.task import answer_shares

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from mainspring.product import ProductSpec
    from mainspring.stores.sql.database import Transaction
    from mainspring.strategy import Strategy
    from mainspring.workspace import Workspace

_LATELY = timedelta(days=7)
_SLICES = 20
_ASSUMED_FAILING = 0.01
_ASSUMED_MS = (5.0, 0.5)  # median, and spread of the logarithm


class NothingServes(Conflict):
    """A product without a champion, so that a version would be promoted without a rollout."""

    def __init__(self, product: str) -> None:
        super().__init__(product)
        self.product = product

    def __str__(self) -> str:
        return f"No version of {self.product!r} serves yet: its first one is promoted without a rollout."


class NoTraffic(Conflict):
    """A product of whose traffic the log has nothing."""

    def __init__(self, product: str) -> None:
        super().__init__(product)
        self.product = product

    def __str__(self) -> str:
        return (
            f"There is no traffic to simulate with: the log has no prediction of {self.product!r} by a version that "
            "was not asked for by name."
        )


def plan_rollout(workspace: Workspace, product: str, harm: Harm | None = None) -> Plan:
    """Say what the rollout in progress, or else the next one, is expected to need.

    How the champion's units behave, and how many come, is read from the last seven days of the prediction log.

    Parameters
    ----------
    workspace : Workspace
    product : str
    harm : Harm, optional
        To be found.

    Raises
    ------
    UnknownProduct, NothingServes
        There is no such product, or no champion to compare with.
    """
    with workspace.database.read() as tx:
        spec, rollout = _begin(workspace, tx, product)
        latencies = _latencies(tx, rollout)
    log = _Log.read(workspace, spec, last=_LATELY)
    return plan(rollout, log.baseline(rollout.champion, latencies), harm or Harm(), log.pace(_LATELY))


def plan_begun(workspace: Workspace, spec: ProductSpec) -> Plan | None:
    """Write into the ledger, once for each rollout, what was expected of it when it began.

    It is no part of beginning: drawing units takes seconds, for which no transaction should stand open.

    Returns
    -------
    Plan or None
        None where no rollout has begun since.
    """
    with workspace.database.read() as tx:
        rollout = tx.rollouts.running(spec.name)
        if rollout is None or tx.values.get(f"planned:{rollout.rollout_id}") is not None:
            return None
    found = plan_rollout(workspace, spec.name)
    stage = Stage(workspace, spec, lambda place: None)
    with workspace.database.write() as tx:
        tx.values.put(f"planned:{rollout.rollout_id}", "yes")
        stage.event(
            tx,
            EventType.ROLLOUT_PLANNED,
            ModelRef(spec.name, rollout.challenger),
            expectation(found),
            cycle=rollout.rollout_id,
            plan=found.to_dict(),
        )
    return found


def expectation(found: Plan) -> str:
    """Say in a sentence what a plan comes to."""
    if found.hours is None:
        return "of a challenger without harm, no promotion is to be expected on traffic as it was of late"
    told = (
        f"a challenger without harm is expected to be promoted after {duration_text(_rounded(found.hours))}"
    )
    if not found.fits and found.horizon_hours is not None:
        told += f", which is later than the horizon of {duration_text(_rounded(found.horizon_hours))}"
    return told


def _rounded(hours: float) -> timedelta:
    """A duration to the minute below a day, and else to the hour."""
    unit = 60 if hours < 24 else 3600
    return timedelta(seconds=round(hours * 3600 / unit) * unit)


def simulate_rollout(
    workspace: Workspace,
    product: str,
    effect: Effect,
    *,
    versions: Sequence[int] = (),
    runs: int = 200,
    days: float = 30.0,
) -> Simulation:
    """Run the declared rollout over logged traffic, many times.

    A version is asked again for the rows that another one has answered.

    Parameters
    ----------
    workspace : Workspace
    product : str
    effect : Effect
        Put into the challengers' answers.
    versions : sequence of int
        The champion, then the challengers; without any, the champion against itself.
    runs : int
        Each with another split.
    days : float
        How much of the newest traffic.

    Raises
    ------
    UnknownProduct, NothingServes, mainspring.registry.ModelVersionNotFound
        There is no such product, or version.
    NoTraffic
        Nothing is in the log.
    """
    with workspace.database.read() as tx:
        spec, begun = _begin(workspace, tx, product)
        for version in versions:
            tx.registry.get(ModelRef(product, version))
        latencies = _latencies(tx, begun)
    champion = versions[0] if versions else begun.champion
    # Against itself a version needs another number, since a split is one of versions.
    rest = tuple(versions[1:]) or (max(champion, begun.challenger) + 1,)
    strategy = begun.strategy.then if isinstance(begun.strategy, Shadow) else begun.strategy
    log = _Log.read(workspace, spec, last=timedelta(days=days))
    rollout = Rollout.start(
        rollout_id=f"simulation-{product}",
        product=product,
        champion=champion,
        challengers=rest,
        strategy=strategy,
        at=begun.started_at,
        slices=begun.slices or log.slices(strategy),
    )
    traffic = log.traffic(rollout.slices)
    answers = {champion: log.answers(workspace, champion, latencies)}
    for version in rest:
        answers[version] = log.answers(workspace, version, latencies) if versions[1:] else answers[champion]
    return simulate(rollout, traffic, answers, effect, range(runs))


def _begin(workspace: Workspace, tx: Transaction, product: str) -> tuple[ProductSpec, Rollout]:
    """The rollout in progress as it began, or the next one as it would begin."""
    check_product(tx, product)
    spec = workspace.specs(tx)[product]
    running = tx.rollouts.running(product)
    if running is not None:
        return spec, replace(running, step=0)
    champion = tx.registry.aliases(product).get("champion")
    if champion is None:
        raise NothingServes(product)
    newest = max(version.number for version in tx.registry.versions(product))
    count = _challengers(spec.rollout)
    return spec, Rollout.start(
        rollout_id=f"{product}-next",
        product=product,
        champion=champion,
        challengers=tuple(range(newest + 1, newest + 1 + count)),
        strategy=spec.rollout,
        at=workspace.clock.now(),
    )


def _challengers(strategy: Strategy) -> int:
    test = strategy.then if isinstance(strategy, Shadow) else strategy
    return len(getattr(test, "shares", (None,)))


def _latencies(tx: Transaction, rollout: Rollout) -> dict[int, float]:
    """How long the calls of units have taken in the newest rollouts, by bucket; those of challengers stand for all."""
    for earlier in reversed(tx.rollouts.rollouts(rollout.product)):
        counts: dict[int, float] = {}
        for step in range(earlier.step + 1):
            for unit in tx.rollouts.units(f"{earlier.rollout_id}/{step}"):
                if unit.took_s is not None and unit.version == earlier.champion:
                    bucket = latency_bucket(1000 * unit.took_s)
                    counts[bucket] = counts.get(bucket, 0.0) + 1
        if counts:
            return counts
    return {}


@dataclass(frozen=True, slots=True)
class _Log:
    """The newest rows of a product's prediction log, oldest first, each with its outcome where that is known."""

    spec: ProductSpec
    rows: pl.DataFrame
    reported: dict[str, pl.DataFrame]

    @classmethod
    def read(cls, workspace: Workspace, spec: ProductSpec, *, last: timedelta) -> _Log:
        import polars as pl

        predictions, labels = prediction_log(workspace, spec.name)
        predictions = predictions.filter(
            pl.col("version").is_not_null(), ~pl.col("pinned").fill_null(value=False)
        )
        if predictions.height:
            newest = predictions["at"].max()
            predictions = predictions.filter(pl.col("at") > newest - last)  # type: ignore[operator]
        came = (
            labels.filter(pl.col("metric") == "")
            .group_by("prediction_id")
            .agg(pl.col("at").min().alias("known"))
        )
        outcomes = truth(labels).select("prediction_id", outcome(spec))
        rows = (
            predictions.join(came, on="prediction_id", how="left")
            .join(outcomes, on="prediction_id", how="left")
            .sort("at", "prediction_id", maintain_order=True)
        )
        reported = {}
        for (metric,), part in labels.filter(pl.col("metric") != "").group_by("metric", maintain_order=True):
            figures = part.unique("prediction_id", keep="first", maintain_order=True)
            reported[str(metric)] = figures.select(
                "prediction_id", pl.col("value").cast(pl.Float64, strict=False).alias("figure")
            )
        return cls(spec, rows, reported)

    def pace(self, last: timedelta) -> Pace:
        """How many different units have asked, over the time since the first did; a day at least."""
        if not self.rows.height:
            return Pace(units=0, days=last / timedelta(days=1))
        covered: timedelta = self.rows["at"].max() - self.rows["at"].min()  # type: ignore[operator, assignment]
        return Pace(units=self.rows["unit"].n_unique(), days=max(1.0, covered / timedelta(days=1)))

    def baseline(self, champion: int, latencies: dict[int, float]) -> Baseline:
        import polars as pl

        assumed = []
        of_champion = self.rows.filter(pl.col("version") == champion)
        units = of_champion["unit"].n_unique() if of_champion.height else 0
        failed = of_champion.filter(_failed(champion))["unit"].n_unique()
        if not units:
            failing = _ASSUMED_FAILING
            assumed.append(f"{failing:.0%} of the units fail, since the champion has not been asked of late")
        else:
            failing = (failed + 0.5) / (units + 1)
            if not failed:
                assumed.append(f"{failing:.2%} of the units fail, since none of {units:,} did of late")
        if not latencies:
            latencies = _assumed_latencies()
            assumed.append(
                "calls take 5 ms at the median and 11 ms at the 95th percentile, since none is known"
            )
        first = of_champion.unique("unit", keep="first", maintain_order=True)
        outputs: dict[int, float] = {}
        for score in first["score"].drop_nulls().to_list():
            place = answer_bin(self.spec.task.share(score))
            outputs[place] = outputs.get(place, 0.0) + 1
        return Baseline(
            failing=failing,
            latencies=latencies,
            outputs=outputs,
            metrics=self._moments(of_champion, units),
            assumed=tuple(assumed),
        )

    def _moments(self, rows: pl.DataFrame, units: int) -> dict[str, Moments]:
        import polars as pl

        found = {}
        labelled = rows.filter(pl.col("outcome").is_not_null()).unique(
            "unit", keep="first", maintain_order=True
        )
        if labelled.height > 1:
            losses = [
                self.spec.task.row_losses(score, known)
                for score, known in labelled.select("score", "outcome").iter_rows()
            ]
            for metric in self.spec.task.losses:
                figures = pl.Series([loss[metric] for loss in losses])
                found[metric] = _moments(figures, units)
        for metric, part in self.reported.items():
            known = rows.join(part, on="prediction_id").unique("unit", keep="first")
            if known.height > 1:
                found[metric] = _moments(known["figure"].drop_nulls(), units)
        return found

    def slices(self, strategy: Strategy) -> dict[str, tuple[str, ...]]:
        """By column, the values that most rows have."""
        import polars as pl

        columns = {column for guard in strategy.guards for column in getattr(guard, "slices", ())}
        found = {}
        for column in sorted(columns):
            counts = self.rows[input_column(column)].cast(pl.String).drop_nulls().value_counts(sort=True)
            found[column] = tuple(sorted(counts[input_column(column)].head(_SLICES).to_list()))
        return found

    def traffic(self, slices: Any) -> Traffic:
        import numpy as np
        import polars as pl

        rows = self.rows
        if not rows.height:
            raise NoTraffic(self.spec.name)
        began = rows["at"].min()
        seconds = [(rows[name] - began).dt.total_microseconds() / 1e6 for name in ("at", "known")]
        units = rows["unit"].unique(maintain_order=True)
        index = pl.DataFrame({"unit": units, "index": np.arange(len(units))})
        return Traffic(
            began=began,  # type: ignore[arg-type]
            at_s=seconds[0].to_numpy().astype(np.float64),
            known_s=seconds[1].fill_null(float("inf")).to_numpy().astype(np.float64),
            units=tuple(units.to_list()),
            unit=rows.join(index, on="unit", how="left", maintain_order="left")["index"].to_numpy(),
            slices={
                column: np.array(
                    [
                        value if value in named else OTHER
                        for value in rows[input_column(column)].cast(pl.String).to_list()
                    ]
                )
                for column, named in slices.items()
            },
        )

    def answers(self, workspace: Workspace, version: int, latencies: dict[int, float]) -> Answers:
        """What a version answered, or would have answered, to every row."""
        import numpy as np
        import polars as pl

        rows = self.rows
        given = rows.select(pl.when(pl.col("version") == version).then(pl.col("score")).alias("score"))[
            "score"
        ]
        scores = given.fill_null(float("nan")).to_numpy().astype(np.float64, copy=True)
        failed = rows.select(_failed(version).alias("failed"))["failed"].fill_null(value=False).to_numpy()
        unknown = np.isnan(scores) & ~failed
        if unknown.any():
            with workspace.database.read() as tx:
                registered = tx.registry.get(ModelRef(self.spec.name, version))
            need_sound(workspace, registered)
            artifact = workspace.blobs.get(registered.artifact)
            if is_native(artifact):
                raise Conflict(
                    f"{registered.ref} was not asked for all of these rows, and cannot be asked now: it is served in "
                    "its library's form, which is loaded in workers alone. Simulate with a version in ONNX."
                )
            model = OnnxModel.load(artifact, threads=2)
            inputs = rows.filter(pl.Series(unknown)).select(
                pl.col(input_column(name)).alias(name) for name in (*model.numbers, *model.texts)
            )
            scores[unknown] = model.predict(feed(model, as_numbers(inputs, model.numbers)))
        scores[failed] = np.nan
        task = self.spec.task
        known = rows["outcome"].fill_null(float("nan")).to_numpy()
        metrics = {metric: np.full(rows.height, np.nan) for metric in task.losses}
        for row in np.flatnonzero(np.isfinite(known) & np.isfinite(scores)).tolist():
            for metric, loss in task.row_losses(float(scores[row]), float(known[row])).items():
                metrics[metric][row] = loss
        for metric, part in self.reported.items():
            joined = rows.select("prediction_id").join(
                part, on="prediction_id", how="left", maintain_order="left"
            )
            metrics[metric] = joined["figure"].fill_null(float("nan")).to_numpy()
        return Answers(scores=answer_shares(task, scores), took_s=self._took(latencies), metrics=metrics)

    def _took(self, latencies: dict[int, float]) -> NDArray[np.float64]:
        """Durations drawn from those that are known: the log has those of requests, and not of a version's call."""
        import numpy as np

        from mainspring.rollouts.comparison import latency_of

        law = latencies or _assumed_latencies()
        at = sorted(law)
        chances = np.array([law[bucket] for bucket in at])
        drawn = np.random.default_rng(0).choice(
            [latency_of(bucket) / 1000 for bucket in at], size=self.rows.height, p=chances / chances.sum()
        )
        return np.asarray(drawn, np.float64)


def _failed(version: int) -> pl.Expr:
    import polars as pl

    return pl.col("failures").str.contains(rf"(^|; ){version}: ").fill_null(value=False)


def _moments(figures: pl.Series, units: int) -> Moments:
    mean, sd = figures.mean(), figures.std()
    return Moments(
        mean=msgspec.convert(mean, float),
        sd=msgspec.convert(sd, float),
        arrives=min(1.0, figures.len() / max(1, units)),
    )


def _assumed_latencies() -> dict[int, float]:
    import numpy as np

    median, spread = _ASSUMED_MS
    law: dict[int, float] = {}
    for each in np.linspace(-2.5, 2.5, 101):
        bucket = latency_bucket(median * float(np.exp(spread * each)))
        law[bucket] = law.get(bucket, 0.0) + float(np.exp(-(each**2) / 2))
    return law
