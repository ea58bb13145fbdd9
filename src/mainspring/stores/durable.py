"""Files and folders that a power cut does not take back."""

from __future__ import annotations

__all__ = ["make_folder", "replace", "sync", "write_new"]

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, each synced into its parent."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)


def write_new(path: Path, content: bytes | memoryview) -> None:
    """Write a file that was not there, and its name into its folder; leaves none when it cannot."""
    try:
        with path.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    sync(path.parent)


def replace(path: Path, content: bytes | memoryview) -> None:
    """Write a file in place of the one that is there, for its owner alone; readers see either the old or the new."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    fresh.unlink(missing_ok=True)
    write_new(fresh, content)
    fresh.chmod(0o600)
    fresh.rename(path)
    sync(path.parent)
