"""A workspace with the tiny product, and traffic for it without a gateway process."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import polars as pl
from tests.products.tiny.orders import orders, parquet

from mainspring.digest import digest_of
from mainspring.formats.onnx import OnnxModel
from mainspring.monitoring.record import Failure, LabelEntry, LabelRecord, PredictionRecord
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.declare import declare
from mainspring.rollouts.split import CHAMPION, Part, Split
from mainspring.stores.segments import SegmentWriter
from mainspring.workspace import Workspace, open_workspace

PRODUCT = Path(__file__).parent.parent / "products" / "tiny"

_FOLDERS = Path(tempfile.mkdtemp(prefix="tiny-"))
atexit.register(shutil.rmtree, _FOLDERS, ignore_errors=True)


def begin(folder: Path, declared: Callable[[str], str] = lambda text: text) -> Workspace:
    """Open a new workspace with the tiny product, declared; `declared` changes its file."""
    return begin_as(PRODUCT, folder, declared)


def begin_as(product: Path, folder: Path, declared: Callable[[str], str]) -> Workspace:
    """Open a new workspace with another product, declared."""
    assert not (folder / ".mainspring").exists()
    shutil.copytree(
        _begun(product, declared((product / "product.py").read_text())), folder, dirs_exist_ok=True
    )
    return open_workspace(folder)


@cache
def _begun(product: Path, text: str) -> Path:
    """A folder to copy: to declare takes a worker process, and many tests begin alike."""
    folder = _FOLDERS / digest_of(text.encode())
    folder.mkdir()
    shutil.copy(product / "mainspring.toml", folder)
    (folder / "product.py").write_text(text)
    with open_workspace(folder) as workspace:
        declare(workspace, actor="test")
    return folder


def train_first(
    folder: Path, declared: Callable[[str], str] = lambda text: text, *, per_day: int = 100
) -> Path:
    """Make a workspace with 30 days of orders and a champion trained on them, and close it."""
    with begin(folder, declared) as workspace:
        add_batch(workspace, "orders", parquet(orders(days=30, per_day=per_day)), actor="test")
        turn(workspace)
    return folder


def ask(
    workspace: Workspace,
    rows: pl.DataFrame,
    *,
    failing_version: int | None = None,
    worse_version: int | None = None,
    labelled: bool = True,
    log: str = "gateway-0",
) -> None:
    """Log predictions as a gateway would, and their labels.

    The champion stands in for a failing version; a worse one answers the opposite of what its model does.
    """
    with workspace.database.read() as tx:
        (route,) = tx.rollouts.routes()
    models = {
        variant.version: OnnxModel.load(workspace.blobs.get(variant.artifact)) for variant in route.variants
    }
    inputs = rows.select("amount", "hour", "kind")
    feed = {
        "amount": inputs["amount"].cast(pl.Float32).to_numpy(),
        "hour": inputs["hour"].cast(pl.Float32).to_numpy(),
        "kind": inputs["kind"].fill_null("").to_numpy().astype(object),
    }
    scores = {version: model.predict(feed) for version, model in models.items()}
    if worse_version is not None:
        scores[worse_version] = 1 - scores[worse_version]
    shadowed = Split(route.salt, [Part(0.0, route.shadow_share)]).assign(rows["order_id"])
    at: datetime = workspace.clock.now()
    records = []
    for row, unit in enumerate(rows["order_id"]):
        chosen = route.choose(unit).version
        shadow = route.shadow.version if route.shadow and shadowed[row] != CHAMPION else None
        served = route.champion.version if chosen == failing_version else chosen
        records.append(
            PredictionRecord(
                at=at,
                product="tiny",
                route=route.number,
                ids=[unit],
                units=[unit],
                versions=[served],
                scores=[float(scores[served][row])],
                inputs={name: [inputs[name][row]] for name in inputs.columns},
                failures=[
                    Failure(0, version, "it was told to")
                    for version in (chosen, shadow)
                    if version == failing_version and version is not None
                ],
                shadow={str(shadow): [None if shadow == failing_version else float(scores[shadow][row])]}
                if shadow is not None
                else {},
                took_s={
                    str(version): workspace.clock.took(0.0, f"{unit} {version}")
                    for version in sorted({chosen, served})
                },
            )
        )
    with SegmentWriter(workspace.logs / log) as writer:
        writer.append(records)
        if labelled:
            writer.append([labels(rows, at=at)])
        writer.roll()


def labels(rows: pl.DataFrame, *, at: datetime) -> LabelRecord:
    """The truth about rows, as one call that brings it."""
    known_at = at + timedelta(hours=1)
    return LabelRecord(
        at=at,
        labels=[
            LabelEntry(unit, bool(late), known_at)
            for unit, late in zip(rows["order_id"], rows["late"], strict=True)
        ],
    )


def head(workspace: Workspace) -> tuple[int, str]:
    """Give the number and the hash of the ledger's last entry."""
    with workspace.database.read() as tx:
        last = tx.ledger.newest(limit=1)[0]
        return last.number, last.hash
