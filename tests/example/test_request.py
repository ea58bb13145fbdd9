"""The request that the tutorial sends with curl."""

from __future__ import annotations

import json

from tests.example.conftest import FOLDER

from mainspring.product import ProductSpec


def test_the_request_of_the_tutorial_has_what_the_product_asks_for(spec: ProductSpec) -> None:
    tensors = json.loads((FOLDER / "request.json").read_text())["inputs"]
    asked = [(column.name, column.dtype) for column in spec.inputs]
    assert [(tensor["name"], tensor["datatype"]) for tensor in tensors] == asked
    assert {tuple(tensor["shape"]) for tensor in tensors} == {(1,)}
