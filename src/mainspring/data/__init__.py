"""Datasets: immutable, validated versions of named tables."""

from mainspring.data.schema import columns_of, validate
from mainspring.data.splits import Split, split, unsplit, window
from mainspring.data.version import (
    Batch,
    BatchOutcome,
    BatchReport,
    CheckFailure,
    DataStore,
    DataVersion,
    DataVersionNotFound,
)

__all__ = [
    "Batch",
    "BatchOutcome",
    "BatchReport",
    "CheckFailure",
    "DataStore",
    "DataVersion",
    "DataVersionNotFound",
    "Split",
    "columns_of",
    "split",
    "unsplit",
    "validate",
    "window",
]
