"""Features that are computed from what is asked: one function for training and for requests, in whatever form."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.operate.tiny import begin
from tests.products.tiny.orders import orders, parquet

from mainspring.cli.up import running
from mainspring.computed import ComputedFeature, computed
from mainspring.errors import Invalid
from mainspring.formats.computed import BadFeature, needed, sent, with_computed
from mainspring.formats.served import feed, load
from mainspring.loop import CycleOutcome
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.declare import DeclarationInvalid, declare
from mainspring.operate.request import request_training
from mainspring.ref import ModelRef
from mainspring.settings import Settings
from mainspring.workspace import Workspace, open_workspace

FEATURES = """
@ms.computed
def per_hour(amount: pl.Series, hour: pl.Series) -> pl.Series:
    return amount / (hour + SHIFT)


@ms.computed
def dear(per_hour: pl.Series, kind: pl.Series) -> pl.Series:
    return (per_hour > 20) & (kind == "b").fill_null(False)


SHIFT = 1


@ms.step
def recent("""


CODED = """coded = examples.select(
        "amount", "hour", pl.col("kind").cast(pl.Enum(kinds)).to_physical().cast(pl.Float64)
    )"""


def declared(features: str = FEATURES, named: str = "per_hour, dear") -> Callable[[str], str]:
    """The tiny product, whose model reads the hour and what is computed."""

    def change(text: str) -> str:
        for old, new in (
            ("\n@ms.step\ndef recent(", features),
            ("    data=orders,\n", f"    data=orders,\n    computed=[{named}],\n"),
            (
                'inputs, kinds = ("amount", "hour", "kind"), ("a", "b", "c")',
                'inputs = ("per_hour", "dear", "hour")',
            ),
            (CODED, "coded = examples.select(pl.col(name).cast(pl.Float64) for name in inputs)"),
            (', encodings={"kind": kinds}', ""),
        ):
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        return text

    return change


def begun(root: Path, change: Callable[[str], str]) -> Workspace:
    workspace = begin(root, change)
    with (root / "mainspring.toml").open("a") as file:
        file.write('allow_code = "tiny"\n')
    workspace.close()
    return open_workspace(root)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("computed") / "root"
    with begun(root, declared()) as workspace:
        add_batch(workspace, "orders", parquet(orders(days=30)), actor="test")
        turn(workspace)
        with workspace.database.read() as tx:
            (cycle,) = tx.loop.cycles("tiny")
    assert cycle.outcome is CycleOutcome.PROMOTED, cycle.reason
    return root


def test_a_model_is_sent_inputs_and_computes_the_rest_as_training_did(trained: Path) -> None:
    with open_workspace(trained) as workspace:
        with workspace.database.read() as tx:
            version = tx.registry.get(ModelRef("tiny", 1))
        model = load(workspace.blobs.get(version.artifact), allow_code=True)
    rows = orders(days=2, seed=9).with_columns(
        pl.when(pl.int_range(pl.len()) % 7 > 0).then("kind").alias("kind")
    )
    answers = model.predict(feed(model, rows.select("amount", "hour", "kind")))
    # Per hour and dear, by other means than the product's.
    amount, hour, kind = (rows[name].to_list() for name in ("amount", "hour", "kind"))
    per_hour = [value / (at + 1) for value, at in zip(amount, hour, strict=True)]
    dear = [each > 20 and of == "b" for each, of in zip(per_hour, kind, strict=True)]
    booster = model.fitted.model._model._loaded.fitted.model  # type: ignore[union-attr]
    expected = booster.predict(np.column_stack([per_hour, dear, hour]).astype(float))
    assert answers == pytest.approx(expected, abs=1e-6)
    assert len(set(answers.tolist())) > 10


@contextmanager
def up(root: Path):  # type: ignore[no-untyped-def]
    before = signal.getsignal(signal.SIGTERM)
    try:
        with running(replace(Settings.load(root), port=0, gateway_port=0)) as processes:
            yield processes
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.slow
def test_the_gateway_answers_requests_as_the_rows_were_judged(trained: Path) -> None:
    rows = orders(days=1, per_day=50, seed=3)
    with open_workspace(trained) as workspace:
        with workspace.database.read() as tx:
            version = tx.registry.get(ModelRef("tiny", 1))
        model = load(workspace.blobs.get(version.artifact), allow_code=True)
    expected = model.predict(feed(model, rows.select("amount", "hour", "kind")))
    records = rows.select("amount", "hour", "kind").to_dicts()
    with up(trained) as processes, httpx.Client(base_url=processes.gateway_url, timeout=60) as gateway:
        told = gateway.get("/v2/models/tiny").json()
        assert {each["name"] for each in told["inputs"]} == {"amount", "hour", "kind"}
        together = gateway.post("/invocations/tiny", json={"dataframe_records": records})
        assert together.status_code == 200, together.text
        alone = [
            gateway.post("/invocations/tiny", json={"dataframe_records": [each]}).json()
            for each in records[:5]
        ]
    assert together.json()["predictions"] == pytest.approx(expected.tolist(), abs=1e-6)
    assert [each["predictions"][0] for each in alone] == pytest.approx(expected[:5].tolist(), abs=1e-6)


@pytest.mark.parametrize(("changed", "reused"), [(False, {"yes"}), (True, {"no"})])
def test_another_function_makes_another_model_though_its_values_are_the_same(
    trained: Path, tmp_path: Path, changed: bool, reused: set[str]
) -> None:
    root = Path(shutil.copytree(trained, tmp_path / "root"))
    with open_workspace(root) as workspace:
        file = root / "product.py"
        if changed:
            file.write_text(file.read_text().replace("(hour + SHIFT)", "(SHIFT + hour)"))
        declare(workspace, actor="test")
        request_training(workspace, "tiny", request_id="again", actor="ana", reason="to see")
        turn(workspace)
        with workspace.database.read() as tx:
            run = tx.runs.get(tx.loop.cycles("tiny")[1].run_id)
    assert {step["reused"] for step in run.steps if step["name"] in {"examples", "train"}} == reused


def test_what_only_an_operator_may_allow_is_told(tmp_path: Path) -> None:
    with begin(tmp_path / "root", declared()) as workspace:
        add_batch(workspace, "orders", parquet(orders(days=30)), actor="test")
        turn(workspace)
        with workspace.database.read() as tx:
            (cycle,) = tx.loop.cycles("tiny")
    assert cycle.outcome is CycleOutcome.FAILED
    assert 'allow_code = "NAME"' in cycle.reason


@pytest.mark.parametrize(
    ("features", "named", "told"),
    [
        (FEATURES, "dear, per_hour", "is computed from 'per_hour', which is none"),
        (FEATURES.replace("(amount:", "(weight:", 1), "per_hour", "is computed from 'weight', which is none"),
        (FEATURES.replace("per_hour", "amount", 1), "amount", "has the name of a column"),
        (FEATURES, "per_hour, per_hour", "has the name of a column or of another feature"),
    ],
)
def test_what_cannot_be_computed_is_refused_when_it_is_declared(
    tmp_path: Path, features: str, named: str, told: str
) -> None:
    with pytest.raises(DeclarationInvalid, match=told):
        begin(tmp_path / "root", declared(features, named))


def test_a_function_that_fails_ends_the_cycle_in_words(tmp_path: Path) -> None:
    features = FEATURES.replace("return amount / (hour + SHIFT)", "return 1 / 0")
    with begun(tmp_path / "root", declared(features)) as workspace:
        add_batch(workspace, "orders", parquet(orders(days=30)), actor="test")
        turn(workspace)
        with workspace.database.read() as tx:
            (cycle,) = tx.loop.cycles("tiny")
    assert cycle.outcome is CycleOutcome.FAILED
    assert "The feature 'per_hour' cannot be computed: it raised ZeroDivisionError" in cycle.reason


# --- values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [lambda: 1, lambda x=1: x, lambda *x: x, lambda *, x: x, lambda x, /: x])
def test_arguments_that_name_no_input_are_refused(function: Callable[..., object]) -> None:
    with pytest.raises(Invalid, match="must name what it is computed from"):
        computed(function)


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda amount: amount.to_list(), "gave a list, and no polars Series"),
        (lambda amount: amount.head(1), "gave 1 values for 2 rows"),
        (lambda amount: amount.cast(pl.Datetime), "and no numbers, truth values or texts"),
        (lambda amount: amount.no_such_thing(), "it raised AttributeError"),
    ],
)
def test_what_is_no_value_for_each_row_is_told(function: Callable[..., object], told: str) -> None:
    with pytest.raises(BadFeature, match=told):
        with_computed(pl.DataFrame({"amount": [1.0, 2.0]}), [computed(function)])


def feature(name: str, *inputs: str) -> ComputedFeature:
    return ComputedFeature(name, inputs, lambda **given: sum(given.values()))


@settings(max_examples=50)
@given(
    links=st.lists(st.sets(st.integers(-3, 5), min_size=1, max_size=3), max_size=6),
    read=st.sets(st.integers(-3, 5), min_size=1),
)
def test_what_is_sent_is_enough_to_compute_what_is_read(links: list[set[int]], read: set[int]) -> None:
    names = {number: f"input{-number}" if number < 0 else f"computed{number}" for number in range(-3, 6)}
    features = [
        feature(names[place], *sorted(names[each] for each in of if each < place) or ["input1"])
        for place, of in enumerate(links)
    ]
    known = {f"input{number}" for number in (1, 2, 3)} | {each.name for each in features}
    inputs = sorted({names[each] for each in read} & known) or ["input1"]
    some = needed(inputs, features)
    rows = pl.DataFrame({name: [1.0, 2.0] for name in sent(inputs, some)})
    assert {*inputs} <= {*with_computed(rows, some).columns}
    assert all(name.startswith("input") for name in rows.columns)
    # Without one of them nothing that rests on it can be computed.
    with pytest.raises((BadFeature, pl.exceptions.ColumnNotFoundError)):
        with_computed(rows.drop(rows.columns[0]), some).select(inputs)
