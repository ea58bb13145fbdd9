"""Content addresses: what a digest names never changes."""

from __future__ import annotations

__all__ = ["Digest", "canonical_json", "digest_of", "digest_of_file", "digest_of_json"]

import hashlib
import json
from typing import TYPE_CHECKING, NewType

if TYPE_CHECKING:
    from pathlib import Path

Digest = NewType("Digest", str)
"""The SHA-256 of some content, as 64 lower-case hexadecimal digits."""


def digest_of(content: bytes) -> Digest:
    """Digest of raw bytes.

    Examples
    --------
    >>> digest_of(b"")[:12]
    'e3b0c44298fc'
    """
    return Digest(hashlib.sha256(content).hexdigest())


def digest_of_json(value: object) -> Digest:
    """Digest of a JSON value that does not depend on the order of its keys.

    Examples
    --------
    >>> digest_of_json({"a": 1, "b": 2}) == digest_of_json({"b": 2, "a": 1})
    True
    """
    return digest_of(canonical_json(value).encode())


def digest_of_file(path: Path) -> Digest:
    """Digest of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return Digest(hashlib.file_digest(file, "sha256").hexdigest())


def canonical_json(value: object) -> str:
    """JSON text with sorted keys, no spaces and no NaN: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
