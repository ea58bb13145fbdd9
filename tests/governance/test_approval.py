"""How a transition stands: whose word counts, how many, until when, and under which policy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.approval import ApprovalPolicy
from mainspring.errors import Invalid
from mainspring.governance.approval import (
    ROLLING_OUT,
    Answer,
    Approval,
    Approved,
    NotEntitled,
    PolicyVersion,
    Standing,
    check_entitled,
    stand,
)

NOW = datetime(2024, 3, 1, tzinfo=UTC)
PEOPLE = ("ana", "ben", "cleo")


def declared(policy: ApprovalPolicy | None, number: int = 1) -> PolicyVersion:
    return PolicyVersion(product="late", number=number, policy=policy, declared_at=NOW)


def said(
    actor: str, answer: Answer = Answer.APPROVED, *, policy: int = 1, about: str = ROLLING_OUT
) -> Approval:
    return Approval(
        product="late", version=1, about=about, answer=answer, actor=actor, reason="so", policy=policy, at=NOW
    )


def standing(
    policy: ApprovalPolicy | None, *approvals: Approval, after: timedelta = timedelta(0), asker: str = "loop"
) -> Approved:
    return stand(declared(policy), approvals, ROLLING_OUT, asked_by={asker}, asked_at=NOW, now=NOW + after)


def test_without_a_policy_nothing_waits() -> None:
    assert standing(None).standing is Standing.APPROVED
    assert stand(None, (), ROLLING_OUT, asked_by=set(), asked_at=NOW, now=NOW).standing is Standing.APPROVED


def test_as_many_different_people_must_approve_as_the_policy_says() -> None:
    two = ApprovalPolicy(needed=2)
    assert standing(two, said("ana"), said("ana")).standing is Standing.WAITING
    found = standing(two, said("ana"), said("ben"))
    assert (found.standing, found.by) == (Standing.APPROVED, ("ana", "ben"))


def test_only_the_word_of_who_is_named_counts() -> None:
    policy = ApprovalPolicy(by=("ana",))
    assert standing(policy, said("ben"), said("cleo")).standing is Standing.WAITING
    assert standing(policy, said("ben", Answer.REFUSED), said("ana")).standing is Standing.APPROVED


def test_who_asked_does_not_approve_what_they_asked_for_unless_the_policy_lets_them() -> None:
    assert standing(ApprovalPolicy(), said("ana"), asker="ana").standing is Standing.WAITING
    assert standing(ApprovalPolicy(four_eyes=False), said("ana"), asker="ana").standing is Standing.APPROVED


def test_one_refusal_refuses_until_its_giver_approves() -> None:
    policy = ApprovalPolicy(needed=1)
    refused = standing(policy, said("ana"), said("ben", Answer.REFUSED))
    assert (refused.standing, "ben refused: so" in refused.why) == (Standing.REFUSED, True)
    after_all = standing(policy, said("ben", Answer.REFUSED), said("ben"))
    assert after_all.standing is Standing.APPROVED


def test_what_was_said_under_another_policy_or_of_another_transition_does_not_count() -> None:
    policy = ApprovalPolicy()
    assert standing(policy, said("ana", policy=2)).standing is Standing.WAITING
    assert standing(policy, said("ana", about="r/1")).standing is Standing.WAITING
    found = stand(declared(policy, 2), [said("ana")], ROLLING_OUT, asked_by=set(), asked_at=NOW, now=NOW)
    assert found.standing is Standing.WAITING


def test_it_waits_no_longer_than_the_policy_says() -> None:
    policy = ApprovalPolicy(within="2d", needed=2)
    assert standing(policy, said("ana"), after=timedelta(days=2, seconds=-1)).standing is Standing.WAITING
    found = standing(policy, said("ana"), after=timedelta(days=2))
    assert (found.standing, "1 of 2" in found.why) == (Standing.EXPIRED, True)
    assert standing(policy, said("ana"), said("ben"), after=timedelta(days=9)).standing is Standing.APPROVED


def test_a_word_that_would_not_count_is_refused_with_the_reason() -> None:
    with pytest.raises(NotEntitled, match="ana, ben may approve under policy 3"):
        check_entitled(declared(ApprovalPolicy(by=("ana", "ben")), 3), "cleo", set())
    with pytest.raises(NotEntitled, match="who has asked"):
        check_entitled(declared(ApprovalPolicy()), "ana", {"ana"})
    check_entitled(declared(ApprovalPolicy(by=("ana",))), "ana", {"ben"})
    check_entitled(declared(None), "ana", {"ana"})


@pytest.mark.parametrize(
    "fields",
    [
        {"needed": 0},
        {"by": ("ana", "ana")},
        {"by": ("ana",), "needed": 2},
        {"within": "0d"},
        {"within": "soon"},
    ],
)
def test_a_policy_that_nobody_can_satisfy_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        ApprovalPolicy(**fields)  # type: ignore[arg-type]


words = st.builds(said, st.sampled_from(PEOPLE), st.sampled_from(Answer), policy=st.sampled_from([1, 2]))


@given(
    st.lists(words, max_size=12),
    st.builds(
        ApprovalPolicy,
        by=st.sampled_from([(), PEOPLE, ("ana", "ben")]),
        needed=st.integers(1, 2),
        four_eyes=st.booleans(),
    ),
    st.sampled_from(["loop", *PEOPLE]),
)
def test_it_is_approved_exactly_when_enough_who_may_say_so_have_and_nobody_who_may_says_no(
    given_words: list[Approval], policy: ApprovalPolicy, asker: str
) -> None:
    last = {each.actor: each.answer for each in given_words if each.policy == 1}
    may = [
        each
        for each in PEOPLE
        if (not policy.by or each in policy.by) and not (policy.four_eyes and each == asker)
    ]
    yes = [each for each in may if last.get(each) is Answer.APPROVED]
    no = [each for each in may if last.get(each) is Answer.REFUSED]
    expected = (
        Standing.REFUSED if no else Standing.APPROVED if len(yes) >= policy.needed else Standing.WAITING
    )
    assert standing(policy, *given_words, asker=asker).standing is expected
