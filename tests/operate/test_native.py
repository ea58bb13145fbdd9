"""Cycles whose model has no ONNX form: judged, probed and promoted by the library's own, or by the product's code."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from tests.operate.tiny import begin
from tests.products.tiny.orders import orders, parquet

from mainspring.engines import WorkerDied, WorkerTimedOut
from mainspring.formats.served import is_native
from mainspring.loop import CycleOutcome
from mainspring.monitoring.record import LabelEntry, LabelRecord, PredictionRecord
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.declare import declare
from mainspring.operate.review import review
from mainspring.operate.score_data import Scoring, score_data
from mainspring.operate.status import version_row
from mainspring.ref import ModelRef
from mainspring.stores.segments import SegmentWriter
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


HURRIED = 'allow_code = "tiny"\nbatch_timeout_s = 2\n'


def hanging(when: str) -> str:
    """The rule above, which hangs under a condition; `self.home` is the process that it was trained in."""
    head, rest = RULE_FILE.split("        self.middle = middle\n")
    hang = f"        if {when}:\n            time.sleep(3600)\n"
    init, predict = rest.split("def predict(self, frame):\n")
    known = "        self.middle, self.home = middle, os.getpid()\n"
    return f"import os, time\n{head}{known}{init}def predict(self, frame):\n{hang}{predict}"


@pytest.mark.parametrize(
    ("when", "outcome"),
    [
        ("True", CycleOutcome.FAILED),
        ("os.getpid() != self.home and frame.height > 1", CycleOutcome.REFUSED),
        ("os.getpid() != self.home and frame.height == 1", CycleOutcome.REFUSED),
    ],
    ids=["packaged", "judged", "probed"],
)
def test_a_model_that_hangs_ends_the_cycle_by_name(tmp_path: Path, when: str, outcome: CycleOutcome) -> None:
    with trained(tmp_path, RULE, rule_py=hanging(when), mainspring_toml=HURRIED) as workspace:
        with workspace.database.read() as tx:
            (cycle,) = tx.loop.cycles("tiny")
            assert tx.registry.versions("tiny") == ()
        assert cycle.outcome is outcome
        assert "raise batch_timeout_s" in cycle.reason
        assert "in predict" in cycle.reason


def test_a_model_that_hangs_ends_a_scoring_that_can_be_gone_on_with(tmp_path: Path) -> None:
    rule = hanging("os.path.exists('hang') and frame.height == 400")
    with trained(tmp_path, RULE, rule_py=rule, mainspring_toml=HURRIED) as workspace:
        told: list[int] = []

        def score() -> Scoring:
            return score_data(
                workspace,
                "tiny",
                ["orders"],
                actor="ana",
                part_rows=1_300,
                progress=lambda done, rows: told.append(done),
            )

        (tmp_path / "hang").touch()
        with pytest.raises(WorkerTimedOut, match=r"raise batch_timeout_s.*in predict"):
            score()
        with workspace.database.read() as tx:
            assert tx.data.newest("tiny-scores") is None
        (tmp_path / "hang").unlink()
        told.clear()
        assert score().rows == 3_000
        assert 0 < told[0] < 3_000


def test_what_a_model_does_when_it_is_looked_back_on_it_does_to_a_process_of_its_own(tmp_path: Path) -> None:
    rule = hanging("os.path.exists('hang')")
    rule = rule.replace("time.sleep(3600)", "time.sleep(3600) if os.path.getsize('hang') else os.abort()")
    with trained(tmp_path, RULE, rule_py=rule, mainspring_toml=HURRIED) as workspace:
        at = workspace.clock.now()
        asked = PredictionRecord(
            at=at, product="tiny", route=1, ids=["a", "b"], units=["a", "b"], versions=[1, 1], scores=[0.5, 0.5],
            inputs={"amount": [10.0, 400.0], "hour": [3, 4], "kind": ["a", None]},
        )  # fmt: skip
        truth = LabelRecord(at=at, labels=[LabelEntry("a", False, at), LabelEntry("b", True, at)])
        with SegmentWriter(workspace.logs / "gateway-0") as writer:
            writer.append([asked, truth])
        (month,) = review(workspace, "tiny")
        odds = [(10 - 120) / 60 - 1.5, (400 - 120) / 60 - 1.5]
        loss = [math.log1p(math.exp(odds[0])), math.log1p(math.exp(-odds[1]))]
        assert month.frozen["log_loss"] == pytest.approx(sum(loss) / 2, rel=1e-5)
        (tmp_path / "hang").touch()
        with pytest.raises(WorkerDied, match="SIGABRT"):
            review(workspace, "tiny")
        (tmp_path / "hang").write_text("now")
        with pytest.raises(WorkerTimedOut, match="raise batch_timeout_s"):
            review(workspace, "tiny")


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
