"""Feature views, and the join that sees only what was known at the time."""

from __future__ import annotations

__all__ = ["BadJoin", "BoundView", "as_of"]

from mainspring.features.join import BadJoin, BoundView, as_of
