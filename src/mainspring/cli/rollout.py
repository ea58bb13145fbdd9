"""`rollout`: the change from champion to challenger that is under way."""

from __future__ import annotations

__all__ = ["rollout"]

from typing import TYPE_CHECKING, Any

from cyclopts import App

from mainspring.cli.options import HERE, Options, opened
from mainspring.cli.show import display, facts, moment, print_json, table, toned

if TYPE_CHECKING:
    from mainspring.operate.status import RolloutRow

rollout = App(
    name="rollout",
    help_epilogue="Examples:\n  mainspring rollout\n  mainspring rollout late-orders --json",
)


@rollout.default
def show_rollout(product: str | None = None, /, *, options: Options = HERE) -> None:
    """Show the rollouts in progress: step, arms, evidence.

    Parameters
    ----------
    product : str
        Show this one's alone.
    """
    from mainspring.operate.status import product_names, product_status

    with opened(options) as workspace:
        with workspace.database.read() as tx:
            names = product_names(tx)
        asked = [product] if product else names
        found = [row for name in asked if (row := product_status(workspace, name).rollout)]
    if options.json:
        print_json(found)
    elif not found:
        display("No rollout is in progress.")
    for row in () if options.json else found:
        _show(row)


def _show(row: RolloutRow) -> None:
    steps = ", ".join(f"{share:.0%}" for share in row.steps)
    display(
        facts(
            {
                "rollout": f"{row.challenger} against {row.champion}",
                "step": f"{row.share:.0%} of the units (steps: {steps}), since {moment(row.step_started_at)}",
                "started": row.started_at,
                "now": f"{row.decision}: {row.reason}",
            }
        )
    )
    refs = {"champion": row.champion, "challenger": row.challenger}
    refs |= {arm: arm for arm in row.arms if arm not in refs}
    display(
        table(
            ("Arm", "Version", ">Units", ">Failing", ">Labelled", "Means"),
            ((toned(arm), ref, *_counts(row.arms[arm])) for arm, ref in refs.items()),
        )
    )
    if row.evidence:
        display(
            table(
                ("Guard", "Finding", ">Evidence", ">Needed", "Seen"),
                (
                    (each["subject"], toned(each["finding"]), each["e_value"], each["needed"], each["reason"])
                    for each in row.evidence
                ),
            )
        )


def _counts(arm: dict[str, Any]) -> tuple[object, ...]:
    means = {each["metric"]: each["total"] / each["units"] for each in arm["metrics"] if each["units"]}
    labelled = max((each["units"] for each in arm["metrics"]), default=0)
    return arm["units"], arm["failing"], labelled, means
