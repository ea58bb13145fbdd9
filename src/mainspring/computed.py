"""Features that are computed from what is asked: a part of a product file."""

from __future__ import annotations

__all__ = ["ComputedFeature", "ComputedFeatureSpec", "computed"]

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mainspring.declared import Value
from mainspring.errors import Invalid


@dataclass(frozen=True, slots=True)
class ComputedFeature:
    """A feature that a function computes from inputs of the product; made by `computed`.

    Attributes
    ----------
    name : str
        The feature's, which is the function's.
    inputs : tuple of str
        What it is computed from: its arguments, in their order.
    function : callable
    """

    name: str
    inputs: tuple[str, ...]
    function: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function itself, as a test would."""
        return self.function(*args, **kwargs)

    def __reduce__(self) -> tuple[Callable[[str, str], object], tuple[str, str]]:
        # By its place in the product's file, as functions are: what lies there is this object.
        return _at, (self.function.__module__, self.function.__qualname__)


class ComputedFeatureSpec(Value, frozen=True):
    """Such a feature without its function: `code` is the digest of that and what it uses of the product's files."""

    name: str
    inputs: tuple[str, ...]
    code: str


def computed(function: Callable[..., Any]) -> ComputedFeature:
    """Declare a function as a feature that is computed when it is needed: before training, and for each request.

    Parameters
    ----------
    function : callable
        Its arguments are named as inputs of the product, or as features that are declared before it. It is given a
        polars Series of each, of any number of rows, and gives a Series of as many: of numbers, truth values or texts,
        each from its row alone.

    Returns
    -------
    ComputedFeature
        Of the function's name.

    Raises
    ------
    Invalid
        The function's arguments have another form.

    Examples
    --------
    >>> @computed
    ... def share(amount, limit):
    ...     return amount / limit
    >>> share.inputs
    ('amount', 'limit')
    """
    parameters = inspect.signature(function).parameters.values()
    named = inspect.Parameter.POSITIONAL_OR_KEYWORD
    if not parameters or any(
        each.kind is not named or each.default is not inspect.Parameter.empty for each in parameters
    ):
        raise Invalid(
            f"Feature {function.__name__!r} must name what it is computed from: "
            f"write `def {function.__name__}(amount, limit)`, with inputs of the product and no defaults."
        )
    return ComputedFeature(function.__name__, tuple(each.name for each in parameters), function)


def _at(module: str, name: str) -> object:
    return getattr(importlib.import_module(module), name)
