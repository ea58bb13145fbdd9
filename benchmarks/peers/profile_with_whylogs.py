"""Profile a table with whylogs: `python profile_with_whylogs.py REFERENCE.npy CURRENT.npy`.

It logs the current window from a pandas frame, as its documentation begins, and makes the view that is merged and kept.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import pandas as pd
import whylogs


def main() -> None:
    """Print what it took and the rows that the first column counts."""
    rows = np.load(sys.argv[2])
    frame = pd.DataFrame({f"x{number}": column for number, column in enumerate(rows)})
    whylogs.log(pandas=frame[:100])
    started = time.perf_counter()
    view = whylogs.log(pandas=frame).view()
    took = time.perf_counter() - started
    counted = view.get_column("x0").get_metric("counts").n.value
    print(json.dumps({"seconds": took, "rows": int(counted), "columns": len(view.get_columns())}))


if __name__ == "__main__":
    main()
