"""References of model versions: what monitors compare with, read once."""

from __future__ import annotations

__all__ = ["reference_of", "scores_of", "task_of"]

from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from mainspring.monitoring.scores import ScoreTable
from mainspring.operate.judging import Reference
from mainspring.registry import ModelVersionNotFound

if TYPE_CHECKING:
    from mainspring.digest import Digest
    from mainspring.ref import ModelRef
    from mainspring.stores.blobs import FileBlobs
    from mainspring.stores.sql.database import Transaction
    from mainspring.task import Task


@lru_cache(maxsize=16)
def reference_of(blobs: FileBlobs, digest: Digest) -> Reference:
    """The reference of a model version; immutable, so it is read once."""
    return msgspec.json.decode(blobs.get(digest), type=Reference)


def task_of(tx: Transaction, blobs: FileBlobs, ref: ModelRef, declared: Task) -> Task:
    """The task that a version was judged by, whatever is declared by now; what is declared where that is not known."""
    try:
        digest = tx.registry.get(ref).reference
    except ModelVersionNotFound:
        return declared
    return reference_of(blobs, digest).task or declared


@lru_cache(maxsize=64)
def scores_of(blobs: FileBlobs, digest: Digest) -> ScoreTable:
    """The scores of a model version's hold-out; none where it was judged before they were kept. Not to be changed."""
    text = reference_of(blobs, digest).scores
    return ScoreTable.from_json(text) if text else ScoreTable()
