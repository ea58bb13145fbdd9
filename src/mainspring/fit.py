"""What fits: the keys and texts that clients may give to what they log or register.

Where no other reason is given, the numbers are those of MLflow's server, so that what it takes is taken here.
"""

from __future__ import annotations

__all__ = ["Unfit", "check_key", "has_control", "within"]

import posixpath
import re
from functools import lru_cache

from mainspring.errors import Invalid

_KEY_LIMIT = 250
_KEY = re.compile(r"[/\w.\- :]*")


class Unfit(Invalid):
    """A name or value that cannot be logged."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(what, why)
        self.what, self.why = what, why

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


# Of a thousand points in a batch most have a key that was seen before.
@lru_cache(maxsize=4096)
def check_key(kind: str, key: str) -> None:
    """Refuse a key that could not be a path of its own: metrics, params and tags have the same form."""
    if not _KEY.fullmatch(key):
        why = "it may hold letters, digits, spaces, and _ - . : / alone"
    elif key != posixpath.normpath(key) or key.startswith(("..", "/")) or key == ".":
        why = f"it reads as a path, and would name {posixpath.normpath(key)!r} then"
    elif len(key) > _KEY_LIMIT:
        why = f"it has {len(key)} characters, and {_KEY_LIMIT} is the most"
    else:
        return
    raise Unfit(f"Invalid {kind} name {key[:100]!r}", why)


def within(what: str, text: str, most: int) -> str:
    """Give a text back where a database keeps it whole; raises `Unfit`."""
    if len(text) > most:
        raise Unfit(
            what, f"it exceeds the maximum length: it has {len(text)} characters, and {most} is the most"
        )
    if "\0" in text:
        # PostgreSQL keeps no such text, and SQLite would read it only to there.
        raise Unfit(what, "it holds the character NUL, which no database keeps")
    return text


def has_control(text: str) -> bool:
    """Whether a text holds a character that cannot be printed."""
    return any(ord(character) < 32 or ord(character) == 127 for character in text)
