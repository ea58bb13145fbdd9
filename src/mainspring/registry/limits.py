"""What may be registered: the forms of names and aliases, and the sizes of texts.

Where no other reason is given, the numbers are those of MLflow's server, so that what it takes is taken here.
"""

from __future__ import annotations

__all__ = ["check_alias", "check_description", "check_model_name", "check_new_alias", "check_tag", "stage_of"]

import posixpath
import re

from mainspring.fit import Unfit, check_key, within
from mainspring.registry.registered import Stage

_NAME_LIMIT = 256
_ALIAS_LIMIT = 255
_VALUE_LIMIT = 100_000
_DESCRIPTION_LIMIT = 100_000
"""Characters of a description. MLflow's server keeps 5,000, on databases that count them."""

LATEST = "latest"
"""What stands for the newest version wherever an alias may stand; no alias has this name."""


def check_model_name(name: str) -> None:
    """Refuse a name that no registered model can have."""
    if not name.strip():
        raise Unfit("Invalid model name", "it is empty")
    if "/" in name or ":" in name or name in (".", "..") or posixpath.normpath(name) != name:
        raise Unfit(
            f"Invalid model name {name[:100]!r}", "names cannot contain '/' or ':', or read as a path"
        )
    within("Invalid model name", name, _NAME_LIMIT)


def check_alias(alias: str) -> None:
    """Refuse a name that no alias can have."""
    if not re.fullmatch(r"[\w\-]+", alias):
        raise Unfit(f"Invalid alias name {alias[:100]!r}", "it is letters, digits, _ and -, one at least")
    within("Invalid alias name", alias, _ALIAS_LIMIT)


def check_new_alias(alias: str) -> None:
    """Refuse an alias that would read as something else."""
    check_alias(alias)
    if alias.lower() == LATEST:
        raise Unfit(f"Invalid alias name {alias!r}", "it is reserved for the newest version")
    if re.fullmatch(r"[vV]\d+", alias):
        raise Unfit(f"Invalid alias name {alias!r}", "it is reserved, since it reads as a version's number")


def check_tag(key: str, value: str) -> None:
    """Refuse a tag that cannot be kept."""
    check_key("tag", key)
    within(f"Invalid value of tag {key!r}", value, _VALUE_LIMIT)


def check_description(description: str) -> None:
    """Refuse a description that cannot be kept."""
    within("Invalid description", description, _DESCRIPTION_LIMIT)


def stage_of(text: str) -> Stage:
    """Read a stage, in small or capital letters.

    Raises
    ------
    Unfit
        There is none of this name.
    """
    for stage in Stage:
        if stage.value.lower() == text.lower():
            return stage
    raise Unfit(
        f"Invalid Model Version stage: {text[:100]!r}", f"value must be one of {', '.join(map(str, Stage))}"
    )
