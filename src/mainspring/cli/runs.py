"""`train` and `runs`: asking for a cycle, and what its pipeline did."""

from __future__ import annotations

__all__ = ["runs", "train"]

from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import msgspec
from cyclopts import App, Parameter

from mainspring.cli.options import HERE, Options, actor, declared, opened
from mainspring.cli.show import display, print_json, table, toned, working
from mainspring.errors import Invalid
from mainspring.ref import DataRef

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
runs = App(name="runs", help_epilogue="Examples:\n  mainspring runs\n  mainspring runs late-orders --json")


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
        A data version to use, such as orders@v12, in place of the newest. May be given again.
    """
    from mainspring.operate.request import request_training

    given, refs = _params(params or ()), [DataRef.parse(ref) for ref in data or ()]
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
