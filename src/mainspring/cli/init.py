"""`init`: a folder with a complete small product, to be changed into one's own."""

from __future__ import annotations

__all__ = ["init"]

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from mainspring.cli.show import display, print_json
from mainspring.errors import Conflict
from mainspring.ref import check_name

init = App(name="init", help_epilogue="Example:\n  mainspring init late-orders")

_FILES = {
    "product.py": "product.py.jinja",
    "synthetic.py": "synthetic.py.jinja",
    "tests/test_product.py": "test_product.py.jinja",
    "pyproject.toml": "pyproject.toml.jinja",
    ".gitignore": "gitignore.jinja",
}
_MONTHS = 2


class FolderTaken(Conflict):
    """A folder that already holds something."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder

    def __str__(self) -> str:
        return (
            f"{self.folder} exists and is not empty; nothing was written. Choose another name, or empty it."
        )


@init.default
def begin(
    name: str, /, *, json: Annotated[bool, Parameter(help="Print JSON, for programs.")] = False
) -> None:
    """Begin a workspace: a folder with a complete small product.

    It holds the declaration, a test, made-up data, a project file and, where git is there, a repository.

    Parameters
    ----------
    name : str
        The product's name and the folder's: lower-case letters, digits, hyphens and underscores.
    """
    folder = Path(check_name(name))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FolderTaken(folder.resolve())
    written = [*_write_files(folder, name), *_write_data(folder)]
    _make_repository(folder)
    if json:
        print_json({"folder": str(folder.resolve()), "files": [str(file) for file in written]})
        return
    display(
        f"{folder}/ has a product that can be trained at once. To see its loop turn:\n\n"
        f"  cd {folder}\n"
        "  mainspring up                                  (leave it running, and go on in another terminal)\n"
        "  mainspring data add orders data/orders-1.csv   (trains, judges and promotes the first version)\n"
        "  mainspring status\n\n"
        "product.py is the whole declaration: change it into your own."
    )


def _write_files(folder: Path, name: str) -> list[Path]:
    from jinja2 import Environment, StrictUndefined

    # The months end today, so that the outcome of nearly every order is known.
    first_day = (datetime.now(UTC) - timedelta(days=30 * _MONTHS)).date()
    environment = Environment(keep_trailing_newline=True, undefined=StrictUndefined, autoescape=False)
    for path, template in _FILES.items():
        text = files("mainspring.cli.starter").joinpath(template).read_text()
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x") as opened:
            opened.write(environment.from_string(text).render(name=name, first_day=first_day))
    return [folder / path for path in _FILES]


def _write_data(folder: Path) -> list[Path]:
    import runpy

    # The starter's own script, so that what it writes later continues what stands here.
    synthetic = runpy.run_path(str(folder / "synthetic.py"))
    (folder / "data").mkdir()
    return [synthetic["write"](month, folder / "data") for month in range(1, _MONTHS + 1)]


def _make_repository(folder: Path) -> None:
    git = shutil.which("git")
    if git is None:
        return
    inside = subprocess.run([git, "rev-parse", "--is-inside-work-tree"], cwd=folder, capture_output=True)
    if inside.returncode:
        subprocess.run([git, "init", "--quiet"], cwd=folder, capture_output=True)
