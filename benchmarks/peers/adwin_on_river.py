"""River's ADWIN as it comes, on one stream: a line of losses in, a line out that says whether it has spoken in them."""

from __future__ import annotations

import json
import sys

from river.drift import ADWIN

adwin = ADWIN()
for line in sys.stdin:
    spoken = False
    for loss in json.loads(line):
        adwin.update(loss)
        spoken |= adwin.drift_detected
    print(int(spoken), flush=True)
