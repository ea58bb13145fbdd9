"""Refs: what is printed is read back, and what could not safely stand in a path or a URL is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.errors import Invalid
from mainspring.ref import (
    DataAddress,
    DataRef,
    InvalidName,
    InvalidRef,
    ModelRef,
    check_data_name,
    check_name,
)

names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True)
aliases = names.filter(lambda name: not name.isdecimal())
NOT_NAMES = [
    *("", "-a", "_a", "A", "ä", "a b", "a/b", "..", "a.b", "a@b", "a\n", "a" * 64, "٣"),
]


@given(product=names, version=st.integers(0, 10**9) | aliases)
def test_a_model_ref_is_read_back_as_it_was_printed(product: str, version: int | str) -> None:
    ref = ModelRef(product, version)
    assert ModelRef.parse(str(ref)) == ref


@given(dataset=names, version=st.integers(1, 999_999_999))
def test_a_data_ref_is_read_back_as_it_was_printed(dataset: str, version: int) -> None:
    ref = DataRef(dataset, version)
    assert DataRef.parse(str(ref)) == ref


@given(
    dataset=names,
    at=st.none()
    | st.integers(1, 999_999_999)
    | st.from_regex(r"(?!v[0-9]+$)[a-z][a-z0-9_-]{0,62}", fullmatch=True)
    | st.from_regex(r"sha256:[0-9a-f]{8,64}", fullmatch=True)
    | st.dates()
    | st.datetimes(timezones=st.just(UTC)),
)
def test_a_data_address_is_read_back_as_it_was_printed(
    dataset: str, at: int | str | date | datetime | None
) -> None:
    address = DataAddress(dataset, at)
    assert DataAddress.parse(str(address)) == address


def test_a_day_counts_to_its_end_and_a_moment_is_one_in_utc() -> None:
    assert DataAddress.parse("flights@2013-06-30").until == datetime(2013, 6, 30, 23, 59, 59, 999_999, UTC)
    moment = DataAddress.parse("flights@2013-06-30T02:00:00+02:00")
    assert moment.until == datetime(2013, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "at",
    [
        "",
        "12",
        "v0",
        "2013-6-3",
        "2013-02-30",
        "2013-06-30T12:00:00",
        "sha256:ab",
        "Golden",
        "../x",
        "9999-12-31T23:00:00-12:00",
    ],
)
def test_a_data_address_of_another_form_is_refused(at: str) -> None:
    with pytest.raises(InvalidRef, match="flights@golden"):
        DataAddress.parse(f"flights@{at}")


@pytest.mark.parametrize("name", ["v1", "1", "2013-06-30", "Golden", "", "a/b", "sha256:abcdef01"])
def test_a_tag_that_could_be_something_else_is_refused(name: str) -> None:
    with pytest.raises(InvalidRef):
        check_data_name(name)


@given(text=st.text(max_size=20) | st.from_regex(r"[a-z]{0,3}@v?[0-9a-z]{0,3}", fullmatch=True))
def test_any_text_is_a_ref_or_refused_and_what_is_a_ref_keeps_its_parts(text: str) -> None:
    for kind in (ModelRef, DataRef, DataAddress):
        try:
            ref = kind.parse(text)
        except InvalidRef:
            continue
        assert kind.parse(str(ref)) == ref
        assert text.partition("@")[0] == str(ref).partition("@")[0]


@pytest.mark.parametrize("name", NOT_NAMES)
def test_a_name_that_could_leave_its_place_is_refused(name: str) -> None:
    for refused in (
        lambda: check_name(name),
        lambda: ModelRef.parse(f"{name}@1"),
        lambda: ModelRef.parse(f"tiny@{name}"),
        lambda: DataRef.parse(f"{name}@v1"),
    ):
        with pytest.raises(Invalid):
            refused()


@pytest.mark.parametrize("text", ["tiny", "tiny@", "@1", "tiny@v1@2", "tiny @1", " tiny@1", "tiny@1\n"])
def test_a_model_ref_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(InvalidRef, match="late-arrivals@7") as refused:
        ModelRef.parse(text)
    assert refused.value.text == text


@pytest.mark.parametrize(
    "text", ["flights", "flights@12", "flights@v0", "flights@v", "flights@v-1", "flights@v1.0"]
)
def test_a_data_ref_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(InvalidRef, match="flights@v12"):
        DataRef.parse(text)


def test_a_bad_name_is_told_with_what_a_name_is() -> None:
    with pytest.raises(InvalidName) as refused:
        check_name("Late Arrivals")
    assert refused.value.name == "Late Arrivals"
    assert "lower-case" in str(refused.value)
