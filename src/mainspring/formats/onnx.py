"""Models in ONNX, as the gateway asks them. Nothing is loaded here but numpy and onnxruntime."""

from __future__ import annotations

__all__ = ["OUTPUT", "OnnxModel", "Unreadable"]

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from mainspring.errors import Invalid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


OUTPUT = "probability"
"""The name of the only output."""


class Unreadable(Invalid):
    """Bytes that are no ONNX model, or one that this onnxruntime cannot run."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"The model cannot be loaded from ONNX: {self.reason}. Convert it again with the installed versions."


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """A model with one input of shape (rows, 1) per column and one output, `probability`, of shape (rows,).

    Attributes
    ----------
    numbers, texts : tuple of str
        The columns that it takes as float32 and as text.
    """

    dtype: ClassVar[str] = "float32"

    numbers: tuple[str, ...]
    texts: tuple[str, ...]
    _session: Any

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
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # A thread that spins for the next request takes the core from the process that is to send it.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no public base class
            raise Unreadable(str(error)) from error
        inputs = session.get_inputs()
        texts = tuple(each.name for each in inputs if each.type == "tensor(string)")
        return cls(tuple(each.name for each in inputs if each.name not in texts), texts, session)

    def predict(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Probabilities for rows given as columns.

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
        feed = {name: columns[name].reshape(-1, 1) for name in self.numbers + self.texts}
        answer: NDArray[np.float32] = self._session.run((OUTPUT,), feed)[0]
        return answer
