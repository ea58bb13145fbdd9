"""`models`: model versions and where they came from."""

from __future__ import annotations

__all__ = ["models"]

from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import msgspec
from cyclopts import App, Parameter

from mainspring.cli.options import HERE, Options, actor, declared, opened
from mainspring.cli.rollout import show_certificate
from mainspring.cli.show import display, facts, print_json, table, toned, working
from mainspring.errors import Invalid
from mainspring.ref import DataAddress, ModelRef

if TYPE_CHECKING:
    from mainspring.operate.approve import Approvals
    from mainspring.operate.status import VersionRow

models = App(
    name="models",
    help_epilogue="""\
Examples:
  mainspring models late-orders
  mainspring models late-orders@champion
  mainspring models late-orders@7 --json
  mainspring models register models:/m-5f2c --product late-orders --reason trial
  mainspring models verify late-orders@champion
  mainspring models sbom late-orders@7 --json > sbom.cdx.json
  mainspring models late-orders --as-of 2024-03-01T12:00:00Z
  mainspring models card late-orders@champion""",
)


@models.default
def show_models(
    which: str | None = None,
    /,
    *,
    at: Annotated[str | None, Parameter(name="--as-of")] = None,
    options: Options = HERE,
) -> None:
    """List model versions, or show one with its lineage, or say what was champion and which share it served.

    Parameters
    ----------
    which : str
        A product, or a ref such as late-orders@7 or late-orders@champion.
    at : str
        A moment: where the aliases of a product or of a client's model pointed then, and who served.
    """
    from mainspring.digest import Digest
    from mainspring.operate.status import version_row, version_rows
    from mainspring.rollouts.certificate import Certificate

    if at is not None:
        _show_as_of(which, at, options)
        return
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


@models.command(
    help_epilogue="""\
Examples:
  mainspring models register 5f2c0e --product late-orders --reason "a trial with fewer columns"
  mainspring models register models:/late-orders-trial@best --reason "the best of 40\""""
)
def register(
    model: str,
    /,
    *,
    reason: str,
    product: str | None = None,
    data: list[str] | None = None,
    options: Options = HERE,
) -> None:
    """Offer a model that a client logged: it is judged, registered and rolled out as one that is trained here.

    The offer waits in the workspace; `mainspring up` takes it up when no other cycle is in progress. What the model was
    trained on is for the client to know: one that has seen the hold-out is judged better than it is.

    Parameters
    ----------
    model : str
        A run by its id, runs:/RUN/PATH, models:/m-…, models:/NAME/VERSION or models:/NAME@ALIAS.
    reason : str
        Why, for the ledger.
    product : str
        To which; needed only where there are several products.
    data : list of str
        A data version to judge it on, such as orders@v12, in place of the newest. May be given again.
    """
    from mainspring.operate.request import request_training
    from mainspring.operate.status import only_product

    refs = [DataAddress.parse(ref) for ref in data or ()]
    with working("Reading the product files…"), declared(options) as workspace:
        asked = request_training(
            workspace,
            product or only_product(workspace),
            request_id=uuid4().hex,
            actor=actor(),
            reason=reason,
            data=refs,
            model=model,
        )
    if options.json:
        print_json(asked)
    else:
        display(
            f"Offered {asked.offer.source if asked.offer else model} to {asked.product}. It is judged when the loop is "
            f"free; `mainspring status {asked.product}` shows how far it is."
        )


@models.command(
    help_epilogue='Example:\n  mainspring models approve late-orders@7 --reason "read the report with the credit team"'
)
def approve(version: str, /, *, reason: str, options: Options = HERE) -> None:
    """Approve that a version is rolled out.

    The product's policy says whose word counts, and how many must agree. Who has refused before may approve after all.

    Parameters
    ----------
    version : str
        A ref such as late-orders@7.
    reason : str
        Why, for the ledger.
    """
    _answer(version, "approved", reason, options)


@models.command(
    help_epilogue='Example:\n  mainspring models refuse late-orders@7 --reason "worse for new shops"'
)
def refuse(version: str, /, *, reason: str, options: Options = HERE) -> None:
    """Refuse that a version is rolled out: its cycle ends, and the champion stays.

    Parameters
    ----------
    version : str
        A ref such as late-orders@7.
    reason : str
        Why, for the ledger.
    """
    _answer(version, "refused", reason, options)


@models.command(help_epilogue="Example:\n  mainspring models approvals late-orders@7 --json")
def approvals(version: str, /, *, options: Options = HERE) -> None:
    """Show how a version stands for being rolled out, and what was said of it.

    Parameters
    ----------
    version : str
        A ref such as late-orders@7.
    """
    from mainspring.operate.approve import approvals_of

    with opened(options) as workspace:
        _show_approvals(approvals_of(workspace, ModelRef.parse(version)), options)


def _answer(version: str, answer: str, reason: str, options: Options) -> None:
    from mainspring.governance.approval import Answer
    from mainspring.operate.approve import answer_version

    ref = ModelRef.parse(version)
    with opened(options) as workspace:
        found = answer_version(workspace, ref, Answer(answer), actor=actor(), reason=reason)
    _show_approvals(found, options)


def _show_approvals(found: Approvals, options: Options) -> None:
    if options.json:
        print_json(found)
        return
    policy = "asks for no approval" if found.policy is None else f"number {found.number}: {found.policy.told}"
    display(
        facts(
            {"version": found.ref, "standing": toned(found.standing), "because": found.why, "policy": policy}
        ),
        table(
            ("When", "Who", "Said", "Of", "Because", ">Policy"),
            (
                (each.at, each.actor, toned(each.answer), each.about, each.reason, each.policy)
                for each in found.approvals
            ),
        ),
    )


@models.command(
    help_epilogue="Example:\n  mainspring models verify late-orders\n\nExit code 1: one is not what was registered."
)
def verify(which: str | None = None, /, *, options: Options = HERE) -> int:
    """Check that model versions are all that was registered and signed: every file, byte for byte.

    Parameters
    ----------
    which : str
        A ref such as late-orders@7 or late-orders@champion, a product for all its versions, or nothing for all.
    """
    from mainspring.operate.status import version_rows
    from mainspring.operate.verify_version import verify_version
    from mainspring.ref import ModelRef

    with opened(options) as workspace:
        named = [which] if which and "@" in which else [row.ref for row in version_rows(workspace, which)]
        found = [verify_version(workspace, ModelRef.parse(ref)) for ref in named]
    if options.json:
        print_json(found[0] if which and "@" in which else found)
    else:
        for each in found:
            display(
                facts(
                    {
                        "version": each.ref,
                        "sound": "yes" if each.sound else "no",
                        "manifest": each.manifest or "none: it was registered before versions had one",
                        "key": each.key,
                        "because": "\n".join(each.faults) or None,
                    }
                )
            )
        if which and "@" in which:
            rows = (
                (part.name, part.size, part.sha256[:12], part.fault or "as signed") for part in found[0].parts
            )
            display(table(("Part", "Bytes", "SHA-256", ""), rows))
    return 0 if all(each.sound for each in found) else 1


@models.command(
    help_epilogue="Examples:\n  mainspring models sbom late-orders@7\n  mainspring models sbom late-orders@7 --json"
)
def sbom(which: str, /, *, options: Options = HERE) -> None:
    """Tell what the environment consisted of that a model version was made in, with licences; --json is CycloneDX.

    Parameters
    ----------
    which : str
        A ref such as late-orders@7 or late-orders@champion.
    """
    from mainspring.operate.inventory import by_licence
    from mainspring.operate.version_artifacts import bill_of
    from mainspring.ref import ModelRef

    with opened(options) as workspace:
        bill = bill_of(workspace, ModelRef.parse(which))
    if options.json:
        print_json(bill)
    else:
        display(table(("Package", "Version", "Licence, as it declares"), by_licence(bill)))


def _show_as_of(which: str | None, at: str, options: Options) -> None:
    from mainspring.clock import parse_time
    from mainspring.operate.as_of import as_of

    if which is None:
        raise Invalid("Name a model, such as `mainspring models late-orders --as-of 2024-03-01T12:00:00Z`.")
    with opened(options) as workspace:
        found = as_of(workspace, which.partition("@")[0], parse_time(at))
    if options.json:
        print_json(found)
        return
    serving = {f"{found.called}@{version}": f"{share:.0%}" for version, share in found.shares.items()}
    shadow = {
        f"{found.called}@{version}": f"{share:.0%} in the shadow" for version, share in found.shadow.items()
    }
    display(
        facts(
            {
                "model": found.model
                if found.called == found.model
                else f"{found.model}, then {found.called}",
                "as of": parse_time(at),
                "since": found.since or "before anything was registered",
                "because": found.reason or None,
                "by": found.actor or None,
                "rollout": f"{found.rollout}, {found.phase}" if found.rollout else None,
            }
        ),
        table(("Alias", "Version"), ((name, f"@{number}") for name, number in found.aliases.items())),
        table(("Served", "Share of units"), (serving | shadow).items()),
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
                **({"offered": lineage["offer"]["source"]} if "offer" in lineage else {}),
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
            ("Signature", "Name", "Type", "May be null", "Categories"),
            (
                (
                    kind.removesuffix("s"),
                    each["name"],
                    each["dtype"],
                    each["nullable"],
                    ", ".join(each.get("categories", ())),
                )
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
