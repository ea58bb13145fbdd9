"""The documents' own examples: each ```python block runs, and what is told to be typed exists.

The blocks of a page run in order and share their names, as for a reader who follows it. One that cannot run
here has a comment in the line before its fence that says why: `<!-- not run: … -->`. One that is taken from a file
names it there, `<!-- from: examples/late-arrivals/product.py -->`, and stands in it word for word; a line `...`
stands for what is left out.

A line that begins with `mainspring`, in a block or between backticks, is a command with known options.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import CycloptsError, MissingArgumentError

from mainspring.cli.main import app
from mainspring.operate.declaration import load_all

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(
    r"^(?:<!-- (?P<mark>not run|from): (?P<told>.+?) -->\n)?```(?P<kind>\w*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[tuple[int, str]]:
    """Line number and text of each block of `page` that is to be run."""
    text = page.read_text()
    return [
        (text.count("\n", 0, match.start("code")), match["code"])
        for match in FENCE.finditer(text)
        if match["kind"] == "python" and match["mark"] is None
    ]


def commands(page: Path) -> Iterator[tuple[str, bool]]:
    """What `page` tells to type after `mainspring`, and whether it stands in a block, where it is to be whole."""
    text = page.read_text()
    for match in FENCE.finditer(text):
        if match["kind"] in ("", "sh"):
            for line in match["code"].splitlines():
                # A prompt, settings in the environment, a folder of programs; behind it a remark or the next command.
                for part in re.split(r" && |  +\(|  +#| \| ", line):
                    if typed := re.match(
                        r"(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?mainspring(?: (.*))?$", part.strip()
                    ):
                        yield typed[1] or "", True
    for typed in re.finditer(r"`mainspring( [^`]*)?`", FENCE.sub("", text)):
        yield (typed[1] or "").strip(), False


def fault(command: str, *, whole: bool) -> str | None:
    """Say what is wrong with a command line; one that is only named may lack what it works on."""
    try:
        app.parse_args(shlex.split(command), exit_on_error=False, print_error=False)
    except MissingArgumentError as error:
        return str(error) if whole else None
    except CycloptsError as error:
        return str(error)
    return None


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=name)
def test_the_python_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": page.stem}
    for line, code in blocks(page):
        # Blank lines in front, so that a traceback points into the page.
        exec(compile("\n" * line + code, str(page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_make_targets_of_a_page_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"^(?:\$ )?make ([a-z-]+)|`make ([a-z-]+)", page.read_text(), re.MULTILINE)
    assert {first or second for first, second in named} <= targets


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_commands_of_a_page_exist_with_their_options(page: Path) -> None:
    wrong = [(command, why) for command, whole in commands(page) if (why := fault(command, whole=whole))]
    assert wrong == []


@pytest.mark.parametrize(
    "command", ["deploy", "ledger verify --fast", "data add orders", "status --json --all"]
)
def test_a_command_that_does_not_exist_is_recognised(command: str) -> None:
    assert fault(command, whole=True)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_a_page_takes_from_a_file_stands_in_it(page: Path) -> None:
    for match in FENCE.finditer(page.read_text()):
        if match["mark"] == "from":
            rest = (ROOT / match["told"]).read_text()
            for piece in filter(None, re.split(r"^ *\.\.\.\n", match["code"], flags=re.MULTILINE)):
                _, found, rest = rest.partition(piece)
                assert found == piece, f"{match['told']} has no such lines, or has them earlier:\n{piece}"


def test_the_product_of_the_first_page_is_one_that_mainspring_accepts(tmp_path: Path) -> None:
    code = "\n".join(code for _, code in blocks(ROOT / "README.md"))
    (tmp_path / "product.py").write_text(code)
    [(product, spec)] = load_all([tmp_path / "product.py"], tmp_path).products
    assert spec.steps
    assert product.gates
