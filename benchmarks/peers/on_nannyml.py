"""NannyML's CBPE on the streams that `estimates.py` has left in a folder: a line of JSON, an entry per window.

Its defaults: isotonic calibration where it finds that to help, and a chunk per window. Its band is three standard
errors of a chunk of this size; as an interval of 90 % it is scaled to 1.645 of them.
"""

import json
import sys
from pathlib import Path

import nannyml
import numpy as np
import pandas as pd

METRICS = ("accuracy", "precision", "recall", "f1", "roc_auc")


def main() -> None:
    """Estimate every window, shift by shift."""
    told = []
    for path in sorted(Path(sys.argv[1]).glob("*.npz")):
        stream = np.load(path)
        rows = pd.DataFrame({"score": stream["scores"], "said": (stream["scores"] >= 0.5).astype(int),
                             "outcome": stream["outcomes"].astype(int)})  # fmt: skip
        first, size = int(stream["reference"]), int(stream["window"])
        estimator = nannyml.CBPE(
            y_pred_proba="score",
            y_pred="said",
            y_true="outcome",
            problem_type="classification_binary",
            metrics=list(METRICS),
            chunk_size=size,
        ).fit(rows[:first])
        results = estimator.estimate(rows[first:]).filter(period="analysis").to_df()
        for _, row in results.iterrows():
            window = {}
            for metric in METRICS:
                value, spread = row[metric, "value"], 1.6449 * row[metric, "sampling_error"]
                window[metric] = [value, value - spread, value + spread]
            told.append(window)
    json.dump(told, sys.stdout)


main()
