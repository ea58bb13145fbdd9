"""The schema of a dataset: a user's pandera model, and what is declared of its columns."""

from __future__ import annotations

__all__ = ["columns_of", "contract_digest", "pandera_of"]

import inspect
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mainspring.data.rules import rule_faults, rules_of
from mainspring.digest import Digest, digest_of_json
from mainspring.errors import Fault, Faults
from mainspring.product import ColumnSpec

if TYPE_CHECKING:
    from mainspring.product import Dataset


def columns_of(dataset: Dataset) -> tuple[ColumnSpec, ...]:
    """Columns of a dataset's schema, with their types by their Open Inference Protocol names.

    Raises
    ------
    Faults
        The schema is no pandera model, or a column's type has no counterpart.
    """
    schema = pandera_of(dataset)
    columns, faults = [], list(rule_faults(dataset, schema))
    for name, column in schema.columns.items():
        dtype = _protocol_type(column.dtype.type) if column.dtype is not None else None
        if dtype is None:
            faults.append(
                Fault(
                    f"column {name!r}",
                    f"has the type {column.dtype}, which no model input or time can have.",
                    "Use str, bool, int, float or pl.Datetime.",
                )
            )
            continue
        told = column.metadata or {}
        hidden = told.get("pii", "")
        if hidden == "hash" and dtype != "BYTES":
            faults.append(
                Fault(
                    f"column {name!r}",
                    "is to be hashed, and is no text.",
                    "Leave it out of the log: ms.pii().",
                )
            )
        forbidden = told.get("forbidden_as_feature", "")
        if hidden and not told.get("as_input"):
            forbidden = forbidden or "it is about a person (ms.pii())"
        known = told.get("known_at")
        columns.append(ColumnSpec(name, dtype, bool(column.nullable), known, hidden, forbidden))
    if faults:
        raise Faults(f"The schema of dataset {dataset.name!r}", tuple(faults))
    return tuple(columns)


def contract_digest(dataset: Dataset) -> Digest:
    """Name all that rows of a dataset must satisfy: its rules, its checks, and the code of its model."""
    rules = [
        [list(rule.columns), rule.text, rule.severity] for rule in rules_of(dataset, pandera_of(dataset))
    ]
    try:
        code = inspect.getsource(dataset.schema)
    except (OSError, TypeError):  # a model that was made otherwise than in a file
        code = ""
    return digest_of_json([rules, code, list(map(repr, dataset.checks)), dataset.quarantine])


def pandera_of(dataset: Dataset) -> Any:
    """Give the schema of a dataset's pandera model; raises `Faults` where it has none, or one of no meaning."""
    import pandera.errors

    subject, model = f"Dataset {dataset.name!r}", dataset.schema
    if not isinstance(model, type) or not hasattr(model, "to_schema"):
        mend = "Write `class Rows(pandera.polars.DataFrameModel): …` and name that class."
        raise Faults(subject, (Fault("schema", f"is {model!r}, which is no pandera model.", mend),))
    try:
        return _schema(model)
    except (pandera.errors.SchemaInitError, pandera.errors.SchemaDefinitionError, TypeError) as error:
        lines = (str(error).strip() or type(error).__name__).splitlines()
        raise Faults(
            subject, (Fault("schema", f"means nothing to pandera: {lines[0].rstrip('.')}."),)
        ) from error


@lru_cache(maxsize=256)
def _schema(model: Any) -> Any:
    """Build a model's schema once more: checks of one that was built before pandera knew polars know none."""
    from pandera.backends.polars.register import register_polars_backends

    register_polars_backends()
    again: Any = type(model.__name__, (model,), {"__module__": model.__module__})
    return again.to_schema()


def _protocol_type(dtype: Any) -> str | None:
    import polars as pl

    if isinstance(dtype, pl.Datetime):
        return "TIMESTAMP"
    names: dict[Any, str] = {
        pl.String: "BYTES",
        pl.Boolean: "BOOL",
        pl.Float64: "FP64",
        pl.Float32: "FP32",
        pl.Int64: "INT64",
        pl.Int32: "INT32",
        pl.Int16: "INT16",
        pl.Int8: "INT8",
    }
    return names.get(dtype if isinstance(dtype, type) else type(dtype))
