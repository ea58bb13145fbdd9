"""Models that clients register: versions that count up, aliases that move between them, and stages of old."""

from __future__ import annotations

__all__ = [
    "AliasNotFound",
    "OfProduct",
    "RegisteredModel",
    "RegisteredModelNotFound",
    "RegisteredModelStore",
    "RegisteredModelTaken",
    "RegisteredVersion",
    "RegisteredVersionNotFound",
    "RegisteredVersionStore",
    "Stage",
]

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from mainspring.errors import NotFound, Refused, Taken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mainspring.search import Found, Search


class RegisteredModelNotFound(NotFound):
    """A registered model that does not exist."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"Registered Model with name={self.name} not found"


class RegisteredModelTaken(Taken):
    """A second registered model of one name."""

    def __init__(self, name: str, *, product: bool) -> None:
        super().__init__(name, product)
        self.name, self.product = name, product

    def __str__(self) -> str:
        whose = " It is a product's: its versions come from its cycles." if self.product else ""
        return f"Registered Model (name={self.name}) already exists.{whose}"


class RegisteredVersionNotFound(NotFound):
    """A version of a registered model that does not exist, or was deleted."""

    def __init__(self, name: str, version: int | str) -> None:
        super().__init__(name, version)
        self.name, self.version = name, version

    def __str__(self) -> str:
        return f"Model Version (name={self.name}, version={self.version}) not found"


class AliasNotFound(Refused):
    """An alias that points to no version."""

    def __init__(self, name: str, alias: str) -> None:
        super().__init__(name, alias)
        self.name, self.alias = name, alias

    def __str__(self) -> str:
        return f"Registered model alias {self.alias} not found: no version of {self.name!r} has it."


class OfProduct(Refused):
    """A change that only the loop makes, since what is to be changed is a product's."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(name, what)
        self.name, self.what = name, what

    def __str__(self) -> str:
        return (
            f"{self.name!r} is a product, and {self.what}: its versions and aliases come from its cycles. To ask for "
            f"one, run `mainspring train {self.name}`; to register a model beside it, take another name. Tags and "
            "descriptions may be set."
        )


class Stage(StrEnum):
    """Where a version stands; MLflow advises to use aliases instead."""

    NONE = "None"
    STAGING = "Staging"
    PRODUCTION = "Production"
    ARCHIVED = "Archived"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredVersion:
    """A version of a registered model.

    Attributes
    ----------
    name, number : str, int
        Of which model; numbers count 1, 2, 3… and none is given twice.
    source : str
        Where the client says that its files come from.
    location : str
        Where they are: the source, followed to the end.
    run_id, model_id : str
        The run and the logged model that it comes from; empty where it does not say.
    description : str, optional
        None where it was taken away.
    user_id : str
        Who registered it, where that is known.
    """

    name: str
    number: int
    source: str
    location: str
    run_id: str = ""
    model_id: str = ""
    run_link: str = ""
    description: str | None = None
    user_id: str = ""
    stage: Stage = Stage.NONE
    created_ms: int
    updated_ms: int
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    @property
    def ref(self) -> str:
        """The address for people."""
        return f"{self.name}@{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredModel:
    """A registered model.

    Attributes
    ----------
    product : bool
        Whether it is a product's; then only the loop gives it versions and moves its aliases.
    aliases : mapping
        The number of the version that each alias points to.
    latest : tuple of RegisteredVersion
        The newest version of each stage, by number.
    """

    name: str
    description: str = ""
    product: bool = False
    created_ms: int
    updated_ms: int
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, int] = field(default_factory=dict)
    latest: tuple[RegisteredVersion, ...] = ()


class RegisteredModelStore(Protocol):
    """Where registered models are kept.

    What is asked of one that is not there is refused with `RegisteredModelNotFound`.
    """

    def add(self, name: str, description: str, tags: Mapping[str, str], now_ms: int) -> RegisteredModel:
        """Record a model; raises `RegisteredModelTaken`."""
        ...

    def get(self, name: str) -> RegisteredModel:
        """Give one."""
        ...

    def rename(self, name: str, to: str, now_ms: int) -> None:
        """Give it another name, with all its versions; raises `RegisteredModelTaken`."""
        ...

    def describe(self, name: str, description: str, now_ms: int) -> None:
        """Replace its description."""
        ...

    def remove(self, name: str) -> None:
        """Remove it with its versions, aliases and tags."""
        ...

    def tag(self, name: str, key: str, value: str | None) -> bool:
        """Set a tag; None removes it. Say whether it was there before."""
        ...

    def point(self, name: str, alias: str, number: int | None) -> None:
        """Let an alias point to a version, or with None to nothing; raises `RegisteredVersionNotFound`."""
        ...

    def date(self, name: str, updated_ms: int) -> None:
        """Say when it was changed last, where it was brought from elsewhere."""
        ...

    def search(self, search: Search) -> Found[RegisteredModel]:
        """Find models, by name."""
        ...


class RegisteredVersionStore(Protocol):
    """Where versions of registered models are kept.

    What is asked of one that is not there is refused with `RegisteredVersionNotFound`.
    """

    def add(self, version: RegisteredVersion) -> RegisteredVersion:
        """Record a version under the next number, and give it back with that.

        Raises `RegisteredModelNotFound`.
        """
        ...

    def record(self, version: RegisteredVersion) -> None:
        """Record a version under the number that it has."""
        ...

    def get(self, name: str, number: int) -> RegisteredVersion:
        """Give one."""
        ...

    def describe(self, name: str, number: int, description: str | None, now_ms: int) -> None:
        """Replace its description."""
        ...

    def stage(self, name: str, number: int, stage: Stage, now_ms: int, *, alone: bool) -> tuple[int, ...]:
        """Move it to a stage; to be alone there, others that are in it are archived. Give the numbers of those."""
        ...

    def remove(self, name: str, number: int, now_ms: int) -> None:
        """Remove it with its tags and the aliases that point to it. Its number is not given again."""
        ...

    def tag(self, name: str, number: int, key: str, value: str | None) -> bool:
        """Set a tag; None removes it. Say whether it was there before."""
        ...

    def search(self, search: Search) -> Found[RegisteredVersion]:
        """Find versions, the last changed first."""
        ...
