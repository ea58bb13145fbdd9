"""The operations on cards: what is said and known of a product's version, and saying something else."""

from __future__ import annotations

__all__ = ["CARDS", "EditCard"]

from typing import TYPE_CHECKING

import msgspec

from mainspring.api.operation import Operation, actor_of, body_of
from mainspring.governance import Card
from mainspring.operate.cards import card, edit_card
from mainspring.ref import ModelRef

if TYPE_CHECKING:
    from starlette.requests import Request

    from mainspring.workspace import Workspace


class EditCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What people say of a version, in Markdown, in place of what was said; and why."""

    words: str
    reason: str


def _ref(request: Request) -> ModelRef:
    return ModelRef.parse(f"{request.path_params['product']}@{request.path_params['version']}")


def _edit(workspace: Workspace, request: Request, content: bytes) -> Card:
    asked: EditCard = body_of(content, EditCard)
    return edit_card(workspace, _ref(request), asked.words, actor=actor_of(request), reason=asked.reason)


_PATH = "/v1/products/{product}/versions/{version}/card"

CARDS: tuple[Operation, ...] = (
    Operation(
        "GET",
        _PATH,
        "The card of a version, by number or alias, with its history",
        lambda w, r, c: card(w, _ref(r)),
        gives=Card,
    ),
    Operation("PUT", _PATH, "Edit what people say on a card", _edit, EditCard, Card),
)
