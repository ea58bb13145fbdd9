"""What a dataset's rows and versions must satisfy beyond their types, and what becomes of those that do not."""

from __future__ import annotations

__all__ = [
    "AFTER_OUTCOME",
    "DatasetCheck",
    "Distribution",
    "Freshness",
    "References",
    "RowChange",
    "SchemaEvolution",
    "Severity",
    "forbidden_as_feature",
    "known_at",
    "need_severity",
    "pii",
    "severity",
]

from typing import Any, Literal, TypeAlias

from mainspring.clock import parse_duration
from mainspring.declared import Value, need
from mainspring.errors import Invalid

Severity: TypeAlias = Literal["refuse", "quarantine", "warn"]
"""What a failed check does: refuse the batch, set the failing rows aside, or say so and go on."""

AFTER_OUTCOME = "after outcome"
"""What `known_at` says of a column that is known at no moment that a column holds, but only once the outcome is."""

_SEVERITIES = ("refuse", "quarantine", "warn")


# --- columns: metadata of a schema's fields ----------------------------------------------------------------------


def known_at(column: str) -> dict[str, str]:
    """Declare, as a schema field's metadata, that a column is only known at the moment that another column holds.

    Such a column is refused as an input of the model, except through a feature view whose event time is that moment.
    `known_at("after outcome")` says that it is known only once the outcome is: it is refused in any case.

    Examples
    --------
    >>> known_at("landed_at")
    {'known_at': 'landed_at'}
    """
    return {"known_at": column}


def pii(*, hash: bool = False, as_input: bool = False) -> dict[str, Any]:  # noqa: A002 - what it does to the values
    """Declare, as a schema field's metadata, that a column is about a person: none of its values gets into the log.

    Nothing watches it for drift, and it is refused as an input of a model and as a feature of a view. A sum joins this
    with other metadata: `metadata=ms.pii() | ms.known_at("closed_at")`.

    Parameters
    ----------
    hash : bool
        Keep the keyed hash of each text, under which rows can still be grouped and joined, but not read.
    as_input : bool
        Let models read it all the same.

    Examples
    --------
    >>> pii(), pii(hash=True, as_input=True)
    ({'pii': 'drop'}, {'pii': 'hash', 'as_input': True})
    """
    return {"pii": "hash" if hash else "drop"} | ({"as_input": True} if as_input else {})


def forbidden_as_feature(why: str) -> dict[str, str]:
    """Declare, as a schema field's metadata, that no model may use a column, and why.

    Examples
    --------
    >>> forbidden_as_feature("it stands for where people live")
    {'forbidden_as_feature': 'it stands for where people live'}
    """
    if not why.strip():
        raise Invalid("Say why the column is forbidden as a feature: whoever meets the refusal will ask.")
    return {"forbidden_as_feature": why}


def severity(default: Severity = "quarantine", /, **checks: Severity) -> dict[str, dict[str, str]]:
    """Declare, as metadata of a schema's field or of its Config, what rows that fail a check do.

    `refuse` refuses the whole batch, `quarantine` sets the rows aside while they are few, and `warn` publishes them
    and says so.

    Parameters
    ----------
    default : str
        Of every check of the field; in a Config's metadata of the checks of whole rows.
    **checks : str
        Of single ones, by what they are called where they are declared: `ge`, `isin`, `nullable`, `unique`, or the
        name of a method with `@pa.check`.

    Examples
    --------
    >>> severity("refuse", le="warn")
    {'severity': {'': 'refuse', 'le': 'warn'}}
    """
    told = {"": default, **checks}
    for name, value in told.items():
        need_severity(f"check {name!r}" if name else "a column", value)
    return {"severity": dict(told)}


def need_severity(of: str, value: object) -> None:
    """Refuse what is no severity."""
    need(value in _SEVERITIES, f"The severity of {of}", value, f"it is one of {', '.join(_SEVERITIES)}")


# --- versions ----------------------------------------------------------------------------------------------------


class RowChange(Value, frozen=True):
    """How many rows come, as a multiple of those that came before.

    A batch that is appended is compared with the one that made the version before; where rows are replaced or read by
    reference, it is all rows of both versions.
    """

    at_least: float = 0.5
    at_most: float = 2.0
    severity: Severity = "refuse"

    def __post_init__(self) -> None:
        need(
            0 <= self.at_least <= self.at_most,
            "RowChange",
            self.at_least,
            "at_least lies between 0 and at_most",
        )
        need(self.at_most > 0, "RowChange", self.at_most, "at_most is above 0")
        _only(self, "refuse", "warn")


class SchemaEvolution(Value, frozen=True):
    """Whoever reads the version before can read the next: columns may be added if they are nullable, or be widened.

    None may be dropped, narrowed, or lose its nulls while the version still holds some.
    """

    severity: Severity = "refuse"

    def __post_init__(self) -> None:
        _only(self, "refuse", "warn")


class Distribution(Value, frozen=True):
    """How far the values that come may be from those of the last good version.

    Attributes
    ----------
    columns : tuple of str
        Which ones.
    at_most : float
        The Jensen-Shannon distance, from 0 where the values are spread alike to 1 where they have nothing in common. A
        small batch is far from anything by chance: leave room.
    severity : str
    """

    columns: tuple[str, ...]
    at_most: float = 0.3
    severity: Severity = "refuse"

    def __post_init__(self) -> None:
        need(bool(self.columns), "The columns of Distribution", "empty", "there is at least one")
        need(0 < self.at_most <= 1, "The limit of Distribution", self.at_most, "it is above 0 and at most 1")
        _only(self, "refuse", "warn")


class References(Value, frozen=True):
    """Every value of a column stands in a column of another dataset's newest version; nulls refer to nothing."""

    column: str
    dataset: str
    to: str
    severity: Severity = "quarantine"

    def __post_init__(self) -> None:
        need_severity("References", self.severity)


class Freshness(Value, frozen=True):
    """The newest row that comes is of no longer ago than this, by its event time."""

    within: str
    severity: Severity = "refuse"

    def __post_init__(self) -> None:
        parse_duration(self.within)
        _only(self, "refuse", "warn")


DatasetCheck: TypeAlias = RowChange | SchemaEvolution | Distribution | References | Freshness


def _only(check: DatasetCheck, *allowed: Severity) -> None:
    name = type(check).__name__
    rule = f"it is one of {', '.join(allowed)}: no single row fails it"
    need(check.severity in allowed, f"The severity of {name}", check.severity, rule)
