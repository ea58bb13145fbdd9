"""The locks pin everything by hash, name no place to fetch it from, and hold what pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "locks").glob("*.txt"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def locked(name: str) -> dict[str, str]:
    """Version of each distribution in `locks/<name>.txt`."""
    pins = re.findall(
        r"^([a-z0-9-]+)==(\S+)", (ROOT / "locks" / f"{name}.txt").read_text(), flags=re.MULTILINE
    )
    return dict(pins)


def asked(*extras: str) -> list[Requirement]:
    """What pyproject.toml asks for, the extras that name other extras followed."""
    project = PYPROJECT["project"]
    found, wanted = [Requirement(text) for text in project["dependencies"]], list(extras)
    for extra in wanted:
        for requirement in map(Requirement, project["optional-dependencies"][extra]):
            if requirement.name == project["name"]:
                wanted += requirement.extras
            else:
                found.append(requirement)
    return found


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_holds_pinned_hashed_requirements_and_nothing_else(lock: Path) -> None:
    text = re.sub(r"\s*#.*", "", lock.read_text())
    requirements = text.replace("\\\n", "").strip().splitlines()
    assert requirements
    for requirement in requirements:
        assert re.fullmatch(r"[a-z0-9-]+==[\w.]+( ; [^#]+?)?( +--hash=sha256:[0-9a-f]{64})+", requirement)


@pytest.mark.parametrize(("lock", "extra"), [("demo", "demo"), ("dev", "dev")])
def test_a_lock_holds_what_pyproject_asks_for(lock: str, extra: str) -> None:
    versions = locked(lock)
    unmet = [str(need) for need in asked(extra) if not need.specifier.contains(versions.get(need.name, ""))]
    assert unmet == [], "run `make lock`"


def test_the_demo_runs_what_the_tests_tested() -> None:
    assert locked("demo").items() <= locked("dev").items()


def test_the_build_tool_is_locked() -> None:
    [backend] = map(Requirement, PYPROJECT["build-system"]["requires"])
    assert backend.specifier.contains(locked("build")[backend.name])
