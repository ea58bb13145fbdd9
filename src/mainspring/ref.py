"""Refs: addresses for people, such as `late-arrivals@7`, `late-arrivals@champion` and `flights@v12`."""

from __future__ import annotations

__all__ = ["DataAddress", "DataRef", "InvalidName", "InvalidRef", "ModelRef", "check_data_name", "check_name"]

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from mainspring.errors import Invalid

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_DATA_NAME = re.compile(r"(?!v[0-9]+$)[a-z][a-z0-9_-]{0,62}")
_NUMBER = re.compile(r"v[1-9][0-9]{0,8}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{8,64}")


class InvalidName(Invalid):
    """A name that could not safely be part of a ref, a path or a URL."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return (
            f"{self.name!r} is not a valid name: use 1 to 63 lower-case letters, digits, hyphens and underscores, "
            "starting with a letter or digit."
        )


class InvalidRef(Invalid):
    """Text that does not parse as a ref."""

    def __init__(self, text: str, expected: str) -> None:
        super().__init__(text, expected)
        self.text, self.expected = text, expected

    def __str__(self) -> str:
        return f"{self.text!r} is not a ref: expected {self.expected}."


def check_name(name: str) -> str:
    """Give the name back if it is valid.

    Raises
    ------
    InvalidName
        It is not 1 to 63 characters of ``[a-z0-9_-]`` starting with a letter or digit.
    """
    if not _NAME.fullmatch(name):
        raise InvalidName(name)
    return name


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A version of a product's model, by number or by alias.

    Examples
    --------
    >>> ModelRef.parse("late-arrivals@7")
    ModelRef(product='late-arrivals', version=7)
    >>> str(ModelRef.parse("late-arrivals@champion"))
    'late-arrivals@champion'
    """

    product: str
    version: int | str

    @classmethod
    def parse(cls, text: str) -> ModelRef:
        """Read `product@number` or `product@alias`.

        Raises
        ------
        InvalidRef
            The text has another form, or a name in it is not valid.
        """
        product, at, version = text.partition("@")
        if not at or not _NAME.fullmatch(product) or not _NAME.fullmatch(version):
            raise InvalidRef(text, "a model version such as `late-arrivals@7` or `late-arrivals@champion`")
        return cls(product, int(version) if version.isdecimal() else version)

    def __str__(self) -> str:
        return f"{self.product}@{self.version}"


@dataclass(frozen=True, slots=True)
class DataRef:
    """A version of a dataset.

    Examples
    --------
    >>> DataRef.parse("flights@v12")
    DataRef(dataset='flights', version=12)
    >>> str(DataRef("flights", 12))
    'flights@v12'
    """

    dataset: str
    version: int

    @classmethod
    def parse(cls, text: str) -> DataRef:
        """Read `dataset@vN`.

        Raises
        ------
        InvalidRef
            The text has another form, or the dataset's name is not valid.
        """
        dataset, at, version = text.partition("@")
        if not at or not _NAME.fullmatch(dataset) or not _NUMBER.fullmatch(version):
            raise InvalidRef(text, "a data version such as `flights@v12`")
        return cls(dataset, int(version[1:]))

    def __str__(self) -> str:
        return f"{self.dataset}@v{self.version}"


def check_data_name(name: str) -> str:
    """Give the name of a tag or branch back if it could be no number, day or digest; raises `InvalidRef`."""
    if not _DATA_NAME.fullmatch(name):
        raise InvalidRef(
            name,
            "the name of a tag or branch: 1 to 63 lower-case letters, digits, hyphens and underscores, starting with "
            "a letter, and no number such as v12",
        )
    return name


@dataclass(frozen=True, slots=True)
class DataAddress:
    """What people write for a data version, which may be another one tomorrow; found, it is a `DataRef`.

    Attributes
    ----------
    dataset : str
        Which dataset.
    at : int or str or date or datetime or None
        A version's number; a tag, a branch, or a digest as `sha256:` and at least eight digits; a day in UTC, for the
        version in force at its end; a moment; None for the newest version.

    Examples
    --------
    >>> DataAddress.parse("flights@golden")
    DataAddress(dataset='flights', at='golden')
    >>> print(DataAddress.parse("flights@2013-06-30"), DataAddress.parse("flights@v12"), DataAddress("flights"))
    flights@2013-06-30 flights@v12 flights
    """

    dataset: str
    at: int | str | date | datetime | None = None

    @classmethod
    def parse(cls, text: str) -> DataAddress:
        """Read `dataset`, `dataset@vN`, `dataset@name`, `dataset@day`, `dataset@moment` or `dataset@sha256:…`.

        Raises
        ------
        InvalidRef
            The text has another form, or the dataset's name is not valid.
        """
        dataset, given, at = text.partition("@")
        if _NAME.fullmatch(dataset):
            if not given:
                return cls(dataset)
            if _NUMBER.fullmatch(at):
                return cls(dataset, int(at[1:]))
            if _DATA_NAME.fullmatch(at) or _DIGEST.fullmatch(at):
                return cls(dataset, at)
            if (when := _when(at)) is not None:
                return cls(dataset, when)
        raise InvalidRef(
            text,
            "a data version such as `flights@v12`, `flights@golden` (a tag or branch), `flights@2013-06-30`, "
            "`flights@2013-06-30T12:00:00Z` or `flights@sha256:ab12cd34`",
        )

    @property
    def until(self) -> datetime | None:
        """The last moment that counts, where a day or moment was named."""
        if isinstance(self.at, datetime):
            return self.at
        if isinstance(self.at, date):
            return datetime.combine(self.at, time(), UTC) + timedelta(days=1, microseconds=-1)
        return None

    def __str__(self) -> str:
        match self.at:
            case None:
                return self.dataset
            case int():
                return f"{self.dataset}@v{self.at}"
            case datetime():
                return f"{self.dataset}@{self.at.isoformat().replace('+00:00', 'Z')}"
            case _:
                return f"{self.dataset}@{self.at}"


def _when(text: str) -> date | datetime | None:
    """Read a day, or a moment with its offset from UTC."""
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            return date.fromisoformat(text)
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
