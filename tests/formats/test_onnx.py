from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from mainspring.formats.fitted import Fitted
from mainspring.formats.lightgbm import to_onnx
from mainspring.formats.onnx import OnnxModel, Unreadable
from mainspring.formats.parity import compare
from mainspring.formats.served import feed

Fit = Callable[..., Fitted]


def test_rows_are_answered_alike_alone_and_together_and_by_any_number_of_threads(
    fit: Fit, flights: pl.DataFrame, inputs: tuple[str, ...]
) -> None:
    rows = flights[:50]
    fitted = fit(rows, inputs, min_data_in_leaf=5)
    data = to_onnx(fitted)
    model = OnnxModel.load(data)
    columns = feed(model, rows)
    together = model.predict(columns)
    assert together.shape == (50,)
    assert together.dtype == np.float32
    alone = [
        model.predict({name: values[i : i + 1] for name, values in columns.items()})[0] for i in range(50)
    ]
    assert np.allclose(together, alone, rtol=0, atol=1e-7)
    assert np.allclose(together, OnnxModel.load(data, threads=2).predict(columns), rtol=0, atol=1e-7)


def test_a_model_tells_its_columns_and_passes_over_others(fit: Fit, flights: pl.DataFrame) -> None:
    rows = flights[:50]
    fitted = fit(rows, ("origin", "hour"), min_data_in_leaf=5)
    model = OnnxModel.load(to_onnx(fitted))
    assert (model.numbers, model.texts) == (("hour",), ("origin",))
    columns = feed(model, rows)
    assert np.array_equal(
        model.predict(columns | {"tailnum": np.array(["N1"] * 50, object)}), model.predict(columns)
    )


def test_a_missing_column_is_named(fit: Fit, flights: pl.DataFrame) -> None:
    fitted = fit(flights[:50], ("hour", "minute"), min_data_in_leaf=5)
    with pytest.raises(KeyError, match="minute"):
        OnnxModel.load(to_onnx(fitted)).predict({"hour": np.zeros(1, np.float32)})


@pytest.mark.parametrize("data", [b"", b"no model at all"])
def test_bytes_that_are_no_model_are_refused(data: bytes) -> None:
    with pytest.raises(Unreadable, match="cannot be loaded from ONNX"):
        OnnxModel.load(data)


def test_the_gateway_loads_no_training_library_with_a_model(fit: Fit, flights: pl.DataFrame) -> None:
    program = (
        "import sys; from mainspring.formats.onnx import OnnxModel\n"
        "assert not {'numpy', 'onnxruntime'} & set(sys.modules), 'loaded too early'\n"
        "OnnxModel.load(sys.stdin.buffer.read())\n"
        "assert not {'lightgbm', 'onnx', 'polars', 'scipy'} & set(sys.modules), 'loaded for nothing'"
    )
    data = to_onnx(fit(flights[:50], ("hour",), min_data_in_leaf=5))
    subprocess.run([sys.executable, "-c", program], input=data, check=True)


def test_parity_fails_closed() -> None:
    sound = np.array([0.25, 0.5])
    assert compare(sound, sound.astype(np.float32)).passed
    assert not compare(sound, np.array([0.25, np.nan])).passed
    assert not compare(sound, np.array([0.25])).passed
    assert not compare(np.array([]), np.array([])).passed
    assert compare(sound, sound + np.array([0, 0.1])).rows_over == 1
