"""The program `mainspring`."""

from __future__ import annotations

__all__ = ["app", "run"]

import os
import sys
import traceback
from importlib.metadata import version
from typing import TYPE_CHECKING

from cyclopts import App, CycloptsError, Group, Parameter

from mainspring.cli import (
    alarms,
    alerts,
    cards,
    cycle,
    data,
    data_files,
    data_infer,
    data_keep,
    data_names,
    data_quarantine,
    database,
    features,
    folders,
    gc,
    init,
    labels,
    ledger,
    lineage,
    log,
    models,
    move,
    power,
    processes,
    rollout,
    rollout_forecast,
    rollout_start,
    rollout_watch,
    run_watch,
    runs,
    score,
    status,
    triggers,
    why_not,
)
from mainspring.cli.show import complain
from mainspring.errors import Conflict, Invalid, MainspringError, NotFound, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

DONE, REFUSED, MISUSED, NOT_FOUND, CONFLICT, FAILED = range(6)

app = App(
    name="mainspring",
    help="Keeps models in production good: versions, trains, judges, rolls out, serves, watches and retrains.",
    help_epilogue="""\
A first day:
  mainspring init late-orders && cd late-orders
  mainspring up          (leave it running; go on in another terminal)
  mainspring data add orders data/orders-1.csv
  mainspring status

Exit codes:
  0  done
  1  understood and refused: a batch, an older database, a broken ledger
  2  misuse: unknown options, a malformed ref, a product file with faults
  3  what was named does not exist
  4  conflict: the name is taken, or something else has changed it
  5  it did not work: a store is not available, a process has died

Every command has --help; most take --root FOLDER and --json.""",
    help_format="plaintext",
    version=lambda: version("mainspring"),
    default_parameter=Parameter(show_default=False, negative=""),
    result_action="return_value",
)

_WORK = Group("Work", sort_key=1)
_SEE = Group("See", sort_key=2)
_MAINTAIN = Group("Maintain", sort_key=3)

for group, commands in {
    _WORK: (init.init, processes.up, data.app, features.app, runs.train, score.score),
    _SEE: (
        status.status,
        runs.runs,
        models.models,
        lineage.lineage,
        lineage.impact,
        power.power,
        rollout.rollout,
        cycle.cycles,
        cycle.explain,
        why_not.why_not,
        triggers.app,
        alarms.app,
        labels.app,
        ledger.app,
    ),
    _MAINTAIN: (
        processes.server,
        processes.gateway,
        alerts.app,
        database.upgrade,
        log.app,
        move.bring,
        move.send,
        gc.gc,
    ),
}.items():
    for position, command in enumerate(commands):
        command.group, command.sort_key = (group,), position
        app.command(command)

runs.runs.command(run_watch.watch)
for command in (rollout_forecast.plan, rollout_forecast.simulate, rollout_start.start, rollout_watch.watch):
    rollout.rollout.command(command)
models.models.command(cards.card)

for command in (folders.folders, folders.move, folders.archive):
    runs.runs.command(command)

data.app.command(data_files.diff)
data.app.command(data_files.checkout)
data.app.command(data_keep.compact)
data.app.command(data_keep.gc)
data.app.command(data_infer.infer)
for judging in (data_quarantine.report, data_quarantine.quarantine, data_quarantine.release):
    data.app.command(judging)
for naming in (data_names.tag, data_names.branch, data_names.merge, data_names.unname, data_names.names):
    data.app.command(naming)


@app.command(
    group=_MAINTAIN,
    sort_key=9,
    help_epilogue="Example:\n  mainspring completion bash > ~/.local/share/bash-completion/completions/mainspring",
)
def completion(shell: str, /) -> None:
    """Print a script that completes commands in a shell.

    Parameters
    ----------
    shell : str
        bash, zsh or fish.
    """
    from typing import Literal, cast

    if shell not in ("bash", "zsh", "fish"):
        raise Invalid(f"There is no completion for {shell!r}: name bash, zsh or fish.")
    print(app.generate_completion(shell=cast("Literal['bash', 'zsh', 'fish']", shell)))


def run() -> None:
    """Run the program on the arguments that it was called with, and exit with what came of it."""
    sys.exit(answer(sys.argv[1:]))


def answer(arguments: Sequence[str]) -> int:
    """Carry out one command, and give the exit code."""
    try:
        came = app(arguments, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except CycloptsError as error:
        called = " ".join(("mainspring", *(error.command_chain or ())))
        complain(f"{error} See `{called} --help`.")
        return MISUSED
    except MainspringError as error:
        complain(str(error))
        return exit_code(error)
    except BrokenPipeError:
        # Who read our output has seen enough. What is still buffered must not raise once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:
        complain(f"{error.filename or 'The system'}: {error.strerror or error}.")
        return FAILED
    except KeyboardInterrupt:
        return 130
    except Exception:  # noqa: BLE001 - Python would exit with 1, which means a refusal here
        traceback.print_exc()
        return FAILED
    return came if isinstance(came, int) else DONE


def exit_code(error: MainspringError) -> int:
    """Say which exit code an error is told by."""
    match error:
        case Refused():
            return REFUSED
        case Invalid():
            return MISUSED
        case NotFound():
            return NOT_FOUND
        case Conflict():
            return CONFLICT
        case _:
            return FAILED


if __name__ == "__main__":
    run()
