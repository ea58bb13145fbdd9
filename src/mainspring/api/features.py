"""The operations on features: rows that are pushed, and what is written into the online store."""

from __future__ import annotations

__all__ = ["FEATURES"]

from typing import TYPE_CHECKING

import msgspec

from mainspring.api.operation import Operation, actor_of
from mainspring.api.problem import Problem
from mainspring.operate import status
from mainspring.operate.feature_views import ViewReport, ViewRow, feature_views, view_report
from mainspring.operate.materialize import MaterializedView, materialize
from mainspring.operate.push import push

if TYPE_CHECKING:
    from starlette.requests import Request

    from mainspring.workspace import Workspace


def _push(workspace: Workspace, request: Request, content: bytes) -> object:
    view = str(request.path_params["view"])
    asked = request.query_params
    batch = push(
        workspace,
        view,
        content,
        actor=actor_of(request),
        reason=asked.get("reason", ""),
        time_zone=asked.get("time_zone", ""),
    )
    row = status.batch_row(batch)
    if batch.version is None:
        return Problem(
            type="urn:mainspring:BatchRefused",
            title="refused",
            status=422,
            detail=f"The rows for {view!r} were refused, and nothing of them was kept: {batch.report.refusal}.",
            report=msgspec.to_builtins(row),
        )
    return row


FEATURES = (
    Operation(
        "GET",
        "/v1/features",
        "The feature views of all products: what they look in, how new that is, and what is used of them",
        lambda w, r, c: feature_views(w),
        gives=list[ViewRow],
    ),
    Operation(
        "GET",
        "/v1/features/{view}",
        "The feature views of one name, with the statistics of their features in the newest data version",
        lambda w, r, c: view_report(w, str(r.path_params["view"])),
        gives=list[ViewReport],
    ),
    Operation(
        "POST",
        "/v1/features/{view}/rows",
        "Hand in rows (Parquet, Arrow, NDJSON or CSV) of a feature view: a batch of its source, looked up at once",
        _push,
        bytes,
        status.DataRow,
        status=201,
        query=("reason", "time_zone"),
    ),
    Operation(
        "POST",
        "/v1/features/{view}/materialization",
        "Write into the online store what it lacks of a feature view",
        lambda w, r, c: materialize(w, str(r.path_params["view"])),
        gives=list[MaterializedView],
    ),
)
