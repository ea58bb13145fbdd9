"""Requests that wait at the same time share a call, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.gateway.conftest import Workspace, body, column, model, running

from mainspring.gateway.batch import MOST_ROWS, Batcher

sizes = st.lists(st.integers(1, MOST_ROWS + 100), min_size=1, max_size=12)


class Doubling:
    """Answers twice the input, and remembers how many rows each call had; a call with 13 in it fails."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.running = 0

    async def ask(self, columns: Mapping[str, NDArray[np.float32]], rows: int) -> NDArray[np.float32]:
        assert self.running == 0, "two calls at a time"
        self.running += 1
        await asyncio.sleep(0)
        self.running -= 1
        self.calls.append(rows)
        if 13 in columns["x"]:
            raise ValueError("13")
        return columns["x"] * 2


def ask_all(requests: Sequence[Sequence[float]]) -> tuple[list[object], Doubling]:
    """Ask for all at the same time; give what each got."""
    model = Doubling()

    async def main() -> list[object]:
        batcher = Batcher(model.ask)
        asked = [batcher.ask({"x": np.array(rows, np.float32)}, len(rows)) for rows in requests]
        return await asyncio.gather(*asked, return_exceptions=True)

    return asyncio.run(main()), model


@given(sizes)
def test_everybody_gets_the_answers_to_their_own_rows(sizes: list[int]) -> None:
    requests = [[n + row / 1024 + 100 for row in range(size)] for n, size in enumerate(sizes)]
    answers, model = ask_all(requests)
    for request, answer in zip(requests, answers, strict=True):
        assert isinstance(answer, np.ndarray)
        assert answer.tolist() == (np.array(request, np.float32) * 2).tolist()
    assert sum(model.calls) == sum(sizes)
    assert all(rows <= MOST_ROWS or rows in sizes for rows in model.calls)


def test_those_who_wait_together_share_a_call() -> None:
    _, model = ask_all([[1.0]] * 20)
    assert model.calls == [20]


def test_the_fault_of_one_request_is_not_that_of_its_neighbours() -> None:
    answers, _ = ask_all([[1.0], [13.0], [2.0, 3.0]])
    assert [answers[0].tolist(), answers[2].tolist()] == [[2.0], [4.0, 6.0]]  # type: ignore[attr-defined]
    assert isinstance(answers[1], ValueError)


def test_a_request_that_nobody_waits_for_is_not_asked() -> None:
    model = Doubling()

    async def main() -> list[float]:
        batcher = Batcher(model.ask)
        first = asyncio.create_task(batcher.ask({"x": np.ones(1, np.float32)}, 1))
        await asyncio.sleep(0)
        gone = asyncio.create_task(batcher.ask({"x": np.ones(5, np.float32)}, 5))
        await asyncio.sleep(0)
        gone.cancel()
        await first
        return (await batcher.ask({"x": np.ones(2, np.float32)}, 2)).tolist()

    assert asyncio.run(main()) == [2.0, 2.0]
    assert 5 not in model.calls
    assert 7 not in model.calls


def test_a_batcher_outlives_a_model_that_raises() -> None:
    async def fail(columns: object, rows: int) -> NDArray[np.float32]:
        raise RuntimeError("always")

    async def main() -> None:
        batcher = Batcher(fail)
        for _ in range(2):
            with pytest.raises(RuntimeError):
                await batcher.ask({"x": np.ones(1, np.float32)}, 1)

    asyncio.run(main())


@pytest.mark.parametrize("rowwise", [True, False])
def test_requests_share_calls_where_that_is_proved_and_nowhere_else(
    workspace: Workspace, rowwise: bool
) -> None:
    version = workspace.add_version(2, model(), rowwise=rowwise)
    workspace.put_route(2, version)

    async def ask(url: str) -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=url) as client:
            asked = [client.post("/v2/models/late/infer", json=body(distance=[100.0 * n])) for n in range(40)]
            return await asyncio.gather(*asked)

    with running(workspace) as gateway:
        replies = asyncio.run(ask(str(gateway.client.base_url)))
        for n, reply in enumerate(replies):
            assert column(reply, "probability") == pytest.approx([1 / (1 + np.exp(-n / 10))], abs=1e-6)
        told = gateway.client.get("/metrics").text
    counts = [line for line in told.splitlines() if line.startswith("mainspring_batched_")]
    if rowwise:
        requests, calls = (int(line.rpartition(" ")[2]) for line in counts)
        assert requests == 40
        assert 0 < calls <= 40
    else:
        assert counts == []
