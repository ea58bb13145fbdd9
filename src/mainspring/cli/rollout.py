"""`rollout`: the change from champion to challenger, and what people do to it."""

from __future__ import annotations

__all__ = ["arm_table", "rollout", "show_certificate"]

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from mainspring.cli.options import HERE, Options, actor, opened
from mainspring.cli.show import complain, display, facts, moment, print_json, table, toned

if TYPE_CHECKING:
    from collections.abc import Callable

    from mainspring.operate.status import RolloutRow
    from mainspring.rollouts import Rollout
    from mainspring.rollouts.certificate import Certificate, Compared

rollout = App(
    name="rollout",
    help_epilogue="""\
Examples:
  mainspring rollout
  mainspring rollout late-orders --json
  mainspring rollout plan late-orders
  mainspring rollout start late-orders --versions 3,5,7 --reason "which is best?"
  mainspring rollout watch late-orders
  mainspring rollout pause late-orders --reason "the shop is closed today"
  mainspring rollout report late-orders --output report.html""",
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


@rollout.command(help_epilogue='Example:\n  mainspring rollout pause late-orders --reason "a sale begins"')
def pause(product: str, /, *, reason: str, options: Options = HERE) -> int:
    """Let a rollout stand: shares stay, no step ends, and harm still rolls back.

    Parameters
    ----------
    product : str
        Whose.
    reason : str
        Why, for the ledger.
    """
    from mainspring.operate import steer

    return _steer(steer.pause, product, reason, options)


@rollout.command(
    help_epilogue='Example:\n  mainspring rollout resume late-orders --reason "the sale is over"'
)
def resume(product: str, /, *, reason: str, options: Options = HERE) -> int:
    """Let a paused rollout go on; its horizon moves on by the length of the pause.

    Parameters
    ----------
    product : str
        Whose.
    reason : str
        Why, for the ledger.
    """
    from mainspring.operate import steer

    return _steer(steer.resume, product, reason, options)


@rollout.command(
    help_epilogue='Example:\n  mainspring rollout approve late-orders --reason "looked at the report"'
)
def approve(product: str, /, *, reason: str, options: Options = HERE) -> int:
    """Let a rollout that waits for approval go on, with the next turn of the loop.

    Parameters
    ----------
    product : str
        Whose.
    reason : str
        Why, for the ledger.
    """
    from mainspring.operate import steer

    return _steer(steer.approve, product, reason, options)


@rollout.command(
    help_epilogue='Example:\n  mainspring rollout abort late-orders --reason "trained on a wrong file"'
)
def abort(product: str, /, *, reason: str, options: Options = HERE) -> int:
    """End a rollout with the champion kept.

    Parameters
    ----------
    product : str
        Whose.
    reason : str
        Why, for the ledger.
    """
    from mainspring.operate import steer

    return _steer(steer.abort, product, reason, options)


@rollout.command(
    help_epilogue="""\
Examples:
  mainspring rollout promote late-orders --reason "the old one cannot read the new prices"
  mainspring rollout promote late-orders --version 8 --reason "best of the three"
"""
)
def promote(product: str, /, *, reason: str, version: int | None = None, options: Options = HERE) -> int:
    """Make a challenger champion now, whatever the guards still wait for.

    Parameters
    ----------
    product : str
        Whose.
    reason : str
        Why, for the ledger.
    version : int
        Which challenger, where there are several.
    """
    from functools import partial

    from mainspring.operate import steer

    return _steer(partial(steer.promote, version=version), product, reason, options)


@rollout.command(
    help_epilogue="Examples:\n  mainspring rollout certify late-orders\n  mainspring rollout certify late-orders --json"
)
def certify(product: str, /, *, reason: str = "asked for", options: Options = HERE) -> int:
    """Compare a shadow's answers with the champion's now: go on if they certify it, end if harm is shown.

    The loop does so by itself when the shadow has lasted for its bake. Exit code 1 when it is not certified.

    Parameters
    ----------
    product : str
        Whose.
    reason : str
        Why, for the ledger.
    """
    from mainspring.operate.certify import NoShadow, certify_shadow
    from mainspring.rollouts.certificate import Verdict

    with opened(options) as workspace:
        try:
            found = certify_shadow(workspace, product, actor=actor(), reason=reason)
        except NoShadow as refused:
            complain(str(refused))
            return 1
    if options.json:
        print_json(found)
    else:
        show_certificate(found)
    return 0 if found.verdict is Verdict.CERTIFIED else 1


@rollout.command(
    help_epilogue="""\
Examples:
  mainspring rollout report late-orders
  mainspring rollout report late-orders 12 --output report.html
"""
)
def report(
    product: str,
    which: str | None = None,
    /,
    *,
    output: Annotated[Path | None, Parameter(help="Write one HTML file that needs nothing else.")] = None,
    options: Options = HERE,
) -> None:
    """Tell what became of a rollout: what each version did, how they differ, and what that promises.

    Parameters
    ----------
    product : str
        Whose.
    which : str
        The rollout: the number of its cycle, or its id; without it, the newest.
    """
    from mainspring.operate.report import rollout_report
    from mainspring.rollouts.certificate import Certificate

    with opened(options) as workspace:
        found = rollout_report(workspace, product, which)
    if output is not None:
        from mainspring.web.rollouts import report_html

        output.write_text(report_html(found), encoding="utf-8")
    if options.json:
        print_json(found)
        return
    display(*found.sentences)
    last = found.steps[-1] if found.steps else None
    if last and last.differences:
        display(
            table(
                ("Version", "Metric", "On", ">Units", ">Difference", ">From", ">To"),
                (
                    (
                        row.version,
                        row.metric,
                        row.slice or "all units",
                        row.units,
                        f"{row.estimate:+.4f}",
                        f"{row.low:+.4f}",
                        f"{row.high:+.4f}",
                    )
                    for row in last.differences
                ),
            )
        )
    if found.certificate:
        show_certificate(Certificate.from_dict(found.certificate))
    if output is not None:
        display(f"Written to {output}.")


def show_certificate(found: Certificate) -> None:
    """Print a shadow certificate."""
    display(
        facts(
            {
                "certificate": toned(found.verdict.value),
                "pairs": f"{found.rows:,} rows of {found.overall.units:,} units, "
                f"version {found.shadow} beside version {found.champion}",
                "because": "; ".join(found.reasons),
            }
        )
    )
    metrics = [loss.metric for loss in found.overall.losses]
    display(
        table(
            ("On", ">Units", ">Failed", "Answers differ by", "Decided differently", *metrics),
            (_compared(each) for each in (found.overall, *found.slices)),
        )
    )


def _compared(each: Compared) -> tuple[object, ...]:
    disagreement = each.disagreement
    shares = (
        [f"{share:.2%}" for share in (disagreement.estimate, disagreement.low, disagreement.high)]
        if disagreement
        else []
    )
    return (
        each.name,
        each.units,
        each.failed,
        str(each.score) if each.score else None,
        f"{shares[0]} ({shares[1]} to {shares[2]})" if shares else None,
        *(str(loss.gap) if loss.gap else None for loss in each.losses),
    )


def _steer(act: Callable[..., Rollout], product: str, reason: str, options: Options) -> int:
    """Do something to a rollout; what its phase does not allow is a refusal, with exit code 1."""
    from mainspring.operate.steer import NotPromotable
    from mainspring.rollouts import IllegalMove, RolloutEnded

    with opened(options) as workspace:
        try:
            done = act(workspace, product, actor=actor(), reason=reason)
        except (IllegalMove, RolloutEnded, NotPromotable) as refused:
            complain(str(refused))
            return 1
    if options.json:
        print_json({"rollout_id": done.rollout_id, "product": done.product, "phase": done.phase.value})
    else:
        display(f"The rollout of {product} is {done.phase.value.replace('_', ' ')}.")
    return 0


def _show(row: RolloutRow) -> None:
    steps = ", ".join(f"{share:.0%}" for share in row.steps)
    display(
        facts(
            {
                "rollout": f"{row.challenger} against {row.champion}",
                "step": f"{row.share:.0%} of the units (steps: {steps}), since {moment(row.step_started_at)}",
                "phase": toned(row.phase),
                "started": row.started_at,
                "now": f"{row.decision}: {row.reason}",
            }
        )
    )
    display(arm_table(row))
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


def arm_table(row: RolloutRow) -> Any:
    """Make the table of a rollout's arms."""
    refs = {"champion": row.champion, "challenger": row.challenger}
    refs |= {arm: arm for arm in row.arms if arm not in refs}
    return table(
        ("Arm", "Version", ">Units", ">Failing", ">Labelled", "Means"),
        ((toned(arm), ref, *_counts(row.arms[arm])) for arm, ref in refs.items()),
    )


def _counts(arm: dict[str, Any]) -> tuple[object, ...]:
    means = {each["metric"]: each["total"] / each["units"] for each in arm["metrics"] if each["units"]}
    labelled = max((each["units"] for each in arm["metrics"]), default=0)
    return arm["units"], arm["failing"], labelled, means
