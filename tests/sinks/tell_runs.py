"""A process that tells the run events of a workspace to a file, and is killed at once after it has written some."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from mainspring.settings import Settings
from mainspring.sinks import openlineage
from mainspring.workspace import open_workspace

if __name__ == "__main__":
    root, writes = Path(sys.argv[1]), int(sys.argv[2])
    written, real = 0, os.fsync

    def fsync(descriptor: int) -> None:
        global written
        real(descriptor)
        written += 1
        if written == writes:
            os.write(descriptor, b'{"half a line')
            os.kill(os.getpid(), signal.SIGKILL)

    openlineage.os.fsync = fsync  # type: ignore[attr-defined]
    settings = replace(Settings.load(root, {}), openlineage_file="runs.jsonl")
    with open_workspace(root, settings) as workspace:
        openlineage.tell_runs(workspace, datetime.now(UTC), {})
