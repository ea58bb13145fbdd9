"""A model is packaged only when it is served as it was trained."""

from __future__ import annotations

import lightgbm
import numpy as np
import polars as pl
import pytest

from mainspring.formats.fitted import Fitted
from mainspring.operate.packaging import NotAlike, package
from mainspring.workspace import Workspace

ROWS = pl.DataFrame({"amount": np.linspace(0.0, 100.0, 400), "label": np.arange(400) % 2})


def fitted() -> Fitted:
    """Two small trees on the amount."""
    rows = lightgbm.Dataset(ROWS["amount"].to_numpy().reshape(-1, 1), ROWS["label"].to_numpy())
    params = {
        "objective": "binary",
        "num_leaves": 2,
        "min_data_in_leaf": 1,
        "verbosity": -1,
        "num_threads": 1,
    }
    return Fitted(model=lightgbm.train(params, rows, 2), inputs=("amount",))


def test_a_model_that_float32_cannot_hold_is_not_packaged_whatever_the_gates(empty: Workspace) -> None:
    with empty.database.read() as tx:
        spec = empty.specs(tx)["tiny"]
    package(fitted(), ROWS, spec, empty.blobs)
    made = fitted()
    for tree, value in ((0, 1e7), (1, -1e7 + 0.3)):
        for leaf in (0, 1):
            made.model.set_leaf_output(tree, leaf, value)
    with pytest.raises(NotAlike, match="400 of 400 rows") as refused:
        package(made, ROWS, spec, empty.blobs)
    assert refused.value.report.max_abs_diff > 0.05
