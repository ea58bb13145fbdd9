"""Reading a Feast repository with an interpreter that has Feast."""

from __future__ import annotations

__all__ = ["FeastUnreadable", "read_definitions"]

import subprocess
import sys
from pathlib import Path

import msgspec

from mainspring.errors import Invalid
from mainspring.operate.feast.definitions import Definitions

_TELL = Path(__file__).with_name("tell.py")
_TIMEOUT_S = 300


class FeastUnreadable(Invalid):
    """A repository whose definitions cannot be read."""

    def __init__(self, repository: str, why: str, mend: str) -> None:
        super().__init__(repository, why, mend)
        self.repository, self.why, self.mend = repository, why, mend

    def __str__(self) -> str:
        return f"The definitions in {self.repository} cannot be read: {self.why}. {self.mend}"


def read_definitions(repository: Path, *, python: str = sys.executable) -> Definitions:
    """Let Feast import a repository's files, in a process of its own, and say what they define.

    Nothing is applied or written. The files are code and run, as they do with Feast's own commands.

    Parameters
    ----------
    repository : Path
        The folder with the definitions.
    python : str
        An interpreter with Feast and with all that the files import; it needs nothing of mainspring.

    Raises
    ------
    FeastUnreadable
        The folder, the interpreter or Feast is not there, or a file does not import.
    """
    if not repository.is_dir():
        raise FeastUnreadable(
            str(repository), "there is no such folder", "Name the one with Feast's definitions."
        )
    try:
        run = subprocess.run(
            [python, str(_TELL), str(repository)],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FeastUnreadable(
            str(repository), f"{python}: {error}", "Name the Python that Feast is in."
        ) from error
    if run.returncode:
        said = (run.stderr.strip().splitlines() or [f"{python} ended with {run.returncode}"])[-1]
        mend = "Name a Python with Feast and all that the files import, with --python."
        raise FeastUnreadable(str(repository), said.rstrip("."), mend)
    return msgspec.json.decode(run.stdout, type=Definitions)
