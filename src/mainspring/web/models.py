"""The pages of a model: what held of it at a moment, and all that ever did; and the card of each version."""

from __future__ import annotations

__all__ = ["card", "model"]

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mainspring.clock import parse_time
from mainspring.errors import Invalid
from mainspring.operate.as_of import as_of, history
from mainspring.operate.cards import card as card_of
from mainspring.ref import ModelRef

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.requests import Request

    from mainspring.workspace import Workspace

_SHOWN = 100


def model(workspace: Workspace, request: Request) -> tuple[str, dict[str, Any]]:
    """Show a product or a client's model by time."""
    name, asked = request.path_params["model"], request.query_params.get("at", "").strip()
    held, wrong = history(workspace, name), ""
    now = workspace.clock.now()
    try:
        found = as_of(workspace, name, _moment(asked) if asked else now)
    except Invalid as error:
        found, wrong = as_of(workspace, name, now), str(error)
    return "model.html", {
        "model": name,
        "asked": asked,
        "wrong": wrong,
        "found": found,
        "held": held[: -_SHOWN - 1 : -1],
        "older": max(0, len(held) - _SHOWN),
    }


def card(workspace: Workspace, request: Request) -> tuple[str, dict[str, Any]]:
    """Show the card of a product's version."""
    path = request.path_params
    found = card_of(workspace, ModelRef.parse(f"{path['model']}@{path['version']}"))
    return "card.html", {"card": found, "model": path["model"]}


def _moment(text: str) -> datetime:
    """A moment, or a day; one that says no zone is in UTC, as all moments on these pages."""
    for zone in ("Z", "T00:00Z"):
        with suppress(Invalid):
            return parse_time(text.replace(" ", "T") + zone)
    return parse_time(text)
