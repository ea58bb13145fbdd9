"""Parts: every row is in one, in the order of time and key, and is answered or told why not."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import lightgbm
import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from mainspring.digest import Digest
from mainspring.formats.fitted import Fitted
from mainspring.formats.lightgbm import to_onnx
from mainspring.formats.native import to_bytes
from mainspring.formats.signature import Signature
from mainspring.operate.score_part import Plan, Score, Work, answer, plan, read_part, score
from mainspring.product import DatasetSpec, FeatureViewSpec
from mainspring.stores.blobs import FileBlobs
from mainspring.stores.tables import DeltaTables

START = datetime(2024, 1, 1, tzinfo=UTC)
MOMENT = pl.Datetime("us", "UTC")
ASKS = DatasetSpec("asks", ("ask_id",), "asked_at", None, 0.01, ())
PRICES = FeatureViewSpec("prices", "prices", "place", "seen_at", ttl="3h", features=("price",))


@dataclass(frozen=True)
class Place:
    tables: DeltaTables
    blobs: FileBlobs


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A price each hour in place `a`, and asks in three places; 20 of them at one time, and one at none."""
    state = tmp_path_factory.mktemp("state")
    place = Place(DeltaTables(state / "tables"), FileBlobs(state / "blobs"))
    hours = [START + timedelta(hours=hour) for hour in range(24)]
    prices = pl.DataFrame(
        {"price_id": range(24), "place": "a", "seen_at": hours, "price": [float(hour) for hour in range(24)]},
        schema_overrides={"seen_at": MOMENT},
    )
    times = [START + timedelta(minutes=37 * (ask % 30)) for ask in range(60)]
    times[:20], times[20:21] = [hours[5]] * 20, [None]  # type: ignore[list-item]
    asks = pl.DataFrame(
        {
            "ask_id": [f"{ask:02}" for ask in range(60)],
            "asked_at": times,
            "place": [("a", "b", None)[ask % 3] for ask in range(60)],
            "size": [1e300 if ask == 33 else float(ask) for ask in range(60)],
            "kind": ["x", "y"] * 30,
        },
        schema_overrides={"asked_at": MOMENT},
    )
    place.tables.append("prices", prices, commit_id=None)
    place.tables.append("asks", asks.sample(fraction=1, shuffle=True, seed=0), commit_id=None)
    return place


def work(place: Place, *, native: bool = False, **changed: Any) -> Work:
    """Of a model that likes high prices, and was trained on rows without a null in `size` and `kind`."""
    rng = np.random.default_rng(0)
    rows = pl.DataFrame(
        {"price": [None, *rng.uniform(0, 24, 499)], "size": rng.uniform(0, 60, 500), "kind": ["x", "y"] * 250}
    )
    matrix = np.column_stack([rows["price"].to_numpy(), rows["size"].to_numpy(), [0.0, 1.0] * 250])
    booster = lightgbm.train(
        {"objective": "binary", "verbosity": -1, "num_leaves": 4, "deterministic": True, "num_threads": 1},
        lightgbm.Dataset(matrix, (rows["price"].fill_null(0) > 12).to_numpy().astype(int)),
        num_boost_round=5,
    )
    inputs = ("price", "size", "kind")
    fitted = Fitted(model=booster, inputs=inputs, encodings={"kind": ("x", "y")})
    signature = Signature.infer(rows, inputs)
    known: dict[str, Any] = {
        "rows": ASKS,
        "views": (PRICES,),
        "keys": {"prices": ("price_id",)},
        "tables": {"asks": 0, "prices": 0},
        "known": START + timedelta(days=1),
        "artifact": place.blobs.put(to_bytes(fitted, signature) if native else to_onnx(fitted)),
        "signature": signature,
        "version": 3,
        "columns": ("price", "place"),
        "since": None,
        "until": None,
        "allow_code": False,
        "timeout_s": 60.0,
    }
    return Work(**known | changed)


def scores(place: Place, asked: Work, size: int = 100) -> pl.DataFrame:
    parts = [
        score(Score(work=asked, part=part, scored_at=START), place.tables, place.blobs)
        for part in plan(Plan(work=asked, size=size), place.tables).parts
    ]
    return pl.concat(pl.read_parquet(io.BytesIO(place.blobs.get(Digest(part.output)))) for part in parts)


@settings(max_examples=15)
@given(size=st.integers(1, 70))
def test_every_row_is_in_one_part_in_the_order_of_time_and_key(place: Place, size: int) -> None:
    asked = work(place)
    parts = plan(Plan(work=asked, size=size), place.tables).parts
    read = [read_part(asked, part, place.tables) for part in parts]
    assert [frame.height for frame in read] == [part.rows for part in parts]
    assert [part.rows for part in parts[:-1]] == [size] * (len(parts) - 1)
    whole = place.tables.read("asks", 0).sort("asked_at", "ask_id", nulls_last=False)
    assert pl.concat(read)["ask_id"].to_list() == whole["ask_id"].to_list()


def test_features_come_as_of_the_time_of_each_row(place: Place) -> None:
    found = scores(place, work(place), size=7)
    assert found.height == 60
    for row in found.iter_rows(named=True):
        at, expected = row["asked_at"], None
        if row["place"] == "a" and at is not None:
            expected = float((at - START) // timedelta(hours=1))
        assert row["price"] == expected
    sound = found.filter(pl.col("reason").is_null())
    high = sound.filter(pl.col("price") >= 14)["probability"]
    low = sound.filter(pl.col("price") <= 10)["probability"]
    assert min(high) > max(low)


def test_a_model_in_its_librarys_form_answers_alike(place: Place) -> None:
    columns = ("ask_id", "probability", "reason")
    found = [scores(place, work(place, native=native), size=25).select(columns) for native in (False, True)]
    assert_frame_equal(*found, check_exact=False, abs_tol=1e-6)


def test_a_number_beyond_the_model_is_told_and_the_others_are_answered(place: Place) -> None:
    found = scores(place, work(place))
    told = found.filter(pl.col("reason").is_not_null()).select("ask_id", "probability", "reason")
    assert told.rows() == [("33", None, "beyond what the model takes in size")]
    assert found["probability"].null_count() == 1


def test_nulls_are_told_by_column_where_the_model_never_met_one(place: Place) -> None:
    signature = msgspec.structs.replace(
        work(place).signature,
        inputs=tuple(msgspec.structs.replace(each, nullable=False) for each in work(place).signature.inputs),
    )
    found = scores(place, work(place, signature=signature))
    told = found.filter(pl.col("place").is_null() | (pl.col("place") == "b"))
    reasons = told.filter(pl.col("ask_id") != "33")["reason"].unique().to_list()
    assert reasons == ["null in price, never seen there in training"]
    assert (
        found.filter(pl.col("price").is_not_null(), pl.col("ask_id") != "33")["probability"].null_count() == 0
    )


def test_all_columns_that_are_missing_or_of_another_type_are_told_at_once(place: Place) -> None:
    other = msgspec.structs.replace(PRICES, entity="town", features=("price", "tax"))
    inputs = [msgspec.structs.replace(each, name=f"{each.name}s") for each in work(place).signature.inputs]
    inputs.append(msgspec.structs.replace(inputs[0], name="kind"))
    signature = msgspec.structs.replace(work(place).signature, inputs=tuple(inputs))
    planned = plan(Plan(work=work(place, views=(other,), signature=signature), size=9), place.tables)
    assert planned.parts == ()
    assert {where.split("'")[1] for where, _ in planned.faults} == {
        "prices",
        "sizes",
        "kinds",
        "kind",
        "town",
        "tax",
    }


def test_what_goes_wrong_is_an_answer(place: Place) -> None:
    question = Plan(work=work(place, tables={"asks": 0, "prices": 7}), size=9)
    told = msgspec.json.decode(answer(str(place.tables.root.parent), msgspec.json.encode(question)))
    assert (told["type"], told["kind"]) == ("Failed", "TableNotFound")
    told = msgspec.json.decode(answer(str(place.tables.root.parent), b"no question"))
    assert (told["type"], told["kind"]) == ("Failed", "DecodeError")
