"""Experiments and the runs in them: their metrics, params, tags and inputs, and the grammar that searches them."""
