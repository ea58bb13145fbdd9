"""Reading a ref: which thing of the workspace it names."""

from __future__ import annotations

__all__ = ["UnknownRef", "node_named"]

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from mainspring.clock import time_text
from mainspring.errors import Invalid, NotFound, Refused
from mainspring.lineage import Kind, Node
from mainspring.monitoring.record import PredictionRecord
from mainspring.operate.compact import unsealed
from mainspring.operate.lineage.nodes import data_node, logged_model_node, run_node, version_node
from mainspring.operate.status import product_names
from mainspring.operate.version_origins import version_by_alias
from mainspring.ref import DataRef, InvalidRef

if TYPE_CHECKING:
    from datetime import datetime

    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace

_LONGEST = 1000


class UnknownRef(NotFound):
    """A ref that names nothing here."""

    def __init__(self, ref: str) -> None:
        super().__init__(ref)
        self.ref = ref

    def __str__(self) -> str:
        return (
            f"Nothing here is called {self.ref[:200]!r}. A data version or scores are named as orders@v3, a model "
            "version as late-orders@7 or late-orders@champion, and a run, a logged model or a prediction by its id."
        )


def node_named(workspace: Workspace, tx: Transaction, ref: str) -> Node:
    """Give the node that a ref names.

    Raises
    ------
    UnknownRef
        There is none.
    """
    try:
        ref.encode()
    except UnicodeEncodeError:
        raise UnknownRef(ref) from None
    if not ref or len(ref) > _LONGEST or "\0" in ref:
        raise UnknownRef(ref)
    with suppress(NotFound, InvalidRef):
        return data_node(tx, DataRef.parse(ref))
    name, at, which = ref.rpartition("@")
    if at:
        with suppress(NotFound, Refused, Invalid):
            decimal = re.fullmatch("[0-9]{1,18}", which)
            number = int(which) if decimal else version_by_alias(tx, name, which).number
            return version_node(tx, name, number)
    with suppress(NotFound):
        return run_node(tx, ref)
    with suppress(NotFound):
        return logged_model_node(tx, ref)
    found = _prediction(workspace, tx, ref)
    if found is None:
        raise UnknownRef(ref)
    return found


def _prediction(workspace: Workspace, tx: Transaction, prediction_id: str) -> Node | None:
    """A prediction: as it is kept until its label comes, or from the log's tables, or from what these lack yet."""
    known = tx.monitoring.find_open([prediction_id]).get(prediction_id)
    if known is not None:
        return _node(prediction_id, f"{known.product}@{known.version}" if known.version else "", known.at)
    for product in product_names(tx):
        for name in workspace.predictions.names(f"{product}-"):
            if re.fullmatch(re.escape(product) + "-[0-9a-f]{8}", name) and workspace.predictions.exists(name):
                found = _in_table(workspace, name, prediction_id)
                if found is not None:
                    version, at = found
                    return _node(prediction_id, f"{product}@{version}", at)
    for record in unsealed(workspace):
        if isinstance(record, PredictionRecord) and prediction_id in record.ids:
            version = record.versions[record.ids.index(prediction_id)]
            return _node(prediction_id, f"{record.product}@{version}", record.at)
    return None


def _in_table(workspace: Workspace, name: str, prediction_id: str) -> tuple[int, datetime] | None:
    import polars as pl

    rows = (
        workspace.predictions.scan(name)
        .filter(pl.col("prediction_id") == prediction_id, pl.col("version").is_not_null())
        .select("version", "at")
        .sort("at")
        .head(1)
        .collect()
    )
    return (rows["version"][0], rows["at"][0]) if rows.height else None


def _node(prediction_id: str, version: str, at: datetime) -> Node:
    told = {"version": version} if version else {"answered": "by nobody"}
    return Node(kind=Kind.PREDICTION, ref=prediction_id, facts={"asked": time_text(at), **told})
