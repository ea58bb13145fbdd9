"""A model is packaged in the form in which it answers as it was trained, and only then."""

from __future__ import annotations

from typing import Any

import lightgbm
import msgspec
import numpy as np
import polars as pl
import pytest
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from mainspring.digest import Digest
from mainspring.formats.fitted import Fitted
from mainspring.formats.sample import Sample
from mainspring.formats.served import is_native, load
from mainspring.operate.packaging import NotAlike, Package, package
from mainspring.workspace import Workspace

ROWS = pl.DataFrame({"amount": np.linspace(0.0, 100.0, 400), "label": np.arange(400) % 2})


def boosted() -> Fitted:
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


def fitted(model: Any, **more: Any) -> Fitted:
    model.fit(ROWS["amount"].to_numpy().reshape(-1, 1), ROWS["label"].to_numpy())
    return Fitted(model=model, inputs=("amount",), **more)


def packed(workspace: Workspace, made: Fitted) -> Package:
    with workspace.database.read() as tx:
        spec = workspace.specs(tx)["tiny"]
    built = package(made, ROWS, spec, workspace.blobs)
    return msgspec.json.decode(workspace.blobs.get(Digest(built.output)), type=Package)


@pytest.mark.parametrize("made", [boosted(), fitted(LogisticRegression())])
def test_a_model_is_served_from_onnx_where_that_answers_alike(empty: Workspace, made: Fitted) -> None:
    made = packed(empty, made)
    assert (made.served, made.why_native, made.quantised) == ("onnx", "", "")
    assert made.batching.proved
    assert made.parity.passed
    assert not is_native(empty.blobs.get(Digest(made.artifact)))
    assert is_native(empty.blobs.get(Digest(made.native)))


def test_a_model_that_cannot_be_converted_is_served_by_its_own_library(empty: Workspace) -> None:
    made = packed(empty, fitted(make_pipeline(RBFSampler(random_state=0), LogisticRegression())))
    assert (made.served, made.artifact) == ("native", made.native)
    assert "skl2onnx" in made.why_native
    assert made.parity.max_abs_diff < 1e-7
    assert made.batching.proved


def test_a_model_that_float32_cannot_hold_is_served_by_its_own_library(empty: Workspace) -> None:
    made = boosted()
    for tree, value in ((0, 1e7), (1, -1e7 + 0.3)):
        for leaf in (0, 1):
            made.model.set_leaf_output(tree, leaf, value)
    native = packed(empty, made)
    assert native.served == "native"
    assert "answers 400 of 400 rows otherwise" in native.why_native
    assert native.parity.passed


def test_a_model_that_gives_no_number_is_not_packaged_whatever_the_gates(empty: Workspace) -> None:
    made = boosted()
    made.model.set_leaf_output(0, 1, np.nan)
    with pytest.raises(NotAlike, match="with no number"):
        packed(empty, made)


def test_rows_are_kept_with_what_is_answered_to_them(empty: Workspace) -> None:
    made = packed(empty, boosted())
    sample = msgspec.json.decode(empty.blobs.get(Digest(made.sample)), type=Sample)
    model = load(empty.blobs.get(Digest(made.artifact)))
    assert model.predict(sample.columns(model.dtype)).tolist() == sample.expected
    assert len(sample.expected) == 100


def test_a_wish_for_smaller_weights_is_told_what_became_of_it(empty: Workspace) -> None:
    made = boosted()
    made = Fitted(model=made.model, inputs=made.inputs, quantise=True)
    assert packed(empty, made).quantised == "no: It multiplies no matrices, so there are no weights to round."
