"""What a model takes and gives: names, types, and where a null has been seen."""

from __future__ import annotations

__all__ = ["BadSignature", "Column", "Signature"]

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import msgspec

from mainspring.errors import Fault, Faults, Invalid
from mainspring.task import BinaryClassification

if TYPE_CHECKING:
    import polars as pl

Dtype = Literal["FP32", "FP64", "INT64", "BYTES", "BOOL"]
"""Names of the Open Inference Protocol."""


class BadSignature(Faults):
    """Training rows of which no signature can be made; every reason is told."""


class Column(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, repr_omit_defaults=True
):
    """One input or output: one value for each row.

    Attributes
    ----------
    name : str
    dtype : str
        A type of the Open Inference Protocol: FP32, FP64, INT64, BYTES (text in UTF-8) or BOOL.
    nullable : bool
        Whether a null was among the rows that the signature was inferred from.
    categories : tuple of str
        The texts that the model tells apart, where they are known; it takes any other for missing.
    """

    name: str
    dtype: Dtype
    nullable: bool
    categories: tuple[str, ...] = ()


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The inputs and outputs of a model version, in order.

    Examples
    --------
    >>> signature = Signature((Column("hour", "INT64", False),), (Column("probability", "FP32", False),))
    >>> Signature.from_json(signature.to_json()) == signature
    True
    """

    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]

    @classmethod
    def infer(
        cls,
        rows: pl.DataFrame,
        inputs: Sequence[str],
        answer: str = "probability",
        encodings: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> Signature:
        """Read the signature of a model off the rows that it was trained on.

        An input is nullable when a null or a NaN was among its training rows. A model that never met one has not
        learned what it means, so the gateway refuses it.

        Parameters
        ----------
        rows : polars.DataFrame
        inputs : sequence of str
            The columns that the model reads, in its own order.
        answer : str
            How its answer is named.
        encodings : mapping of str to sequence of str
            The categories of texts that the model sees as their positions.

        Raises
        ------
        BadSignature
            A column is missing, or is neither number nor text nor truth value.

        Examples
        --------
        >>> import polars as pl
        >>> rows = pl.DataFrame({"carrier": ["UA", None], "hour": [5, 6]})
        >>> Signature.infer(rows, ["carrier", "hour"]).inputs[0]
        Column(name='carrier', dtype='BYTES', nullable=True)
        """
        faults, columns = [], []
        for name in inputs:
            if name not in rows.columns:
                faults.append(Fault(name, "the training rows have no such column."))
            elif (dtype := _dtype(rows.schema[name])) is None:
                faults.append(
                    Fault(name, f"a model cannot take {rows.schema[name]}.", "Make it a number or text.")
                )
            else:
                missing = rows[name].has_nulls() or (
                    dtype.startswith("FP") and bool(rows[name].is_nan().any())
                )
                columns.append(Column(name, dtype, missing, tuple(encodings.get(name, ()))))
        if faults:
            raise BadSignature("The signature", tuple(faults))
        return cls(tuple(columns), (Column(answer, "FP32", False),))

    @property
    def is_probability(self) -> bool:
        """Whether what it gives is a probability, and not any number."""
        return self.outputs[0].name == BinaryClassification.answer

    def to_json(self) -> str:
        """Text that `from_json` reads back to an equal value."""
        return msgspec.json.encode(self, order="deterministic").decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Signature:
        """Read what `to_json` wrote.

        Raises
        ------
        Invalid
            The text is not a signature.
        """
        try:
            return msgspec.json.decode(text, type=cls)
        except msgspec.DecodeError as error:
            raise Invalid(f"This is not a signature as mainspring writes it: {error}.") from error


def _dtype(dtype: pl.DataType) -> Dtype | None:
    import polars as pl

    if dtype == pl.Float32:
        return "FP32"
    if dtype == pl.Float64:
        return "FP64"
    if dtype.is_integer():
        return "INT64"
    if dtype == pl.Boolean:
        return "BOOL"
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "BYTES"
    return None
