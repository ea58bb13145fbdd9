"""The root of every error that mainspring raises on purpose.

An error says what happened, why, and how to mend it. Callers branch on its class and fields, never on its text.
"""

from __future__ import annotations

__all__ = ["Conflict", "Fault", "Faults", "Invalid", "MainspringError", "NotFound", "Refused", "Taken"]

from dataclasses import dataclass


class MainspringError(Exception):
    """Anything that mainspring refuses or cannot do; its text is meant for the person who asked."""


class NotFound(MainspringError):
    """What was named does not exist."""


class Conflict(MainspringError):
    """The state has moved on since it was read, or the name is already taken."""


class Taken(Conflict):
    """The name belongs to something that is there already."""


class Refused(MainspringError):
    """A rule says no: the input was understood and is not accepted."""


class Invalid(MainspringError):
    """The input cannot be understood: a malformed ref, file, request or setting."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with an input.

    Attributes
    ----------
    where : str
        The place in the input: a column, a field, a file and line.
    what : str
        What is wrong there, and why that is wrong.
    mend : str
        What would make it right; empty when `what` already says so.
    """

    where: str
    what: str
    mend: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f" {self.mend}" if self.mend else "")


class Faults(Invalid):
    """An input with one or more faults, all of which are told at once."""

    def __init__(self, subject: str, faults: tuple[Fault, ...]) -> None:
        super().__init__(subject, faults)
        self.subject, self.faults = subject, faults

    def __str__(self) -> str:
        lines = "".join(f"\n  - {fault}" for fault in self.faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        return f"{self.subject} has {count}:{lines}"
