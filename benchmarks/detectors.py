"""False alarms, power and delay of the detector, beside River's ADWIN and a Kolmogorov-Smirnov test with Bonferroni.

    python benchmarks/detectors.py [--full] [--json]

*False alarms:* products whose monitors watch a rate that does not change, with references of several sizes, at the edge
of what is promised (no tolerance, and the whole budget shared by the monitors). The bar is the budget, plus three
standard deviations of the count that so many products may show.

*Changes:* each stream has a reference of 10,000 rows, then 10,000 rows alike, then the change. The detector looks
every 500 rows, with a budget of 5 % in 100 looks; ADWIN has read the reference as the beginning of its stream, and
looks every 32 rows; the KS test compares the newest rows, 500 or 2,000 of them, with the reference at every look, at
5 % divided by the 100 looks. ADWIN and KS have no tolerance, so the detector is shown without one, and with its
default. A delay is in rows from the change to the alarm, its median over all runs without an alarm before the change;
what does not alarm has an infinite delay.

ADWIN's environment is made by uv in `.peers/`; where it cannot be, the table says why. Seeds are fixed.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import environments
import load
import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mainspring.monitoring import (
    Budget,
    Outcome,
    Stream,
    WindowedBetting,
    drift_streams,
    frame,
    profile,
)

Floats = NDArray[np.float64]

DETECTOR = WindowedBetting()
BUDGET = Budget(checks=100, alarms=0.05)
REFERENCE, BEFORE, LOOK = 10_000, 10_000, 500
SLICES = 10
KS_ROWS = (500, 2_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change to be found, and how rows are drawn before and after it.

    Attributes
    ----------
    name : str
    kind : str
        `error` for 0 and 1, `number`, `slices` for 0 and 1 in ten equal slices of which the first changes, or
        `each slice` for the same where ADWIN and KS read the whole and every slice, and not the whole alone.
    before, after : callable
        From a generator and a number of rows to the rows.
    adwin, ks : float or None
        How many times their delay ours may have; None where they are not asked.
    """

    name: str
    kind: str
    before: Callable[[np.random.Generator, int], Floats]
    after: Callable[[np.random.Generator, int], Floats]
    adwin: float | None
    ks: float | None


def coins(*rates: float) -> Callable[[np.random.Generator, int], Floats]:
    """Rows of 0 and 1; the rates take turns."""
    return lambda random, rows: (random.random(rows) < np.resize(rates, rows)).astype(np.float64)


def normal(mean: float, sd: float) -> Callable[[np.random.Generator, int], Floats]:
    return lambda random, rows: random.normal(mean, sd, rows)


def two_humps(random: np.random.Generator, rows: int) -> Floats:
    """Mean 0 and standard deviation 1, but two humps."""
    return 0.8 * random.choice([-1.0, 1.0], rows) + random.normal(0, 0.6, rows)


CHANGES = (
    Change(name="error .10 to .15", kind="error", before=coins(0.10), after=coins(0.15), adwin=1.5, ks=2.0),
    Change(name="error .10 to .12", kind="error", before=coins(0.10), after=coins(0.12), adwin=1.5, ks=2.0),
    Change(
        name="mean + .25 sd", kind="number", before=normal(0, 1), after=normal(0.25, 1), adwin=3.0, ks=2.0
    ),
    Change(
        name="mean + .12 sd", kind="number", before=normal(0, 1), after=normal(0.12, 1), adwin=3.0, ks=2.0
    ),
    Change(name="scale x 1.2", kind="number", before=normal(0, 1), after=normal(0, 1.2), adwin=1.0, ks=1.0),
    Change(name="shape, two humps", kind="number", before=normal(0, 1), after=two_humps, adwin=1.0, ks=1.0),
    *(
        Change(
            name=f"error .10 to .20 in a slice of 10 %{beside}",
            kind=kind,
            before=coins(0.10),
            after=coins(0.20, *[0.10] * (SLICES - 1)),
            adwin=adwin,
            ks=ks,
        )
        for beside, kind, adwin, ks in (
            ("", "slices", 1.0, 1.0),
            (", ADWIN and KS on each slice too", "each slice", 1.5, 2.0),
        )
    ),
)


def coin(name: str, reference: Floats, checks: Sequence[Floats], tolerance: float) -> Stream:
    def table(rows: Floats) -> tuple[int, int]:
        ones = int(rows.sum())
        return len(rows) - ones, ones

    return Stream(
        name=name,
        column="error",
        lower=(0.0, 1.0),
        upper=(0.0, 1.0),
        reference=table(reference),
        checks=tuple(map(table, checks)),
        tolerance=tolerance,
    )


def streams_of(kind: str, rows: Floats, tolerance: float) -> tuple[Stream, ...]:
    """What the detector looks at in one run."""
    reference, since = rows[:REFERENCE], rows[REFERENCE:]
    checks = np.split(since, len(since) // LOOK)
    if kind == "number":
        shape = frame({"x": reference})
        return drift_streams(
            profile({"x": reference}, shape),
            [profile({"x": check}, shape) for check in checks],
            tolerance=tolerance,
        )
    whole = coin("all", reference, checks, tolerance)
    if kind == "error":
        return (whole,)
    slices = [
        coin(f"slice {n}", reference[n::SLICES], [check[n::SLICES] for check in checks], tolerance)
        for n in range(SLICES)
    ]
    return (whole, *slices)


def ours(kind: str, rows: Floats, tolerance: float) -> float:
    """Row since the reference at which the detector alarms, inf where it never does."""
    streams = streams_of(kind, rows, tolerance)
    for seen in range(1, len(streams[0].checks) + 1):
        look = [replace(stream, checks=stream.checks[:seen]) for stream in streams]
        if DETECTOR.weigh(look, budget=BUDGET).outcome is Outcome.ALARM:
            return seen * LOOK
    return math.inf


def views(kind: str, runs: Floats) -> list[tuple[Floats, int]]:
    """Streams that a neighbour reads of runs, shape (n_runs, n_rows), and how many rows one of theirs stands for."""
    slices = [(runs[:, n::SLICES], SLICES) for n in range(SLICES)] if kind == "each slice" else []
    return [(runs, 1), *slices]


def ks(kind: str, rows: Floats, window: int) -> float:
    """Row since the reference at which a KS test of the newest `window` rows alarms, or as many less of a slice."""
    streams = views(kind, rows[None])
    limit = BUDGET.alarms / BUDGET.checks / len(streams)
    for end in range(window, len(rows) - REFERENCE + 1, LOOK):
        for view, each in streams:
            reference, since = np.split(view[0], [REFERENCE // each])
            newest = since[(end - window) // each : end // each]
            if stats.ks_2samp(reference, newest, method="asymp").pvalue <= limit:
                return end
    return math.inf


def adwin(kind: str, runs: Floats) -> list[float]:
    """Rows since the reference at which ADWIN alarms, one for each run."""
    python = environments.python_of("river")
    program = Path(__file__).parent / "peers" / "on_river.py"
    alarms = []
    with tempfile.TemporaryDirectory() as folder:
        streams, answers = Path(folder) / "streams.npy", Path(folder) / "answers.npy"
        for view, each in views(kind, runs):
            np.save(streams, view)
            subprocess.run([python, program, streams, str(REFERENCE // each), answers], check=True)
            rows = np.load(answers)
            alarms.append(np.where(rows < 0, math.inf, (rows + 1.0) * each))
    return np.min(alarms, axis=0).tolist()


def summary(alarms: Sequence[float]) -> dict[str, Any]:
    """Of the rows of the alarms: share of runs that were false, power and median delay of the others."""
    delays = [alarm - BEFORE for alarm in alarms if alarm > BEFORE]
    median = statistics.median_low(delays) if delays else math.inf
    return {
        "false": round(sum(alarm <= BEFORE for alarm in alarms) / len(alarms), 3),
        "power": round(sum(map(math.isfinite, delays)) / len(delays), 3) if delays else 0.0,
        "delay": int(median) if math.isfinite(median) else None,
    }


def found(change: Change, runs: int, after: int, seed: int) -> dict[str, Any]:
    """Measure one change in all ways."""
    random = np.random.default_rng(seed)
    rows = np.stack(
        [
            np.concatenate([change.before(random, REFERENCE + BEFORE), change.after(random, after)])
            for _ in range(runs)
        ]
    )
    default = 0.02 if change.kind == "number" else 0.01
    ways: dict[str, Any] = {
        "ours": summary([ours(change.kind, each, 0.0) for each in rows]),
        f"ours, {default}": summary([ours(change.kind, each, default) for each in rows]),
    }
    try:
        ways["ADWIN"] = summary(adwin(change.kind, rows))
    except (load.Failed, OSError, subprocess.CalledProcessError) as error:
        ways["ADWIN"] = {"failed": str(error)}
    for window in KS_ROWS:
        ways[f"KS {window}"] = summary([ks(change.kind, each, window) for each in rows])
    return {"change": change.name, "ways": ways, "bars": bars(change, ways)}


def bars(change: Change, ways: Mapping[str, Any]) -> dict[str, str]:
    """Whether our delay, without a tolerance, is within so many times a neighbour's."""
    own, said = ways["ours"]["delay"], {}
    tests = [f"KS {window}" for window in KS_ROWS]
    for bar, names in ((change.adwin, ["ADWIN"]), (change.ks, tests)):
        known = [ways[name]["delay"] for name in names if ways[name].get("delay") is not None]
        if bar is None:
            continue
        name = names[0].split()[0]
        if not known:
            said[name] = "met: it finds nothing" if own is not None else "neither finds it"
        elif own is None:
            said[name] = "missed: it finds what we do not"
        else:
            said[name] = (
                f"{'met' if own <= bar * min(known) else 'missed'}: {own / min(known):.2f} of {bar:g}"
            )
    return said


def false_alarms(reference: int, monitors: int, products: int, seed: int) -> dict[str, Any]:
    """Share of products with a false alarm by any monitor, each a rate that does not change."""
    checks, rows, budget = 20, 200, Budget(checks=20, alarms=0.2)
    random = np.random.default_rng(seed)
    rate = random.uniform(0.02, 0.98, products * monitors)
    before = random.binomial(reference, rate)
    since = random.binomial(rows, rate[:, None], (len(rate), checks))
    alarmed: set[int] = set()
    for seen in range(1, checks + 1):
        streams = [
            Stream(
                name=str(each),
                column="error",
                lower=(0.0, 1.0),
                upper=(0.0, 1.0),
                reference=(reference - ones, ones),
                checks=tuple((rows - count, count) for count in counts),
                tolerance=0.0,
            )
            for each, (ones, counts) in enumerate(zip(before.tolist(), since[:, :seen].tolist(), strict=True))
        ]
        evidence = DETECTOR.weigh(streams, budget=budget.share(monitors))
        alarmed |= {
            int(name) // monitors for name, log_e in evidence.streams if log_e >= evidence.log_threshold
        }
    deviation = math.sqrt(budget.alarms * (1 - budget.alarms) / products)
    share = len(alarmed) / products
    return {
        "reference": reference,
        "monitors": monitors,
        "products": products,
        "budget": budget.alarms,
        "false": share,
        "bar": "met" if share <= budget.alarms + 3 * deviation else "missed",
    }


def step(tolerance: float) -> dict[str, Any]:
    """One check of 200 features in 60 slices that do not change, beside a chi-square test of each."""
    streams_, checks, reference, rows = 200 * 60, 30, 5_000, 200
    random = np.random.default_rng(1)
    rate = random.uniform(0.05, 0.95, streams_)
    before = random.binomial(reference, rate).tolist()
    since = random.binomial(rows, rate[:, None], (streams_, checks)).tolist()
    streams = [
        Stream(
            name=str(each),
            column="error",
            lower=(0.0, 1.0),
            upper=(0.0, 1.0),
            reference=(reference - before[each], before[each]),
            checks=tuple((rows - count, count) for count in since[each]),
            tolerance=tolerance,
        )
        for each in range(streams_)
    ]
    begun = time.process_time()
    DETECTOR.weigh(streams, budget=Budget(checks=checks, alarms=0.1))
    own = time.process_time() - begun
    begun = time.process_time()
    for stream in streams:
        newest = np.array([stream.reference, np.sum(stream.checks, axis=0)])
        stats.chi2_contingency(newest, correction=False)
    return {
        "streams": streams_,
        "checks": checks,
        "tolerance": tolerance,
        "seconds": own,
        "chi_square_seconds": time.process_time() - begun,
        "bar": "met" if own < 1 else "missed",
    }


def tables(measured: Mapping[str, Any]) -> str:
    """As Markdown."""
    lines = ["| reference | monitors | products | budget | with a false alarm | |", "|" + "---|" * 6]
    for row in measured["false_alarms"]:
        lines.append(
            f"| {row['reference']:,} | {row['monitors']} | {row['products']:,} | {row['budget']:.0%} | "
            f"{row['false']:.1%} | {row['bar']} |"
        )
    lines += [
        "",
        "| streams | checks | tolerance | one step | one chi-square test of each | |",
        "|" + "---|" * 6,
    ]
    for row in measured["steps"]:
        lines.append(
            f"| {row['streams']:,} | {row['checks']} | {row['tolerance']} | {row['seconds']:.2f} s | "
            f"{row['chi_square_seconds']:.2f} s | {row['bar']} |"
        )
    lines += ["", "| change | ours | ours, with its tolerance | ADWIN | KS of 500 | KS of 2,000 | bars |"]
    lines.append("|" + "---|" * 7)
    for row in measured["changes"]:
        cells = [cell(way) for way in row["ways"].values()]
        bar = "; ".join(f"{name} {said}" for name, said in row["bars"].items())
        lines.append(f"| {row['change']} | {' | '.join(cells)} | {bar} |")
    lines.append(f"\n{measured['runs']} runs of each change, {measured['seconds']:.0f} s.")
    return "\n".join(lines)


def cell(way: Mapping[str, Any]) -> str:
    if "failed" in way:
        return f"not measured: {way['failed']}"
    delay = "never" if way["delay"] is None else f"{way['delay']:,} rows"
    false = f", false {way['false']:.0%}" if way["false"] else ""
    return f"{delay}, power {way['power']:.2f}{false}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="sixty runs and a thousand products: ten minutes")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    asked = parser.parse_args()
    started = time.perf_counter()
    runs, after = (60, 20_000) if asked.full else (9, 10_000)
    products = {1: 1000, 10: 200, 60: 1000} if asked.full else {1: 200, 10: 20, 60: 5}
    measured = {
        "false_alarms": [
            false_alarms(reference, monitors, products[monitors], seed)
            for seed, (reference, monitors) in enumerate(
                [(200, 1), (200, 10), (1_000, 1), (5_000, 1), (50_000, 1), (50_000, 10), (1_000, 60)]
            )
        ],
        "changes": [found(change, runs, after, seed) for seed, change in enumerate(CHANGES, 100)],
        "steps": [step(tolerance) for tolerance in (0.0, 0.01, 0.02)],
        "runs": runs,
    }
    measured["seconds"] = round(time.perf_counter() - started, 1)
    print(json.dumps(measured) if asked.json else tables(measured))


if __name__ == "__main__":
    main()
