"""A model version with its lineage, and the store that counts versions and moves aliases."""

from __future__ import annotations

__all__ = ["ModelVersion", "ModelVersionNotFound", "RegistryStore", "StaleAlias"]

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from mainspring.errors import Conflict, NotFound
from mainspring.ref import ModelRef

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mainspring.digest import Digest


class ModelVersionNotFound(NotFound):
    """A model version or alias that does not exist."""

    def __init__(self, ref: ModelRef, newest: int | None) -> None:
        super().__init__(ref, newest)
        self.ref, self.newest = ref, newest

    def __str__(self) -> str:
        has = "it has no versions yet" if self.newest is None else f"its newest is {self.newest}"
        return f"No {self.ref}: {has}. To see them all, run `mainspring models {self.ref.product}`."


class StaleAlias(Conflict):
    """An alias that has moved since it was read."""

    def __init__(self, ref: ModelRef, expected: int | None, found: int | None) -> None:
        super().__init__(ref, expected, found)
        self.ref, self.expected, self.found = ref, expected, found

    def __str__(self) -> str:
        return f"{self.ref} points to {self.found}, not to {self.expected} as was expected: read it again, then decide."


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """An immutable model with all that it came from.

    Attributes
    ----------
    product, number : str, int
        Together its ref; numbers count 1, 2, 3… within a product.
    cycle_id, run_id : str
        The cycle and the run that made it.
    artifact : Digest
        The model as it is served, in the blob store: ONNX, or the native form.
    native : Digest
        The model in its library's form, in the blob store.
    signature : str
        JSON of its inputs and outputs.
    data : tuple of str
        Refs of the data versions it was trained on.
    lineage : mapping
        Digests of code, environment and params, the seed, and what the pipeline's steps gave.
    metrics : mapping
        What the judge observed on the hold-out.
    reference : Digest
        The profile of inputs, predictions and losses on the hold-out, which monitors compare with.
    reason : str
        Why it was registered.
    registered_at : datetime
        By the workspace's clock.
    """

    product: str
    number: int
    cycle_id: str
    run_id: str
    artifact: Digest
    native: Digest
    signature: str
    data: tuple[str, ...]
    lineage: Mapping[str, object] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    reference: Digest
    reason: str
    registered_at: datetime

    @property
    def ref(self) -> ModelRef:
        """The address for people."""
        return ModelRef(self.product, self.number)


class RegistryStore(Protocol):
    """Where model versions and aliases are recorded."""

    def reserve(self, product: str, at: datetime) -> None:
        """Take a product's name: it is a registered model from there on.

        Raises `mainspring.registry.registered.RegisteredModelTaken` where a client has registered it before.
        """
        ...

    def is_taken(self, product: str) -> bool:
        """Say whether a client has registered a model of a product's name."""
        ...

    def add(self, version: ModelVersion) -> None:
        """Record a version; raises `mainspring.errors.Conflict` when its number is taken.

        It is a version of the registered model of the same name too, as every alias is that moves.
        """
        ...

    def get(self, ref: ModelRef) -> ModelVersion:
        """Give a version by number or alias; raises `ModelVersionNotFound`."""
        ...

    def versions(self, product: str | None = None) -> tuple[ModelVersion, ...]:
        """Give every version, of one product or of all, ordered by product and number."""
        ...

    def aliases(self, product: str) -> Mapping[str, int]:
        """Give where each alias of a product points to."""
        ...

    def move(self, product: str, alias: str, *, expected: int | None, to: int | None) -> None:
        """Move an alias; `to=None` removes it. The loser of a race gets `StaleAlias` and changes nothing."""
        ...
