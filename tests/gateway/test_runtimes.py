"""Native models in processes of their own, and what their faults cost: the request that they had, and no other."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import polars as pl
import pytest
import uvloop
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway import faulty
from tests.gateway.conftest import model as onnx_model

from mainspring.errors import MainspringError
from mainspring.formats.fitted import Fitted
from mainspring.formats.native import NativeModel, to_bytes
from mainspring.formats.onnx import AnswersOtherwise, OnnxModel
from mainspring.formats.sample import Sample
from mainspring.formats.signature import Signature
from mainspring.gateway.runtimes import (
    ModelCrashed,
    ModelNotLoaded,
    ModelRaised,
    ModelTimedOut,
    WorkerModel,
    load,
    surplus,
)
from mainspring.gateway.runtimes.frames import columns_from, columns_to
from mainspring.gateway.runtimes.worker import _connected
from mainspring.gateway.score import Served

BY_ROW = faulty.native(faulty.BY_ROW)
LONG_S = 60.0


def x(*values: float) -> dict[str, np.ndarray]:
    return {"x": np.array(values)}


def with_model(
    use: Callable[[WorkerModel], Awaitable[None]], native: bytes = BY_ROW, **settings: Any
) -> None:
    """Use a model in an event loop of its own, and end its process."""

    async def run() -> None:
        model = await WorkerModel.start(native, allow_code=True, **settings)
        try:
            await use(model)
        finally:
            await model.close()

    asyncio.run(run())


async def outcome(asked: Awaitable[np.ndarray]) -> list[float] | type[BaseException]:
    try:
        return (await asked).tolist()
    except MainspringError as error:
        return type(error)


def test_a_model_answers_from_its_process_as_it_would_here() -> None:
    async def use(model: WorkerModel) -> None:
        assert (model.numbers, model.texts, model.dtype) == (("x",), (), "float64")
        answers = await asyncio.gather(
            *(model.ask(x(*range(100 * i, 100 * i + i)), LONG_S) for i in range(20, 25))
        )
        for i, answer in enumerate(answers, start=20):
            assert answer.dtype == np.float32
            assert np.array_equal(answer, (np.arange(100 * i, 100 * i + i) / 1000).astype(np.float32))
        assert model.size > 10 * 2**20

    with_model(use)


def test_each_request_gets_its_own_answer_whenever_it_is_asked() -> None:
    async def use(model: WorkerModel) -> None:
        for value in range(100, 200):  # the first before the model's own task has had its turn
            assert (await model.ask(x(value), LONG_S)).tolist() == [np.float32(value / 1000)]
        assert model.restarts == 0

    with_model(use)


def test_a_process_that_answers_what_it_was_not_asked_is_not_believed() -> None:
    """A model that has found the socket, and writes answers of its own to it."""
    body = """
    from mainspring.gateway.runtimes.frames import Kind, framed
    if frame["x"][0] == 1:
        answer = framed(Kind.ANSWER, np.float32(0.99).tobytes(), 12345)
        for name in os.listdir("/proc/self/fd"):
            if os.path.realpath(f"/proc/self/fd/{name}").split("/")[-1].startswith("socket:"):
                os.write(int(name), answer)
    return [0.5] * len(frame)
    """

    async def use(model: WorkerModel) -> None:
        asked = [model.ask(x(value), LONG_S) for value in (0, 1, 2, 3)]
        assert await asyncio.gather(*map(outcome, asked)) == [[0.5], ModelCrashed, [0.5], [0.5]]

    with_model(use, faulty.native(body))


def test_texts_arrive_as_they_were_sent() -> None:
    body = "return (frame['name'] == 'Zoë – 東京').cast(pl.Float64).fill_null(0.25).to_numpy()"

    async def use(model: WorkerModel) -> None:
        names = np.array(["Zoë – 東京", "", "other", "Zoë – 東京"], object)
        answer = await model.ask({"x": np.zeros(4), "name": names}, LONG_S)
        assert answer.tolist() == [1.0, 0.25, 0.0, 1.0]

    with_model(use, faulty.native(body, texts=True))


@pytest.mark.parametrize(
    ("fault", "error", "told"),
    [
        (faulty.HANGS, ModelTimedOut, "had not answered after 1 s"),
        (faulty.SEGFAULTS, ModelCrashed, "SIGSEGV"),
        (faulty.EXITS, ModelCrashed, "ended with status 5"),
        (faulty.LEAVES, ModelCrashed, "ended with status 0"),
        (faulty.LEAKS, ModelCrashed, "needed more than its 1500 MB of memory .* worker_memory_mb"),
        (faulty.ABORTS, ModelCrashed, "SIGABRT"),
        (faulty.KILLED, ModelCrashed, "out of memory.*Its last words: .{1900,2000}$"),
    ],
)
def test_a_process_that_ends_costs_one_request_and_those_behind_it_are_answered(
    fault: float, error: type[Exception], told: str
) -> None:
    async def use(model: WorkerModel) -> None:
        before = model.ask(x(100), LONG_S)
        bad = model.ask(x(fault), 1.0 if fault == faulty.HANGS else LONG_S)
        behind = [model.ask(x(200 + i), LONG_S) for i in range(5)]
        answers = await asyncio.gather(before, bad, *behind, return_exceptions=True)
        assert isinstance(answers[1], error)
        assert [round(float(each[0]), 3) for each in (answers[0], *answers[2:])] == [
            0.1, 0.2, 0.201, 0.202, 0.203, 0.204,
        ]  # fmt: skip
        with pytest.raises(error, match=f"(?s){told}"):
            raise answers[1]
        assert model.restarts == 1
        assert (model.timeouts, model.crashes) == ((1, 0) if fault == faulty.HANGS else (0, 1))
        assert (await model.ask(x(300), LONG_S)).tolist() == [np.float32(0.3)]

    with_model(use, memory_mb=1500)


def test_an_error_of_the_model_is_told_and_its_process_goes_on() -> None:
    async def use(model: WorkerModel) -> None:
        asked = [
            model.ask(x(value), LONG_S) for value in (faulty.RAISES, faulty.WRONG_SHAPE, faulty.NAN, 500)
        ]
        raised, shaped, nan, sound = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(raised, ModelRaised)
        assert str(raised) == "ValueError: no sixes"
        assert isinstance(shaped, ModelRaised)
        assert "the shape (1, 2)" in str(shaped)
        assert np.isnan(nan).all()  # whoever asked judges what is a probability
        assert sound.tolist() == [0.5]
        assert model.restarts == 0

    with_model(use)


def test_a_request_that_ends_two_processes_takes_nothing_else_with_it() -> None:
    async def use(model: WorkerModel) -> None:
        asked = [model.ask(x(value), LONG_S) for value in (11, faulty.EXITS, 12, faulty.SEGFAULTS, 13)]
        found = await asyncio.gather(*map(outcome, asked))
        # What waits behind two crashes has been sent twice, and is not sent a third time.
        assert found[:4] == [[np.float32(0.011)], ModelCrashed, [np.float32(0.012)], ModelCrashed]
        assert found[4] == ModelCrashed
        assert (await model.ask(x(13), LONG_S)).tolist() == [np.float32(0.013)]

    with_model(use)


def test_time_spent_waiting_is_not_held_against_a_request() -> None:
    async def use(model: WorkerModel) -> None:
        slow = [model.ask(x(20), 1.0) for _ in range(8)]
        assert [answer.tolist() for answer in await asyncio.gather(*slow)] == [[np.float32(0.02)]] * 8
        assert model.timeouts == 0

    with_model(use, faulty.native("time.sleep(0.25)\nreturn frame['x'].to_numpy() / 1000"))


def test_a_caller_that_has_gone_leaves_the_others_their_own_answers() -> None:
    async def use(model: WorkerModel) -> None:
        first = asyncio.create_task(model.ask(x(30), LONG_S))
        gone = asyncio.create_task(model.ask(x(31), LONG_S))
        last = asyncio.create_task(model.ask(x(32), LONG_S))
        await asyncio.sleep(0)
        gone.cancel()
        assert (await first).tolist() == [np.float32(0.03)]
        assert (await last).tolist() == [np.float32(0.032)]

    with_model(use)


def test_a_model_that_answers_nothing_any_more_is_started_with_pauses_and_refuses_meanwhile() -> None:
    async def use(model: WorkerModel) -> None:
        told: set[str] = set()
        for _ in range(4):
            assert await outcome(model.ask(x(faulty.EXITS), LONG_S)) is ModelCrashed
        while model.restarts < 4:  # the pause has begun by now, or is over
            found = await asyncio.gather(model.ask(x(40), LONG_S), return_exceptions=True)
            told.add(str(found[0]))
            await asyncio.sleep(0)
        assert "The model's process has ended 4 times without an answer; it is started again." in told
        assert (await model.ask(x(40), LONG_S)).tolist() == [np.float32(0.04)]

    with_model(use)


def test_the_event_loop_goes_on_while_a_model_hangs() -> None:
    async def use(model: WorkerModel) -> None:
        hanging = asyncio.create_task(outcome(model.ask(x(faulty.HANGS), 0.5)))
        turns = 0
        while not hanging.done():
            await asyncio.sleep(0)
            turns += 1
        assert turns > 100
        assert hanging.result() is ModelTimedOut

    with_model(use)


def test_processes_end_with_all_that_they_have_started() -> None:
    async def use(model: WorkerModel) -> None:
        child = int((await model.ask(x(1), LONG_S))[0])
        assert Path(f"/proc/{child}").exists()
        await model.close()
        while Path(f"/proc/{child}/cmdline").exists() and Path(f"/proc/{child}/cmdline").read_bytes():
            await asyncio.sleep(0.01)  # the kernel takes its time
        assert await outcome(model.ask(x(1), LONG_S)) is ModelCrashed

    body = "import subprocess\nreturn [float(subprocess.Popen(['sleep', '3600']).pid)] * len(frame)"
    with_model(use, faulty.native(body))


@pytest.mark.parametrize(
    ("native", "settings", "told"),
    [
        (b"no model", {}, "does not begin as a native model does"),
        (BY_ROW[:-1], {}, "its content is not what its digest says"),
        (BY_ROW, {"allow_code": False}, "allow_code"),
        (faulty.native("return 0", init="raise RuntimeError('not here')"), {}, "RuntimeError: not here"),
        (faulty.native("return 0", init="ctypes.string_at(0)"), {}, "SIGSEGV"),
        (
            faulty.native("return 0", init="time.sleep(3600)"),
            {"start_timeout_s": 5.0},
            "was not ready after 5 s",
        ),
        (
            faulty.native("return 0", init="kept = np.ones(2**30)"),
            {"memory_mb": 1500},
            "needed more than its 1500 MB",
        ),
        (
            faulty.native("return frame['x'].to_numpy()"),
            {"sample": Sample(numbers={"x": [0.25, 0.5]}, texts={}, expected=[0.25, 0.75])},
            "otherwise than when it was registered, by up to 0.25",
        ),
    ],
)
def test_a_model_that_cannot_be_loaded_says_why(native: bytes, settings: dict[str, Any], told: str) -> None:
    async def run() -> None:
        with pytest.raises(ModelNotLoaded, match=told):
            await WorkerModel.start(native, **{"allow_code": True, **settings})

    asyncio.run(run())


def test_a_kill_from_outside_costs_nothing_when_nobody_waits() -> None:
    async def use(model: WorkerModel) -> None:
        assert (await model.ask(x(50), LONG_S)).tolist() == [np.float32(0.05)]
        assert model._process is not None
        os.kill(model._process.process.pid, signal.SIGKILL)
        while model.restarts == 0:
            await asyncio.sleep(0.01)
        assert (await model.ask(x(51), LONG_S)).tolist() == [np.float32(0.051)]

    with_model(use)


def test_a_model_that_is_let_go_of_still_answers_what_it_has_taken() -> None:
    async def use(model: WorkerModel) -> None:
        taken = [asyncio.create_task(model.ask(x(60 + i), LONG_S)) for i in range(3)]
        await asyncio.sleep(0)
        await model.close()
        assert [round(float((await each)[0]), 3) for each in taken] == [0.06, 0.061, 0.062]
        with pytest.raises(ModelCrashed, match="served no more"):
            await model.ask(x(63), LONG_S)

    with_model(use)


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_boosters_are_served_without_scikit_learn(library: str) -> None:
    rows = pl.DataFrame({"x": np.arange(200.0), "label": np.arange(200) % 2})
    labels, matrix = rows["label"].to_numpy(), rows["x"].to_numpy().reshape(-1, 1)
    booster = (
        lightgbm.train({"objective": "binary", "verbosity": -1}, lightgbm.Dataset(matrix, labels), 3)
        if library == "lightgbm"
        else xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(matrix, labels), 3)
    )
    native = to_bytes(Fitted(model=booster, inputs=("x",)), Signature.infer(rows, ("x",)))
    here = NativeModel.load(native)

    async def use(model: WorkerModel) -> None:
        columns = {"x": rows["x"].to_numpy()}
        assert np.array_equal(await model.ask(columns, LONG_S), here.predict(columns))
        assert model._process is not None
        loaded = Path(f"/proc/{model._process.process.pid}/maps").read_text()
        assert library in loaded
        assert "sklearn" not in loaded

    with_model(use, native)


def test_an_artifact_says_itself_how_it_is_run() -> None:
    async def run() -> None:
        native = await load(BY_ROW, allow_code=True)
        here = await load(onnx_model())
        assert isinstance(native, WorkerModel)
        assert isinstance(here, OnnxModel)
        await native.close()

    asyncio.run(run())


# --- frames, the pool, and ONNX ------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(), st.floats(), st.text(), st.text())))
def test_columns_survive_the_trip(rows: list[tuple[float, float, str, str]]) -> None:
    rows = [row for row in rows if all(text.isprintable() for text in row[2:])]
    columns = {
        "a": np.array([row[0] for row in rows]),
        "b": np.array([row[1] for row in rows]),
        "c": np.array([row[2] for row in rows], object),
        "d": np.array([row[3] for row in rows], object),
    }
    again = columns_from(("a", "b"), ("c", "d"), columns_to(("a", "b"), ("c", "d"), columns))
    for name, values in columns.items():
        assert np.array_equal(again[name], values, equal_nan=name in "ab")


def test_columns_that_differ_in_length_are_refused() -> None:
    with pytest.raises(ValueError, match="2 rows"):
        columns_to(("a", "b"), (), {"a": np.zeros(2), "b": np.zeros(3)})


@given(
    st.dictionaries(st.integers(0, 20), st.integers(0, 100)),
    st.sets(st.integers(0, 20)),
    st.integers(0, 5),
    st.integers(0, 500),
)
def test_models_are_let_go_of_by_their_last_use_and_never_one_that_is_served(
    held: dict[int, int], needed: set[int], at_most: int, at_most_bytes: int
) -> None:
    gone = surplus(held, needed, at_most=at_most, at_most_bytes=at_most_bytes)
    assert not set(gone) & needed
    idle = [key for key in held if key not in needed]
    assert list(gone) == idle[: len(gone)]
    kept = idle[len(gone) :]
    assert len(kept) <= at_most
    assert not kept or sum(held.values()) - sum(held[key] for key in gone) <= at_most_bytes
    if gone:  # not one more than is needed
        one_less = gone[:-1]
        too_many = len(idle) - len(one_less) > at_most
        assert too_many or sum(held.values()) - sum(held[key] for key in one_less) > at_most_bytes


def sample(model: OnnxModel, rows: int = 20) -> Sample:
    columns = {
        "distance": np.linspace(0, 900, rows, dtype=np.float32),
        "hour": np.arange(rows, dtype=np.float32),
        "carrier": np.array(["UA"] * rows, object),
    }
    return Sample.of(columns, model.predict(columns))


def test_a_model_is_run_as_was_found_fastest_and_answers_the_same_to_the_bit() -> None:
    usual = OnnxModel.load(onnx_model())
    rows = sample(usual)
    warm = OnnxModel.warm(onnx_model(), rows, tune_s=0.2)
    assert warm.choice.one_s > 0
    assert "for one row" in str(warm.choice)
    assert warm.predict(rows.columns("float32")).tolist() == rows.expected
    untried = OnnxModel.warm(onnx_model(), rows, tune_s=0)
    assert str(untried.choice) == "1 thread of CPU, all optimisations"


def test_a_model_that_answers_otherwise_than_when_it_was_registered_is_refused() -> None:
    rows = sample(OnnxModel.load(onnx_model(bias=0.1)))
    with pytest.raises(AnswersOtherwise, match=r"by up to 0\.02"):
        OnnxModel.warm(onnx_model(), rows)
    with pytest.raises(AnswersOtherwise, match="by up to inf"):
        OnnxModel.warm(onnx_model("nan"), sample(OnnxModel.load(onnx_model())))


def test_a_model_that_fails_on_zeros_is_loaded_nevertheless() -> None:
    assert OnnxModel.warm(onnx_model("long")).numbers == ("distance", "hour")


def test_a_request_that_makes_all_answers_beside_it_nan_spoils_only_its_own() -> None:
    async def use(model: WorkerModel) -> None:
        served = Served(1, model, frozenset(), rowwise=True)
        asked = [100.0, 200.0, float(faulty.NAN), 300.0]  # the first is asked at once, the others together
        answers = await asyncio.gather(*(served.predict(x(each), 1) for each in asked))
        assert [answer.tolist()[0] for answer in answers] == pytest.approx(
            [0.1, 0.2, np.nan, 0.3], nan_ok=True
        )

    with_model(use)


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("unread", [b"", b"requests"])
def test_an_answer_that_has_come_is_read_though_a_request_is_sent_to_a_process_that_has_ended(
    runner: Callable[..., None], unread: bytes
) -> None:
    async def use() -> None:
        ours, theirs = socket.socketpair()
        reader, writer = await _connected(ours)
        if unread:
            ours.send(unread)
        theirs.sendall(b"answer")
        theirs.close()
        for _ in range(3):
            writer.write(b"another request")
        assert await reader.readexactly(6) == b"answer"
        with pytest.raises(asyncio.IncompleteReadError):
            await reader.readexactly(1)
        writer.close()

    runner(use())
