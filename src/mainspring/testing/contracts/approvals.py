"""The contract of a store of approval policies and approvals: it keeps them in their order, and changes none."""

# ruff: noqa: D102 - a test is named after what it shows

from __future__ import annotations

__all__ = ["ApprovalStoreContract"]

from datetime import UTC, datetime

import pytest

from mainspring.approval import ApprovalPolicy
from mainspring.errors import Conflict
from mainspring.governance.approval import Answer, Approval, ApprovalStore, PolicyVersion
from mainspring.ref import ModelRef

_NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
_TWO = ApprovalPolicy(by=("ana", "ben"), needed=2)


def _policy(number: int, policy: ApprovalPolicy | None = _TWO, product: str = "late") -> PolicyVersion:
    return PolicyVersion(product=product, number=number, policy=policy, declared_at=_NOON)


def _approval(actor: str, version: int = 1, answer: Answer = Answer.APPROVED) -> Approval:
    return Approval(
        product="late",
        version=version,
        about="rolling out",
        answer=answer,
        actor=actor,
        reason="it is sound",
        policy=1,
        at=_NOON,
    )


class ApprovalStoreContract:
    """What an `ApprovalStore` promises."""

    @pytest.fixture
    def store(self) -> ApprovalStore:
        """Give an empty store."""
        pytest.fail("Inherit this contract, and give the store that it is to be held against.")

    def test_the_newest_policy_is_in_force_and_the_earlier_ones_stay(self, store: ApprovalStore) -> None:
        assert store.policy("late") is None
        store.declare(_policy(1))
        store.declare(_policy(2, None))
        store.declare(_policy(1, product="other"))
        assert store.policy("late") == _policy(2, None)
        assert store.policies("late") == (_policy(1), _policy(2, None))

    def test_a_policy_is_never_changed(self, store: ApprovalStore) -> None:
        store.declare(_policy(1))
        with pytest.raises(Conflict):
            store.declare(_policy(1, ApprovalPolicy()))
        assert store.policy("late") == _policy(1)

    def test_approvals_of_a_version_come_in_their_order_and_every_word_is_kept(
        self, store: ApprovalStore
    ) -> None:
        """Also what somebody has said before."""
        store.declare(_policy(1))
        given = (
            _approval("ana"),
            _approval("ben", answer=Answer.REFUSED),
            _approval("ana", answer=Answer.REFUSED),
        )
        for each in (*given, _approval("ben", version=2)):
            store.add(each)
        assert store.of(ModelRef("late", 1)) == given
        assert store.of(ModelRef("late", 3)) == ()
