"""What may become of a request to a model in a process of its own."""

from __future__ import annotations

__all__ = ["ModelCrashed", "ModelNotLoaded", "ModelRaised", "ModelTimedOut"]

from mainspring.errors import MainspringError


class ModelNotLoaded(MainspringError):
    """A model that could not be made ready."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"The model could not be loaded in its process: {self.reason}"


class ModelRaised(MainspringError):
    """A model that raised an error, or gave what is no answer; the text is its own."""

    def __init__(self, told: str) -> None:
        super().__init__(told)
        self.told = told

    def __str__(self) -> str:
        return self.told


class ModelTimedOut(MainspringError):
    """A model that had not answered in time; its process was ended."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(timeout_s)
        self.timeout_s = timeout_s

    def __str__(self) -> str:
        return f"The model had not answered after {self.timeout_s:g} s, so its process was ended and started again."


class ModelCrashed(MainspringError):
    """A model whose process ended instead of answering."""

    def __init__(self, how: str) -> None:
        super().__init__(how)
        self.how = how

    def __str__(self) -> str:
        return f"The model's process {self.how}"
