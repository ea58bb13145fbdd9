"""The messages that we define are those of Triton, byte for byte, and both live in one process."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as triton

from mainspring.gateway.grpc.messages import message

NAMES = [
    *(f"{call}{end}" for end in ("Request", "Response") for call in (
        "ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata", "ModelInfer", "RepositoryIndex",
        "RepositoryModelLoad", "RepositoryModelUnload",
    )),
    "ModelStreamInferResponse", "ModelConfigRequest", "ModelStatisticsRequest", "InferStatistics",
]  # fmt: skip

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
scalars: dict[int, st.SearchStrategy[Any]] = {
    1: st.floats(),
    2: st.floats(width=32),
    3: st.integers(-(2**63), 2**63 - 1),
    4: st.integers(0, 2**64 - 1),
    5: st.integers(-(2**31), 2**31 - 1),
    8: st.booleans(),
    9: texts,
    12: st.binary(max_size=5),
    13: st.integers(0, 2**32 - 1),
}
"""By the number that descriptors have for a type."""


def contents(of: Any) -> st.SearchStrategy[dict[str, Any]]:
    """What a message may hold, as its constructor takes it."""
    optional = {}
    for field in of.fields:
        inner = field.message_type
        if inner is None:
            value = scalars[field.type]
        elif inner.GetOptions().map_entry:
            value = st.dictionaries(texts, contents(inner.fields_by_name["value"].message_type), max_size=2)
        else:
            value = contents(inner)
        if field.is_repeated and not (inner and inner.GetOptions().map_entry):
            value = st.lists(value, max_size=3)
        optional[field.name] = value
    choices = {each.name: [one.name for one in each.fields] for each in of.oneofs}
    many = {name for names in choices.values() for name in names}
    chosen = st.fixed_dictionaries(
        {}, optional={name: each for name, each in optional.items() if name not in many}
    )
    for names in choices.values():
        one = st.sampled_from(names).flatmap(lambda name: st.fixed_dictionaries({name: optional[name]}))
        chosen = st.builds(dict.__or__, chosen, st.just({}) | one)
    return chosen


def fill(into: Any, held: dict[str, Any]) -> Any:
    """Set a message's fields; both libraries' messages are filled alike."""
    for name, value in held.items():
        field = into.DESCRIPTOR.fields_by_name[name]
        if field.message_type is None:
            getattr(into, name).extend(value) if field.is_repeated else setattr(into, name, value)
        elif field.message_type.GetOptions().map_entry:
            for key, each in value.items():
                fill(getattr(into, name)[key], each)
        elif field.is_repeated:
            for each in value:
                fill(getattr(into, name).add(), each)
        else:
            getattr(into, name).SetInParent()
            fill(getattr(into, name), value)
    return into


@pytest.mark.parametrize("name", NAMES)
def test_a_message_has_the_bytes_of_tritons_and_is_read_back_from_them(name: str) -> None:
    ours, theirs = message(f"inference.{name}"), getattr(triton, name)

    @given(contents(theirs.DESCRIPTOR))
    def check(held: dict[str, Any]) -> None:
        content = fill(theirs(), held).SerializeToString(deterministic=True)
        assert fill(ours(), held).SerializeToString(deterministic=True) == content
        assert ours.FromString(content).SerializeToString(deterministic=True) == content

    check()


def fields(of: Any) -> list[tuple[Any, ...]]:
    return [
        (
            each.number,
            each.name,
            each.type,
            each.is_repeated,
            each.containing_oneof and each.containing_oneof.name,
            each.message_type and each.message_type.full_name,
        )
        for each in of.fields
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_message_and_all_that_is_in_it_has_the_fields_of_tritons(name: str) -> None:
    waiting, seen = [(message(f"inference.{name}").DESCRIPTOR, getattr(triton, name).DESCRIPTOR)], set()
    while waiting:
        ours, theirs = waiting.pop()
        assert fields(ours) == fields(theirs), ours.full_name
        seen.add(ours.full_name)
        waiting += [
            (each.message_type, theirs.fields_by_name[each.name].message_type)
            for each in ours.fields
            if each.message_type and each.message_type.full_name not in seen
        ]
