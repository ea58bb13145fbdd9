"""Feast's point-in-time join: joins the rows of one Parquet file with the features of another, and times it.

python on_feast_offline.py FOLDER ROWS.parquet FEATURES.parquet COUNT STORE

The store is `dask`, which is Feast's file store, or `duckdb`. Prints seconds as JSON.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from datetime import timedelta
from pathlib import Path

os.environ["FEAST_USAGE"] = "False"
logging.disable(logging.WARNING)

import pandas as pd  # noqa: E402
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig  # noqa: E402
from feast.types import Float64, Int64  # noqa: E402
from feast.value_type import ValueType  # noqa: E402

folder, rows, features, count, kind = (Path(sys.argv[1]), *sys.argv[2:4], int(sys.argv[4]), sys.argv[5])
store = FeatureStore(
    config=RepoConfig(
        project="benchmark", provider="local", registry=str(folder / "registry.db"),
        online_store={"type": "sqlite", "path": str(folder / "online.db")}, offline_store={"type": kind},
        entity_key_serialization_version=3,
    )
)  # fmt: skip
customer = Entity(name="customer", join_keys=["customer"], value_type=ValueType.INT64)
view = FeatureView(
    name="account", entities=[customer], ttl=timedelta(days=7),
    source=FileSource(path=features, timestamp_field="at"),
    schema=[Field(name="customer", dtype=Int64), *(Field(name=f"f{n}", dtype=Float64) for n in range(count))],
)  # fmt: skip
store.apply([customer, view])
asked = pd.read_parquet(rows)
took = []
for _ in range(2):
    begun = time.perf_counter()
    answer = store.get_historical_features(asked, [f"account:f{n}" for n in range(count)]).to_df()
    took.append(time.perf_counter() - begun)
print(json.dumps({"seconds": min(took), "rows": len(answer), "found": int(answer["f0"].notna().sum())}))
