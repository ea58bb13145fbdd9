"""Loads model versions by MLflow's client and asks them: `python load_models.py URI`, what to ask on standard input.

Asked is an object of `uris`, by name, and of `rows`, a list of objects. Printed is by name what it answered, or
`refused` with the words; beside it what the client makes of the model's signature and example.
"""

from __future__ import annotations

import json
import logging
import sys

import pandas

import mlflow

logging.getLogger("mlflow").setLevel(logging.ERROR)
mlflow.set_tracking_uri(sys.argv[1])
asked = json.load(sys.stdin)
rows = pandas.DataFrame(asked["rows"])
told = {}
for name, uri in asked["uris"].items():
    try:
        model = mlflow.pyfunc.load_model(uri)
        answers = model.predict(rows)
        example = model.input_example
        told[name] = {
            "columns": list(answers.columns),
            "answers": [float(each) for each in answers.iloc[:, 0]],
            "signature": model.metadata.signature.to_dict(),
            "flavors": sorted(model.metadata.flavors),
            "example": None if example is None else len(model.predict(example)),
        }
    except Exception as error:  # noqa: BLE001 - whatever it is, the test shall see it
        told[name] = {"refused": f"{type(error).__name__}: {error}"}
print(json.dumps(told))
