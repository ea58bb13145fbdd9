"""Lineage of a workspace: what a ref came from, what came from it, and what stands on it."""

from mainspring.operate.lineage.ask import Lineage, impact, lineage
from mainspring.operate.lineage.named import UnknownRef

__all__ = ["Lineage", "UnknownRef", "impact", "lineage"]
