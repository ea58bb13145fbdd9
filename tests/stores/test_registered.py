"""Registered models in SQL: numbers that are never given twice, and products among what clients register."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mainspring.registry.registered import RegisteredModelTaken, RegisteredVersion, RegisteredVersionNotFound
from mainspring.search import AllOf, Search
from mainspring.stores.sql import Transaction
from mainspring.testing.contracts import RegistryStoreContract

FIRST = RegistryStoreContract.first
EVERYTHING = Search(condition=AllOf(()), limit=100)


@contextmanager
def aside(transaction: Transaction) -> Iterator[None]:
    """Let what is written in the block be undone at its end."""
    connection = transaction.registered_models.connection  # type: ignore[attr-defined]
    nested = connection.begin_nested()
    try:
        yield
    finally:
        nested.rollback()


def version(name: str) -> RegisteredVersion:
    return RegisteredVersion(
        name=name, number=0, source="s3://b", location="s3://b", created_ms=1, updated_ms=1
    )


# A step registers a version, deletes the one of a number, or renames the model.
STEPS = st.lists(st.one_of(st.none(), st.integers(1, 6), st.sampled_from(["a", "b"])), max_size=20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(steps=STEPS)
def test_version_numbers_are_never_reused(transaction: Transaction, steps: list[int | str | None]) -> None:
    with aside(transaction):
        models, versions = transaction.registered_models, transaction.registered_versions
        name = models.add("a", "", {}, 1).name
        given: list[int] = []
        there: set[int] = set()
        for step in steps:
            if step is None:
                given.append(versions.add(version(name)).number)
                there.add(given[-1])
            elif isinstance(step, str):
                models.rename(name, step, 1)
                name = step
            else:
                with suppress(RegisteredVersionNotFound):
                    versions.remove(name, step, 1)
                there.discard(step)
        assert given == list(range(1, len(given) + 1))
        assert {each.number for each in versions.search(EVERYTHING).items} == there


def test_a_products_versions_are_versions_of_the_registered_model(transaction: Transaction) -> None:
    product = FIRST.product
    transaction.registry.reserve(product, FIRST.registered_at - timedelta(days=1))
    assert transaction.registered_models.get(product).product
    transaction.registry.add(FIRST)
    transaction.registry.add(replace(FIRST, number=2))
    model = transaction.registered_models.get(product)
    assert (model.product, [each.number for each in model.latest]) == (True, [2])
    found = transaction.registered_versions.get(product, 1)
    assert found.source == f"mainspring:/{product}@1"
    assert (found.run_id, found.description) == (FIRST.run_id, FIRST.reason)
    assert datetime.fromtimestamp(found.created_ms / 1000, UTC) == FIRST.registered_at.replace(
        microsecond=123000
    )
    assert found.tags == {"mainspring.cycle": FIRST.cycle_id, "mainspring.artifact": FIRST.artifact}


def test_a_products_aliases_are_those_of_the_registered_model(transaction: Transaction) -> None:
    for number in (1, 2):
        transaction.registry.add(replace(FIRST, number=number))
    move = transaction.registry.move
    move(FIRST.product, "champion", expected=None, to=1)
    move(FIRST.product, "champion", expected=1, to=2)
    move(FIRST.product, "challenger", expected=None, to=1)
    assert transaction.registered_models.get(FIRST.product).aliases == {"challenger": 1, "champion": 2}
    move(FIRST.product, "challenger", expected=1, to=None)
    assert transaction.registered_models.get(FIRST.product).aliases == {"champion": 2}
    assert transaction.registry.aliases(FIRST.product) == {"champion": 2}


def test_a_name_is_a_clients_or_a_products(transaction: Transaction) -> None:
    transaction.registered_models.add(FIRST.product, "", {}, 1)
    assert transaction.registry.is_taken(FIRST.product)
    with pytest.raises(RegisteredModelTaken):
        transaction.registry.reserve(FIRST.product, FIRST.registered_at)
    transaction.registered_models.remove(FIRST.product)
    transaction.registry.reserve(FIRST.product, FIRST.registered_at)
    transaction.registry.reserve(FIRST.product, FIRST.registered_at)
    assert not transaction.registry.is_taken(FIRST.product)
    with pytest.raises(RegisteredModelTaken, match="product") as refused:
        transaction.registered_models.add(FIRST.product, "", {}, 1)
    assert refused.value.product
