"""Imports stay cheap: what a module loads is seen in a fresh interpreter."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "mainspring"
CONTRACT = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
# From the layers of the import contract, the highest first; what stands in parentheses does not exist yet.
LAYERS = [
    [name for name in layer.replace("|", ":").replace(" ", "").split(":") if not name.startswith("(")]
    for layer in CONTRACT["layers"]
]
WORDS, STAGES = LAYERS[-1], LAYERS[-2]

# What words have beside the standard library: msgspec writes the declaration down, and loads the other.
WIRE = {"msgspec", "typing_extensions"}
HEAVY = {
    "alembic",
    "deltalake",
    "granian",
    "jinja2",
    "lightgbm",
    "onnx",
    "onnxruntime",
    "pandas",
    "pandera",
    "polars",
    "pyarrow",
    "pydantic",
    "scipy",
    "sqlalchemy",
    "starlette",
}


def modules(name: str) -> list[str]:
    """`mainspring.name` and, when it is a folder, every module in it."""
    inside = pkgutil.walk_packages([str(PACKAGE / name)], prefix=f"mainspring.{name}.")
    return [f"mainspring.{name}", *(module.name for module in inside)]


def loaded_by(*names: str) -> set[str]:
    """Top-level modules that importing `names` adds to a bare interpreter, the standard library left out."""
    program = (
        "import sys; before = set(sys.modules)\n"
        f"import {', '.join(names)}\n"
        "loaded = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*loaded - set(sys.stdlib_module_names))"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    return set(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()) - {
        "mainspring"
    }


def test_importing_mainspring_loads_no_framework() -> None:
    assert loaded_by("mainspring") <= WIRE


@pytest.mark.parametrize("word", WORDS)
def test_a_word_loads_no_framework(word: str) -> None:
    assert loaded_by(f"mainspring.{word}") <= WIRE


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_decides_without_a_framework(stage: str) -> None:
    assert loaded_by(*modules(stage)) & HEAVY == set()


def test_the_command_line_starts_without_a_frame_or_a_model_library() -> None:
    assert loaded_by("mainspring.cli.main") & (HEAVY | {"numpy"}) == set()
