"""What came of the year: the months, the cycles, the ledger; printed, written as a page, and held against what is promised."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, select_autoescape
from mainspring.web.chart import Line, Mark, line_chart
from product import product
from rich.console import Console
from rich.table import Table

from mainspring.client import Client
from mainspring.operate.review import Month, review
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
            f"{self.predictions:,} predictions, {self.labelled:,} labels; the loop's mean log loss by month is better by "
            f"{self.gain:.4f}"
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
    return Summary(
        months=months,
        cycles=client.get(f"{path}/cycles"),
        quality=client.get(f"{path}/quality"),
        batches=client.get("/v1/datasets/flights/batches") + client.get("/v1/datasets/weather/batches"),
        refused=refused,
        predictions=status["predictions"],
        labelled=status["labelled"],
        verified=client.get("/v1/ledger/verification"),
    )


def write_page(summary: Summary, file: Path) -> None:
    """Write the year as one HTML file that needs nothing beside it."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    charts = {metric: _chart(summary, metric) for metric in METRICS}
    page = environment.get_template("report.html.jinja").render(
        summary=summary, charts=charts, metrics=METRICS, told=told, name=product.name
    )
    file.write_text(page)


def _chart(summary: Summary, metric: str) -> str:
    middle = [datetime(m.month.year, m.month.month, 15, tzinfo=UTC) for m in summary.months]
    promoted = [
        Mark(datetime.fromisoformat(cycle["closed_at"]), f"version {cycle['version']} promoted")
        for cycle in summary.cycles
        if cycle["outcome"] == "promoted"
    ]
    return line_chart(
        [
            Line("the loop", list(zip(middle, (m.served[metric] for m in summary.months), strict=True))),
            Line(
                "the January model",
                list(zip(middle, (m.frozen[metric] for m in summary.months), strict=True)),
            ),
        ],
        marks=promoted,
        title=metric,
    )
