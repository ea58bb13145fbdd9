"""What a training step returns: the model, and what is needed to ask it."""

from __future__ import annotations

__all__ = ["BadFit", "Fitted", "NotConvertible"]

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mainspring.errors import Fault, Faults


class BadFit(Faults):
    """A fitted model that cannot be asked as it is described; every reason is told."""


class NotConvertible(Faults):
    """A model that cannot be converted to ONNX; every reason is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A trained model with the names of its inputs.

    Attributes
    ----------
    model : object
        A LightGBM or XGBoost booster, classifier or regressor, trained on the matrix of the inputs; a scikit-learn
        classifier, regressor or Pipeline, trained on that matrix or on a frame of the inputs; or any object of the
        product's own with `predict(frame)`, which is given a polars frame of the inputs and gives an answer for each
        row.
    inputs : tuple of str
        The columns that the model reads, in its own order.
    encodings : mapping of str to tuple of str
        For inputs that are text, their categories: the model sees the position of the category. Any other text, and
        null, is missing to it. Boosters need one for every text; a scikit-learn model trained on a frame, and an
        object of the product's own, may read texts themselves.
    quantise : bool
        Whether the weights of its ONNX form are to be rounded to 8 bits. What becomes of that is judged as any other
        model, and weights that make answers differ too much are left as they are.
    params, metrics : mapping of str to float
        What the step would like to be recorded with the run.

    Raises
    ------
    BadFit
        An input is named twice, a category is there twice or is the empty text (which stands for null when a model
        is served), or an encoding is of no input.

    Examples
    --------
    >>> fitted = Fitted(model=None, inputs=("carrier", "hour"), encodings={"carrier": ("AA", "UA")})
    >>> fitted.encodings["carrier"].index("UA")
    1
    """

    model: Any
    inputs: tuple[str, ...]
    encodings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    params: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    quantise: bool = False

    def __post_init__(self) -> None:
        if faults := tuple(self._faults()):
            raise BadFit("The fitted model", faults)

    def _faults(self) -> Iterator[Fault]:
        if not self.inputs:
            yield Fault(
                "inputs", "there are none.", "Name the columns that the model was trained on, in their order."
            )
        for name in sorted({name for name in self.inputs if self.inputs.count(name) > 1}):
            yield Fault(f"inputs, {name}", "the column is named more than once.")
        for name, categories in self.encodings.items():
            if name not in self.inputs:
                yield Fault(f"encodings, {name}", "it is no input of the model.")
            if len(set(categories)) != len(categories):
                yield Fault(f"encodings, {name}", "a category is there twice, so that it has two codes.")
            if "" in categories:
                yield Fault(f"encodings, {name}", "the empty text is a category.", "Train it as null.")
