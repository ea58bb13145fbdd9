"""Requests that one version answers, together with those that have come at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gateway.conftest import INPUTS, Workspace, body, column, model, running

from mainspring.formats.onnx import OnnxModel
from mainspring.gateway.inputs import Inputs, Rows
from mainspring.gateway.score import Served
from mainspring.gateway.together import MOST_ROWS, Request, Together
from mainspring.monitoring.record import PredictionRecord

DISTANCES = st.floats(0, 10_000, width=32)
INPUTS_OF_ALL = Inputs(INPUTS)


def rows_of(distances: Sequence[float], hour: int = 7) -> Rows:
    count = len(distances)
    return INPUTS_OF_ALL.rows(
        {
            "distance": [*distances],
            "hour": [hour] * count,
            "carrier": ["UA"] * count,
            "holiday": [False] * count,
        }
    )


def served(kind: str = "sound", *, rowwise: bool = True) -> Served:
    return Served(1, OnnxModel.load(model(kind)), frozenset(), rowwise=rowwise)


def ask_all(of: Served, asked: Sequence[Rows], gone: int | None = None) -> list[list[float]]:
    """Ask for all at the same time; the caller of `gone` goes away before anybody is answered."""

    async def main() -> list[list[float]]:
        def keep(_: Served, batch: Sequence[Request]) -> None:
            for each in batch:
                assert each.kept is not None
                each.kept.set_result(None)

        together = Together(keep)
        unasked: Any = None  # what a version answers needs no route
        tasks = [
            asyncio.create_task(together.ask(of, Request(unasked, rows, [], [], None, "", 0.0)))
            for rows in asked
        ]
        if gone is not None:
            await asyncio.sleep(0)
            tasks.pop(gone).cancel()
        return await asyncio.gather(*tasks)

    return asyncio.run(main())


@settings(max_examples=30)
@given(st.lists(st.lists(DISTANCES, min_size=1, max_size=MOST_ROWS), min_size=1, max_size=8))
def test_everybody_gets_the_answers_to_their_own_rows(asked: list[list[float]]) -> None:
    of = served()
    answers = ask_all(of, [rows_of(each) for each in asked])
    for distances, scores in zip(asked, answers, strict=True):
        assert scores == pytest.approx([1 / (1 + np.exp(-each / 1000)) for each in distances], abs=1e-6)
    assert of.requests == len(asked)


def test_those_who_come_together_share_a_call_of_as_many_rows_as_it_may_have() -> None:
    of = served()
    ask_all(of, [rows_of([1.0])] * MOST_ROWS)
    assert (of.requests, of.calls) == (MOST_ROWS, 1)
    ask_all(of, [rows_of([1.0] * 100)] * 5)
    assert of.calls == 1 + 3


def test_a_version_that_is_not_proved_to_answer_row_by_row_is_asked_for_each_by_itself() -> None:
    of = served(rowwise=False)
    ask_all(of, [rows_of([1.0, 2.0])] * 5)
    assert (of.requests, of.calls) == (5, 5)


@pytest.mark.parametrize(("kind", "bad"), [("raises", {"hour": 24}), ("nan", {"distances": [600.0]})])
def test_a_call_in_which_something_fails_leaves_everybody_to_be_asked_alone(
    kind: str, bad: dict[str, Any]
) -> None:
    asked = [rows_of([1.0]), rows_of(**{"distances": [1.0], **bad}), rows_of([2.0])]
    assert ask_all(served(kind), asked) == [[], [], []]
    assert all(ask_all(served(kind), [asked[0], asked[2]]))


def test_a_request_whose_caller_has_gone_is_not_asked() -> None:
    of = served()
    assert len(ask_all(of, [rows_of([1.0])] * 3, gone=1)) == 2
    assert of.requests == 2


def test_the_fault_of_one_request_is_not_that_of_its_neighbours_and_is_logged_once(
    workspace: Workspace,
) -> None:
    workspace.put_route(2, workspace.add_version(2, model("nan")))

    async def ask(url: str) -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=url) as client:
            asked = [
                client.post("/v2/models/late/infer", json=body(distance=[600.0 if n == 7 else 100.0]))
                for n in range(20)
            ]
            return await asyncio.gather(*asked)

    with running(workspace) as gateway:
        replies = asyncio.run(ask(str(gateway.client.base_url)))
    assert [n for n, reply in enumerate(replies) if reply.status_code == 500] == [7]
    assert all(len(column(reply, "probability")) == 1 for n, reply in enumerate(replies) if n != 7)
    records = [each for each in workspace.records if isinstance(each, PredictionRecord)]
    assert sorted(len(each.ids) for each in records) == [0, *[1] * 19]
    assert [failure.version for each in records for failure in each.failures] == [2]
