"""`models`: model versions and where they came from."""

from __future__ import annotations

__all__ = ["models"]

from typing import TYPE_CHECKING, Any

import msgspec
from cyclopts import App

from mainspring.cli.options import HERE, Options, opened
from mainspring.cli.rollout import show_certificate
from mainspring.cli.show import display, facts, print_json, table

if TYPE_CHECKING:
    from mainspring.operate.status import VersionRow

models = App(
    name="models",
    help_epilogue="""\
Examples:
  mainspring models late-orders
  mainspring models late-orders@champion
  mainspring models late-orders@7 --json""",
)


@models.default
def show_models(which: str | None = None, /, *, options: Options = HERE) -> None:
    """List model versions, or show one with its lineage.

    Parameters
    ----------
    which : str
        A product, or a ref such as late-orders@7 or late-orders@champion.
    """
    from mainspring.digest import Digest
    from mainspring.operate.status import version_row, version_rows
    from mainspring.ref import ModelRef
    from mainspring.rollouts.certificate import Certificate

    one = ModelRef.parse(which) if which and "@" in which else None
    with opened(options) as workspace:
        found = [version_row(workspace, one)] if one else version_rows(workspace, which)
        digest = found[0].certificate if one else None
        certificate = workspace.blobs.get(Digest(digest)) if digest else None
    if options.json:
        print_json(found[0] if one else found)
    elif one:
        _show(found[0])
        if certificate is not None:
            show_certificate(msgspec.json.decode(certificate, type=Certificate))
    else:
        display(
            table(
                ("Version", "Alias", "Registered", "Hold-out", "Data", "Reason"),
                (
                    (row.ref, row.aliases, row.registered_at, row.metrics, row.data, row.reason)
                    for row in found
                ),
            )
        )


def _show(row: VersionRow) -> None:
    lineage = row.lineage
    display(
        facts(
            {
                "version": row.ref,
                "alias": row.aliases,
                "registered": row.registered_at,
                "because": row.reason,
                "hold-out": row.metrics,
                "data": row.data,
                "params": lineage["params"] or "as declared",
                "seed": lineage["seed"],
                "environment": lineage["environment"],
                "artifact": row.artifact,
                **_serving(lineage.get("served")),
            }
        )
    )
    steps = [step for step in lineage["steps"] if "why" in step]
    display(
        table(
            ("Step", "", "Why", "Code", "Output"),
            (
                (
                    step["name"],
                    "reused" if step["reused"] == "yes" else "ran",
                    step["why"],
                    lineage["code"].get(step["name"], "")[:12],
                    step["output"][:12],
                )
                for step in steps
            ),
        )
    )
    columns = [(kind, each) for kind in ("inputs", "outputs") for each in row.signature[kind]]
    display(
        table(
            ("Signature", "Name", "Type", "May be null"),
            (
                (kind.removesuffix("s"), each["name"], each["dtype"], each["nullable"])
                for kind, each in columns
            ),
        )
    )


def _serving(told: dict[str, Any] | None) -> dict[str, str]:
    """How a version is served; versions of the first release do not tell."""
    if told is None:
        return {}
    batching = told["batching"]
    return {
        "served from": "ONNX" if told["served"] == "onnx" else f"its own library: {told['why_native']}",
        **({"quantised": told["quantised"]} if told["quantised"] else {}),
        "batching": f"{'on' if batching['proved'] else 'off'}, because {batching['why']}",
    }
