"""A product file that is at fault keeps no other product from its turn, and is told until it is mended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.operate.tiny import PRODUCT, ask
from tests.operate.watching import DAY
from tests.products.tiny.orders import FIRST, orders, parquet

from mainspring.operate.controller import Controller, turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.declare import DeclarationInvalid, declare
from mainspring.operate.request import request_training
from mainspring.operate.status import product_status
from mainspring.settings import Settings
from mainspring.workspace import Workspace, open_workspace

Change = Callable[[str], str]
BROKEN: dict[str, tuple[Change, str]] = {
    "no valid Python": (lambda text: text + "\nproduct = (", "no valid Python"),
    "a declaration that is refused": (
        lambda text: text.replace('label="late"', 'label="letter"'),
        "'letter'",
    ),
}


def text_of(name: str) -> str:
    """The file of the tiny product, under another name and with a dataset of its own."""
    text = (PRODUCT / "product.py").read_text().replace('    "tiny",', f'    "{name}",')
    return text.replace('    "orders",\n', f'    "orders-{name}",\n')


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Workspace]:
    """Two products, each in a file of its own, in the system's time."""
    (tmp_path / "products").mkdir()
    for name in ("one", "other"):
        (tmp_path / "products" / f"{name}.py").write_text(text_of(name))
    with open_workspace(tmp_path, replace(Settings.load(tmp_path), interval_s=0.05)) as workspace:
        declare(workspace, actor="test")
        yield workspace


def told(workspace: Workspace, product: str) -> str:
    return "\n".join(product_status(workspace, product).refused_files)


def serves(workspace: Workspace, product: str) -> bool:
    return product_status(workspace, product).champion is not None


def wait_for(what: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not what():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize(("change", "why"), BROKEN.values(), ids=BROKEN)
def test_a_file_at_fault_is_told_until_it_is_mended_and_the_other_product_goes_on(
    two: Workspace, change: Change, why: str
) -> None:
    file = two.settings.root / "products" / "other.py"
    file.write_text(change(file.read_text()))
    add_batch(two, "orders-one", parquet(orders()), actor="test")
    with Controller(two):
        wait_for(lambda: serves(two, "one"))
        assert why in told(two, "other")
        assert told(two, "one") == ""
        file.write_text(text_of("other"))
        wait_for(lambda: told(two, "other") == "")
        add_batch(two, "orders-other", parquet(orders()), actor="test")
        wait_for(lambda: serves(two, "other"))


def test_of_files_that_declare_one_product_none_is_taken_and_what_was_declared_stays(two: Workspace) -> None:
    copy = two.settings.root / "products" / "a-copy.py"
    copy.write_text(text_of("other").replace('cool_down="3d"', 'cool_down="9d"'))
    with pytest.raises(DeclarationInvalid, match="product 'other': is declared 2 times"):
        declare(two, actor="test")
    assert "2 times" in told(two, "other")
    assert "2 times" in told(two, "one")  # of the copy nobody knows whose it is
    with two.database.read() as tx:
        assert two.specs(tx)["other"].cool_down == "3d"
    copy.unlink()
    declare(two, actor="test")
    assert told(two, "other") == told(two, "one") == ""


@pytest.mark.parametrize(("change", "why"), BROKEN.values(), ids=BROKEN)
def test_the_product_of_a_file_at_fault_counts_on_and_trains_when_the_file_is_mended(
    workspace: Workspace, change: Change, why: str
) -> None:
    file = workspace.settings.root / "product.py"
    sound = file.read_text()
    file.write_text(change(sound))
    with pytest.raises(DeclarationInvalid, match=why):
        declare(workspace, actor="test")
    workspace.advance(FIRST + 31 * DAY)
    ask(workspace, orders(FIRST + 31 * DAY, days=1))
    request_training(workspace, "tiny", request_id="r", actor="ada", reason="to see")
    done = turn(workspace)
    assert (done.records, done.acts) == (101, ())
    assert why in "\n".join(done.refused)
    status = product_status(workspace, "tiny")
    assert (status.predictions, status.waiting_requests, status.cycles) == (100, 1, 1)
    file.write_text(sound)
    declare(workspace, actor="test")
    done = turn(workspace)
    assert done.refused == ()
    assert "tiny: Train" in done.acts
    assert product_status(workspace, "tiny").waiting_requests == 0
