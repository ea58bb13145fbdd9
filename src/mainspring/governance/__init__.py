"""Governance: the append-only, hash-chained ledger of everything that happened."""

from mainspring.governance.ledger import GENESIS, Entry, Ledger, Verification, entry_hash, verify

__all__ = ["GENESIS", "Entry", "Ledger", "Verification", "entry_hash", "verify"]
