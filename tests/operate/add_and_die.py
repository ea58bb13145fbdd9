"""A process that adds to a dataset, and kills itself at one of its steps in the file system."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from mainspring.data import Change
from mainspring.operate.data.add import add_data
from mainspring.operate.data.give_up import collect_data
from mainspring.operate.data.publish import Adding
from mainspring.operate.data.sources import add_source
from mainspring.operate.tasks import AddBatch
from mainspring.stores.tables import DeltaTables
from mainspring.workspace import open_workspace

STEPS = ("open", "os.rename", "os.remove", "os.mkdir", "shutil.rmtree")


def die_at(step: int) -> None:
    """Kill this process at a step, counted from 1, of those that follow; 0 is never."""
    left = step

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in STEPS and "site-packages" not in str(arguments) and ".py" not in str(arguments):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def change(tables: Path, file: Path, version: int, how: Change, step: int) -> None:
    """Do what a worker does with a batch."""
    task = AddBatch(dataset="wx", file=str(file), table_version=version, key=("id",), plain=True, change=how)
    die_at(step)
    print(add_data(task, None, DeltaTables(tables)).table_version)


def add(root: Path, source: str, dataset: str, step: int) -> None:
    """Do what the command does."""
    with open_workspace(root) as workspace:
        die_at(step)
        batch = add_source(workspace, dataset, source, actor="ana", adding=Adding(new=True))
        print(batch.version)


def collect(root: Path, step: int) -> None:
    """Free what nothing refers to."""
    with open_workspace(root) as workspace:
        die_at(step)
        collect_data(workspace, older_than="1h", actor="ana")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["change", tables, file, version, how, step]:
            change(Path(tables), Path(file), int(version), Change(how), int(step))
        case ["add", root, source, dataset, step]:
            add(Path(root), source, dataset, int(step))
        case ["collect", root, step]:
            collect(Path(root), int(step))
