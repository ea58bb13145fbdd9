"""The SQL stores keep every contract, on SQLite and on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mainspring.data.name import DataNameStore
from mainspring.data.version import DataStore
from mainspring.governance.approval import ApprovalStore
from mainspring.governance.ledger import Ledger
from mainspring.loop.cycle import LoopStore
from mainspring.monitoring.store import MonitoringStore
from mainspring.pipelines.run import RunStore
from mainspring.registry.registered import RegisteredModelStore, RegisteredVersionStore
from mainspring.registry.version import RegistryStore
from mainspring.registry.webhook import WebhookStore
from mainspring.rollouts.store import RolloutStore
from mainspring.stores.sql import Lease, Transaction
from mainspring.stores.sql.alerts import Delivery
from mainspring.testing.contracts import (
    ApprovalStoreContract,
    DataNameStoreContract,
    DataStoreContract,
    LedgerContract,
    LoopStoreContract,
    MonitoringStoreContract,
    RegisteredStoreContract,
    RegistryStoreContract,
    RolloutStoreContract,
    RunStoreContract,
    WebhookStoreContract,
)

NOON = datetime(2013, 2, 1, 12, tzinfo=UTC)


class TestData(DataStoreContract):
    @pytest.fixture
    def store(self, transaction: Transaction) -> DataStore:
        return transaction.data


class TestDataNames(DataNameStoreContract):
    @pytest.fixture
    def store(self, transaction: Transaction) -> DataNameStore:
        for number in (1, 2):
            transaction.data.add(replace(DataStoreContract.first, number=number))
        return transaction.data_names


class TestRegistry(RegistryStoreContract):
    @pytest.fixture
    def store(self, transaction: Transaction) -> RegistryStore:
        return transaction.registry


class TestRegistered(RegisteredStoreContract):
    @pytest.fixture
    def models(self, transaction: Transaction) -> RegisteredModelStore:
        return transaction.registered_models

    @pytest.fixture
    def versions(self, transaction: Transaction) -> RegisteredVersionStore:
        return transaction.registered_versions


class TestWebhooks(WebhookStoreContract):
    @pytest.fixture
    def store(self, transaction: Transaction) -> WebhookStore:
        return transaction.webhooks


class TestApprovals(ApprovalStoreContract):
    @pytest.fixture
    def store(self, transaction: Transaction) -> ApprovalStore:
        return transaction.approvals


class TestRuns(RunStoreContract):
    @pytest.fixture
    def store(self, transaction: Transaction) -> RunStore:
        return transaction.runs


class TestLoop(LoopStoreContract):
    @pytest.fixture
    def store(self, transaction: Transaction) -> LoopStore:
        return transaction.loop


class TestLedger(LedgerContract):
    @pytest.fixture
    def store(self, transaction: Transaction) -> Ledger:
        return transaction.ledger


class TestMonitoring(MonitoringStoreContract):
    @pytest.fixture
    def store(self, transaction: Transaction) -> MonitoringStore:
        return transaction.monitoring


class TestRollouts(RolloutStoreContract):
    @pytest.fixture
    def store(self, transaction: Transaction) -> RolloutStore:
        return transaction.rollouts


def test_a_value_is_replaced_under_its_key(transaction: Transaction) -> None:
    values = transaction.values
    assert values.get("clock") is None
    values.put("clock", "2013-02-01")
    values.put("clock", "2013-02-02")
    assert values.get("clock") == "2013-02-02"


def test_values_are_listed_by_the_beginning_of_their_keys(transaction: Transaction) -> None:
    for key in ("product/b", "product/a", "Product/c", "product", "product_d"):
        transaction.values.put(key, key.upper())
    assert list(transaction.values.items("product/").items()) == [
        ("product/a", "PRODUCT/A"),
        ("product/b", "PRODUCT/B"),
    ]


def test_a_lease_is_held_by_one_at_a_time(transaction: Transaction) -> None:
    first = transaction.leases.acquire("loop", "a", ttl_s=10, now=NOON)
    assert first == Lease(name="loop", holder="a", expires_at=NOON + timedelta(seconds=10))
    assert transaction.leases.acquire("loop", "b", ttl_s=10, now=NOON + timedelta(seconds=9)) == first
    assert transaction.leases.acquire("other", "b", ttl_s=10, now=NOON).holder == "b"


def test_a_lease_is_renewed_by_its_holder(transaction: Transaction) -> None:
    transaction.leases.acquire("loop", "a", ttl_s=10, now=NOON)
    renewed = transaction.leases.acquire("loop", "a", ttl_s=10, now=NOON + timedelta(seconds=9))
    assert renewed.expires_at == NOON + timedelta(seconds=19)


def test_a_lease_that_has_run_out_goes_to_who_asks_first(transaction: Transaction) -> None:
    transaction.leases.acquire("loop", "a", ttl_s=10, now=NOON)
    later = NOON + timedelta(seconds=10)
    assert transaction.leases.acquire("loop", "b", ttl_s=10, now=later).holder == "b"
    assert transaction.leases.acquire("loop", "a", ttl_s=10, now=later).holder == "b"


def test_only_its_holder_gives_a_lease_back(transaction: Transaction) -> None:
    transaction.leases.acquire("loop", "a", ttl_s=10, now=NOON)
    transaction.leases.release("loop", "b")
    assert transaction.leases.acquire("loop", "b", ttl_s=10, now=NOON).holder == "a"
    transaction.leases.release("loop", "a")
    assert transaction.leases.acquire("loop", "b", ttl_s=10, now=NOON).holder == "b"


def test_a_delivery_waits_until_it_was_sent_and_is_kept_once(transaction: Transaction) -> None:
    store = transaction.alerts
    first = Delivery(route="ops", number=2**40, product="tiny")
    second = replace(first, number=7)
    store.add([first, second, replace(first, route="mail")])
    store.add([replace(first, attempts=9)])
    store.add([])
    assert store.waiting() == (replace(first, route="mail"), second, first)
    assert store.last_sent() == {}
    store.put_failed("ops", [7], attempts=3, retry_at=NOON, error="away")
    failed = replace(second, attempts=3, retry_at="2013-02-01T12:00:00.000000Z", error="away")
    assert failed in store.waiting()
    store.put_sent("ops", [7], NOON, note="not to everybody")
    assert store.last_notes() == {"ops": "not to everybody"}
    store.put_sent("ops", [2**40], NOON + timedelta(hours=1), note="")
    assert store.waiting() == (replace(first, route="mail"),)
    assert store.last_sent() == {("ops", "tiny"): NOON + timedelta(hours=1)}
    assert store.last_notes() == {"ops": ""}
