"""`labels`: the labels that monitoring asks for."""

from __future__ import annotations

__all__ = ["app"]

from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from mainspring.cli.options import HERE, Options, opened
from mainspring.cli.show import display, moment, print_json, table

app = App(
    name="labels",
    help="See which labels monitoring asks for.",
    help_epilogue="Example:\n  mainspring labels wanted late-orders",
)


@app.command(
    help_epilogue="""\
Examples:
  mainspring labels wanted late-orders
  mainspring labels wanted late-orders --limit 1000 --json

They are chosen at random: of each day's predictions 1 %, and 10 % while a drift alarm stands. Hand their labels in as
any others, by prediction id, to the gateway's /v1/labels.""",
)
def wanted(
    product: str,
    /,
    *,
    limit: Annotated[int, Parameter(validator=Number(gte=1, lte=100_000))] = 100,
    options: Options = HERE,
) -> None:
    """List predictions of the last days whose labels are asked for, the oldest first.

    Parameters
    ----------
    product : str
        Which product.
    limit : int
        How many at most.
    """
    from mainspring.operate.audit import wanted_labels

    with opened(options) as workspace:
        found = wanted_labels(workspace, product, limit=limit)
    if options.json:
        print_json(found)
        return
    if not found:
        display("No label is asked for now.")
        return
    display(
        table(
            ("Prediction", ">Version", "Asked at", ">Share audited"),
            ((each.prediction_id, each.version, moment(each.at), f"{each.share:.0%}") for each in found),
        )
    )
