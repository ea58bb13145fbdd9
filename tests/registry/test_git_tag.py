"""Names of tags in GTO's form: read as they are written, and nothing else taken for one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.registry.git_tag import GitTag, TagName, assigned, can_be_named

names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)


@given(
    model=names, stage=names, cancels=st.booleans(), count=st.integers(1, 10**8), number=st.integers(1, 10**6)
)
def test_a_name_is_read_as_it_was_written(
    model: str, stage: str, cancels: bool, count: int, number: int
) -> None:
    for name in (
        TagName(model=model, number=number),
        TagName(model=model, stage=stage, cancels=cancels, count=count),
    ):
        assert TagName.read(str(name)) == name


@pytest.mark.parametrize(
    "text",
    [
        "v1.0.0",
        "late@v1.0",
        "late@v1",
        "Late@v1.0.0",
        "late#",
        "late#a#b",
        "late@v1.0.0#2",
        "late@deprecated",
        "-a#b#1",
    ],
)
def test_other_tags_are_passed_over(text: str) -> None:
    assert TagName.read(text) is None


@pytest.mark.parametrize("text", ["late@v1.2.3", "late@v0.0.0", "late@v1.0.1"])
def test_a_version_that_was_not_counted_here_has_no_number(text: str) -> None:
    found = TagName.read(text)
    assert found is not None
    assert found.number is None


@given(st.text(max_size=40))
def test_no_text_breaks_the_reading(text: str) -> None:
    found = TagName.read(text)
    assert found is None or (can_be_named(found.model) and (not found.stage or can_be_named(found.stage)))


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5), st.integers(1, 9)), min_size=1, max_size=12)
)
def test_the_tag_that_was_made_last_is_in_force(made: list[tuple[str, int, int]]) -> None:
    begin = datetime(2024, 1, 1, tzinfo=UTC)
    tags = [
        GitTag(
            name=TagName(model="m", stage=stage, count=count),
            object_id="",
            commit="",
            at=begin + timedelta(minutes=minute),
            message="",
        )
        for stage, minute, count in made
    ]
    for (_, stage), tag in assigned(tags).items():
        rivals = [each for each in tags if each.name.stage == stage]
        assert (tag.at, tag.name.count) == max((each.at, each.name.count) for each in rivals)
