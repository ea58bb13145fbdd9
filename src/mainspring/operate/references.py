"""References of model versions: what monitors compare with, read once."""

from __future__ import annotations

__all__ = ["reference_of", "scores_of"]

from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from mainspring.monitoring.scores import ScoreTable
from mainspring.operate.judging import Reference

if TYPE_CHECKING:
    from mainspring.digest import Digest
    from mainspring.stores.blobs import FileBlobs


@lru_cache(maxsize=16)
def reference_of(blobs: FileBlobs, digest: Digest) -> Reference:
    """The reference of a model version; immutable, so it is read once."""
    return msgspec.json.decode(blobs.get(digest), type=Reference)


@lru_cache(maxsize=64)
def scores_of(blobs: FileBlobs, digest: Digest) -> ScoreTable:
    """The scores of a model version's hold-out; none where it was judged before they were kept. Not to be changed."""
    text = reference_of(blobs, digest).scores
    return ScoreTable.from_json(text) if text else ScoreTable()
