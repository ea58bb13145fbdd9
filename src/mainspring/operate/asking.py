"""Who asks for a change, and when: what every event of it says."""

from __future__ import annotations

__all__ = ["Asking"]

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks for a change, and when."""

    actor: str
    now_ms: int

    @property
    def at(self) -> datetime:
        """When, as the ledger has it."""
        return datetime.fromtimestamp(self.now_ms / 1000, UTC)
