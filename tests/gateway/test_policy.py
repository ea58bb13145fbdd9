"""What may not be logged does not reach the log, and is counted; the answer is the same."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.conftest import INPUTS, Workspace, body, column, model, running
from tests.stores.test_segments import everything

from mainspring.digest import Digest
from mainspring.gateway.ids import PredictionIds
from mainspring.gateway.log import PredictionLog
from mainspring.gateway.policy import LogPolicy
from mainspring.monitoring.record import Failure, Fetched, PredictionRecord
from mainspring.product import ColumnSpec
from mainspring.rollouts import Challenger, Route, Variant
from mainspring.stores.segments import SegmentWriter

NOON = datetime(2013, 2, 1, 12, tzinfo=UTC)
IDS = PredictionIds(b"secret")
CHAMPION = Variant(version=1, artifact=Digest("0" * 64))


def policy(sample: float = 1.0, **pii: str) -> LogPolicy:
    names = ("email", "name", "age", "amount")
    inputs = tuple(ColumnSpec(name, "BYTES", nullable=True, pii=pii.get(name, "")) for name in names)  # type: ignore[arg-type]
    route = Route(product="late", number=1, champion=CHAMPION, salt="r", inputs=inputs, log_sample=sample)
    return LogPolicy.of(route, IDS.pseudonym)


def record(units: list[str], **fields: Any) -> PredictionRecord:
    rows = len(units)
    given: dict[str, Any] = {
        "ids": [f"id of {unit} {row}" for row, unit in enumerate(units)],
        "versions": list(range(1, rows + 1)),
        "scores": [row / 100 for row in range(rows)],
        "inputs": {"email": [f"{unit}@example.org" for unit in units], "amount": list(range(rows))},
        "shadow": {"7": [row / 50 for row in range(rows)]},
        "features": {"people": Fetched([NOON] * rows, {"age": [20 + row for row in range(rows)]})},
        **fields,
    }
    return PredictionRecord(at=NOON, product="late", route=1, units=units, **given)


def test_without_a_policy_a_record_is_logged_as_it_is() -> None:
    assert policy().keeps_all
    assert not policy(sample=0.5).keeps_all
    assert not policy(email="drop").keeps_all


@given(st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=12), st.floats(0, 1))
def test_a_sample_keeps_all_rows_of_a_unit_or_none_and_every_column_in_step(
    units: list[str], share: float
) -> None:
    rule = policy(sample=share)
    kept, left_out = rule.apply(record(units))
    assert left_out["unsampled"] + len(kept.units) == len(units)
    alone = {unit for unit in set(units) if rule.apply(record([unit]))[0].units}
    assert kept.units == [unit for unit in units if unit in alone]
    rows = [version - 1 for version in kept.versions]
    assert rows == [row for row, unit in enumerate(units) if unit in alone]
    assert kept.ids == [f"id of {units[row]} {row}" for row in rows]
    assert kept.scores == [row / 100 for row in rows]
    assert kept.inputs["amount"] == rows
    assert kept.shadow == {"7": [row / 50 for row in rows]}
    assert kept.features["people"] == Fetched([NOON] * len(rows), {"age": [20 + row for row in rows]})
    assert kept.sampled == share if share < 1 else 1.0


def test_a_sample_is_of_the_declared_size_and_the_same_in_every_arm() -> None:
    units = [f"unit-{n}" for n in range(20_000)]
    route = Route(
        product="late", number=1, champion=CHAMPION, salt="r", log_sample=0.1,
        challengers=(Challenger(variant=Variant(version=2, artifact=Digest("1" * 64)), share=0.5),),
    )  # fmt: skip
    kept = LogPolicy.of(route, IDS.pseudonym).apply(record(units))[0].units
    arms = route.split.assign(kept)
    assert len(kept) == pytest.approx(2000, abs=150)
    assert arms.count(0) == pytest.approx(1000, abs=120)


def test_failures_stay_with_their_rows() -> None:
    units = [f"unit-{n}" for n in range(40)]
    failures = [Failure(row, 2, f"of {row}") for row in range(40)]
    rule = policy(sample=0.5)
    for answered in (True, False):
        fields = {} if answered else {"ids": [], "versions": [], "scores": []}
        kept, _ = rule.apply(record(units, failures=failures, **fields))
        assert 0 < len(kept.units) < 40
        assert [f"unit-{each.error.removeprefix('of ')}" for each in kept.failures] == kept.units
        assert [each.row for each in kept.failures] == list(range(len(kept.units)))
        assert len(kept.ids) == len(kept.scores) == (len(kept.units) if answered else 0)


def test_no_value_of_a_hidden_column_is_in_the_line() -> None:
    inputs = {
        "email": ["ada@example.org", None], "name": ["Ada Lovelace", "Ada Lovelace"], "amount": [1, 2],
        "not declared": ["who knows", 3.5],
    }  # fmt: skip
    told = [Failure(0, 2, "ValueError: could not convert string to float: 'Ada Lovelace'")]
    rule = policy(email="drop", name="hash", age="drop")
    kept, left_out = rule.apply(record(["u", "v"], inputs=inputs, failures=told))
    line = msgspec.json.encode(kept).decode()
    for secret in ("ada@example", "Lovelace", "who knows", "3.5"):
        assert secret not in line
    assert kept.inputs == {"name": [IDS.pseudonym("Ada Lovelace")] * 2, "amount": [1, 2]}
    assert kept.features == {"people": Fetched([NOON, NOON], {})}
    assert kept.redacted == ["age", "email", "name", "not declared"]
    assert kept.failures[0].error == "ValueError: could not convert string to float: '…'"
    assert left_out == {"redacted": 1 + 2 + 2 + 2}


def test_pseudonyms_are_of_the_workspace_and_say_nothing_of_the_text() -> None:
    assert IDS.pseudonym("Ada") == IDS.pseudonym("Ada") != IDS.pseudonym("ada")
    assert PredictionIds(b"another").pseudonym("Ada") != IDS.pseudonym("Ada")
    assert policy(email="hash").units("email", ["Ada"]) == [IDS.pseudonym("Ada")]
    assert policy(email="hash").units("name", ["Ada"]) == ["Ada"]


def test_what_was_left_out_is_counted_in_the_products_next_record(tmp_path: Path) -> None:
    rule = policy(sample=0.5)
    kept = [unit for unit in map(str, range(100)) if rule.apply(record([unit]))[0].units]

    async def test() -> None:
        log = PredictionLog(SegmentWriter(tmp_path))
        for unit in map(str, range(100)):
            await log.predicted(record([unit]), rule)
        assert log.written == len(kept)
        assert log.unlogged == {"late": {"unsampled": 100 - len(kept)}}
        await log.close()

    asyncio.run(test())
    found = [each for each in everything(tmp_path) if isinstance(each, PredictionRecord)]
    assert [each.units for each in found] == [[unit] for unit in kept]
    before = [sum(each.unlogged.values()) for each in found]
    places = [int(unit) for unit in kept]
    assert before == [place - last - 1 for last, place in zip([-1, *places], places, strict=False)]


def test_a_gateway_answers_what_it_may_not_log(workspace: Workspace) -> None:
    """The unit is the carrier, which is hashed; the distance is left out; half of the units are logged."""
    pii = {"carrier": "hash", "distance": "drop"}
    inputs = tuple(msgspec.structs.replace(each, pii=pii.get(each.name, "")) for each in INPUTS)
    variant = workspace.add_version(1, model())
    workspace.put_routes(
        Route(
            product="late",
            number=2,
            champion=variant,
            salt="s",
            split_by="carrier",
            inputs=inputs,
            log_sample=0.5,
        )
    )
    carriers = [f"carrier {n}" for n in range(40)]
    with running(workspace) as gateway:
        reply = gateway.infer(body(40, carrier=carriers))
        assert len(column(reply, "probability")) == 40
        single = [gateway.infer(body(carrier=[name])) for name in carriers]
        assert {each.status_code for each in single} == {200}
        metrics = gateway.client.get("/metrics").text
    pseudonyms = {workspace.ids.pseudonym(name): name for name in carriers}
    whole, *parts = workspace.predictions
    assert 0 < len(whole.units) < 40
    assert [unit for each in parts for unit in each.units] == whole.units
    assert set(whole.units) <= pseudonyms.keys()
    assert whole.inputs.keys() == {"hour", "carrier", "holiday"}
    assert whole.inputs["carrier"] == whole.units
    text = b"".join(file.read_bytes() for file in workspace.log.glob("*.log"))
    assert b"carrier 1" not in text
    assert b"100.5" not in text
    unsampled = 2 * (40 - len(whole.units))
    assert f'mainspring_log_left_out_total{{product="late",reason="unsampled"}} {unsampled}' in metrics
