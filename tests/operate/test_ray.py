"""Scoring and profiling on Ray, where it is installed: another place to run, and the same answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

SCORE = ("score", "tiny", "--data", "orders")
PROFILE = ("data", "profile", "orders@v1", "--by", "kind")


def run(trained: Path, root: Path, engine: str, asked: Sequence[str] = SCORE) -> Any:
    shutil.copytree(trained, root)
    command = [sys.executable, "-m", "mainspring.cli", *asked, "--json"]
    environment = os.environ | {"MAINSPRING_ENGINE": engine, "LOGNAME": "ana"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'mainspring[ray]'")
def test_ray_gives_the_version_that_local_processes_give(trained: Path, tmp_path: Path) -> None:
    local, ray = (run(trained, tmp_path / engine, engine) for engine in ("local", "ray"))
    assert ray == local
    assert ray["rows"] == 3_000


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'mainspring[ray]'")
def test_ray_profiles_as_this_process_does(trained: Path, tmp_path: Path) -> None:
    local, ray = (run(trained, tmp_path / engine, engine, PROFILE) for engine in ("local", "ray"))
    assert ray == local
    assert ray[0]["rows"] == 3_000


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
@pytest.mark.parametrize("asked", [SCORE, PROFILE], ids=["score", "profile"])
def test_without_ray_the_extra_is_named(trained: Path, tmp_path: Path, asked: Sequence[str]) -> None:
    with pytest.raises(AssertionError, match=r"pip install 'mainspring\[ray\]'"):
        run(trained, tmp_path / "root", "ray", asked)
