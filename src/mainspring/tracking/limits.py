"""What may be logged: the forms of names and ids, and the sizes of values.

Where no other reason is given, the numbers are those of MLflow's server, so that what it takes is taken here.
"""

from __future__ import annotations

__all__ = [
    "BATCH_LIMIT",
    "PARAM_LIMIT",
    "TAG_LIMIT",
    "check_batch",
    "check_datasets",
    "check_experiment_name",
    "check_experiment_tag",
    "check_location",
    "check_metric",
    "check_model_name",
    "check_model_texts",
    "check_run_id",
    "fit_param",
    "fit_tag",
    "stored_value",
]

import math
import re
import sys
from collections import Counter
from typing import TYPE_CHECKING

from mainspring.fit import Unfit, check_key, has_control, within

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mainspring.tracking.record import DatasetInput, Metric

PARAM_LIMIT = 65_536
"""Characters of a param's value that are kept. MLflow's server cuts at 6,000."""

TAG_LIMIT = 65_536
"""Characters of a tag's value that are kept. MLflow's server cuts at 8,000."""

BATCH_LIMIT = 1000
"""Metrics, and all entries together, in one batch."""

_BATCH_OF = 100
_RUN_ID = re.compile(r"[a-zA-Z0-9][\w\-]{0,255}")
_MODEL_NAME_REFUSES = re.compile(r"""[/:.%"']""")
_INT64 = 2**63
_DATASET_LIMITS = {"name": 500, "digest": 36, "schema": 1_048_575, "source": 65_535, "profile": 16_777_215}


def check_run_id(run_id: str) -> None:
    """Refuse an id that no run can have."""
    if not _RUN_ID.fullmatch(run_id):
        raise Unfit(
            f"Invalid run ID: {run_id[:100]!r}", "it is letters, digits, _ and -, at most 256 of them"
        )


def check_metric(metric: Metric) -> None:
    """Refuse a point that cannot be kept."""
    check_key("metric", metric.key)
    for what, number in (("timestamp", metric.timestamp_ms), ("step", metric.step)):
        if not -_INT64 <= number < _INT64:
            raise Unfit(f"Invalid {what} of metric {metric.key!r}", f"{number} has more than 64 bits")
    if metric.timestamp_ms < 0:
        raise Unfit(f"Invalid timestamp of metric {metric.key!r}", "it counts milliseconds since 1970")


def stored_value(value: float) -> float:
    """Give a metric's value as it is kept: infinity as the largest number, as MLflow's server keeps it."""
    return math.copysign(sys.float_info.max, value) if math.isinf(value) else value


def fit_param(key: str, value: str) -> str:
    """Give a param's value as it is kept: cut, since a run shall not end for it. Raises `Unfit` for its key."""
    check_key("param", key)
    return within(f"Invalid value of param {key!r}", value[:PARAM_LIMIT], PARAM_LIMIT)


def fit_tag(key: str, value: str) -> str:
    """Give a tag's value as it is kept, cut as a param's is; raises `Unfit` for its key."""
    check_key("tag", key)
    return within(f"Invalid value of tag {key!r}", value[:TAG_LIMIT], TAG_LIMIT)


def check_batch(
    metrics: Sequence[Metric], params: Sequence[tuple[str, str]], tags: Sequence[tuple[str, str]]
) -> None:
    """Refuse a batch that is too large, or that names a param twice."""
    for kind, count, most in (
        ("metrics", len(metrics), BATCH_LIMIT),
        ("params", len(params), _BATCH_OF),
        ("tags", len(tags), _BATCH_OF),
        ("entries", len(metrics) + len(params) + len(tags), BATCH_LIMIT),
    ):
        if count > most:
            raise Unfit(
                f"A batch of {count} {kind}", f"at most {most} can be logged at once; send them in parts"
            )
    twice = [key for key, count in Counter(key for key, _ in params).items() if count > 1]
    if twice:
        raise Unfit(
            "Duplicate parameter keys", f"the batch gives more than one value for {', '.join(sorted(twice))}"
        )


def check_experiment_name(name: str) -> None:
    """Refuse a name that no experiment can have."""
    if not name.strip():
        raise Unfit("Invalid experiment name", "it is empty")
    within("Invalid experiment name", name, 500)
    if has_control(name):
        raise Unfit("Invalid experiment name", "it holds a character that cannot be printed")


def check_experiment_tag(key: str, value: str) -> None:
    """Refuse a tag that no experiment can have."""
    check_key("tag", key)
    within(f"Invalid value of tag {key!r}", value, 20_000)


def check_location(location: str) -> None:
    """Refuse a place that no artifacts can be in."""
    within("Invalid artifact location", location, 2048)
    if has_control(location):
        raise Unfit("Invalid artifact location", "it holds a character that cannot be printed")
    if location.startswith("mlflow-artifacts:") and ".." in location.split("/"):
        raise Unfit(
            f"Invalid artifact location {location[:200]!r}", "it leads out of the folder of all artifacts"
        )


def check_model_name(name: str) -> None:
    """Refuse a name that no logged model can have."""
    if not name or _MODEL_NAME_REFUSES.search(name):
        raise Unfit(
            f"Invalid model name {name[:100]!r}", "it must be non-empty and hold none of / : . % \" '"
        )
    within("Invalid model name", name, 500)


def check_datasets(inputs: Iterable[DatasetInput]) -> None:
    """Refuse datasets that cannot be kept."""
    for each in inputs:
        for field, most in _DATASET_LIMITS.items():
            text: str = getattr(each.dataset, field)
            if not text and field in ("name", "digest"):
                raise Unfit(f"Invalid dataset {field}", "it is empty")
            within(f"Invalid dataset {field}", text, most)
        for key, value in each.tags.items():
            within("Invalid key of a dataset's tag", key, 255)
            within(f"Invalid value of the dataset's tag {key[:100]!r}", value, 500)


def check_model_texts(kind: str, texts: Mapping[str, str]) -> None:
    """Refuse the params or tags of a logged model that cannot be kept."""
    for key, value in texts.items():
        check_key(kind, key)
        within(f"Invalid value of {kind} {key!r}", value, PARAM_LIMIT)
