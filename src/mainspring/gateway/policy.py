"""What of a product's traffic may be written down: a sample of its units, and no value of a person."""

from __future__ import annotations

__all__ = ["LogPolicy"]

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from mainspring.gateway.inputs import as_text
from mainspring.monitoring.record import Failure, Fetched, listed
from mainspring.rollouts.split import CHAMPION, Part, Split

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mainspring.monitoring.record import Column, PredictionRecord
    from mainspring.rollouts import Route

_SHORTEST = 4  # shorter texts are in every sentence


@dataclass(frozen=True, slots=True)
class LogPolicy:
    """A product's rule of what is logged, as its route declares it.

    Attributes
    ----------
    sample : Split, optional
        Which units are logged; all without it. It knows nothing of rollouts, so that a sample is one of every arm.
    sampled : float
        The share of them.
    hidden : mapping of str to {"drop", "hash"}
        Columns whose values are left out, or replaced by their pseudonyms.
    known : frozenset of str
        Columns that are declared. In a product that hides some, any other is left out: nobody has said what is in it.
    pseudonym : callable
        A keyed hash of a text.
    """

    sample: Split | None
    sampled: float
    hidden: Mapping[str, str]
    known: frozenset[str]
    pseudonym: Callable[[str], str]

    @classmethod
    def of(cls, route: Route, pseudonym: Callable[[str], str]) -> LogPolicy:
        """Read a route's policy."""
        whole, columns = route.log_sample >= 1, (*route.inputs, *route.entities)
        return cls(
            sample=None if whole else Split(f"log of {route.product}", [Part(0.0, route.log_sample)]),
            sampled=route.log_sample,
            hidden={column.name: column.pii for column in columns if column.pii},
            known=frozenset(column.name for column in columns),
            pseudonym=pseudonym,
        )

    @property
    def keeps_all(self) -> bool:
        """Whether every record is logged as it is."""
        return self.sample is None and not self.hidden

    def units(self, named_by: str | None, units: list[str]) -> list[str]:
        """Give the units by which rows are split and which are logged: pseudonyms, where a hidden column names them."""
        return [self.pseudonym(unit) for unit in units] if named_by in self.hidden else units

    def apply(self, record: PredictionRecord) -> tuple[PredictionRecord, Counter[str]]:
        """Give what may be logged of a record, and count what may not: `unsampled` rows, `redacted` values."""
        left_out: Counter[str] = Counter()
        if self.sample is not None:
            rows = [row for row, part in enumerate(self.sample.assign(record.units)) if part != CHAMPION]
            left_out["unsampled"] = len(record.units) - len(rows)
            record = msgspec.structs.replace(_rows(record, rows), sampled=self.sampled)
        if self.hidden and record.units:
            record, left_out["redacted"] = self._redacted(record)
        return record, +left_out

    def _redacted(self, record: PredictionRecord) -> tuple[PredictionRecord, int]:
        values: list[Any] = []
        names: list[str] = []

        def shown(columns: Mapping[str, Column]) -> dict[str, Column]:
            kept: dict[str, Column] = {}
            for name, column in columns.items():
                how = self.hidden.get(name, "" if name in self.known else "drop")
                if not how:
                    kept[name] = column
                    continue
                given = listed(column)
                names.append(name)
                values.extend(value for value in given if value is not None)
                if how == "hash":
                    kept[name] = [
                        None if value is None else self.pseudonym(as_text(value)) for value in given
                    ]
            return kept

        inputs = shown(record.inputs)
        features = {
            view: Fetched(of.at, {name: listed(column) for name, column in shown(of.columns).items()})
            for view, of in record.features.items()
        }
        failures = [Failure(each.row, each.version, _without(each.error, values)) for each in record.failures]
        redacted = msgspec.structs.replace(
            record, inputs=inputs, features=features, failures=failures, redacted=sorted(set(names))
        )
        return redacted, len(values)


def _rows(record: PredictionRecord, rows: Sequence[int]) -> PredictionRecord:
    """Give a record of some of the rows, in their order."""
    if len(rows) == len(record.units):
        return record

    def of(values: list[Any]) -> list[Any]:
        return [values[row] for row in rows] if values else []

    place = {row: n for n, row in enumerate(rows)}
    return msgspec.structs.replace(
        record,
        ids=of(record.ids),
        units=of(record.units),
        versions=of(record.versions),
        scores=of(record.scores),
        inputs={name: of(listed(column)) for name, column in record.inputs.items()},
        shadow={version: of(scores) for version, scores in record.shadow.items()},
        features={
            view: Fetched(of(fetched.at), {name: of(values) for name, values in fetched.columns.items()})
            for view, fetched in record.features.items()
        },
        failures=[
            Failure(place[each.row], each.version, each.error)
            for each in record.failures
            if each.row in place
        ],
    )


def _without(error: str, values: list[Any]) -> str:
    """Take out of a model's complaint what it quotes of the hidden texts."""
    for text in {value for value in values if isinstance(value, str) and len(value) >= _SHORTEST}:
        error = error.replace(text, "…")
    return error
