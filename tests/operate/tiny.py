"""A workspace with the tiny product, and traffic for it without a gateway process."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from mainspring.formats.onnx import OnnxModel
from mainspring.monitoring.record import Failure, LabelEntry, LabelRecord, PredictionRecord
from mainspring.operate.declare import declare
from mainspring.stores.segments import SegmentWriter
from mainspring.workspace import Workspace, open_workspace

PRODUCT = Path(__file__).parent.parent / "products" / "tiny"


def begin(folder: Path) -> Workspace:
    """Open a new workspace with the tiny product, declared."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in ("product.py", "mainspring.toml"):
        shutil.copy(PRODUCT / file, folder)
    workspace = open_workspace(folder)
    declare(workspace, actor="test")
    return workspace


def ask(
    workspace: Workspace, rows: pl.DataFrame, *, failing_version: int | None = None, labelled: bool = True
) -> None:
    """Log a day's predictions as a gateway would, and their labels; the champion stands in for a failing version."""
    with workspace.database.read() as tx:
        (route,) = tx.rollouts.routes()
    models = {
        variant.version: OnnxModel.load(workspace.blobs.get(variant.artifact))
        for variant in (route.champion, route.challenger)
        if variant is not None
    }
    inputs = rows.select("amount", "hour", "kind")
    feed = {
        "amount": inputs["amount"].cast(pl.Float32).to_numpy(),
        "hour": inputs["hour"].cast(pl.Float32).to_numpy(),
        "kind": inputs["kind"].fill_null("").to_numpy().astype(object),
    }
    scores = {version: model.predict(feed) for version, model in models.items()}
    units = rows["order_id"].to_list()
    chosen = [route.choose(unit).version for unit in units]
    failures = [
        Failure(row, version, "it was told to")
        for row, version in enumerate(chosen)
        if version == failing_version
    ]
    served = [route.champion.version if version == failing_version else version for version in chosen]
    at: datetime = workspace.clock.now()
    with SegmentWriter(workspace.logs / "gateway-0") as log:
        log.append(
            [
                PredictionRecord(
                    at=at,
                    product="tiny",
                    route=route.number,
                    ids=units,
                    units=units,
                    versions=served,
                    scores=[float(scores[version][row]) for row, version in enumerate(served)],
                    inputs={name: inputs[name].to_list() for name in inputs.columns},
                    failures=failures,
                    took_s={
                        str(version): workspace.clock.took(0.0, f"{at} {version}") for version in set(chosen)
                    },
                )
            ]
        )
        if labelled:
            later = at + timedelta(hours=1)
            log.append(
                [
                    LabelRecord(
                        at=at,
                        labels=[
                            LabelEntry(unit, bool(late), later)
                            for unit, late in zip(units, rows["late"], strict=True)
                        ],
                    )
                ]
            )
        log.roll()


def head(workspace: Workspace) -> tuple[int, str]:
    """Give the number and the hash of the ledger's last entry."""
    with workspace.database.read() as tx:
        last = tx.ledger.newest(limit=1)[0]
        return last.number, last.hash
