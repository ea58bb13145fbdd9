"""`import` and `export`: moving between this workspace and MLflow's servers, and the tags of a git repository."""

from __future__ import annotations

__all__ = ["bring", "send"]

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App

from mainspring.cli.options import HERE, Options, actor, opened
from mainspring.cli.show import (
    complain,
    counting_each,
    display,
    harmless,
    print_json,
    table,
    working,
    write_new,
)

if TYPE_CHECKING:
    from mainspring.operate.git_tags import Tagged
    from mainspring.operate.mlflow.tally import Compared, Moved

_SHOWN = 20

bring = App(
    name="import",
    help="Bring in what another server holds.",
    help_epilogue="Example:\n  mainspring import mlflow http://tracking.example.org:5000 --dry-run",
)


@bring.command(
    help_epilogue="""\
Examples:
  mainspring import mlflow http://tracking.example.org:5000 --dry-run
  mainspring import mlflow http://tracking.example.org:5000

Run ids and names stay as they are; ids of experiments do where they are free. Killed, it goes on when it is called
again, and doubles nothing. Who asks is read from MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or
MLFLOW_TRACKING_TOKEN. Exit code 1: something is not alike on both sides, and is named."""
)
def mlflow(uri: str, /, *, dry_run: bool = False, afresh: bool = False, options: Options = HERE) -> int:
    """Bring experiments, runs, files, registered models and prompts from an MLflow tracking server.

    Parameters
    ----------
    uri : str
        The server's address, such as http://127.0.0.1:5000.
    dry_run : bool
        Change nothing, and say what would be brought.
    afresh : bool
        Read everything once more, also what was brought before.
    """
    from mainspring.operate.mlflow.bring import bring as bring_all
    from mainspring.operate.mlflow.server import MlflowServer

    with MlflowServer.at(uri) as server, opened(options) as workspace, counting_each() as progress:
        brought = bring_all(
            workspace, server, actor=actor(), dry_run=dry_run, afresh=afresh, progress=progress
        )
    return _tell(brought, options)


@bring.command(
    help_epilogue="""\
Examples:
  mainspring import feast feature_repo --output features.py
  mainspring import feast feature_repo --python .venv-feast/bin/python --json

The repository's files are imported by that Python, which needs Feast and nothing of mainspring; nothing is applied or
written there. Exit code 1: something was left, and is told with the reason."""
)
def feast(
    repository: Path,
    /,
    *,
    python: str = sys.executable,
    output: Path | None = None,
    options: Options = HERE,
) -> int:
    """Write the feature views of a Feast repository as a part of a product file.

    Parameters
    ----------
    repository : Path
        The folder with the definitions.
    python : str
        An interpreter that has Feast.
    output : Path
        Write the code to this file, which is not there yet.
    """
    from mainspring.operate.feast import product_file, read_definitions

    with working("Reading definitions…"):
        found = product_file(read_definitions(repository, python=python))
    if output is not None:
        write_new(output, found.code)
    if options.json:
        print_json(found)
    else:
        display(f"The code is in {output}.") if output else print(found.code, end="")
        for each in found.left:
            complain(f"Left out: {each.what}: {each.why}.")
    return 1 if found.left else 0


send = App(
    name="export",
    help="Send to another server what is here.",
    help_epilogue="Example:\n  mainspring export mlflow http://tracking.example.org:5000 --dry-run",
)


@send.command(
    name="mlflow",
    help_epilogue="""\
Examples:
  mainspring export mlflow http://tracking.example.org:5000 --dry-run
  mainspring export mlflow http://tracking.example.org:5000

Runs and logged models get ids of the server's; those here stand there in the tags mainspring.run_id and
mainspring.model_id. Killed, it goes on when it is called again, and doubles nothing. Exit code 1: something is not
alike on both sides, and is named.""",
)
def to_mlflow(uri: str, /, *, dry_run: bool = False, options: Options = HERE) -> int:
    """Send experiments, runs, files, registered models and prompts to an MLflow tracking server.

    Parameters
    ----------
    uri : str
        The server's address, such as http://127.0.0.1:5000.
    dry_run : bool
        Change nothing, and say what would be sent.
    """
    from mainspring.operate.mlflow.send import send as send_all
    from mainspring.operate.mlflow.server import MlflowServer

    with MlflowServer.at(uri) as server, opened(options) as workspace, counting_each() as progress:
        sent = send_all(workspace, server, actor=actor(), dry_run=dry_run, progress=progress)
    return _tell(sent, options)


@bring.command(
    name="git-tags",
    help_epilogue="""\
Examples:
  git fetch --tags && mainspring import git-tags
  mainspring import git-tags --repository ../models --json

Tags are read in the form of GTO: late-orders#champion#12 at the commit of late-orders@v7.0.0. Aliases of clients'
models are moved. Of a product, a tag of the stage champion starts the declared rollout of its version. A tag is done
once; those that `mainspring export git-tags` has made ask for nothing. Exit code 1: something was left, and is told
with the reason.""",
)
def from_git_tags(*, repository: Path | None = None, options: Options = HERE) -> int:
    """Do what the tags of a git repository ask for.

    Parameters
    ----------
    repository : Path
        Its folder, the workspace's unless said otherwise.
    """
    from mainspring.operate.git_tags import read_tags

    with opened(options) as workspace:
        told = read_tags(workspace, repository or workspace.settings.root, actor=actor())
    return _tell_tags(told, "Nothing that was not done before is asked for.", options)


@send.command(
    name="git-tags",
    help_epilogue="""\
Examples:
  mainspring export git-tags && git push --tags
  mainspring export git-tags --repository ../models --json

Tags are made in the form of GTO: late-orders@v7.0.0 at the commit of the run that made version 7,
late-orders#champion#12 for an alias that has moved, and late-orders#champion!#13 for one that is gone. Nothing is
pushed. Exit code 1: something has no tag, and is told with the reason.""",
)
def to_git_tags(*, repository: Path | None = None, options: Options = HERE) -> int:
    """Tag versions and aliases in a git repository.

    Parameters
    ----------
    repository : Path
        Its folder, the workspace's unless said otherwise.
    """
    from mainspring.operate.git_tags import write_tags

    with opened(options) as workspace:
        told = write_tags(workspace, repository or workspace.settings.root, actor=actor())
    return _tell_tags(told, "Every version and alias has its tag.", options)


def _tell_tags(told: Tagged, nothing: str, options: Options) -> int:
    if options.json:
        print_json({"done": told.done, "left": told.left})
    else:
        left = [f"left: {each}" for each in told.left]
        display(*(harmless(each) for each in [*told.done, *left] or [nothing]))
    return 1 if told.left else 0


def _tell(moved: Moved, options: Options) -> int:
    if options.json:
        print_json(
            {
                "server": moved.url,
                "dry_run": moved.dry_run,
                "compared": [_row(each) for each in moved.compared],
                "left": moved.left,
                "differences": moved.differences,
            }
        )
    else:
        _show(moved.compared, moved.left, moved.differences, dry_run=moved.dry_run)
    return 1 if moved.differences else 0


def _show(
    compared: Sequence[Compared], left: Sequence[str], differences: Sequence[str], *, dry_run: bool
) -> None:
    counted = ("versions", "runs", "logged_models", "points", "params", "tags", "files", "bytes")
    display(
        table(
            ("", "Name", *(f">{name.replace('_', ' ').capitalize()}" for name in counted), "Digest"),
            (
                (
                    each.kind,
                    each.name,
                    *(_both(each, name) for name in counted),
                    "" if dry_run else _digests(each),
                )
                for each in compared
            ),
        ),
        *(f"left: {each}" for each in left[:_SHOWN]),
        *(f"differs: {each}" for each in differences[:_SHOWN]),
        _verdict(len(differences), len(left), dry_run=dry_run),
    )


def _both(compared: Compared, name: str) -> int | str | None:
    there, here = compared.there.counts.get(name, 0), compared.here.counts.get(name, 0)
    return (here or None) if there == here else f"{here:,} of {there:,}"


def _digests(compared: Compared) -> str:
    there, here = compared.there.digest[:12], compared.here.digest[:12]
    return here if there == here else f"{here}, and was {there}"


def _verdict(differences: int, left: int, *, dry_run: bool) -> str:
    more = " (--json tells all)" if max(differences, left) > _SHOWN else ""
    if dry_run:
        what = f"{differences:,} would not be moved, or not whole{more}." if differences else ""
        return f"Nothing was changed: this is what would be moved. {what}".strip()
    if differences:
        return f"{differences:,} differences between both sides{more}. Give the command again to move what is missing."
    return f"Both sides are alike, by counts and digests{more}."


def _row(compared: Compared) -> dict[str, object]:
    return {
        "kind": compared.kind,
        "name": compared.name,
        "from": {"counts": compared.there.counts, "digest": compared.there.digest},
        "to": {"counts": compared.here.counts, "digest": compared.here.digest},
        "differences": compared.differences,
    }
