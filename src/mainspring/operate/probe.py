"""A clean process that loads a packaged model and asks it, with nothing else of a product at hand."""

from __future__ import annotations

__all__ = ["ask", "main", "probe"]

import sys
import time
from pathlib import Path

import msgspec

from mainspring.digest import Digest
from mainspring.engines import answer_lines, deadline
from mainspring.errors import MainspringError
from mainspring.operate.tasks import Asked, AskModel, Failed, Probe, Probed, ProbeModel
from mainspring.stores.blobs import FileBlobs

_REPEATS, _ENOUGH_S = 300, 30.0
_DECODER = msgspec.json.Decoder(Probe)


def probe(task: ProbeModel, blobs: FileBlobs) -> Probed:
    """Ask all rows together and compare, then one at a time with a stopwatch."""
    import numpy as np

    from mainspring.formats.parity import apart
    from mainspring.formats.sample import Sample
    from mainspring.formats.served import load

    sample = msgspec.json.decode(blobs.get(Digest(task.sample)), type=Sample)
    model = load(blobs.get(Digest(task.artifact)), allow_code=task.allow_code)
    columns = sample.columns(model.dtype)
    expected = np.array(sample.expected)
    together = model.predict(columns)
    alone = np.empty(len(expected))
    took: list[float] = []
    for repeat in range(max(_REPEATS, len(expected))):
        if repeat >= len(expected) and sum(took) > _ENOUGH_S:
            break
        row = repeat % len(expected)
        one = {name: values[row : row + 1] for name, values in columns.items()}
        started = time.perf_counter()
        alone[row] = model.predict(one)[0]
        took.append(time.perf_counter() - started)
    difference = float(max(apart(expected, together).max(), apart(expected, alone).max()))
    if not np.isfinite(difference):
        raise MainspringError("The model answers rows of the hold-out with no number.")
    return Probed(difference=difference, p99_s=float(np.quantile(took, 0.99)))


def ask(task: AskModel, blobs: FileBlobs) -> Asked:
    """Ask all rows together."""
    import polars as pl

    from mainspring.formats.served import feed, load

    model = load(blobs.get(Digest(task.artifact)), allow_code=task.allow_code)
    answers = model.predict(feed(model, pl.read_parquet(task.rows)))
    return Asked(answers=answers.tolist())


def main(root: Path) -> None:
    """Answer the tasks on standard input."""
    blobs = FileBlobs(root)

    def answer(line: bytes) -> bytes:
        answered: Probed | Asked | Failed
        try:
            task = _DECODER.decode(line)
            # A model that hangs is no model to wait for: the process ends, which is an answer too.
            with deadline(task.timeout_s):
                answered = probe(task, blobs) if isinstance(task, ProbeModel) else ask(task, blobs)
        except Exception as error:  # noqa: BLE001 - a model may fail in any way
            answered = Failed.by(error)
        return msgspec.json.encode(answered)

    answer_lines(answer)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
