"""What a run of the loop was made with besides code and environment: the commit of its product files, the machine."""

from __future__ import annotations

__all__ = ["COMMIT", "DIFF", "MACHINE", "made_with"]

import os
import platform
from functools import cache
from typing import TYPE_CHECKING

from mainspring.operate.git import GitFailed, git

if TYPE_CHECKING:
    from pathlib import Path

    from mainspring.stores.blobs import BlobStore

COMMIT = "mlflow.source.git.commit"
DIFF = "mainspring.diff"
MACHINE = "mainspring.machine"

_DIFF_LIMIT = 8 * 2**20


def made_with(root: Path, blobs: BlobStore) -> dict[str, str]:
    """Tell of the product files' commit, of what was not committed, and of the machine, as tags of a run.

    Parameters
    ----------
    root : Path
        The folder of the product files.
    blobs : BlobStore
        Where the difference to the commit is kept; the tag `mainspring.diff` is its digest.

    Returns
    -------
    dict of str to str
        Without a commit where the folder is in no git repository, or there is no git.
    """
    tags = {MACHINE: machine()}
    commit = _said(root, "rev-parse", "--verify", "HEAD").decode(errors="replace").strip()
    if not commit:
        return tags
    tags[COMMIT] = commit
    diff = _said(root, "diff", "--no-ext-diff", "--no-textconv", "--no-color", "HEAD", "--", ".")
    if diff:
        tags[DIFF] = blobs.put(diff[:_DIFF_LIMIT])
    return tags


@cache
def machine() -> str:
    """Name the operating system, the processor, and how many cores and how much memory it has.

    Examples
    --------
    >>> "cores" in machine()
    True
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{platform.system()} {platform.release()} {platform.machine()}, {cores} cores, {memory:.0f} GiB"


def _said(root: Path, *arguments: str) -> bytes:
    try:
        return git(root, *arguments)
    except GitFailed:
        return b""
