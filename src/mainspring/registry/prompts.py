"""Prompts: MLflow keeps them as registered models with a tag, and searches leave them out unless they are asked for."""

from __future__ import annotations

__all__ = ["PLACES", "is_prompt", "prompts_apart", "text_of_prompt", "told_tags"]

from typing import TYPE_CHECKING

from mainspring.search import AllOf, AnyOf, Comparison, Condition, Entity, Negation, Operator

if TYPE_CHECKING:
    from collections.abc import Mapping

_MARK = "mlflow.prompt.is_prompt"
_TEXT = "mlflow.prompt.text"
_KIND = "_mlflow_prompt_type"

PLACES = frozenset({"dummy-source", "prompt-template"})
"""What clients give as the source of a prompt's version, which has no files."""


def is_prompt(tags: Mapping[str, str]) -> bool:
    """Say whether these are the tags of a prompt, or of a version of one."""
    return tags.get(_MARK, "").lower() == "true"


def text_of_prompt(tags: Mapping[str, str]) -> str | None:
    """Give the text of a prompt's version."""
    return tags.get(_TEXT)


def told_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Give the tags of a prompt that are its user's own."""
    return {key: value for key, value in tags.items() if key not in (_MARK, _TEXT, _KIND)}


def prompts_apart(condition: Condition) -> Condition:
    """Give a search in which only prompts, or no prompts, are found.

    Other tags are compared only where they are. This one counts as false where it is not, and where a search does not
    ask for it to be true, prompts are left out.
    """
    asked = _marked(condition)
    return asked if _wants(asked) else AllOf((asked, Negation(_PROMPT)))


_PROMPT = Comparison(Entity.TAG, _MARK, Operator.EQUAL, "true")


def _marked(condition: Condition) -> Condition:
    match condition:
        case AllOf(parts):
            return AllOf(tuple(map(_marked, parts)))
        case AnyOf(parts):
            return AnyOf(tuple(map(_marked, parts)))
        case Negation(part):
            return Negation(_marked(part))
        case Comparison(Entity.TAG, key, Operator.EQUAL | Operator.UNEQUAL as operator, str(value)) if (
            key == _MARK
        ):
            wanted = (value.lower() == "true") is (operator is Operator.EQUAL)
            return _PROMPT if wanted else Negation(_PROMPT)
    return condition


def _wants(condition: Condition) -> bool:
    match condition:
        case AllOf(parts) | AnyOf(parts):
            return any(map(_wants, parts))
        case Negation(part):
            return part != _PROMPT and _wants(part)
    return condition == _PROMPT
