"""Scoring on Ray, where it is installed: another place to run, and the same answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest


def score(trained: Path, root: Path, engine: str) -> Any:
    shutil.copytree(trained, root)
    command = [sys.executable, "-m", "mainspring.cli", "score", "tiny", "--data", "orders", "--json"]
    environment = os.environ | {"MAINSPRING_ENGINE": engine, "LOGNAME": "ana"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'mainspring[ray]'")
def test_ray_gives_the_version_that_local_processes_give(trained: Path, tmp_path: Path) -> None:
    local, ray = (score(trained, tmp_path / engine, engine) for engine in ("local", "ray"))
    assert ray == local
    assert ray["rows"] == 3_000


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_the_extra_is_named(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"pip install 'mainspring\[ray\]'"):
        score(trained, tmp_path / "root", "ray")
