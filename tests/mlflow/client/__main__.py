"""What a team's training code asks of a tracking server; run by a client's own Python, it imports nothing of ours.

    python tests/mlflow/client URI ANSWERS [SCENARIO ...]

Every answer is written down under the name of its scenario and step: what the client gave, or how it was refused. Ids
and times are left as they came; who compares two servers' answers puts names in their place.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from pathlib import Path

import of_artifacts
import of_autologs
import of_experiments
import of_models
import of_registry
import of_runs
import of_searches
import of_wire
from ask import Asking

SCENARIOS = (
    of_experiments.experiments,
    of_experiments.experiments_found,
    of_runs.runs,
    of_runs.logged,
    of_runs.datasets,
    of_searches.runs_found,
    of_wire.wire,
    of_models.logged_models,
    of_autologs.autologs,
    of_autologs.boosters,
    of_autologs.models_kept,
    of_artifacts.artifacts,
    of_registry.registered_models,
    of_registry.model_versions,
    of_registry.sources,
    of_registry.registry_found,
    of_registry.registered,
    of_registry.prompts,
    of_registry.webhooks,
)


def main(uri: str, answers: Path, only: list[str]) -> None:
    told = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for scenario in SCENARIOS:
            if not only or scenario.__name__ in only:
                ask = Asking(uri)
                scenario(ask)
                told[scenario.__name__] = ask.told
    answers.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).absolute(), sys.argv[3:])
