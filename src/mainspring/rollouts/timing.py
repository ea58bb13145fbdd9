"""Which requests are timed for a comparison: those that would have had the same work to do in either arm.

A request's rows are answered by one call of each version that has some of them, and a call takes the longer the
more rows it has. So a duration can be compared only with one of a call of the same size, and the sizes must not
tell the arms apart.

A request gives one duration, to its first row's unit, in the arm a that this unit's hash says. Of its u units, the
other u - 1 fall to a by coins of their own, so that a's part has n units with the chance P_a(n) = Binomial(u - 1,
s_a)(n - 1), s_a being a's share of the rows. The duration is kept with the chance min over the arms b of P_b(n) /
P_a(n). Among those that are kept, sizes have one law in all arms, and given the size and the durations an arm is
still what its coin says: exactly what `mainspring.rollouts.latency_test` needs. Requests of one unit are always
kept, and at two equal shares all are.
"""

from __future__ import annotations

__all__ = ["is_timed"]

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b


def is_timed(units: Sequence[str], served: Sequence[int], shares: Mapping[int, float], salt: str) -> bool:
    """Say whether the duration of the call that answered the first row is one to compare.

    It depends on the hashes of the units and on nothing that was measured.

    Parameters
    ----------
    units : sequence of str
        By row.
    served : sequence of int
        By row, the version whose call it was part of.
    shares : mapping of int to float
        By version that is compared, its share of the rows.
    salt : str
        For the draw; another one for each request, such as the id of its first prediction.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_timed(["a"], [2], {1: 0.95, 2: 0.05}, "r-0")
    True
    >>> is_timed(["a", "b"], [1, 1], {1: 0.5, 2: 0.5}, "r-0")
    True
    >>> is_timed(["a", "b", "a"], [1, 1, 1], {1: 0.5, 2: 0.5}, "r-0")
    False
    """
    distinct = len(set(units))
    if distinct == 1:
        return True
    if distinct < len(units):
        return False  # whose rows are how many would count as well
    size = Counter(served)[served[0]]
    logs = {version: _log_binomial(size - 1, distinct - 1, share) for version, share in shares.items()}
    kept = math.exp(min(logs.values()) - logs[served[0]])
    drawn = int.from_bytes(blake2b(f"timed\0{salt}".encode(), digest_size=8).digest()) / 2**64
    return drawn < kept


def _log_binomial(k: int, n: int, p: float) -> float:
    if not 0 < p < 1:
        return 0.0 if k == n * p else -math.inf
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return ways + k * math.log(p) + (n - k) * math.log1p(-p)
