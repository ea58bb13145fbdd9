"""Cycles whose model has no ONNX form: judged, probed and promoted by the library's own, or by the product's code."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.operate.tiny import begin
from tests.products.tiny.orders import orders, parquet

from mainspring.formats.served import is_native
from mainspring.loop import CycleOutcome
from mainspring.operate.controller import turn
from mainspring.operate.declare import declare
from mainspring.operate.publish import add_batch
from mainspring.operate.status import version_row
from mainspring.ref import ModelRef
from mainspring.workspace import Workspace, open_workspace

FEATURES = """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.kernel_approximation import RBFSampler
    inputs = ("amount", "hour")
    # skl2onnx knows no such features.
    model = make_pipeline(RBFSampler(gamma=0.001, random_state=seed), LogisticRegression())
    return ms.Fitted(model=model.fit(examples.select(inputs), examples["label"]), inputs=inputs)
"""

RULE = """
    from rule import Rule
    return ms.Fitted(model=Rule(120.0), inputs=("amount", "kind"))
"""
RULE_FILE = """
import polars as pl

class Rule:
    def __init__(self, middle):
        self.middle = middle

    def predict(self, frame):
        odds = (frame["amount"] - self.middle) / 60 + (frame["kind"].fill_null("") == "c").cast(pl.Float64)
        return (1 / (1 + (1.5 - odds).exp())).to_numpy()
"""


def trained(folder: Path, train: str, **files: str) -> Workspace:
    """A workspace that has turned once with another body of the step `train`."""
    begin(folder).close()
    product = (folder / "product.py").read_text()
    head, _, rest = product.partition('    """Fit a few small trees."""\n')
    (folder / "product.py").write_text(head + train + rest[rest.index("\n\nproduct = ") :])
    for name, text in files.items():
        file = folder / name.replace("_toml", ".toml").replace("_py", ".py")
        file.write_text(text + (file.read_text() if file.exists() else ""))
    workspace = open_workspace(folder)
    declare(workspace, actor="test")
    add_batch(workspace, "orders", parquet(orders(days=30)), actor="test")
    turn(workspace)
    return workspace


def test_a_model_without_onnx_is_judged_and_promoted_in_its_own_form(tmp_path: Path) -> None:
    with trained(tmp_path, FEATURES) as workspace:
        row = version_row(workspace, ModelRef.parse("tiny@champion"))
        assert is_native(workspace.blobs.get(row.artifact))
        assert row.lineage["served"]["served"] == "native"
        assert row.lineage["served"]["batching"]["proved"]
        assert row.metrics["roc_auc"] > 0.6


def test_code_of_the_product_is_a_model_where_the_operator_allows_it(tmp_path: Path) -> None:
    with trained(tmp_path, RULE, rule_py=RULE_FILE, mainspring_toml='allow_code = "tiny"\n') as workspace:
        row = version_row(workspace, ModelRef.parse("tiny@champion"))
        assert row.lineage["served"]["why_native"] == "model: it is code of the product's own."
        assert row.metrics["roc_auc"] > 0.6


def test_code_of_the_product_is_refused_where_nobody_allows_it(tmp_path: Path) -> None:
    with trained(tmp_path, RULE, rule_py=RULE_FILE) as workspace, workspace.database.read() as tx:
        (cycle,) = tx.loop.cycles("tiny")
        assert cycle.outcome is CycleOutcome.FAILED
        assert 'allow_code = "NAME"' in cycle.reason
        assert tx.registry.versions("tiny") == ()


@pytest.mark.parametrize("answer", ["[float('nan')] * frame.height", "1 / 0"])
def test_code_that_does_not_answer_ends_the_cycle(tmp_path: Path, answer: str) -> None:
    rule = (
        f"class Rule:\n    def __init__(self, middle): ...\n    def predict(self, frame): return {answer}\n"
    )
    with (
        trained(tmp_path, RULE, rule_py=rule, mainspring_toml='allow_code = "tiny"\n') as workspace,
        workspace.database.read() as tx,
    ):
        (cycle,) = tx.loop.cycles("tiny")
        assert cycle.outcome is CycleOutcome.FAILED
