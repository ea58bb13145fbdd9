"""The pages."""

from __future__ import annotations


def pages(workspace: object) -> list[object]:
    """Nothing yet."""
    return []
