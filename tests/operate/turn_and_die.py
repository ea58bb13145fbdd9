"""A process that turns the loop of a workspace for each line that it reads, and is killed wherever none was before.

Each turn is a child of its own, which has only to be forked: nothing was done here but to import.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from mainspring.operate.controller import turn
from mainspring.workspace import open_workspace


def turn_once(root: Path, places: Path) -> None:
    known = set(places.read_text().splitlines()) if places.exists() else set()

    def boundary(place: str) -> None:
        if place not in known:
            with places.open("a") as file:
                file.write(f"{place}\n")
            os.kill(os.getpid(), signal.SIGKILL)

    with open_workspace(root) as workspace:
        turn(workspace, boundary)


def main(root: Path, places: Path) -> None:
    for _ in sys.stdin:
        while (child := os.fork()) and (ended := os.waitpid(child, 0)[1]):
            assert os.WIFSIGNALED(ended), ended
            assert os.WTERMSIG(ended) == signal.SIGKILL, ended
        if not child:
            turn_once(root, places)
            os._exit(0)
        print("turned", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
