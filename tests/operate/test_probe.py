"""The clean process that asks a packaged model: whatever the model does, there is an answer or an end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from tests.gateway import faulty

from mainspring.engines import LocalEngine, WorkerDied, WorkerTimedOut
from mainspring.formats.sample import Sample
from mainspring.operate.tasks import Answer, Failed, Probed, ProbeModel
from mainspring.stores.blobs import FileBlobs

Ask = Callable[..., Answer]


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Ask]:
    """Probe a model that is code, with a sample of these values and the answers expected to them."""
    blobs = FileBlobs(tmp_path / "blobs")
    engine = LocalEngine("mainspring.operate.probe", [str(tmp_path / "blobs")], tmp_path)
    with engine.start() as worker:

        def ask(x: float, expected: float, *, allow_code: bool = True) -> Answer:
            sample = Sample(numbers={"x": [x, 500.0]}, texts={}, expected=[expected, 0.5])
            task = ProbeModel(
                artifact=blobs.put(faulty.native("print('asked')\n" + faulty.BY_ROW)),
                sample=blobs.put(msgspec.json.encode(sample)),
                allow_code=allow_code,
                timeout_s=5.0,
            )
            return msgspec.json.decode(worker.ask(msgspec.json.encode(task)), type=Answer)

        yield ask


def test_a_model_is_asked_and_what_it_prints_is_no_answer(ask: Ask) -> None:
    probed = ask(100.0, 0.1)
    assert isinstance(probed, Probed)
    assert probed.difference < 1e-7
    assert ask(100.0, 0.2).difference == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (faulty.RAISES, "ValueError: no sixes"),
        (faulty.NAN, "with no number"),
        (faulty.WRONG_SHAPE, "the shape (2, 2)"),
    ],
)
def test_a_model_that_does_not_answer_fails_by_name(ask: Ask, fault: float, told: str) -> None:
    failed = ask(fault, 0.5)
    assert isinstance(failed, Failed)
    assert told in failed.message


def test_code_is_not_run_where_it_is_not_allowed(ask: Ask) -> None:
    assert ask(100.0, 0.1, allow_code=False).kind == "CodeNotAllowed"


def test_a_model_that_ends_the_process_is_told_so(ask: Ask) -> None:
    with pytest.raises(WorkerDied, match="SIGSEGV"):
        ask(faulty.SEGFAULTS, 0.5)


def test_a_model_that_hangs_is_told_so_and_where(ask: Ask) -> None:
    with pytest.raises(WorkerTimedOut, match=r"raise batch_timeout_s.*, line \d+ in predict"):
        ask(faulty.HANGS, 0.5)
