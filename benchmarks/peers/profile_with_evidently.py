"""Compare two tables with Evidently: `python profile_with_evidently.py REFERENCE.npy CURRENT.npy`.

It runs the preset for drift on two pandas frames, with the tests that it chooses itself.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset


def main() -> None:
    """Print what it took and how many columns have a figure."""
    reference, current = (
        pd.DataFrame({f"x{number}": column for number, column in enumerate(np.load(path))})
        for path in sys.argv[1:3]
    )
    Report([DataDriftPreset()]).run(current[:100], reference[:100])
    started = time.perf_counter()
    answer = Report([DataDriftPreset()]).run(current, reference).dict()
    took = time.perf_counter() - started
    figures = [metric for metric in answer["metrics"] if metric["metric_name"].startswith("ValueDrift")]
    print(json.dumps({"seconds": took, "rows": len(current), "columns": len(figures)}))


if __name__ == "__main__":
    main()
