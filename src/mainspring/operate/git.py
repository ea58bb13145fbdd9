"""The `git` program on a folder, with nothing run that the repository configures: it may be anybody's."""

from __future__ import annotations

__all__ = ["GitFailed", "git"]

import os
import subprocess
from typing import TYPE_CHECKING

from mainspring.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_WAIT_S = 10
_GIT = ("git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")


class GitFailed(Refused):
    """What git was asked for cannot be had; the reason is its own."""

    def __init__(self, root: Path, asked: str, why: str) -> None:
        super().__init__(root, asked, why)
        self.root, self.asked, self.why = root, asked, why

    def __str__(self) -> str:
        return f"`git {self.asked}` in {self.root} failed: {self.why or 'it says nothing of why'}."


def git(root: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> bytes:
    """Give what git says to a command in a folder.

    Raises
    ------
    GitFailed
        There is no git or no repository, or it does not end or succeed.
    """
    try:
        ran = subprocess.run(
            [*_GIT, "-C", str(root), *arguments],
            capture_output=True,
            timeout=_WAIT_S,
            check=False,
            env=os.environ
            | {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
            | dict(environment or {}),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitFailed(root, arguments[0], str(error)) from error
    if ran.returncode != 0:
        said = ran.stderr.decode(errors="replace").strip().splitlines()
        raise GitFailed(root, arguments[0], said[-1].removeprefix("fatal: ").rstrip(".") if said else "")
    return ran.stdout
