"""Datasets: immutable, validated versions of named tables."""

from mainspring.data.name import DataName, DataNameNotFound, DataNameStore, NameKind
from mainspring.data.schema import columns_of, validate
from mainspring.data.splits import Split, split, unsplit, window
from mainspring.data.version import (
    MAIN,
    Batch,
    BatchOutcome,
    BatchReport,
    Change,
    CheckFailure,
    DataStore,
    DataVersion,
    DataVersionNotFound,
)

__all__ = [
    "MAIN",
    "Batch",
    "BatchOutcome",
    "BatchReport",
    "Change",
    "CheckFailure",
    "DataName",
    "DataNameNotFound",
    "DataNameStore",
    "DataStore",
    "DataVersion",
    "DataVersionNotFound",
    "NameKind",
    "Split",
    "columns_of",
    "split",
    "unsplit",
    "validate",
    "window",
]
