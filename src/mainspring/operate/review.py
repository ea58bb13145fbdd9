"""Looking back: what the loop was worth, from the prediction log and the labels alone."""

from __future__ import annotations

__all__ = ["Month", "ask_again", "review"]

from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import msgspec

from mainspring.formats.signature import Signature
from mainspring.gates import METRICS
from mainspring.operate.column_types import as_numbers
from mainspring.operate.compact import prediction_log
from mainspring.operate.log_table import input_column, outcome, truth
from mainspring.operate.tasks import Asked, AskModel
from mainspring.ref import ModelRef
from mainspring.task import BinaryClassification

if TYPE_CHECKING:
    import polars as pl

    from mainspring.registry import ModelVersion
    from mainspring.task import Task
    from mainspring.workspace import Workspace


class Month(msgspec.Struct, frozen=True, kw_only=True):
    """A month's labelled predictions: the metrics of what was served, and of one version left alone.

    Attributes
    ----------
    month : date
        Its first day.
    rows, positives : int
        Labelled predictions, and how many of them were positive.
    served, frozen : dict of str to float
        `log_loss`, `brier` and `roc_auc`.
    versions : list of int
        The versions that served.
    """

    month: date
    rows: int
    positives: int
    served: dict[str, float]
    frozen: dict[str, float]
    versions: list[int]


def review(workspace: Workspace, product: str, *, frozen: int = 1) -> list[Month]:
    """Compare, month by month, what was served with what one version would have answered.

    The frozen version is asked again for the inputs that were logged with each prediction.

    Parameters
    ----------
    workspace : Workspace
        With the prediction log.
    product : str
        Its name.
    frozen : int
        The version that is left alone.

    Returns
    -------
    list of Month
        Months with labelled predictions, in order.

    Raises
    ------
    mainspring.operate.workers.TaskFailed
        The frozen version cannot be asked.
    mainspring.engines.WorkerDied
        It ended its process, or hung there until that was ended.
    """
    import polars as pl

    with workspace.database.read() as tx:
        version = tx.registry.get(ModelRef(product, frozen))
        spec = workspace.specs(tx)[product]
    predictions, labels = prediction_log(workspace, product)
    known = truth(labels).with_columns(outcome(spec)).filter(pl.col("outcome").is_not_null()).drop("at")
    rows = predictions.join(known, on="prediction_id").sort("at", "prediction_id")
    named = [column.name for column in Signature.from_json(version.signature).inputs]
    inputs = rows.select(pl.col(input_column(name)).alias(name) for name in named)
    rows = rows.with_columns(
        pl.Series("frozen", ask_again(workspace, version, inputs), pl.Float32),
        pl.col("at").dt.truncate("1mo").dt.date().alias("month"),
    )
    return [_month(key[0], month, spec.task) for key, month in rows.group_by("month", maintain_order=True)]


def ask_again(workspace: Workspace, version: ModelVersion, rows: pl.DataFrame) -> list[float | None]:
    """Ask a version in a process of its own, which it may end or hang."""
    settings = workspace.settings
    inputs = Signature.from_json(version.signature).inputs
    rows = as_numbers(rows, [column.name for column in inputs if column.dtype != "BYTES"])
    with TemporaryDirectory() as folder:
        file = Path(folder) / "rows.parquet"
        rows.write_parquet(file)
        task = AskModel(
            artifact=version.artifact,
            rows=str(file),
            allow_code=settings.allows_code(version.product),
            timeout_s=settings.batch_timeout_s,
        )
        return workspace.workers.probe(task, Asked, workspace.blobs.root).answers


def _month(month: Any, rows: pl.DataFrame, task: Task) -> Month:
    outcomes = rows["outcome"].to_numpy()
    return Month(
        month=month,
        rows=rows.height,
        positives=int(outcomes.sum()) if isinstance(task, BinaryClassification) else 0,
        served={name: METRICS[name](outcomes, rows["score"].to_numpy()) for name in task.metrics},
        frozen={name: METRICS[name](outcomes, rows["frozen"].to_numpy()) for name in task.metrics},
        versions=sorted(rows["version"].unique().to_list()),
    )
