"""Models in ONNX, as the gateway asks them. Nothing is loaded here but numpy and onnxruntime."""

from __future__ import annotations

__all__ = ["OUTPUT", "AnswersOtherwise", "Choice", "OnnxModel", "Unreadable"]

import math
import os
import statistics
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec

from mainspring.errors import Invalid, Refused
from mainspring.formats.parity import TOLERANCE, apart

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mainspring.formats.sample import Sample


OUTPUT = "probability"
"""The name of the only output in the graph, whatever it is: callers know it by that of the signature."""


_OUTPUTS = (OUTPUT,)
_AS_COLUMN = (slice(None), None)
"""Half of what `reshape` takes."""


class Unreadable(Invalid):
    """Bytes that are no ONNX model, or one that this onnxruntime cannot run."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"The model cannot be loaded from ONNX: {self.reason}. Convert it again with the installed versions."


class AnswersOtherwise(Refused):
    """A model that does not answer as it did when it was registered."""

    def __init__(self, apart: float) -> None:
        super().__init__(apart)
        self.apart = apart

    def __str__(self) -> str:
        return (
            f"The model answers its sample otherwise than when it was registered, by up to {self.apart:.2g}. "
            "Compare the installed versions with those of the environment that it was registered in."
        )


class Choice(msgspec.Struct, frozen=True):
    """How a model is run, and what it took where that was measured.

    Attributes
    ----------
    threads : int
        That may work on one call.
    optimised : str
        The optimisations of the graph: `all` or `basic`.
    provider : str
        What computes: `CPU` or `CUDA`.
    one_s, many_s : float
        Seconds for one row, and for as many as were tried; NaN where none were.
    """

    threads: int
    optimised: Literal["all", "basic"] = "all"
    provider: Literal["CPU", "CUDA"] = "CPU"
    one_s: float = math.nan
    many_s: float = math.nan

    def __str__(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        how = f"{threads} of {self.provider}, {self.optimised} optimisations"
        if math.isnan(self.one_s):
            return how
        return f"{how}: {1e6 * self.one_s:.0f} µs for one row, {1e6 * self.many_s:.0f} µs for many"


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """A model with one input of shape (rows, 1) per column and one output of shape (rows,).

    Attributes
    ----------
    numbers, texts : tuple of str
        The columns that it takes as float32 and as text.
    size : int
        Bytes of the file.
    choice : Choice
        How it is run.
    """

    dtype: ClassVar[str] = "float32"

    numbers: tuple[str, ...]
    texts: tuple[str, ...]
    size: int
    choice: Choice
    _run: Any

    @classmethod
    def load(cls, data: bytes, threads: int = 1) -> OnnxModel:
        """Make a model of the bytes of an ONNX file.

        Parameters
        ----------
        data : bytes
        threads : int
            Threads that may work on one call.

        Raises
        ------
        Unreadable
            They are no ONNX model, or one that this onnxruntime cannot run.
        """
        return cls._of(data, Choice(threads))

    @classmethod
    def warm(cls, data: bytes, sample: Sample | None = None, tune_s: float = 0.2) -> OnnxModel:
        """Make a model, see that it answers as it did, and run it as is fastest here.

        Threads, optimisations and, where onnxruntime has it, CUDA are tried on the sample: one row, and all rows. A
        choice is taken when it answers both the same to the bit and takes a tenth less than one thread with all
        optimisations; what one row and many rows take counts alike.

        Parameters
        ----------
        data : bytes
        sample : Sample, optional
            Without one, a row of zeros and empty texts allocates what the first call would, and nothing is tried.
        tune_s : float
            For how long to try; 0 for not at all.

        Raises
        ------
        Unreadable
            As `load`.
        AnswersOtherwise
            It does not answer the sample as it did.
        """
        import numpy as np

        usual = cls.load(data)
        if sample is None:
            # Whatever zeros make it raise will be a failure of the rows that it is asked for.
            with suppress(Exception):
                usual.predict(
                    {name: np.zeros(1, np.float32) for name in usual.numbers}
                    | {name: np.array([""], object) for name in usual.texts}
                )
            return usual
        columns = sample.columns(usual.dtype)

        def answers(model: OnnxModel) -> NDArray[np.float32]:
            alone = [{name: values[row : row + 1] for name, values in columns.items()} for row in range(rows)]
            return np.concatenate([model.predict(each) for each in (columns, *alone)])

        rows = min(len(sample.expected), 8)
        expected = answers(usual)
        differences = apart(np.array(sample.expected), expected[: len(sample.expected)])
        if not (differences <= TOLERANCE).all():
            raise AnswersOtherwise(float(np.nan_to_num(differences, nan=math.inf).max()))
        if tune_s <= 0:
            return usual
        end = time.perf_counter() + tune_s
        found = [usual._timed(columns, tune_s / 4)]
        for choice in _choices():
            if time.perf_counter() >= end:
                break
            # Not every choice is to be had everywhere.
            with suppress(Unreadable):
                model = cls._of(data, choice)
                if np.array_equal(answers(model), expected):
                    found.append(model._timed(columns, min(tune_s / 4, end - time.perf_counter())))
        first = found[0].choice

        def relative(model: OnnxModel) -> float:
            return model.choice.one_s / first.one_s + model.choice.many_s / first.many_s

        best = min(found, key=relative)
        return best if relative(best) < 0.9 * relative(found[0]) else found[0]

    @classmethod
    def _of(cls, data: bytes, choice: Choice) -> OnnxModel:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = choice.threads
        options.inter_op_num_threads = 1
        # What fails is raised, and told by who asked: a line on stderr for each failing row would fill it.
        options.log_severity_level = 4
        options.graph_optimization_level = (
            ort.GraphOptimizationLevel.ORT_ENABLE_ALL
            if choice.optimised == "all"
            else ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        )
        # A thread that spins for the next request takes the core from the process that is to send it.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            providers = {f"{each}ExecutionProvider": None for each in (choice.provider, "CPU")}
            session = ort.InferenceSession(data, options, providers=list(providers))
        except Exception as error:  # onnxruntime's exceptions share no public base class
            raise Unreadable(str(error)) from error
        inputs = session.get_inputs()
        texts = tuple(each.name for each in inputs if each.type == "tensor(string)")
        numbers = tuple(each.name for each in inputs if each.name not in texts)
        # `InferenceSession.run` looks through all names once more, which takes as long as a tree ensemble for one row,
        # and repeats on the CPU what another provider could not do.
        run = session.run if choice.provider == "CUDA" else getattr(session, "_sess", session).run
        return cls(numbers, texts, len(data), choice, run)

    def _timed(self, columns: Mapping[str, NDArray[Any]], at_most_s: float) -> OnnxModel:
        """The same model with what its calls take: the median of as many as there is time for, and of one at least."""
        one = {name: values[:1] for name, values in columns.items()}
        took: tuple[list[float], list[float]] = ([], [])
        end = time.perf_counter() + at_most_s
        while not took[1] or time.perf_counter() < end:
            for given, seconds in zip((one, columns), took, strict=True):
                started = time.perf_counter()
                self.predict(given)
                seconds.append(time.perf_counter() - started)
        one_s, many_s = (statistics.median(seconds) for seconds in took)
        return replace(self, choice=msgspec.structs.replace(self.choice, one_s=one_s, many_s=many_s))

    def predict(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Answers for rows given as columns.

        Parameters
        ----------
        columns : mapping of str to ndarray, each of shape (rows,)
            float32 with NaN for null, and for text object arrays of str with the empty text for null. Columns that
            the model does not read are passed over.

        Returns
        -------
        ndarray of float32, shape (rows,)

        Raises
        ------
        KeyError
            A column of the model is missing.
        """
        feed = {name: columns[name][_AS_COLUMN] for name in self.numbers + self.texts}
        answer: NDArray[np.float32] = self._run(_OUTPUTS, feed, None)[0]
        return answer


def _choices() -> list[Choice]:
    """What there is to try beside the usual."""
    import onnxruntime as ort

    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    choices = (
        [Choice(cores), Choice(1, "basic"), Choice(cores, "basic")] if cores > 1 else [Choice(1, "basic")]
    )
    if "CUDAExecutionProvider" in ort.get_available_providers():
        choices.insert(0, Choice(1, "all", "CUDA"))
    return choices
