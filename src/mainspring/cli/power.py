"""`power`: what the monitors will find, before they have looked."""

from __future__ import annotations

__all__ = ["power"]

from cyclopts import App

from mainspring.cli.options import HERE, Options, opened
from mainspring.cli.show import display, print_json, working

power = App(
    name="power",
    help_epilogue="""\
Examples:
  mainspring power late-orders
  mainspring power late-orders@7 --rise 0.02 --labels-per-day 500
  mainspring power late-orders --json""",
)


@power.default
def show_power(
    which: str,
    /,
    *,
    rise: float = 0.05,
    labels_per_day: int | None = None,
    options: Options = HERE,
) -> None:
    """Say how likely the quality monitors find a loss of quality, and with what reference they would.

    Parameters
    ----------
    which : str
        A product, whose champion is meant, or a ref such as late-orders@7.
    rise : float
        Of the mean loss, on its scale from 0 to 1; 0.05 by default, which is five points of error, or 0.2 nats.
    labels_per_day : int
        How many come; by default as many as of late.
    """
    from mainspring.operate.power import quality_power
    from mainspring.ref import ModelRef

    ref = ModelRef.parse(which if "@" in which else f"{which}@champion")
    with working("Simulating…"), opened(options) as workspace:
        found = quality_power(workspace, ref, rise=rise, labels_per_day=labels_per_day)
    if options.json:
        print_json(found)
    elif found:
        display(*(each.sentence for each in found))
    else:
        display(f"{ref.product} has no Quality monitor: nothing watches its labels.")
