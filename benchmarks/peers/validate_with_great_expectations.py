"""The checks of `validation.py` by Great Expectations on pandas, in its own environment; prints seconds as JSON."""

from __future__ import annotations

import json
import os
import sys
import time

os.environ["GX_ANALYTICS_ENABLED"] = "False"

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd

file, least, greatest, kinds, regions = json.loads(sys.argv[1])
rows = pd.read_parquet(file)
context = gx.get_context(mode="ephemeral")
asset = context.data_sources.add_pandas("here").add_dataframe_asset("rows")
batch = asset.add_batch_definition_whole_dataframe("all")
expected = [gxe.ExpectColumnValuesToBeUnique(column="id")]
expected += [
    gxe.ExpectColumnValuesToNotBeNull(column=name)
    for name in ("id", "at", "amount", "quantity", "kind", "region", "flag")
]
expected += [
    gxe.ExpectColumnValuesToBeBetween(column=name, min_value=least, max_value=greatest)
    for name in ("amount", "price", "quantity", "score", "latitude", "longitude")
]
expected += [
    gxe.ExpectColumnValuesToBeInSet(column="kind", value_set=kinds),
    gxe.ExpectColumnValuesToBeInSet(column="region", value_set=regions),
    gxe.ExpectColumnValuesToMatchRegex(column="code", regex="^[A-Z][0-9]{4}$"),
]
assert len(expected) == 17
suite = context.suites.add(gx.ExpectationSuite(name="seventeen", expectations=expected))
definition = context.validation_definitions.add(gx.ValidationDefinition(name="all", data=batch, suite=suite))
begun = time.perf_counter()
result = definition.run(batch_parameters={"dataframe": rows}, result_format="BASIC")
took = time.perf_counter() - begun
assert len(result.results) == 17, result
print(
    json.dumps(
        {
            "s": took,
            "success": result.success,
            "failed": [
                (each.expectation_config.type, each.result.get("unexpected_count"))
                for each in result.results
                if not each.success
            ],
        }
    )
)
