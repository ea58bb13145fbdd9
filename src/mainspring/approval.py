"""Who must agree before a version is rolled out: a part of a product file."""

from __future__ import annotations

__all__ = ["ApprovalPolicy"]

from datetime import timedelta

from mainspring.clock import parse_duration
from mainspring.declared import Value, need


class ApprovalPolicy(Value, frozen=True, kw_only=True):
    """People must approve a version before it is rolled out, and whatever of its rollout waits for a person.

    Attributes
    ----------
    by : tuple of str
        Who may approve, by the names under which they act; anybody where none is named.
    needed : int
        How many different people must approve.
    four_eyes : bool
        Whether an approval does not count of who has asked for the cycle, or for the rollout.
    within : str
        How long a version waits for approval; then its cycle ends, and the champion stays.

    Examples
    --------
    >>> ApprovalPolicy(by=("ana", "ben", "cleo"), needed=2).within
    '14d'
    """

    by: tuple[str, ...] = ()
    needed: int = 1
    four_eyes: bool = True
    within: str = "14d"

    @property
    def told(self) -> str:
        """What it asks for, in words."""
        count = "1 approval" if self.needed == 1 else f"{self.needed} approvals"
        whose = f" of {', '.join(self.by)}" if self.by else ""
        others = ", by others than who has asked for the cycle" if self.four_eyes else ""
        return f"{count}{whose} within {self.within}{others}"

    def __post_init__(self) -> None:
        need(
            self.needed >= 1, "The number of approvals that are needed", self.needed, "it must be at least 1"
        )
        need(len(set(self.by)) == len(self.by), "Who may approve", self.by, "each is named once")
        need(
            not self.by or len(self.by) >= self.needed,
            "The number of approvals that are needed",
            self.needed,
            f"only {len(self.by)} may approve",
        )
        wait = parse_duration(self.within)
        need(wait > timedelta(0), "The wait for approval", self.within, "it would be over at once")
