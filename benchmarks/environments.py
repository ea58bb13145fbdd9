"""Environments of others, each made by uv from `peers/*.in` in `.peers/`, which can be thrown away."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import load

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parent / ".peers"
UV = HERE.parent / ".tools" / "bin" / "uv"
INSTALL_S = 300


def python_of(peer: str) -> Path:
    """The interpreter of a peer's environment, which is made if it is not as `peers/PEER.in` says."""
    folder, requirements = ENVIRONMENTS / peer, HERE / "peers" / f"{peer}.in"
    python, made_of = folder / "bin" / "python", folder / "made-of.in"
    if made_of.exists() and made_of.read_bytes() == requirements.read_bytes():
        return python
    uv = str(UV) if UV.exists() else shutil.which("uv")
    if uv is None:
        raise load.Failed("there is no uv to install it with: run `make dev` first")
    for command in (
        ["venv", "--quiet", "--clear", "--python", "3.11", str(folder)],
        ["pip", "install", "--quiet", "--python", str(python), "--requirement", str(requirements)],
    ):
        try:
            subprocess.run(
                [uv, *command], check=True, capture_output=True, text=True, timeout=INSTALL_S,
                env={**os.environ, "UV_PYTHON_DOWNLOADS": "never"},  # the pins are for this release, and it is there
            )  # fmt: skip
        except subprocess.CalledProcessError as error:
            raise load.Failed(f"it cannot be installed: {' '.join(error.stderr.split())[-400:]}") from error
        except subprocess.TimeoutExpired as error:
            raise load.Failed(f"its installation took more than {INSTALL_S} s") from error
    made_of.write_bytes(requirements.read_bytes())
    return python
