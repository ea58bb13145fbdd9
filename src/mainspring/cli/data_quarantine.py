"""`data quarantine`, `data release` and `data report`: rows that were set aside, and what validation found."""

from __future__ import annotations

__all__ = ["failures_table", "quarantine", "release", "report"]

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import App

from mainspring.cli.options import HERE, Options, actor, opened
from mainspring.cli.show import complain, display, facts, print_json, table, toned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

quarantine = App(
    name="quarantine",
    help_epilogue="""\
Examples:
  mainspring data quarantine
  mainspring data quarantine orders --json
  mainspring data quarantine orders 3f2a9c --output rows.csv""",
)
release = App(
    name="release",
    help_epilogue="""\
Examples:
  mainspring data release orders 3f2a9c --reason "the shop did sell that much on the 14th"

Exit code 1: the rows were refused, and stay set aside.""",
)
report = App(
    name="report",
    help_epilogue="""\
Examples:
  mainspring data report orders
  mainspring data report orders@v3 --output report.html
  mainspring data report orders --batch 3f2a9c --json""",
)

_SHOWN = 20


@quarantine.default
def list_rows(
    dataset: str | None = None,
    batch: str | None = None,
    /,
    *,
    output: Path | None = None,
    options: Options = HERE,
) -> None:
    """List the rows that were set aside since they failed a check, or show those of one batch.

    Parameters
    ----------
    dataset : str
        Those of this one alone.
    batch : str
        The digest of a batch, or the beginning of it, whose rows are shown.
    output : Path
        Write them to this file instead: .parquet, .csv or .ndjson.
    """
    from mainspring.operate.data.checkout import write_table
    from mainspring.operate.data.quarantine import rows_set_aside, set_aside

    with opened(options) as workspace:
        if dataset is not None and batch is not None:
            rows = rows_set_aside(workspace, dataset, batch)
            if output is not None:
                write_table(rows.lazy(), output)
                display(f"{rows.height:,} rows that were set aside are in {output}.")
            elif options.json:
                print_json(rows.to_dicts())
            else:
                some = rows.head(_SHOWN)
                display(table(tuple(some.columns), some.iter_rows()))
                if rows.height > _SHOWN:
                    display(f"{rows.height - _SHOWN:,} more: write them to a file with --output.")
            return
        found = set_aside(workspace, dataset)
    if options.json:
        print_json(found)
        return
    display(
        table(
            ("Dataset", "Batch", "Version", "Added", "By", ">Set aside", "Failed", "Let in with"),
            (
                (
                    each.dataset,
                    each.batch[:12],
                    each.ref,
                    each.at,
                    each.actor,
                    each.rows,
                    [f"{failure['column']}: {failure['check']}" for failure in each.failures],
                    each.released,
                )
                for each in found
            ),
        )
    )


@release.default
def let_in(dataset: str, batch: str, /, *, reason: str, options: Options = HERE) -> int:
    """Let rows in that were set aside: they become the next data version, as a person's decision.

    They are judged again: a null where none may be, or a key that has been published meanwhile, refuses them.

    Parameters
    ----------
    dataset : str
        Its name.
    batch : str
        The digest of their batch, or the beginning of it, as `data quarantine` lists it.
    reason : str
        Why, for the ledger.
    """
    from mainspring.operate.data.quarantine import release as let
    from mainspring.operate.status import batch_row

    with opened(options) as workspace:
        row = batch_row(let(workspace, dataset, batch, actor=actor(), reason=reason))
    if options.json:
        print_json(row)
    elif row.ref is None:
        complain(f"The rows were refused, and stay set aside: {row.refusal}.")
    else:
        display(f"{row.ref}: {row.rows:,} rows that were set aside are let in.")
    return 0 if row.ref else 1


@report.default
def tell(
    address: str, /, *, batch: str | None = None, output: Path | None = None, options: Options = HERE
) -> None:
    """Report what validation found: every check that was asked, what failed, and rows that did, with their keys.

    Parameters
    ----------
    address : str
        A data version such as orders@v3; or a dataset, for the batch that was handed in last, a refused one too.
    batch : str
        The digest of a batch of the dataset, or the beginning of it.
    output : Path
        Write the report to this file, as one page of HTML with plots that needs no network.
    """
    from mainspring.operate.data.validation import validation_report

    with opened(options) as workspace:
        found = validation_report(workspace, address, batch=batch)
    if output is not None:
        from mainspring.web.validation import validation_html

        output.write_text(validation_html(found), encoding="utf-8")
        display(f"The report is in {output}.")
        return
    if options.json:
        print_json(found)
        return
    row = found.batch
    display(
        facts(
            {
                "batch": row.batch[:12],
                "version": row.ref,
                "outcome": toned(row.outcome),
                "because": row.refusal or None,
                "added": row.at,
                "by": row.actor,
                "rows": row.rows,
                "set aside": row.quarantined,
                "checks": f"{len(row.failures)} failed, {len(row.passed)} passed",
            }
        )
    )
    if row.failures:
        display(failures_table(row.failures))
    display(
        table(
            ("Column", "Check that passed", ""), ((e["column"], e["check"], e["found"]) for e in row.passed)
        )
    )


def failures_table(failures: Sequence[dict[str, Any]]) -> Table:
    """Show the checks that failed, with some of the rows."""

    def examples(failure: dict[str, Any]) -> str:
        keys = failure["keys"] or [f"row {number}" for number, _ in failure["examples"]]
        return ", ".join(
            f"{value!r} in {key}" if key != value else repr(value)
            for (_, value), key in zip(failure["examples"], keys, strict=True)
        )

    return table(
        ("Column", "Check that failed", "So it is", ">Rows", "Such as"),
        (
            (
                failure["column"],
                failure["check"],
                _DONE[failure["severity"]],
                failure["rows"],
                examples(failure),
            )
            for failure in failures
        ),
    )


_DONE = {"refuse": "refused", "quarantine": "set aside", "warn": "told"}
