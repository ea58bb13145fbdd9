"""A year of flights under several policies of retraining, beside the loop of the example as it is declared.

    python benchmarks/flights_year.py [--json] [--folder FOLDER] [--no-loop]

Scored are all flights of February to December 2013 that have landed, each by the model that served when it was asked.
Every model is made by the example's own two steps from what was known when it was made: labels count from when they
are handed in, once a week.

*Text-book policies* decide once a week, have no hold-out and no rollout: the model is fitted to all that is known, and
serves at once. `frozen` is never fitted again, `weekly` always is. PSI fits again where the stability index of a number
is above 0.25 between the last week before the model was fitted and the newest one; ADWIN, with River's own settings,
where it has spoken in the losses of the week's labels, in the order in which they came.

*The loop* is the real one: `mainspring up` with the example's product file, asked and labelled hour by hour as in
`make demo`, but with no fault and no request planted in the year: under `POLICY`, which retrains as data grow, and as
the example declares it, with one cycle of each trigger. What the latter gives away to the text-book policies is taken
apart: its own moments with all that is known and at once, then with the hold-out, then with the rollout.

*The control* is the same loop, as declared, on the same rows shuffled in time: there is nothing to find.

The bar: under `POLICY` the loop keeps 92 % of weekly retraining's gain over the frozen model, with at most 11 retrains;
no alarm on the shuffled year. ADWIN's environment is made by uv in `.peers/`; where it cannot be, the table says why.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import environments
import load
import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich.progress import Progress

EXAMPLE = Path(__file__).parents[1] / "examples" / "late-arrivals"
sys.path.insert(0, str(EXAMPLE))

import flights  # noqa: E402
import product as example  # noqa: E402
import replay  # noqa: E402

from mainspring.client import Client  # noqa: E402
from mainspring.clock import parse_duration  # noqa: E402
from mainspring.data import split  # noqa: E402
from mainspring.features import BoundView, as_of  # noqa: E402
from mainspring.formats.lightgbm import encode  # noqa: E402
from mainspring.monitoring import frame, profile, stability_index  # noqa: E402
from mainspring.operate.compact import prediction_log  # noqa: E402
from mainspring.product import FeatureViewSpec  # noqa: E402
from mainspring.workspace import open_workspace  # noqa: E402

Floats = NDArray[np.float64]

NEEDED_SHARE, MOST_RETRAINS = 0.92, 11
POLICY = """
import mainspring as ms

retrain = [ms.OnNewData(grown=0.2)]
cool_down = "7d"
train_on = ms.Weighted("180d")
refit = True
rollout = ms.AllAtOnce()
"""
WEEK = timedelta(days=7)
NONE = timedelta(0)
MOMENTS = [replay.BEGIN + WEEK * week for week in range((replay.NEW_YEAR - replay.BEGIN) // WEEK + 1)]
PSI_ABOVE = 0.25
DRIFTING = (*example.WEATHER, "origin_delay_3h", "dest_delay_6h", "carrier_delay_1d")
"""Numbers whose distribution is not that of the flight plan."""


@dataclass(slots=True)
class Year:
    """The year's flights with their features, and what models that are fitted at some moment answer.

    Attributes
    ----------
    rows : polars.DataFrame
        All flights, in the order of `predict_at`.
    scored : polars.DataFrame
        Those that count.
    """

    rows: pl.DataFrame
    scored: pl.DataFrame
    fitted: dict[tuple[datetime, timedelta], Floats] = field(default_factory=dict)

    @classmethod
    def read(cls) -> Year:
        year, sky = flights.flights(), flights.weather()
        views = [
            BoundView(
                FeatureViewSpec(
                    view.name, view.source.name, view.entity, view.event_time, view.ttl, tuple(view.features)
                ),
                sky if view.source.name == "weather" else year,
            )
            for view in example.product.features
        ]
        rows = as_of(year, at="predict_at", views=views).with_columns(label=pl.col("late").cast(pl.Int8))
        asked = rows.filter(pl.col("predict_at").is_between(replay.BEGIN, replay.NEW_YEAR, closed="left"))
        scored = asked.with_row_index("row").filter(pl.col("late").is_not_null())
        return cls(rows, scored)

    def losses(self, answers: Floats) -> Floats:
        """Log loss of each scored flight, in nats."""
        late = self.scored["label"].to_numpy()
        return -np.log(np.clip(np.where(late, answers, 1 - answers), 1e-15, 1.0))

    def fit(self, moment: datetime, holdout: timedelta = NONE) -> Floats:
        """Answers to all scored flights of a model that is fitted to what is known at a moment."""
        if (moment, holdout) not in self.fitted:
            known = self.rows.filter(pl.col("late").is_not_null(), pl.col("closed_at") <= moment)
            if holdout:
                known = split(
                    known,
                    event_time="predict_at",
                    known_at="closed_at",
                    label="late",
                    as_of=moment,
                    holdout=holdout,
                ).train
            model = example.train(example.prepare(known, seed=replay.SEED), seed=replay.SEED)
            matrix = encode(model, self.scored)
            self.fitted[moment, holdout] = model.model.predict(matrix, num_threads=1).astype(np.float32)
        return self.fitted[moment, holdout]

    def within(self, begin: datetime, end: datetime) -> NDArray[np.bool_]:
        """Which of the scored flights were asked then."""
        return self.scored["predict_at"].is_between(begin, end, closed="left").to_numpy()

    def served(self, fits: Sequence[datetime], holdout: timedelta = NONE) -> Floats:
        """What is answered where each fit serves at once, until the next one."""
        answers = np.full(self.scored.height, np.nan)
        for begin, end in zip(fits, [*fits[1:], replay.NEW_YEAR], strict=True):
            during = self.within(begin, end)
            answers[during] = self.fit(begin, holdout)[during]
        return answers


def when(year: Year, moved: Callable[[datetime, datetime], bool]) -> list[datetime]:
    """Moments at which a policy fits, that is asked each week with the last fit and the moment."""
    fits = MOMENTS[:1]
    for moment in MOMENTS[1:]:
        if moved(fits[-1], moment):
            fits.append(moment)
    return fits


def psi(year: Year) -> list[datetime]:
    def week_before(moment: datetime) -> pl.DataFrame:
        return year.rows.filter(pl.col("predict_at").is_between(moment - WEEK, moment, closed="left")).select(
            DRIFTING
        )

    def moved(fit: datetime, moment: datetime) -> bool:
        before, now = week_before(fit), week_before(moment)
        shape = frame(before)
        reference, current = profile(before, shape).columns, profile(now, shape).columns
        return any(stability_index(reference[name], current[name]).value > PSI_ABOVE for name in DRIFTING)

    return when(year, moved)


def adwin(year: Year) -> list[datetime]:
    program = Path(__file__).parent / "peers" / "adwin_on_river.py"
    process = subprocess.Popen(
        [environments.python_of("river"), program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    order = year.scored["closed_at"].arg_sort().to_numpy()
    came = year.scored["closed_at"]
    answers = np.full(year.scored.height, np.nan)
    asked, out = process.stdin, process.stdout

    def moved(fit: datetime, moment: datetime) -> bool:
        asked_since = year.within(max(fit, moment - WEEK), moment)
        answers[asked_since] = year.fit(fit)[asked_since]
        week = came.is_between(moment - WEEK, moment, closed="right").to_numpy() & np.isfinite(answers)
        losses = year.losses(answers)[order][week[order]]
        asked.write(json.dumps(losses.tolist()) + "\n")
        asked.flush()
        return out.readline().strip() == "1"

    with process:
        return when(year, moved)


def loop(year: Year, folder: Path, *, shuffled: bool, policy: str = "") -> dict[str, Any]:
    """Let the real loop have the year; gives its cycles, its alarms, and of the year as it was what it answered."""
    world = replay.build_world(replay.END, shuffled=shuffled)
    with (
        replay.mainspring_up(folder, shuffled=shuffled, policy=policy) as up,
        Client(up["url"], up["gateway_url"], actor="airline") as client,
        Progress(disable=True) as progress,
    ):
        replay.happen(client, world, replay.END, progress, shuffled=shuffled, planted=False)
        path = f"/v1/products/{example.product.name}"
        cycles, alarms = client.get(f"{path}/cycles"), client.get(f"{path}/alarms")
    found = {"cycles": cycles, "alarms": alarms, "predictions": len(world.ids)}
    if shuffled:
        return found
    with open_workspace(folder) as workspace:
        predictions, _ = prediction_log(workspace, example.product.name)
    asked = pl.DataFrame(
        {"row": list(world.ids), "prediction_id": list(world.ids.values())},
        schema_overrides={"row": pl.UInt32},
    ).join(predictions.select("prediction_id", "score"), on="prediction_id")
    answers = year.scored.join(asked, on="row", how="left", maintain_order="left")["score"]
    assert not answers.has_nulls(), "a flight was not answered"
    return {**found, "answers": answers.to_numpy()}


def fits_of(cycles: Sequence[dict[str, Any]]) -> list[datetime]:
    """Moments of the data of which the promoted models were made."""
    promoted = [cycle for cycle in cycles if cycle["outcome"] == "promoted"]
    weeks = [
        int(name.split("@v")[1])
        for cycle in promoted
        for name in cycle["data"]
        if name.startswith("flights@")
    ]
    return [MOMENTS[week - 1] for week in weeks if week <= len(MOMENTS)]


def measured(folder: Path, *, with_loop: bool) -> dict[str, Any]:
    started, year = time.perf_counter(), Year.read()
    frozen, weekly = (year.losses(year.served(fits)).mean() for fits in (MOMENTS[:1], MOMENTS))
    rows: list[dict[str, Any]] = []

    def row(policy: str, answers: Floats, retrains: int) -> None:
        loss = float(year.losses(answers).mean())
        share = float((frozen - loss) / (frozen - weekly))
        rows.append(
            {
                "policy": policy,
                "retrains": retrains,
                "log_loss": loss,
                "gain": float(frozen - loss),
                "share": share,
            }
        )

    policies: dict[str, Callable[[Year], list[datetime]]] = {
        "frozen": lambda year: MOMENTS[:1],
        "weekly": lambda year: MOMENTS,
        "every four weeks": lambda year: MOMENTS[::4],
        "PSI above 0.25": psi,
        "ADWIN": adwin,
    }
    for policy, fits_by in policies.items():
        try:
            fits = fits_by(year)
        except (load.Failed, OSError) as error:
            rows.append({"policy": policy, "failed": str(error)})
        else:
            row(policy, year.served(fits), len(fits) - 1)
    found: dict[str, Any] = {"rows": rows, "scored": year.scored.height}
    if with_loop:
        grown = loop(year, folder / "grown", shuffled=False, policy=POLICY)
        row("the loop, as data grow", grown["answers"], len(grown["cycles"]) - 1)
        own = loop(year, folder / "year", shuffled=False)
        retrains = len(own["cycles"]) - 1
        row("the loop, as declared", own["answers"], retrains)
        fits, holdout = fits_of(own["cycles"]), parse_duration(example.product.holdout)
        row("its moments, hold-out, at once", year.served(fits, holdout), retrains)
        row("its moments, all that is known, at once", year.served(fits), retrains)
        control = loop(year, folder / "shuffled", shuffled=True)
        found["cycles"] = [
            {name: cycle[name] for name in ("opened_at", "trigger", "outcome")} for cycle in own["cycles"]
        ]
        found["alarms"] = len(own["alarms"])
        found["shuffled"] = {
            "predictions": control["predictions"],
            "alarms": len(control["alarms"]),
            "cycles": len(control["cycles"]),
        }
    found["seconds"] = round(time.perf_counter() - started)
    return found


def bars(found: dict[str, Any]) -> list[str]:
    own = next(row for row in found["rows"] if row["policy"] == "the loop, as data grow")
    shuffled = found["shuffled"]["alarms"]
    return [
        f"{own['share']:.1%} of weekly's gain: {'met' if own['share'] >= NEEDED_SHARE else 'missed'}, "
        f"{NEEDED_SHARE:.0%} needed",
        f"{own['retrains']} retrains: {'met' if own['retrains'] <= MOST_RETRAINS else 'missed'}, "
        f"at most {MOST_RETRAINS}",
        f"{shuffled} alarms on the shuffled year: {'missed' if shuffled else 'met'}",
    ]


def table(found: dict[str, Any]) -> str:
    """As Markdown."""
    lines = [
        "| policy | retrains | log loss | better than frozen by | of weekly's gain |",
        "|---|" + "---:|" * 4,
    ]
    for row in found["rows"]:
        if "failed" in row:
            lines.append(f"| {row['policy']} | not measured: {row['failed']} | | | |")
        else:
            lines.append(
                f"| {row['policy']} | {row['retrains']} | {row['log_loss']:.4f} | {row['gain']:.4f} "
                f"| {row['share']:.1%} |"
            )
    lines.append(f"\n{found['scored']:,} flights, {found['seconds']} s.")
    if "shuffled" in found:
        lines += ["", *(f"- {bar}" for bar in bars(found))]
        lines += [f"- {found['alarms']} alarms in the year as it was; cycles of the loop:", ""]
        lines += [
            f"  {cycle['opened_at'][:10]} {cycle['trigger']}: {cycle['outcome']}" for cycle in found["cycles"]
        ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--folder", type=Path, help="where the loop's workspaces are made, and left")
    parser.add_argument("--no-loop", action="store_true", help="the text-book policies alone: three minutes")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (asked.folder or Path(scratch)).resolve()
        found = measured(folder, with_loop=not asked.no_loop)
    print(json.dumps(found) if asked.json else table(found))


if __name__ == "__main__":
    main()
