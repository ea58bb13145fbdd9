"""What stores cannot do, in the words of the person who must mend it."""

from __future__ import annotations

__all__ = ["StoreUnavailable", "disk_refused"]

import errno
import os
import re
from typing import TYPE_CHECKING

from mainspring.errors import MainspringError

if TYPE_CHECKING:
    from pathlib import Path


class StoreUnavailable(MainspringError):
    """A store could not be reached, was busy for too long, or could not keep what it was given.

    What was accepted before is as it was; what was being written is not kept.
    """

    def __init__(self, where: str, why: str, mend: str) -> None:
        super().__init__(where, why, mend)
        self.where, self.why, self.mend = where, why, mend

    def __str__(self) -> str:
        return f"{self.where} is not available: {self.why}. Nothing of this act was kept. {self.mend}"


def disk_refused(where: Path, error: Exception) -> StoreUnavailable:
    """Say what a fault of the file system means to a person."""
    number = getattr(error, "errno", None)
    if number is None and (told := re.search(r"\(os error (\d+)\)", str(error))):
        number = int(told[1])  # delta-rs tells it in the text only
    match number:
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            mend = "Free space on that disk, or raise the limit on it, then try again."
        case errno.EACCES | errno.EPERM | errno.EROFS:
            mend = "See that you may write there, then try again."
        case _:
            mend = "See that the disk works, then try again."
    why = str(error).splitlines()[0] if number is None else os.strerror(number)
    return StoreUnavailable(str(where), why, mend)
