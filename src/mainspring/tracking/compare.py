"""Two runs side by side: what differs, and how their metrics went."""

from __future__ import annotations

__all__ = ["Difference", "changed_files", "changed_packages", "compare", "thin", "thin_places"]

from dataclasses import dataclass
from difflib import unified_diff
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mainspring.tracking.record import Metric, Run

# Tags that say in other words what a run is, or that no two runs share.
_ITS_OWN = frozenset({"mlflow.runName", "mlflow.parentRunId", "mainspring.cycle", "mainspring.key"})

_ENVIRONMENT = ("mainspring.environment", "mainspring.machine", "mlflow.user")


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing of two runs.

    Attributes
    ----------
    kind : str
        `param`, `metric`, `data`, `code`, `environment` or `tag`.
    name : str
        Which.
    values : tuple of str or float or None
        What each run has; None where it has none.
    """

    kind: str
    name: str
    values: tuple[str | float | None, str | float | None]

    @property
    def differs(self) -> bool:
        """Whether the runs have it otherwise. A NaN is no other NaN's equal."""
        return self.values[0] != self.values[1]


def compare(first: Run, second: Run) -> tuple[Difference, ...]:
    """Put two runs side by side: params, metrics, data, code, environment and tags, by name within each."""
    runs = (first, second)
    return (
        *_of("param", *(run.params for run in runs)),
        *_of("metric", *({metric.key: metric.value for metric in run.metrics} for run in runs)),
        *_of("data", *({each.dataset.name: each.dataset.digest for each in run.datasets} for run in runs)),
        *_of("code", *(_tags(run, "mlflow.source.", "mainspring.code", "mainspring.diff") for run in runs)),
        *_of("environment", *(_tags(run, *_ENVIRONMENT) for run in runs)),
        *_of("tag", *({key: value for key, value in run.tags.items() if _is_free(key)} for run in runs)),
    )


def changed_files(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    r"""Give the differences of two sets of files, their texts by path, as one unified diff.

    Examples
    --------
    >>> print(changed_files({"a.py": "x = 1\n"}, {"a.py": "x = 2\n", "b.py": ""}), end="")
    --- a.py
    +++ a.py
    @@ -1 +1 @@
    -x = 1
    +x = 2
    --- /dev/null
    +++ b.py
    """
    told: list[str] = []
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if old == new:
            continue
        names = ("/dev/null" if old is None else path, "/dev/null" if new is None else path)
        lines = list(unified_diff(_lines(old), _lines(new), *names))
        told += lines or [f"--- {names[0]}\n", f"+++ {names[1]}\n"]
    return "".join(told)


def changed_packages(before: Iterable[str], after: Iterable[str]) -> dict[str, tuple[str | None, str | None]]:
    """Give the packages of two environments, as `name==version`, that differ: the versions by name.

    Examples
    --------
    >>> changed_packages(["numpy==2.0", "six==1.17"], ["numpy==2.1", "polars==1.33"])
    {'numpy': ('2.0', '2.1'), 'polars': (None, '1.33'), 'six': ('1.17', None)}
    """
    old, new = (
        dict(each.split("==", 1) for each in packages if "==" in each) for packages in (before, after)
    )
    return {
        name: (old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    }


def _lines(text: str | None) -> list[str]:
    lines = (text or "").splitlines(keepends=True)
    return [line if line.endswith("\n") else f"{line}\n" for line in lines]


def thin(points: Sequence[Metric], most: int) -> tuple[Metric, ...]:
    """Leave out points of a curve that would not be seen: of each stretch of steps stay first, last, least and largest.

    Parameters
    ----------
    points : sequence of Metric
        By step.
    most : int
        How many may stay; at least 4.

    Examples
    --------
    >>> from mainspring.tracking.record import Metric
    >>> spike = [Metric(key="m", value=float(n == 700), timestamp_ms=n, step=n) for n in range(1000)]
    >>> kept = thin(spike, 40)
    >>> len(kept) <= 40, max(point.value for point in kept), kept[-1].step
    (True, 1.0, 999)
    """
    steps, values = [point.step for point in points], [point.value for point in points]
    return tuple(points[place] for place in thin_places(steps, values, most))


def thin_places(steps: Sequence[int], values: Sequence[float], most: int) -> list[int]:
    """Say where the points stand that `thin` keeps; steps ascend, and a value that is none is NaN."""
    import numpy as np

    if len(steps) <= most:
        return list(range(len(steps)))
    begin, stretch = steps[0], (steps[-1] - steps[0] + 1) / max(1, most // 4)
    block = ((np.array(steps, float) - begin) / stretch).astype(np.int64)
    numbers = np.array(values, float)
    starts = np.flatnonzero(np.diff(block, prepend=-1))
    kept: set[int] = set()
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(steps)], strict=True):
        some = numbers[start:end]
        kept |= {start, end - 1}
        if not np.isnan(some).all():
            kept |= {start + int(np.nanargmin(some)), start + int(np.nanargmax(some))}
    return sorted(kept)


def _of(kind: str, first: Mapping[str, str | float], second: Mapping[str, str | float]) -> list[Difference]:
    return [Difference(kind, name, (first.get(name), second.get(name))) for name in sorted({*first, *second})]


def _tags(run: Run, *prefixes: str) -> dict[str, str]:
    return {key: value for key, value in run.tags.items() if key.startswith(prefixes)}


def _is_free(key: str) -> bool:
    return key not in _ITS_OWN and not key.startswith(
        ("mlflow.source.", "mlflow.user", "mainspring.code", "mainspring.environment")
    )
