"""Tells as JSON what a Feast repository defines; run by an interpreter that has Feast, and maybe not mainspring."""

import json
import os
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any


def source_of(source: Any) -> dict[str, Any] | None:
    """The batch source behind a source, as values."""
    pushed = type(source).__name__ in ("PushSource", "KafkaSource", "KinesisSource")
    batch = source.batch_source if pushed else source
    if batch is None:
        return None
    places = ("path", "table", "query", "database")
    return {
        "name": batch.name,
        "kind": type(batch).__name__,
        "place": next((str(getattr(batch, each)) for each in places if getattr(batch, each, None)), ""),
        "event_time": batch.timestamp_field or "",
        "known_at": batch.created_timestamp_column or "",
        "renamed": dict(batch.field_mapping or {}),
    }


def view_of(view: Any) -> dict[str, Any]:
    """A feature view as values."""
    return {
        "name": view.name,
        "kind": type(view).__name__,
        "entities": list(view.entities),
        "ttl_s": view.ttl.total_seconds() if view.ttl else 0.0,
        "online": bool(view.online),
        "features": {each.name: str(each.dtype) for each in view.features},
        "source": source_of(view.stream_source or view.batch_source),
    }


def service_of(service: Any) -> dict[str, Any]:
    """A feature service as values."""
    return {
        "name": service.name,
        "views": [
            {
                "view": each.name,
                "alias": each.name_alias or "",
                "features": [feature.name for feature in each.features],
                "keys": dict(each.join_key_map or {}),
            }
            for each in service.feature_view_projections
        ],
    }


def main(repository: str) -> None:
    """Read a repository and print what it defines."""
    os.chdir(repository)
    sys.path.insert(0, os.getcwd())
    told, sys.stdout = sys.stdout, sys.stderr  # what the definitions print is not the answer
    found = import_module("feast.repo_operations").parse_repo(Path())
    answer = {
        "feast": version("feast"),
        "entities": {each.name: [each.join_key, each.value_type.name] for each in found.entities},
        "views": [view_of(each) for each in (*found.feature_views, *found.stream_feature_views)],
        "on_demand": [each.name for each in found.on_demand_feature_views],
        "services": [service_of(each) for each in found.feature_services],
    }
    json.dump(answer, told)


if __name__ == "__main__":
    main(sys.argv[1])
