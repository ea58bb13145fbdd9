"""The pages of experiments and runs: what clients and the loop have logged."""

from __future__ import annotations

__all__ = ["comparison", "experiment", "experiments", "run"]

import re
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from mainspring.errors import Invalid
from mainspring.operate.curves import curves
from mainspring.operate.find_runs import compare_runs
from mainspring.search import RUNS, AllOf, Search, SearchUnclear, parse_filter, parse_order
from mainspring.stores.artifact_path import ArtifactPath
from mainspring.tracking.compare import thin
from mainspring.tracking.folders import listing
from mainspring.tracking.store import ExperimentNotFound, RunNotFound
from mainspring.web.curve import curve, is_drawn

if TYPE_CHECKING:
    from starlette.requests import Request

    from mainspring.tracking.record import Metric, Run
    from mainspring.workspace import Workspace

_PAGE = 50
_COLUMNS = 5
_CURVES = 12
_POINTS = 20_000
_SHOWN = 600
Page = tuple[str, dict[str, Any]]


def experiments(workspace: Workspace, request: Request) -> Page:
    """Show what is in a folder of experiments, those that were written to last first."""
    query = request.query_params
    folder, after = query.get("folder", "").strip("/"), _after(query.get("after", ""))
    with workspace.database.read() as tx:
        names = tx.experiments.names()
        found = listing((name for _, name, _ in names), folder)
        here = set(found.experiments)
        left = [
            (at, number)
            for number, name, at in names
            if name in here and (after is None or (at, number) < after)
        ]
        shown = [tx.experiments.get(number) for _, number in left[:_PAGE]]
        newest = {
            each.experiment_id: tx.logged_runs.search(
                [each.experiment_id], Search(condition=AllOf(()), limit=1)
            ).items
            for each in shown
        }
    parts = folder.split("/") if folder else []
    return "experiments.html", {
        "experiments": shown,
        "folder": folder,
        "above": [("/".join(parts[: at + 1]), part) for at, part in enumerate(parts)],
        "folders": found.folders,
        "newest": newest,
        "after": f"{left[_PAGE - 1][0]}-{left[_PAGE - 1][1]}" if len(left) > _PAGE else "",
        "url": workspace.settings.pages,
    }


def _after(text: str) -> tuple[int, int] | None:
    """Read where the page before has ended: the moment of its last experiment, and that one's id."""
    if not text:
        return None
    if not (told := re.fullmatch(r"([0-9]{1,18})-([0-9]{1,18})", text)):
        raise Invalid(f"{text[:100]!r} is no place in a list: begin at its start.")
    return int(told[1]), int(told[2])


def experiment(workspace: Workspace, request: Request) -> Page:
    """Show the runs of an experiment that a search finds, with the params in which they differ."""
    query = request.query_params
    number = _number(request.path_params["experiment"])
    refused, filtered, ordered = "", query.get("filter", ""), query.get("order", "")
    try:
        condition = parse_filter(filtered, RUNS)
        orders = parse_order([ordered] if ordered else [], RUNS)
    except SearchUnclear as error:
        refused, condition, orders = str(error), AllOf(()), ()
    search = Search(condition=condition, orders=orders, limit=_PAGE, token=query.get("after", ""))
    with workspace.database.read() as tx:
        shown = tx.experiments.get(number)
        found = tx.logged_runs.search([number], search)
    return "experiment.html", {
        "experiment": shown,
        "runs": found.items,
        "params": _telling([run.params for run in found.items]),
        "metrics": _telling([_values(run) for run in found.items]),
        "values": {run.run_id: _values(run) for run in found.items},
        "filter": filtered,
        "order": ordered,
        "refused": refused,
        "after": found.token,
    }


def run(workspace: Workspace, request: Request) -> Page:
    """Show one run with all that was logged to it."""
    number, run_id = _number(request.path_params["experiment"]), request.path_params["run"]
    steps = parse_filter(f"tags.`mlflow.parentRunId` = '{_quoted(run_id)}'", RUNS)
    with workspace.database.read() as tx:
        shown = tx.logged_runs.get(run_id)
        if shown.experiment_id != number:
            raise RunNotFound(run_id)
        nested = tx.logged_runs.search([number], Search(condition=steps, limit=_PAGE)).items
        experiment = tx.experiments.get(number)
    drawn = curves(workspace, run_id, [metric.key for metric in shown.metrics[:_CURVES]])
    return "run.html", {
        "experiment": experiment,
        "run": shown,
        "nested": nested,
        "curves": {key: _drawn({shown.name: points}) for key, points in drawn.items() if _is_curve(points)},
        "product": shown.tags.get("mainspring.product", ""),
        "artifacts": _artifacts(workspace, shown.artifact_uri, request.query_params.get("folder", "")),
    }


def comparison(workspace: Workspace, request: Request) -> Page:
    """Show two runs side by side."""
    ids = request.query_params.getlist("run")
    if len(ids) != 2:
        raise Invalid("A comparison is of two runs: name them as ?run=ID&run=ID.")
    with workspace.database.read() as tx:
        first, second = (tx.logged_runs.get(run_id) for run_id in ids)
        shared = [metric.key for metric in first.metrics if metric.key in _values(second)][:_CURVES]
    by_run = {
        f"{run.name} ({run.run_id[:8]})": curves(workspace, run.run_id, shared) for run in (first, second)
    }
    shown = {key: {name: of[key] for name, of in by_run.items()} for key in shared}
    return "comparison.html", {
        "runs": (first, second),
        "compared": compare_runs(workspace, first.run_id, second.run_id),
        "curves": {key: _drawn(by) for key, by in shown.items() if all(map(_is_curve, by.values()))},
    }


def _artifacts(workspace: Workspace, uri: str, folder: str) -> list[dict[str, Any]]:
    """What lies in a run's folder, or in one within it; nothing where a client keeps its artifacts elsewhere."""
    scheme, _, root = uri.partition(":/")
    if scheme != "mlflow-artifacts":
        return []
    within = f"{folder.strip('/')}/".lstrip("/")
    found = workspace.artifacts.list(ArtifactPath.parse(f"{root.strip('/')}/{within}".rstrip("/")))
    return [
        {
            "name": each.name,
            "size": each.size,
            "within": within + each.name,
            "path": f"{root}/{within}{each.name}",
        }
        for each in found
    ]


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise ExperimentNotFound(f"ID {text[:100]!r}")
    return int(text)


def _quoted(text: str) -> str:
    return text.replace("'", "''").replace("\0", "")


def _values(run: Run) -> dict[str, float]:
    return {metric.key: metric.value for metric in run.metrics}


def _telling(of_runs: list[Any]) -> list[str]:
    """The names that tell runs apart, first those that most of them have."""
    counts: dict[str, int] = {}
    for values in of_runs:
        for name in values:
            counts[name] = counts.get(name, 0) + 1
    differ = [
        name for name in counts if len({values.get(name) for values in of_runs}) > 1 or len(of_runs) == 1
    ]
    return sorted(differ, key=lambda name: (-counts[name], name))[:_COLUMNS]


def _is_curve(points: tuple[Metric, ...]) -> bool:
    return len({point.step for point in points if is_drawn(point)}) > 1


def _drawn(points: dict[str, tuple[Metric, ...]]) -> Markup:
    by_step = {
        name: sorted(some, key=lambda each: (each.step, each.timestamp_ms)) for name, some in points.items()
    }
    return Markup(curve({name: thin(some, _SHOWN) for name, some in by_step.items()}))
