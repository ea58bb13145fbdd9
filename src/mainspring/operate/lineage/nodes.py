"""What is known of a thing, as a node of the graph."""

from __future__ import annotations

__all__ = [
    "data_node",
    "endpoint_node",
    "features_node",
    "logged_model_node",
    "predictions_node",
    "run_node",
    "version_node",
]

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mainspring.clock import time_text
from mainspring.lineage import Kind, Node
from mainspring.pipelines.run import RunNotFound as LoopRunNotFound
from mainspring.tracking.record import Lifecycle
from mainspring.tracking.store import RunNotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mainspring.monitoring.store import DayQuality
    from mainspring.ref import DataRef
    from mainspring.rollouts import Route
    from mainspring.stores.sql.database import Transaction


def data_node(tx: Transaction, ref: DataRef) -> Node:
    """Give a data version, or the answers of a model; raises `mainspring.data.DataVersionNotFound`."""
    version = tx.data.get(ref)
    facts = {
        "rows": f"{version.rows:,}",
        "digest": version.digest,
        "published": time_text(version.published_at),
    }
    scores = False
    for entry in tx.ledger.newest(limit=1, subject=str(ref)):
        scores = "scoring" in json.loads(entry.data)
        facts |= {"by": entry.actor, "because": entry.reason}
    return Node(
        kind=Kind.SCORES if scores else Kind.DATA,
        ref=str(ref),
        facts=facts,
        rows=version.rows if scores else 0,
    )


def features_node(view: str, data: DataRef) -> Node:
    """Give the features that a view computes from a data version."""
    return Node(kind=Kind.FEATURES, ref=f"{view}:{data}")


def version_node(tx: Transaction, name: str, number: int) -> Node:
    """Give a version of a product's or of a client's; raises what the store of registered versions raises."""
    version = tx.registered_versions.get(name, number)
    facts = {
        "of": "a client" if tx.registry.is_taken(name) else "",
        "aliases": ", ".join(version.aliases),
        "registered": _moment(version.created_ms),
        "by": version.user_id,
        "because": version.description or "",
        "stage": version.stage.value if version.stage.value != "None" else "",
    }
    return Node(kind=Kind.VERSION, ref=version.ref, facts=_told(facts))


def run_node(tx: Transaction, run_id: str) -> Node:
    """Give a run, of the loop or of a client; raises `mainspring.tracking.store.RunNotFound`."""
    try:
        run = tx.logged_runs.bare(run_id)
    except RunNotFound:
        try:
            early = tx.runs.get(run_id)  # from before the loop's runs were logged
        except LoopRunNotFound:
            raise RunNotFound(run_id) from None
        facts = {"name": early.product, "status": early.state.value, "started": time_text(early.started_at)}
        return Node(kind=Kind.RUN, ref=run_id, facts=facts)
    facts = {
        "name": run.name,
        "experiment": str(run.experiment_id),
        "status": run.status.value.lower(),
        "started": _moment(run.started_ms),
        "by": run.user_id,
        "deleted": _deleted(run.lifecycle),
    }
    return Node(kind=Kind.RUN, ref=run_id, facts=_told(facts))


def logged_model_node(tx: Transaction, model_id: str) -> Node:
    """Give a logged model; raises `mainspring.tracking.store.LoggedModelNotFound`."""
    model = tx.logged_models.get(model_id)
    facts = {
        "name": model.name,
        "type": model.model_type,
        "logged": _moment(model.created_ms),
        "deleted": _deleted(model.lifecycle),
    }
    return Node(kind=Kind.LOGGED_MODEL, ref=model_id, facts=_told(facts))


def endpoint_node(route: Route) -> Node:
    """Give an endpoint, with the versions behind it and their shares of the units."""
    taken = sum(each.share for each in route.challengers)
    shares = {route.champion.version: 1 - taken}
    shares |= {each.variant.version: each.share for each in route.challengers}
    told = [f"@{version} {share:.0%}" for version, share in shares.items()]
    told += [f"@{route.shadow.version} in the shadow"] if route.shadow else []
    return Node(kind=Kind.ENDPOINT, ref=route.product, facts={"serves": ", ".join(told)})


def predictions_node(name: str, number: int, days: Sequence[DayQuality]) -> Node | None:
    """Give what a version has answered as far as the log holds it; None where that is nothing."""
    mine = [each for each in days if each.version == number and each.predictions]
    if not mine:
        return None
    rows = sum(each.predictions for each in mine)
    facts = {
        "rows": f"{rows:,}",
        "labelled": f"{sum(each.labelled for each in mine):,}",
        "first day": min(each.day for each in mine).isoformat(),
        "last day": max(each.day for each in mine).isoformat(),
    }
    return Node(kind=Kind.PREDICTIONS, ref=f"{name}@{number}", facts=facts, rows=rows)


def _told(facts: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in facts.items() if text}


def _deleted(lifecycle: Lifecycle) -> str:
    return "" if lifecycle is Lifecycle.ACTIVE else "yes"


def _moment(ms: int) -> str:
    """A moment as a client stated it, which may be any number."""
    try:
        return time_text(datetime.fromtimestamp(ms / 1000, UTC))
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"
