"""A form of request for people: `{"inputs": {"distance": 100, "carrier": "UA"}}`, or a list for each column."""

from __future__ import annotations

__all__ = ["column_tensors", "read"]

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from mainspring.errors import Fault
from mainspring.gateway.http import Reply
from mainspring.gateway.inputs import Tensor
from mainspring.gateway.protocols.asked import Asked
from mainspring.gateway.protocols.oip import Wishes, outputs

if TYPE_CHECKING:
    from mainspring.gateway.inputs import Inputs
    from mainspring.gateway.predict import Prediction


def read(inputs: Inputs, content: bytes) -> Asked | None:
    """Read such a request; None when it is none.

    Raises
    ------
    BadRequest
        With everything that is wrong.
    """
    try:
        asked = msgspec.json.decode(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(asked, dict) or not isinstance(columns := asked.get("inputs"), dict):
        return None
    wishes, found = _wishes(inputs, asked)
    lists = {name: values for name, values in columns.items() if isinstance(values, list)}
    if lists and len(lists) < len(columns):
        mixed = f"{', '.join(lists)[:200]} is a list, the others are not."
        found.append(Fault("inputs", mixed, "Send one value for each column, or a list for each."))
    else:
        lists = lists or {name: [value] for name, value in columns.items()}
    rows = inputs.check(column_tensors(inputs, lists), found, unread=len(lists) < len(columns))
    one = not any(isinstance(values, list) for values in columns.values())
    return Asked(rows, partial(_write, wishes, one), wishes.id)


def _wishes(inputs: Inputs, asked: Mapping[str, Any]) -> tuple[Wishes, list[Fault]]:
    said = {name: asked[name] for name in ("id", "outputs") if asked.get(name) is not None}
    if isinstance(outputs := said.get("outputs"), list):
        said["outputs"] = [{"name": each} if isinstance(each, str) else each for each in outputs]
    try:
        wishes = msgspec.convert(said, Wishes)
    except msgspec.ValidationError as error:
        return Wishes(), [Fault("body", f"{error}.")]
    return wishes, wishes.faults(inputs)


def column_tensors(inputs: Inputs, columns: Mapping[str, list[Any]]) -> list[Tensor]:
    """Give columns that came without datatypes those of the product."""
    return [
        Tensor(name, inputs.datatypes.get(name, ""), [len(values)], values)
        for name, values in columns.items()
    ]


def _write(wishes: Wishes, one: bool, product: str, prediction: Prediction) -> Reply:
    answered = {
        each.name: each.data[0] if one and each.data else each.data for each in outputs(wishes, prediction)
    }
    said = {"id": wishes.id} if wishes.id is not None else {}
    return Reply.of({"model_name": product, **said, "outputs": answered})
