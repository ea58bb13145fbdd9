"""Models with features that are computed from what is asked, by the functions that computed them for training."""

from __future__ import annotations

__all__ = ["BadFeature", "ComputingModel", "needed", "sent", "with_computed"]

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mainspring.computed import ComputedFeature
from mainspring.errors import MainspringError

if TYPE_CHECKING:
    import polars as pl

    from mainspring.formats.native import NativeModel


class BadFeature(MainspringError):
    """A function of a feature that raised, or that did not give a value for each row."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(name, why)
        self.name, self.why = name, why

    def __str__(self) -> str:
        return f"The feature {self.name!r} cannot be computed: {self.why}."


def with_computed(rows: pl.DataFrame, features: Sequence[ComputedFeature]) -> pl.DataFrame:
    """Add a column for each feature, in their order.

    Raises
    ------
    BadFeature
        A function raised, or gave something else than a column of as many numbers, truth values or texts.
    """
    for feature in features:
        rows = rows.with_columns(_values(rows, feature))
    return rows


def needed(inputs: Sequence[str], features: Sequence[ComputedFeature]) -> tuple[ComputedFeature, ...]:
    """Give the features that inputs of a model are or rest on, in the order in which they are declared."""
    wanted, found = {*inputs}, []
    for feature in reversed(features):
        if feature.name in wanted:
            wanted |= {*feature.inputs}
            found.append(feature)
    return tuple(reversed(found))


def sent(inputs: Sequence[str], features: Sequence[ComputedFeature]) -> tuple[str, ...]:
    """Give what a caller must send for a model of these inputs, each once."""
    computed = {feature.name for feature in features}
    named = [*inputs, *(name for feature in features for name in feature.inputs)]
    return tuple(dict.fromkeys(name for name in named if name not in computed))


class ComputingModel:
    """A model that computes features before it asks another one.

    Parameters
    ----------
    features : sequence of ComputedFeature
        In the order in which they are computed.
    model : bytes
        The other model, in its native form.
    """

    def __init__(self, features: Sequence[ComputedFeature], model: bytes) -> None:
        self.features, self.model = tuple(features), model

    def __reduce__(self) -> tuple[type[ComputingModel], tuple[tuple[ComputedFeature, ...], bytes]]:
        return ComputingModel, (self.features, self.model)

    def predict(self, frame: pl.DataFrame) -> Any:
        """Answers for rows of what is sent."""
        from mainspring.formats.served import feed

        return self._loaded.predict(feed(self._loaded, with_computed(frame, self.features)))

    @cached_property
    def _loaded(self) -> NativeModel:
        from mainspring.formats.native import NativeModel

        # Whoever has loaded this one was allowed to run code.
        return NativeModel.load(self.model, allow_code=True)


def _values(rows: pl.DataFrame, feature: ComputedFeature) -> pl.Series:
    import polars as pl

    try:
        values = feature.function(**{name: rows[name] for name in feature.inputs})
    except Exception as error:
        raise BadFeature(feature.name, f"it raised {type(error).__name__}: {error}") from error
    if not isinstance(values, pl.Series):
        raise BadFeature(feature.name, f"its function gave a {type(values).__name__}, and no polars Series")
    if len(values) != rows.height:
        raise BadFeature(feature.name, f"its function gave {len(values)} values for {rows.height} rows")
    if not (values.dtype.is_numeric() or values.dtype in (pl.Boolean, pl.String)):
        raise BadFeature(
            feature.name, f"its function gave {values.dtype}, and no numbers, truth values or texts"
        )
    return values.alias(feature.name)
