"""What can be wrong with profiles that are put together or asked."""

from __future__ import annotations

__all__ = ["EmptyWindow", "ProfileMismatch"]

from mainspring.errors import Invalid


class ProfileMismatch(Invalid):
    """Two profiles of one column that cannot be merged or compared."""

    def __init__(self, column: str | None, reason: str) -> None:
        super().__init__(column, reason)
        self.column, self.reason = column, reason

    def __str__(self) -> str:
        which = "one column" if self.column is None else f"column {self.column!r}"
        return (
            f"The profiles of {which} cannot be put together: {self.reason}. "
            "Profile both windows with the frame of the reference, after the same casts."
        )


class EmptyWindow(Invalid):
    """A question about a window that has no rows to answer it from."""

    def __init__(self, question: str) -> None:
        super().__init__(question)
        self.question = question

    def __str__(self) -> str:
        return f"No {self.question}: a window has no rows with a value. Wait for rows, or choose a longer window."
