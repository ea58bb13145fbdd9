"""The operations on datasets: batches that are handed in, and the versions that they make."""

from __future__ import annotations

__all__ = ["DATASETS"]

from typing import TYPE_CHECKING, Any

import msgspec

from mainspring.api.operation import Operation, actor_of
from mainspring.api.problem import Problem
from mainspring.data import MAIN, Change
from mainspring.errors import Invalid
from mainspring.operate import status
from mainspring.operate.data.diff import DataDiff, diff_versions
from mainspring.operate.data.log import DataVersionRow, ShownVersion, data_log, show_version
from mainspring.operate.data.publish import Adding, add_batch
from mainspring.operate.data.quarantine import SetAside, release, rows_set_aside, set_aside
from mainspring.operate.data.validation import ValidationReport, validation_report
from mainspring.ref import DataAddress

if TYPE_CHECKING:
    from starlette.requests import Request

    from mainspring.data import Batch
    from mainspring.workspace import Workspace


def _dataset(request: Request) -> str:
    return str(request.path_params["dataset"])


def _address(request: Request, at: str) -> DataAddress:
    return DataAddress.parse(f"{_dataset(request)}@{at}")


def _add_batch(workspace: Workspace, request: Request, content: bytes) -> object:
    asked, dataset = request.query_params, _dataset(request)
    mode, new = asked.get("mode", "append"), asked.get("new", "false")
    if mode not in ("append", "replace", "upsert"):
        raise Invalid(f"mode={mode[:100]!r} is none of append, replace and upsert.")
    if new not in ("true", "false"):
        raise Invalid(f"new={new[:100]!r} is neither true nor false.")
    adding = Adding(
        change=Change(mode),
        branch=asked.get("branch", MAIN),
        new=new == "true",
        key=tuple(filter(None, asked.get("key", "").split(","))),
        time_zone=asked.get("time_zone", ""),
    )
    reason = asked.get("reason", "")
    batch = add_batch(workspace, dataset, content, actor=actor_of(request), reason=reason, adding=adding)
    return _answer(batch)


def _answer(batch: Batch) -> object:
    row = status.batch_row(batch)
    if batch.version is None:
        return Problem(
            type="urn:mainspring:BatchRefused",
            title="refused",
            status=422,
            detail=f"The batch for {batch.dataset!r} was refused, and nothing of it was kept: {batch.report.refusal}.",
            report=msgspec.to_builtins(row),
        )
    return row


def _report(workspace: Workspace, request: Request, content: bytes) -> ValidationReport:
    return validation_report(workspace, _dataset(request), batch=request.path_params["batch"])


def _rows_set_aside(workspace: Workspace, request: Request, content: bytes) -> list[dict[str, Any]]:
    rows = rows_set_aside(workspace, _dataset(request), request.path_params["batch"])
    return rows.to_dicts()


def _release(workspace: Workspace, request: Request, content: bytes) -> object:
    batch = release(
        workspace,
        _dataset(request),
        request.path_params["batch"],
        actor=actor_of(request),
        reason=request.query_params.get("reason", ""),
    )
    return _answer(batch)


def _diff(workspace: Workspace, request: Request, content: bytes) -> DataDiff:
    before = request.query_params.get("before")
    now = _address(request, request.path_params["address"])
    return diff_versions(workspace, now, _address(request, before) if before else None)


DATASETS = (
    Operation(
        "GET",
        "/v1/datasets/{dataset}/batches",
        "Every batch that was handed in",
        lambda w, r, c: status.data_rows(w, _dataset(r)),
        gives=list[status.DataRow],
    ),
    Operation(
        "POST",
        "/v1/datasets/{dataset}/batches",
        "Hand in a batch (Parquet, Arrow, NDJSON or CSV) and publish the next data version",
        _add_batch,
        bytes,
        status.DataRow,
        status=201,
        query=("reason", "mode", "branch", "new", "key", "time_zone"),
    ),
    Operation(
        "GET",
        "/v1/datasets/{dataset}/batches/{batch}",
        "What validation found in one, by its digest or the beginning of it",
        _report,
        gives=ValidationReport,
    ),
    Operation(
        "GET",
        "/v1/datasets/{dataset}/quarantine",
        "Rows that were set aside, by batch",
        lambda w, r, c: set_aside(w, _dataset(r)),
        gives=list[SetAside],
    ),
    Operation(
        "GET",
        "/v1/datasets/{dataset}/quarantine/{batch}",
        "The rows of one batch that were set aside",
        _rows_set_aside,
        gives=list[dict[str, Any]],
    ),
    Operation(
        "POST",
        "/v1/datasets/{dataset}/quarantine/{batch}/release",
        "Let them in: they become the next data version",
        _release,
        gives=status.DataRow,
        status=201,
        query=("reason",),
    ),
    Operation(
        "GET",
        "/v1/datasets/{dataset}/versions",
        "Its versions, newest first",
        lambda w, r, c: data_log(w, _dataset(r), branch=r.query_params.get("branch")),
        gives=list[DataVersionRow],
        query=("branch",),
    ),
    Operation(
        "GET",
        "/v1/datasets/{dataset}/versions/{address}",
        "One of them by number, tag, branch, day or digest, with its columns",
        lambda w, r, c: show_version(w, _address(r, r.path_params["address"])),
        gives=ShownVersion,
    ),
    Operation(
        "GET",
        "/v1/datasets/{dataset}/versions/{address}/diff",
        "What it changed, or what has changed since another",
        _diff,
        gives=DataDiff,
        query=("before",),
    ),
)
