"""Datasets: immutable, validated versions of named tables."""

from mainspring.data.name import DataName, DataNameNotFound, DataNameStore, NameKind
from mainspring.data.schema import columns_of, contract_digest
from mainspring.data.splits import PLACE, Split, places, split, split_by_place, unsplit, window
from mainspring.data.validate import judge, validate
from mainspring.data.version import (
    MAIN,
    Batch,
    BatchOutcome,
    BatchReport,
    Change,
    CheckFailure,
    CheckPassed,
    DataStore,
    DataVersion,
    DataVersionNotFound,
)

__all__ = [
    "MAIN",
    "PLACE",
    "Batch",
    "BatchOutcome",
    "BatchReport",
    "Change",
    "CheckFailure",
    "CheckPassed",
    "DataName",
    "DataNameNotFound",
    "DataNameStore",
    "DataStore",
    "DataVersion",
    "DataVersionNotFound",
    "NameKind",
    "Split",
    "columns_of",
    "contract_digest",
    "judge",
    "places",
    "split",
    "split_by_place",
    "unsplit",
    "validate",
    "window",
]
