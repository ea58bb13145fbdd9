"""Sinks: what the ledger tells people and programs outside, at least once, under ids that stay the same."""
