"""A backtest: the declared policy is replayed first, and then each that is to be tried."""

from __future__ import annotations

__all__ = ["backtest"]

import fcntl
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from mainspring.errors import Fault, Faults
from mainspring.operate.backtest.compare import AS_DECLARED, Backtest, compare, found_again
from mainspring.operate.backtest.history import read_history
from mainspring.operate.backtest.replay import replay
from mainspring.operate.gain import metric_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from mainspring.operate.backtest.history import History
    from mainspring.workspace import Workspace


_LOCK = "lock"
"""The file that is locked while a backtest uses its folder."""


def backtest(
    workspace: Workspace,
    product: str,
    policies: Sequence[Path] = (),
    tell: Callable[[str, float, str], None] = lambda policy, share, what: None,
) -> Backtest:
    """Replay what was recorded of a product under the policy that is declared, and under others.

    Parameters
    ----------
    workspace : Workspace
        It may be in use meanwhile; nothing of it is changed.
    product : str
        Its name.
    policies : sequence of Path
        Python files; the names that each sets stand in place of the same fields of the product.
    tell : callable
        Told which policy is being replayed, which share of the recorded time is done, and what else is being done.

    Raises
    ------
    UnknownProduct
        No file declares it.
    NothingRecorded
        Its loop has not turned.
    Faults
        A policy's file is missing, or two have one name.
    DeclarationInvalid
        A policy does not import, sets what no policy sets, or contradicts itself.
    NotInTheLog
        A version is to be asked for inputs that the log leaves out.
    """
    _check(policies)
    history = read_history(workspace, product)
    begin, end = history.turns[0].at, history.turns[-1].at
    tried: dict[str, Path | None] = {AS_DECLARED: None, **{each.stem: each for each in policies}}
    replays = {}
    with _beside(workspace) as folder:
        for number, (name, file) in enumerate(tried.items()):

            def at(moment: datetime, what: str, name: str = name) -> None:
                tell(name, (moment - begin) / (end - begin) if end > begin else 1.0, what)

            replays[name] = replay(workspace, history, file, folder / str(number), at)
    metric = metric_of(history.spec)
    return Backtest(
        product=product,
        metric=metric,
        since=begin,
        until=end,
        rows=history.rows.height,
        found_again=found_again(history, replays[AS_DECLARED]),
        policies=compare(history, replays, metric),
        notes=list(_notes(history)),
    )


def _check(policies: Sequence[Path]) -> None:
    faults = [
        Fault(str(each), "is no file.", "Name a Python file with the fields that are to be tried.")
        for each in policies
        if not each.is_file()
    ]
    faults += [
        Fault(f"policy {name!r}", f"is given {count} times.", "Give each file a name of its own.")
        for name, count in Counter(each.stem for each in policies).items()
        if count > 1
    ]
    faults += [
        Fault(f"policy {each}", f"has the name of the declared one, {AS_DECLARED!r}.", "Rename it.")
        for each in policies
        if each.stem == AS_DECLARED
    ]
    if faults:
        raise Faults("The backtest", tuple(faults))


@contextmanager
def _beside(workspace: Workspace) -> Iterator[Path]:
    """Give a folder that is gone afterwards, on the file system of the workspace; one that was killed left its own."""
    folder = workspace.settings.state / "backtests"
    folder.mkdir(exist_ok=True)
    for left in folder.iterdir():
        if not _in_use(left):
            shutil.rmtree(left, ignore_errors=True)
    with TemporaryDirectory(dir=folder) as own, (Path(own) / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Path(own)


def _in_use(folder: Path) -> bool:
    """Whether a process has a folder of its own; one without a lock has just begun."""
    try:
        with (folder / _LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError, NotADirectoryError):
        return True
    return False


def _notes(history: History) -> Iterator[str]:
    """Say what a replay does not do again."""
    if not history.driven:
        yield (
            "The workspace lives in the system's time: moments are those at which turns began, a version takes as long "
            "as the recorded request, and the latency of a candidate is drawn."
        )
    if history.by_people:
        yield f"{history.by_people} acts of people on rollouts are not replayed."
    if (sampled := history.rows["sampled"].min()) is not None and float(str(sampled)) < 1:
        yield "What the log has not sampled is not replayed: there are fewer rows than there were."
    if history.spec.approval is not None:
        yield "Approvals are taken to be given at once."
    if (offered := sum(each.offer is not None for each in history.cycles)) > 0:
        yield f"{offered} models that people offered are not replayed."
    if (rolled := sum(not each.trains for each in history.cycles) - offered) > 0:
        yield f"{rolled} rollouts that people started of registered versions are not replayed."
    if history.turns[0].entries == 0 and not history.turns[0].first_of_day:
        yield "Of the first days no turn was noted: there the loop turns at midnight."
