"""Inferring a first contract from a file, or from a dataset that has none."""

from __future__ import annotations

__all__ = ["infer_dataset"]

from pathlib import Path
from typing import TYPE_CHECKING

from mainspring.data.infer import infer_contract
from mainspring.data.plain import in_utc
from mainspring.errors import Invalid
from mainspring.operate.data.datasets import find_version
from mainspring.operate.data.publish import check_zone
from mainspring.operate.data.read_table import read_table
from mainspring.operate.data.sources import NoSuchSource
from mainspring.ref import DataAddress, check_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mainspring.workspace import Workspace


def infer_dataset(
    workspace: Workspace,
    name: str,
    source: str | None = None,
    *,
    key: Sequence[str] = (),
    event_time: str | None = None,
    time_zone: str = "",
) -> str:
    """Write a first contract for a dataset, as Python code; nothing is added or declared.

    Parameters
    ----------
    workspace : Workspace
    name : str
        Of the dataset; without a source it is inferred from a version, such as `orders@v3` or the newest.
    source : str, optional
        A Parquet, Arrow, CSV or NDJSON file.
    key : sequence of str
        The columns that name a row, where that is known.
    event_time : str, optional
        The column with the moment that a row is about.
    time_zone : str
        Of moments that have none.

    Raises
    ------
    NoSuchSource, Unreadable
        The file is not there or holds no table.
    mainspring.data.DataVersionNotFound
        There is no such version.
    mainspring.errors.Faults, Invalid
        As `mainspring.data.infer.infer_contract`.
    """
    check_zone(time_zone)
    if source is None:
        address = DataAddress.parse(name)
        with workspace.database.read() as tx:
            version = find_version(tx, address)
        name, rows = address.dataset, workspace.tables.scan(version.dataset, version.table_version)
    else:
        file = Path(source)
        if not file.is_file():
            raise NoSuchSource(source)
        check_name(name)
        rows = read_table(file).lazy()
    rows, failures = in_utc(rows, time_zone)
    if failures:
        raise Invalid("; ".join(f"{each.column}: {each.check}" for each in failures) + ".")
    return infer_contract(rows.collect(), name, now=workspace.clock.now(), key=key, event_time=event_time)
