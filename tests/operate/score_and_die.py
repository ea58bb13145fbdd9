"""A process that scores orders, and is killed at the first place where none was killed before."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from mainspring.operate.score_data import score_data
from mainspring.workspace import open_workspace


def main(root: Path, places: Path) -> None:
    known = set(places.read_text().splitlines()) if places.exists() else set()

    def boundary(place: str) -> None:
        if place not in known:
            with places.open("a") as file:
                file.write(f"{place}\n")
            os.kill(os.getpid(), signal.SIGKILL)

    with open_workspace(root) as workspace:
        score_data(workspace, "tiny", ["orders"], actor="ana", part_rows=1_500, boundary=boundary)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
