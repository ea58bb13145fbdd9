"""A product file that is at fault gets one clear message, and what was declared before stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Command

BROKEN = {
    "no valid Python": (lambda text: text + "\nproduct = (", ["product.py", "line", "no valid Python"]),
    "does not import": (
        lambda text: text.replace("orders = ms.Dataset", "import nowhere_to_be_found\norders = ms.Dataset"),
        ["product.py", "line", "nowhere_to_be_found"],
    ),
    "names a missing column": (
        lambda text: text.replace('inputs=["amount"', 'inputs=["amuont", "late"').replace(
            'label="late"', 'label="letter"'
        ),
        ["3 faults", "'amuont'", "'letter'"],
    ),
    "has no gate": (
        lambda text: (
            text[: text.index("    gates=[")] + "    gates=[],\n" + text[text.index("    rollout=") :]
        ),
        ["gates", "AtLeast"],
    ),
    "two of one name": (
        lambda text: text + "\nimport dataclasses\nother = dataclasses.replace(product, seed=1)\n",
        ["'tiny'", "2 times"],
    ),
    "declares nothing": (
        lambda text: text.replace("product = ms.Product(", "(lambda *a, **k: 0)("),
        ["declares no product"],
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_faulty_product_file_is_one_message(fault: str, root: Path, mainspring: Command) -> None:
    change, words = BROKEN[fault]
    file = root / "product.py"
    file.write_text(change(file.read_text()))
    said = mainspring("train", "tiny", "--reason", "to see")
    assert (said.code, said.out) == (2, "")
    assert "Traceback" not in said.err
    assert all(word in said.err for word in words), said.err
    assert "tiny@1" in mainspring("status").out
