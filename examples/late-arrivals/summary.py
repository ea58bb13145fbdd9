"""What came of the year: months, cycles and ledger; printed, written as a page, and held against what is promised."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import Environment, FileSystemLoader, select_autoescape
from markupsafe import Markup
from product import product
from rich.console import Console
from rich.table import Table

from mainspring.client import Client
from mainspring.operate.review import Month, review
from mainspring.operate.status import data_rows
from mainspring.web.chart import STYLE, Kind, Mark, Series, day_chart
from mainspring.workspace import open_workspace

NEEDED_GAIN = 0.02
"""By how much the loop's mean log loss by month must be better than the January model's, in nats."""

MOST_RETRAINS = 20
TRIGGERS = {"on_demand", "on_schedule", "on_new_data", "on_degradation", "on_drift"}
METRICS = ("log_loss", "roc_auc", "brier")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The year in figures."""

    months: list[Month]
    cycles: list[dict[str, Any]]
    quality: list[dict[str, Any]]
    batches: list[dict[str, Any]]
    refused: list[str]
    predictions: int
    labelled: int
    verified: dict[str, Any]

    @property
    def gain(self) -> float:
        """By how much the loop's mean log loss by month is better than the frozen model's."""
        return sum(month.frozen["log_loss"] - month.served["log_loss"] for month in self.months) / len(
            self.months
        )

    @property
    def quarantined(self) -> list[dict[str, Any]]:
        """Batches of which rows were set aside."""
        return [batch for batch in self.batches if batch["quarantined"]]

    def faults(self, *, whole: bool) -> list[str]:
        """What is not as promised; `whole` says that the year was replayed to its end."""
        found = []
        if not self.verified["sound"]:
            found.append(
                f"the ledger is broken at entry {self.verified['broken_at']}: {self.verified['fault']}"
            )
        if len(self.cycles) > MOST_RETRAINS:
            found.append(f"{len(self.cycles)} cycles were started, at most {MOST_RETRAINS} are allowed")
        if not whole:
            return found
        if self.gain < NEEDED_GAIN:
            found.append(f"the loop's log loss is better by {self.gain:.4f}, {NEEDED_GAIN} was needed")
        if missing := TRIGGERS - {cycle["trigger"] for cycle in self.cycles}:
            found.append(f"no cycle was started {', '.join(sorted(missing))}")
        found += [f"a planted fault got through: {fault}" for fault in self._planted()]
        return found

    def faults_shuffled(self) -> list[str]:
        """What is not as it must be on rows without any drift."""
        wrong = [cycle for cycle in self.cycles if cycle["trigger"] in ("on_drift", "on_degradation")]
        found = [
            f"{cycle['trigger']} started a cycle on {cycle['opened_at'][:10]}: {cycle['evidence']}"
            for cycle in wrong
        ]
        return found + ([] if self.verified["sound"] else ["the ledger is broken"])

    def _planted(self) -> list[str]:
        found = []
        gusts = [
            failure
            for batch in self.quarantined
            for failure in batch["failures"]
            if failure["column"] == "wind_speed"
        ]
        if not any("1048" in value for failure in gusts for _, value in failure["examples"]):
            found.append("the wind of 1,048 mph was not set aside")
        told = " ".join(self.refused)
        if "dep_delay" not in told or "flight_id" not in told:
            found.append("the spoiled batch of June was not refused for its unit and its keys")
        for param, outcome in (("prepare.window", "refused"), ("train.fleet", "rolled_back")):
            outcomes = [cycle["outcome"] for cycle in self.cycles if param in cycle["params"]]
            if outcomes != [outcome]:
                found.append(
                    f"the cycle with {param} should be {outcome}, and it was {outcomes or 'never started'}"
                )
        return found

    def print(self, console: Console) -> None:
        """Show the year on a terminal."""
        months = Table(title="What was served, and the January model left alone", title_justify="left")
        months.add_column("month")
        months.add_column("labelled", justify="right")
        months.add_column("late", justify="right")
        for metric in METRICS:
            months.add_column(f"{metric}\nloop", justify="right")
            months.add_column("\nfrozen", justify="right")
        for month in self.months:
            cells = [f"{each[metric]:.4f}" for metric in METRICS for each in (month.served, month.frozen)]
            months.add_row(
                f"{month.month:%B}", f"{month.rows:,}", f"{month.positives / month.rows:.1%}", *cells
            )
        means = [
            f"{sum(getattr(month, side)[metric] for month in self.months) / len(self.months):.4f}"
            for metric in METRICS
            for side in ("served", "frozen")
        ]
        months.add_row("mean", "", "", *means, style="bold")
        console.print(months)
        cycles = Table(title="Cycles", title_justify="left")
        for name in ("", "opened", "trigger and evidence", "data", "verdict", "outcome", "s"):
            cycles.add_column(name, overflow="fold")
        for cycle in self.cycles:
            cycles.add_row(
                str(cycle["number"]),
                cycle["opened_at"][:10],
                f"{cycle['trigger']}: {cycle['evidence']}",
                cycle["data"][0],
                cycle["verdict"],
                f"{cycle['outcome'] or cycle['state']}: {cycle['reason']}",
                f"{cycle['seconds'] or 0:.1f}",
            )
        console.print(cycles)
        for batch in self.quarantined:
            console.print(
                f"{batch['ref']}: {batch['quarantined']} of {batch['rows']:,} rows were set aside: {told(batch)}"
            )
        for refusal in self.refused:
            console.print(refusal)
        console.print(
            f"{self.predictions:,} predictions, {self.labelled:,} labels; "
            f"the loop's mean log loss by month is better by {self.gain:.4f}"
        )
        state = "sound" if self.verified["sound"] else f"BROKEN at entry {self.verified['broken_at']}"
        console.print(f"ledger: {self.verified['entries']:,} entries, {state}, head {self.verified['head']}")


def told(batch: dict[str, Any]) -> str:
    """What was wrong with the rows of a batch that were set aside."""
    return "; ".join(
        f"{failure['column']} {failure['check']} ({', '.join(value for _, value in failure['examples'])})"
        for failure in batch["failures"]
    )


def summarise(client: Client, folder: Path, refused: list[str]) -> Summary:
    """Gather the year from the workspace's API, its prediction log and its ledger."""
    path = f"/v1/products/{product.name}"
    status = client.get(path)
    with open_workspace(folder) as workspace:
        months = review(workspace, product.name)
        batches = msgspec.to_builtins(data_rows(workspace))
    return Summary(
        months=months,
        cycles=client.get(f"{path}/cycles"),
        quality=client.get(f"{path}/quality"),
        batches=batches,
        refused=refused,
        predictions=status["predictions"],
        labelled=status["labelled"],
        verified=client.get("/v1/ledger/verification"),
    )


def write_page(summary: Summary, file: Path) -> None:
    """Write the year as one HTML file that needs nothing beside it."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(("html", "jinja")),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.jinja").render(
        summary=summary,
        style=Markup(STYLE),
        charts={metric: Markup(_by_month(summary, metric)) for metric in METRICS},
        days=Markup(_by_day(summary)),
        metrics=METRICS,
        told=told,
    )
    file.write_text(page)


def _promotions(summary: Summary) -> list[Mark]:
    return [
        Mark(
            day=datetime.fromisoformat(cycle["closed_at"]).date(),
            label=str(cycle["version"]),
            title=cycle["trigger"],
        )
        for cycle in summary.cycles
        if cycle["outcome"] == "promoted"
    ]


def _by_month(summary: Summary, metric: str) -> str:
    loop, frozen = (
        [(month.month.replace(day=15), getattr(month, side)[metric]) for month in summary.months]
        for side in ("served", "frozen")
    )
    series = [
        Series(name=name, key=name, days=days, tone=tone)
        for tone, (name, days) in enumerate((("the loop", loop), ("the January model, left alone", frozen)))
    ]
    return day_chart(series, title=f"{metric} by month", marks=_promotions(summary), tooltips=True)


def _by_day(summary: Summary) -> str:
    totals: dict[date, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for row in summary.quality:
        if row["labelled"]:
            total = totals[date.fromisoformat(row["day"])]
            total[0] += row["labelled"]
            total[1] += row["labelled"] * row["loss"]
    days = sorted(totals)
    weekly = [
        (
            day,
            sum(totals[each][1] for each in days[max(0, at - 6) : at + 1])
            / sum(totals[each][0] for each in days[max(0, at - 6) : at + 1]),
        )
        for at, day in enumerate(days)
    ]
    daily = [(day, totals[day][1] / totals[day][0]) for day in days]
    series = [
        Series(name="a day", key="a day", days=daily, kind=Kind.DOTS, tone=0),
        Series(name="seven days", key="mean of seven days", days=weekly),
    ]
    return day_chart(series, title="log loss by day", marks=_promotions(summary))
