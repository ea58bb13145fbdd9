"""What a version answers to rows that were recorded: what the very same model has answered is not asked again."""

from __future__ import annotations

__all__ = ["Answers", "NotInTheLog"]

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mainspring.errors import Refused
from mainspring.formats.signature import Signature
from mainspring.operate.column_types import as_numbers
from mainspring.operate.log_table import input_column
from mainspring.operate.review import ask_again

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from mainspring.digest import Digest
    from mainspring.registry import ModelVersion
    from mainspring.workspace import Workspace

_AHEAD = timedelta(days=28)
"""Rows of so long are asked for together: to start a process takes longer than to answer them."""

_FAILURE = re.compile(r"(?:^|; )(\d+): ")


class NotInTheLog(Refused):
    """Inputs that a version needs and that the log leaves out."""

    def __init__(self, version: str, names: Sequence[str]) -> None:
        super().__init__(version, names)
        self.version, self.names = version, names

    def __str__(self) -> str:
        return (
            f"{self.version} cannot be asked again: the prediction log does not hold {', '.join(self.names)}. Where an "
            "input is declared ms.pii(), only the policy that was in force can be replayed."
        )


class Answers:
    """Answers of versions to the rows of a history, asked for when they are wanted.

    Parameters
    ----------
    workspace : Workspace
        Where versions are asked, in processes of their own.
    rows : polars.DataFrame
        As `prediction_log` gives them.
    recorded : sequence of ModelVersion
        The versions that answered them.
    tell : callable
        Told that rows are being asked for.
    """

    def __init__(
        self,
        workspace: Workspace,
        rows: pl.DataFrame,
        recorded: Sequence[ModelVersion],
        tell: Callable[[str], None],
    ) -> None:
        self._workspace, self._rows, self._tell = workspace, rows, tell
        self._at = rows["at"]
        self._redacted = frozenset(rows["redacted"].explode().drop_nulls())
        self._known: dict[Digest, NDArray[np.bool_]] = {}
        self._scores: dict[Digest, NDArray[np.float64]] = {}
        self._nullable: dict[Digest, NDArray[np.bool_]] = {}
        answered, scores = rows["version"].fill_null(0).to_numpy(), rows["score"].to_numpy()
        failed = _failed(rows["failures"])
        for version in recorded:
            known, held = self._of(version.artifact)
            own = answered == version.number
            known |= own
            held[own] = scores[own]
            known[failed.get(version.number, [])] = True

    def of(self, version: ModelVersion, wanted: NDArray[np.int64]) -> NDArray[np.float64]:
        """Give a version's answers to rows.

        Parameters
        ----------
        version : ModelVersion
        wanted : ndarray of int, shape (n,)
            Their places, rising.

        Returns
        -------
        ndarray of float64, shape (n,)
            NaN where it fails.

        Raises
        ------
        NotInTheLog
            It needs what was left out.
        mainspring.operate.workers.TaskFailed
            It cannot be asked.
        mainspring.engines.WorkerDied
            It ended its process, or hung there.
        """
        known, held = self._of(version.artifact)
        if not known[wanted].all():
            first = int(wanted[np.argmin(known[wanted])])
            # A row after those that are wanted is asked for if it comes soon.
            end = max(int(wanted[-1]) + 1, self._first_at(self._at[first] + _AHEAD))
            asked = first + np.flatnonzero(~known[first:end])
            held[asked] = self._ask(version, asked)
            known[asked] = True
        return held[wanted]

    def takes(self, version: ModelVersion, wanted: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say which rows a version takes: those with no null where it has met none in training."""
        artifact = version.artifact
        if artifact not in self._nullable:
            takes = np.ones(self._rows.height, bool)
            for column in Signature.from_json(version.signature).inputs:
                name = input_column(column.name)
                if not column.nullable and name in self._rows.columns:
                    held = self._rows.select(name)
                    values = (held if column.dtype == "BYTES" else as_numbers(held, [name]))[name]
                    values = values.fill_nan(None) if values.dtype.is_float() else values
                    takes &= values.is_not_null().to_numpy()
            self._nullable[artifact] = takes
        return self._nullable[artifact][wanted]

    def _of(self, artifact: Digest) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        if artifact not in self._known:
            self._known[artifact] = np.zeros(self._rows.height, bool)
            self._scores[artifact] = np.full(self._rows.height, np.nan)
        return self._known[artifact], self._scores[artifact]

    def _first_at(self, moment: datetime) -> int:
        return int(self._at.search_sorted(moment, side="left"))

    def _ask(self, version: ModelVersion, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        named = [column.name for column in Signature.from_json(version.signature).inputs]
        lacking = [
            name for name in named if name in self._redacted or input_column(name) not in self._rows.columns
        ]
        if lacking:
            raise NotInTheLog(str(version.ref), lacking)
        self._tell(f"asking {version.ref} for {len(rows):,} rows")
        inputs = self._rows[rows].select(pl.col(input_column(name)).alias(name) for name in named)
        answered = np.array(ask_again(self._workspace, version, inputs), np.float64)
        answered[~((answered >= 0) & (answered <= 1))] = np.nan
        return answered


def _failed(failures: pl.Series) -> dict[int, list[int]]:
    """Give the rows that versions failed on, by version."""
    found: dict[int, list[int]] = {}
    for row in failures.is_not_null().arg_true():
        for number in _FAILURE.findall(failures[row]):
            found.setdefault(int(number), []).append(row)
    return found
