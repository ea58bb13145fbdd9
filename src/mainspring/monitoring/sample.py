"""Some of a day's rows, for monitors that need whole ones: the same rows however the day came in parts."""

from __future__ import annotations

__all__ = ["SAMPLE_ROWS", "RowSample"]

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, Self

import msgspec

from mainspring.monitoring.record import Values

SAMPLE_ROWS = 500
"""So many rows of a version are kept of each day."""


class RowSample(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of a day whose ids have the smallest hashes: a sample that knows nothing of what is in a row.

    Attributes
    ----------
    hashes : list of str
        Of the rows' ids, rising.
    at : list of datetime
        When each was asked.
    columns : dict of list
        Values by column, None where one is missing or was left out of the log.
    """

    hashes: list[str] = []
    at: list[datetime] = []
    columns: dict[str, Values] = {}

    @classmethod
    def of(cls, ids: Sequence[str], at: Sequence[datetime], columns: Mapping[str, Values]) -> Self:
        """Sample rows, each once.

        Examples
        --------
        >>> from datetime import UTC
        >>> rows = RowSample.of(["a", "b"], [datetime(2024, 1, 1, tzinfo=UTC)] * 2, {"amount": [1.0, None]})
        >>> sorted(rows.columns["amount"], key=str)
        [1.0, None]
        """
        hashed = [blake2b(name.encode(errors="surrogatepass"), digest_size=8).hexdigest() for name in ids]
        return cls(hashes=hashed, at=list(at), columns=dict(columns))._smallest()

    def merge(self, other: RowSample) -> RowSample:
        """Sample of the rows of both; exact, in any order. A column that one of them lacks is missing in its rows."""
        names = {**self.columns, **other.columns}
        both = RowSample(
            hashes=self.hashes + other.hashes,
            at=self.at + other.at,
            columns={
                name: [
                    *self.columns.get(name, [None] * len(self.hashes)),
                    *other.columns.get(name, [None] * len(other.hashes)),
                ]
                for name in names
            },
        )
        return both._smallest()

    def to_json(self) -> str:
        """Text that `from_json` reads back; the same for the same rows."""
        return msgspec.json.encode(self, order="deterministic").decode()

    @classmethod
    def from_json(cls, text: str) -> RowSample:
        """Read what `to_json` wrote."""
        return msgspec.json.decode(text, type=cls)

    def _smallest(self) -> Self:
        places = sorted(range(len(self.hashes)), key=self.hashes.__getitem__)[:SAMPLE_ROWS]

        def taken(values: list[Any]) -> list[Any]:
            return [values[place] for place in places]

        return type(self)(
            hashes=taken(self.hashes),
            at=taken(self.at),
            columns={name: taken(values) for name, values in sorted(self.columns.items())},
        )
