"""Refs: addresses for people, such as `late-arrivals@7`, `late-arrivals@champion` and `flights@v12`."""

from __future__ import annotations

__all__ = ["DataRef", "InvalidName", "InvalidRef", "ModelRef", "check_name"]

import re
from dataclasses import dataclass

from mainspring.errors import Invalid

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


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
        if not at or not _NAME.fullmatch(dataset) or not re.fullmatch(r"v[1-9][0-9]{0,8}", version):
            raise InvalidRef(text, "a data version such as `flights@v12`")
        return cls(dataset, int(version[1:]))

    def __str__(self) -> str:
        return f"{self.dataset}@v{self.version}"
