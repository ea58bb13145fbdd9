"""`train` and `runs`: asking for a cycle, and what its pipeline did."""

from __future__ import annotations

__all__ = ["runs", "train"]

from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import msgspec
from cyclopts import App, Parameter

from mainspring.cli.options import HERE, Options, actor, declared, opened
from mainspring.cli.show import display, facts, figures, harmless, print_json, table, toned, working
from mainspring.errors import Invalid
from mainspring.ref import DataAddress

if TYPE_CHECKING:
    from mainspring.product import ParamValue

train = App(
    name="train",
    help_epilogue="""\
Examples:
  mainspring train late-orders --reason "first look"
  mainspring train late-orders --set train.learning_rate=0.05 --data orders@v12 --reason "a slower rate"
""",
)
runs = App(
    name="runs",
    help_epilogue="""\
Examples:
  mainspring runs late-orders
  mainspring runs find "metrics.auc > 0.9 AND params.model = 'gbm'" --order "metrics.auc DESC"
  mainspring runs show 3f2a91
  mainspring runs compare 3f2a91 77c0de --json
""",
)


class NotAParam(Invalid):
    """A `--set` that is not `step.param=value`."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"--set {self.text} sets nothing: write it as `--set step.param=value`."


@train.default
def ask(
    product: str,
    /,
    *,
    reason: str,
    params: Annotated[list[str] | None, Parameter(name="--set")] = None,
    data: list[str] | None = None,
    options: Options = HERE,
) -> None:
    """Ask for a cycle: to train, judge and roll out a new version.

    The request waits in the workspace; `mainspring up` takes it up when no other cycle is in progress.

    Parameters
    ----------
    product : str
        Which product.
    reason : str
        Why, for the ledger.
    params : list of str
        A param to change for this cycle alone, as step.param=value. May be given again.
    data : list of str
        A data version to use, such as orders@v12 or orders@golden, in place of the newest. May be given again.
    """
    from mainspring.operate.request import request_training

    given, refs = _params(params or ()), [DataAddress.parse(ref) for ref in data or ()]
    with working("Reading the product files…"), declared(options) as workspace:
        asked = request_training(
            workspace, product, request_id=uuid4().hex, actor=actor(), reason=reason, params=given, data=refs
        )
    if options.json:
        print_json(asked)
    else:
        display(
            f"Asked for a cycle of {asked.product}. It starts when the loop is free; "
            f"`mainspring status {asked.product}` shows how far it is."
        )


@runs.default
def list_runs(product: str | None = None, /, *, limit: int = 20, options: Options = HERE) -> None:
    """List the newest runs, with why each step ran or was reused.

    Parameters
    ----------
    product : str
        Those of this one alone.
    limit : int
        How many.
    """
    from mainspring.operate.status import run_rows

    with opened(options) as workspace:
        found = run_rows(workspace, product, limit=limit)
    if options.json:
        print_json(found)
        return
    display(
        table(
            ("Run", "Product", "Started", "State", "Data", "Params", "Steps", "Metrics or error"),
            (
                (
                    run.run_id,
                    run.product,
                    run.started_at,
                    toned(run.state),
                    run.data,
                    run.params,
                    "; ".join(
                        f"{step['name']} {'reused' if step['reused'] == 'yes' else 'ran'}: {step['why']}"
                        for step in run.steps
                        if "why" in step
                    ),
                    run.error or run.metrics,
                )
                for run in found
            ),
        )
    )


@runs.command(
    help_epilogue="""\
Examples:
  mainspring runs find "metrics.auc > 0.9 AND params.model = 'gbm'" --order "metrics.auc DESC"
  mainspring runs find "tags.mainspring.trigger = 'on_drift'" --experiment late-orders
"""
)
def find(
    filter: str = "",  # noqa: A002 - the word of the interface
    /,
    *,
    experiment: str = "",
    order: list[str] | None = None,
    column: list[str] | None = None,
    limit: int = 20,
    options: Options = HERE,
) -> None:
    """Find runs by what was logged to them, those of clients and those of the loop.

    Parameters
    ----------
    filter : str
        Comparisons of metrics, params, tags, attributes and datasets, joined by AND, OR, NOT and parentheses.
    experiment : str
        In this one alone; by default in all.
    order : list of str
        What comes first, such as "metrics.auc DESC". May be given again.
    column : list of str
        Show these metrics, params and tags alone, such as metrics.auc. May be given again.
    limit : int
        How many.
    """
    from mainspring.operate.find_runs import find_runs

    with opened(options) as workspace:
        found = find_runs(
            workspace, filter, experiment=experiment, order=order or (), limit=limit, columns=column or ()
        )
    if options.json:
        print_json(found)
        return
    display(
        table(
            ("Run", "Name", "Experiment", "Status", "Started", "Metrics", "Params"),
            (
                (
                    run.run_id,
                    run.name,
                    run.experiment,
                    toned(run.status.lower()),
                    run.started_at,
                    figures(run.metrics),
                    ", ".join(f"{key}={value[:40]}" for key, value in run.params.items()),
                )
                for run in found
            ),
        )
    )


@runs.command(help_epilogue="Examples:\n  mainspring runs show 3f2a91\n  mainspring runs show 3f2a91 --json")
def show(run: str, /, *, options: Options = HERE) -> None:
    """Show one run with all that was logged to it.

    Parameters
    ----------
    run : str
        Its id, or the first characters of it.
    """
    from mainspring.operate.find_runs import one_run

    with opened(options) as workspace:
        found = one_run(workspace, run)
    if options.json:
        print_json(found)
        return
    display(
        facts(
            {
                "Run": found.run_id,
                "Name": found.name,
                "Experiment": found.experiment,
                "Status": toned(found.status.lower()),
                "Started": found.started_at,
                "Ended": found.ended_at or "–",
                "Data": ", ".join(found.data) or "–",
                "Artifacts": found.artifact_uri,
            }
        ),
        table(
            ("Metric", ">Last", ">Step", "How it went"),
            ((name, curve.last, curve.step, curve.drawn) for name, curve in sorted(found.curves.items())),
        ),
        table(("Param", "Value"), sorted(found.params.items())),
        table(("Tag", "Value"), sorted(found.tags.items())),
    )


@runs.command(help_epilogue="Examples:\n  mainspring runs compare 3f2a91 77c0de --all-of-it")
def compare(first: str, second: str, /, *, all_of_it: bool = False, options: Options = HERE) -> None:
    """Show in what two runs differ: params, metrics, data and its rows, code, environment and tags.

    Parameters
    ----------
    first, second : str
        Their ids, or the first characters of them.
    all_of_it : bool
        What they have in common as well.
    """
    from mainspring.cli.data_files import show_diff
    from mainspring.operate.find_runs import compare_runs

    with working("Comparing…"), opened(options) as workspace:
        found = compare_runs(workspace, first, second, rows=True)
    if options.json:
        print_json(found)
        return
    shown = [each for each in found.differences if each.differs or all_of_it]
    if not (shown or found.code or found.packages):
        display("They differ in nothing that was logged.")
        return
    display(
        table(
            ("", "Name", found.names[0], found.names[1]),
            (
                (each.kind, each.name, *("–" if value is None else value for value in each.values))
                for each in shown
            ),
        )
    )
    for each in found.data:
        show_diff(each)
    if found.packages:
        versions = ((name, *(each or "–" for each in both)) for name, both in found.packages.items())
        display(table(("Package", *found.names), versions))
    if found.code:
        display(harmless(found.code.rstrip()))


def _params(texts: list[str] | tuple[()]) -> dict[str, ParamValue]:
    params: dict[str, ParamValue] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or "." not in name:
            raise NotAParam(text)
        params[name] = _scalar(value)
    return params


def _scalar(text: str) -> ParamValue:
    """Read a JSON scalar; what is none is text.

    Examples
    --------
    >>> [_scalar(text) for text in ("0.05", "3", "true", "null", "gbdt", '"3"', "[1]")]
    [0.05, 3, True, None, 'gbdt', '3', '[1]']
    """
    try:
        return msgspec.json.decode(text, type=str | int | float | bool | None)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return text
