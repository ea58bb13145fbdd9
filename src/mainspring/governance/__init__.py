"""Governance: the append-only, hash-chained ledger of everything that happened, and the cards of model versions."""

from mainspring.governance.card import Card, Edit, Table, declared_words, markdown
from mainspring.governance.ledger import GENESIS, Entry, Ledger, Verification, entry_hash, verify

__all__ = [
    "GENESIS",
    "Card",
    "Edit",
    "Entry",
    "Ledger",
    "Table",
    "Verification",
    "declared_words",
    "entry_hash",
    "markdown",
    "verify",
]
