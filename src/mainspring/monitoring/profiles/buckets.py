"""Buckets of numbers: the top 16 bits of a float64 are its sign, its exponent and four bits of its mantissa.

There are no edges to configure, ranks are exact at bucket edges, and a bucket is 1/32 to 1/16 as wide as its distance
from zero. What is nearer to zero than 2^-1026 counts as zero. Keys are in the order of the values: 0x8000 plus the bits
of a positive number, 0x7FFF minus those of a negative one without its sign. Those of NaN lie beyond both infinities.
"""

from __future__ import annotations

__all__ = ["GREATEST", "LEAST", "bucket_counts", "bucket_ends", "bucket_keys"]

from typing import Any

import numpy as np
from numpy.typing import NDArray

_KEYS = 0x10000
_INFINITY = 0x7FF0
LEAST, GREATEST = 0x7FFF - _INFINITY, 0x8000 + _INFINITY
"""Keys of the infinities."""

# So many values are shifted and counted at a time: half a megabyte, which stays near the core.
_BLOCK = 1 << 16
# Fewer are counted sooner by sorting them than in an array of all keys.
_FEW = 1 << 12


def bucket_counts(values: NDArray[np.float64], offset: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count values by bucket.

    Parameters
    ----------
    values : ndarray, shape (n,)
    offset : float
        Taken from each value first.

    Returns
    -------
    keys, counts : ndarray of int, shape (n_buckets,)
        Of the buckets that are not empty, in order. NaN has keys below `LEAST` or above `GREATEST`.
    """
    if len(values) <= _FEW:
        bits, counts = np.unique(_bits(values, offset, np.empty(len(values))), return_counts=True)
    else:
        by_bits, block = np.zeros(_KEYS, dtype=np.int64), np.empty(_BLOCK)
        for start in range(0, len(values), _BLOCK):
            part = values[start : start + _BLOCK]
            counts = np.bincount(_bits(part, offset, block[: len(part)]))
            by_bits[: len(counts)] += counts
        bits = np.flatnonzero(by_bits)
        counts = by_bits[bits]
    negative = np.searchsorted(bits, 0x8000)
    keys = np.concatenate([0xFFFF - bits[negative:][::-1], 0x8000 + bits[:negative]])
    return keys, np.concatenate([counts[negative:][::-1], counts[:negative]])


def bucket_keys(values: NDArray[np.float64], offset: float) -> NDArray[np.int64]:
    """Key of the bucket of each value, as `bucket_counts` counts it."""
    bits = _bits(values, offset, np.empty(len(values)))
    return np.where(bits >= 0x8000, 0xFFFF - bits, 0x8000 + bits)


def _bits(values: NDArray[np.float64], offset: float, into: NDArray[np.float64]) -> NDArray[np.int64]:
    """Top 16 bits of each value after the offset is taken away, in the memory of `into`."""
    # A value may overflow where the offset is taken away, and a signalling NaN complains: both are counted.
    with np.errstate(over="ignore", invalid="ignore"):
        # A sum with 0.0 makes -0.0 positive, and a signalling NaN quiet, which has its mark within the top bits.
        np.add(values, -offset or 0.0, out=into)
    bits = into.view(np.uint64)
    np.right_shift(bits, 48, out=bits)
    return bits.view(np.int64)


def bucket_ends(keys: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least and greatest float of each bucket; that of zero has no width."""
    keys = keys.astype(np.uint64)
    negative = keys < 0x8000
    bits = np.where(negative, np.uint64(0x7FFF) - keys, keys - np.uint64(0x8000)).astype(np.uint64)
    near = (bits << np.uint64(48)).view(np.float64)
    # Infinity shares its bits with the NaN beyond it, and ends where it begins.
    narrow = (bits == _INFINITY) | (bits == 0)
    width = np.where(narrow, np.uint64(0), np.uint64((1 << 48) - 1))
    far = ((bits << np.uint64(48)) | width).view(np.float64)
    return np.where(negative, -far, near), np.where(negative, -near, far)
