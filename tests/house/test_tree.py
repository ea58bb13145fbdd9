"""What may lie in the repository, and what of it a wheel carries."""

from __future__ import annotations

import re
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Put together here, so that this file passes its own test.
HOSTS = [
    ".".join(parts)
    for parts in [("pypi", "org"), ("python" + "hosted", "org"), ("registry", "npmjs"), ("anaconda", "org")]
]
FOLDERS = ["home", "opt", "root", "tmp", "work", "Users"]
FOREIGN = re.compile(
    "|".join(map(re.escape, HOSTS))
    + r"|(?<![\w.$}/-])/(?:" + "|".join(FOLDERS) + r")/\w"
    + r"|--(?:extra-)?index-url[ =]\S|--find-links[ =]\S|--trusted-host[ =]\S"
)  # fmt: skip


def in_repository() -> list[Path]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_package_index_or_a_folder_of_some_machine() -> None:
    found = []
    for path in in_repository():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        found += [
            f"{path.relative_to(ROOT)}:{n}: {line}" for n, line in enumerate(lines, 1) if FOREIGN.search(line)
        ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        f"https://{HOSTS[0]}/simple",
        "--index-url" + " https://example.org",
        "cd /" + "root/project",
        'open("/' + 'tmp/x")',
    ],
)
def test_a_line_of_some_machine_is_recognised(line: str) -> None:
    assert FOREIGN.search(line)


def test_a_wheel_carries_every_file_of_the_package() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = ["*.py", *pyproject["tool"]["setuptools"]["package-data"]["*"]]
    package = [path for path in in_repository() if path.is_relative_to(ROOT / "src" / "mainspring")]
    assert [path for path in package if not any(fnmatch(path.name, pattern) for pattern in patterns)] == []


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {
        path.parent for path in in_repository() if path.is_relative_to(ROOT / "src") and path.suffix == ".py"
    }
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []
