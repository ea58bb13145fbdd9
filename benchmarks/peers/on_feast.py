"""Feast's online read: writes the entities of a Parquet file into its store, and times reads of 1 and 100 of them.

python on_feast.py FOLDER ENTITIES.parquet FEATURES STORE TURNS

The store is `sqlite`, or the address of a Redis as host:port,db=N. Prints microseconds by number of rows, as JSON.
"""

from __future__ import annotations

import json
import logging
import os
import random
import statistics
import sys
import time
from datetime import timedelta
from pathlib import Path

os.environ["FEAST_USAGE"] = "False"
logging.disable(logging.WARNING)

import pandas as pd  # noqa: E402
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig  # noqa: E402
from feast.types import Float64, String  # noqa: E402
from feast.value_type import ValueType  # noqa: E402

folder, file, features, where, turns = (
    Path(sys.argv[1]),
    sys.argv[2],
    int(sys.argv[3]),
    sys.argv[4],
    int(sys.argv[5]),
)
online = {"type": "sqlite", "path": str(folder / "online.db")}
if where != "sqlite":
    online = {"type": "redis", "connection_string": where}
store = FeatureStore(
    config=RepoConfig(
        project="benchmark", provider="local", registry=str(folder / "registry.db"), online_store=online,
        entity_key_serialization_version=3,
    )
)  # fmt: skip
customer = Entity(name="customer", join_keys=["customer"], value_type=ValueType.STRING)
view = FeatureView(
    name="account", entities=[customer], ttl=timedelta(days=3650),
    source=FileSource(path=file, timestamp_field="at"),
    schema=[Field(name="customer", dtype=String), *(Field(name=f"f{n}", dtype=Float64) for n in range(features))],
)  # fmt: skip
store.apply([customer, view])
rows = pd.read_parquet(file)
for first in range(0, len(rows), 10_000):
    store.write_to_online_store("account", rows.iloc[first : first + 10_000])
names, chance, found = [f"account:f{n}" for n in range(features)], random.Random(1), {}
for count in (1, 100):
    took = []
    for turn in range(turns + turns // 10):
        asked = [{"customer": name} for name in chance.sample(rows["customer"].tolist(), count)]
        begun = time.perf_counter()
        answer = store.get_online_features(names, asked).to_dict()
        if turn >= turns // 10:
            took.append(time.perf_counter() - begun)
        assert None not in answer["f0"]
    found[count] = statistics.median(took) * 1e6
store.teardown()
print(json.dumps(found))
