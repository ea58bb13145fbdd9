"""A process that writes into the online store, and is killed when it has written so many pieces."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from mainspring.operate import online_rows
from mainspring.operate.online_rows import write_rows
from mainspring.operate.tasks import Materialize
from mainspring.stores.online.sql import SqlOnline
from mainspring.stores.tables import DeltaTables


def main(tables: Path, task: bytes, pieces: int) -> None:
    import msgspec

    whole, left = SqlOnline.write, pieces

    def write(*of, **others):  # type: ignore[no-untyped-def]
        nonlocal left
        written = whole(*of, **others)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return written

    SqlOnline.write = write  # type: ignore[method-assign]
    online_rows._AT_ONCE = 2
    write_rows(msgspec.json.decode(task, type=Materialize), key=("price_id",), tables=DeltaTables(tables))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2].encode(), int(sys.argv[3]))
