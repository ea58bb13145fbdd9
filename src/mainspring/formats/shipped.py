"""How a model folder answers where mainspring is not installed. A copy of this file lies in each folder, under `code`.

MLflow imports it as the folder's loader module and calls `_load_pyfunc`. It needs Python, numpy, pandas, and what the
folder's `requirements.txt` names beside them; it reads no pickle, and runs nothing that the folder brings.
"""

from __future__ import annotations

__all__ = ["Model"]

import json
import math
from pathlib import Path
from typing import Any

_TYPES = {"INT64": "Int64", "BOOL": "Boolean", "FP32": "Float32", "FP64": "Float64"}


def _load_pyfunc(path: str, model_config: dict[str, Any] | None = None) -> Model:
    """Load the model of a folder's `data`; called by MLflow."""
    folder = Path(path)
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    if about["format"] not in _ASKS:
        raise RuntimeError(
            f"{about['model']} is Python code of the product's own. To load it would run a pickle, so its folder "
            "brings none: ask the gateway, which serves it."
        )
    return Model(about, _ASKS[about["format"]](folder / about["file"], about))


class Model:
    """Answers rows as the gateway does that serves this version.

    Parameters
    ----------
    about : dict
        The inputs and the output, with their types, and the categories of texts.
    ask : callable
        Answers columns: arrays of float64 with NaN for null, and lists of str with the empty text for null.
    """

    def __init__(self, about: dict[str, Any], ask: Any) -> None:
        self._about, self._ask = about, ask

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any:
        """Answer each row.

        Parameters
        ----------
        data : pandas.DataFrame
            With the columns of the signature; others are passed over. One that may be null may be missing.

        Returns
        -------
        pandas.DataFrame
            One column of float32, named as the signature says, with the index of `data`.

        Raises
        ------
        ValueError
            Columns are missing, or hold what the model has not learned; all of them are told.
        """
        import pandas

        frame = data if isinstance(data, pandas.DataFrame) else pandas.DataFrame(data)
        columns, faults = {}, []
        for column in self._about["inputs"]:
            name = column["name"]
            if name in frame:
                values = frame[name]
            elif column["nullable"]:
                values = pandas.Series([None] * len(frame), dtype=object)
            else:
                faults.append(f"{name}: it is missing")
                continue
            try:
                columns[name] = _texts(values) if column["dtype"] == "BYTES" else _numbers(values, column)
            except (TypeError, ValueError) as error:
                faults.append(f"{name}: {error}")
                continue
            if not column["nullable"] and values.isna().any():
                faults.append(
                    f"{name}: {int(values.isna().sum())} rows are null, and it was never null in training"
                )
        if faults:
            raise ValueError(f"{self._about['model']} cannot answer: " + "; ".join(faults))
        if not len(frame):
            answers: Any = []
        else:
            answers = self._ask(columns)
        return pandas.DataFrame({self._about["output"]: answers}, index=frame.index, dtype="float32")


def _texts(values: Any) -> list[str]:
    return ["" if missing else str(value) for value, missing in zip(values, values.isna(), strict=True)]


def _numbers(values: Any, column: dict[str, Any]) -> Any:
    import numpy as np

    numbers = values.astype(object).where(values.notna(), math.nan).to_numpy(dtype="float64")
    if column["dtype"] == "INT64" and (np.floor(numbers) != numbers)[~np.isnan(numbers)].any():
        raise ValueError("it takes whole numbers")
    return numbers


def _onnx(file: Path, about: dict[str, Any]) -> Any:
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # what fails is raised
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    texts = {each.name for each in session.get_inputs() if each.type == "tensor(string)"}
    wanted = [each.name for each in session.get_inputs()]

    def ask(columns: dict[str, Any]) -> Any:
        given = {
            name: np.array(columns[name], dtype=object if name in texts else "float32").reshape(-1, 1)
            for name in wanted
        }
        return session.run(None, given)[0]

    return ask


def _lightgbm(file: Path, about: dict[str, Any]) -> Any:
    import lightgbm

    booster = lightgbm.Booster(model_file=str(file))
    return lambda columns: booster.predict(_matrix(columns, about, "float32"), num_threads=1)


def _xgboost(file: Path, about: dict[str, Any]) -> Any:
    import xgboost

    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(file.read_bytes()))
    return lambda columns: booster.inplace_predict(
        _matrix(columns, about, "float32"), missing=math.nan, validate_features=False
    )


def _sklearn(file: Path, about: dict[str, Any]) -> Any:
    import skops.io

    # What is of no type that is named here could run anything when it is read: skops refuses it.
    model = skops.io.load(file, trusted=about["trusted"])
    by_name = hasattr(model, "feature_names_in_")

    def ask(columns: dict[str, Any]) -> Any:
        given = _frame(columns, about) if by_name else _matrix(columns, about, "float64")
        return model.predict_proba(given)[:, 1] if hasattr(model, "predict_proba") else model.predict(given)

    return ask


def _matrix(columns: dict[str, Any], about: dict[str, Any], dtype: str) -> Any:
    """The matrix that learners read: numbers as they are, categories as their positions, missing values as NaN."""
    import numpy as np

    def values(column: dict[str, Any]) -> Any:
        name = column["name"]
        if name in about["encodings"]:
            return _positions(columns[name], about["encodings"][name])
        if column["dtype"] == "FP32":
            return columns[name].astype("float32").astype("float64")
        return columns[name]

    return np.column_stack([values(column).astype(dtype) for column in about["inputs"]])


def _frame(columns: dict[str, Any], about: dict[str, Any]) -> Any:
    """The inputs as columns of their own types, as in training."""
    import polars

    def series(column: dict[str, Any]) -> Any:
        name = column["name"]
        if name in about["encodings"]:
            return polars.Series(name, _positions(columns[name], about["encodings"][name])).fill_nan(None)
        if column["dtype"] == "BYTES":
            return polars.Series(name, [value or None for value in columns[name]], dtype=polars.String)
        return (
            polars.Series(name, columns[name]).fill_nan(None).cast(getattr(polars, _TYPES[column["dtype"]]))
        )

    return polars.DataFrame([series(column) for column in about["inputs"]])


def _positions(values: Any, categories: list[str]) -> Any:
    import numpy as np

    positions = {category: position for position, category in enumerate(categories)}
    return np.array([positions.get(str(value), math.nan) for value in values], dtype="float64")


_ASKS = {"onnx": _onnx, "lightgbm": _lightgbm, "xgboost": _xgboost, "sklearn": _sklearn}
