"""One contract per store Protocol: a class of tests to inherit, with a fixture `store` that gives an empty store."""

from mainspring.testing.contracts.approvals import ApprovalStoreContract
from mainspring.testing.contracts.data import DataNameStoreContract, DataStoreContract
from mainspring.testing.contracts.ledger import LedgerContract
from mainspring.testing.contracts.loop import LoopStoreContract
from mainspring.testing.contracts.monitoring import MonitoringStoreContract
from mainspring.testing.contracts.online import OnlineStoreContract
from mainspring.testing.contracts.registered import RegisteredStoreContract
from mainspring.testing.contracts.registry import RegistryStoreContract
from mainspring.testing.contracts.rollouts import RolloutStoreContract
from mainspring.testing.contracts.runs import RunStoreContract
from mainspring.testing.contracts.webhooks import WebhookStoreContract

__all__ = [
    "ApprovalStoreContract",
    "DataNameStoreContract",
    "DataStoreContract",
    "LedgerContract",
    "LoopStoreContract",
    "MonitoringStoreContract",
    "OnlineStoreContract",
    "RegisteredStoreContract",
    "RegistryStoreContract",
    "RolloutStoreContract",
    "RunStoreContract",
    "WebhookStoreContract",
]
