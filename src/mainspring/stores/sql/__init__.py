"""The SQL store: one implementation for SQLite and PostgreSQL."""

from mainspring.stores.sql.database import Database, Transaction
from mainspring.stores.sql.errors import (
    DatabaseForeign,
    DatabaseNewer,
    DatabaseOlder,
    DatabaseUnsupported,
    DatabaseUntouched,
)
from mainspring.stores.sql.leases import Lease

__all__ = [
    "Database",
    "DatabaseForeign",
    "DatabaseNewer",
    "DatabaseOlder",
    "DatabaseUnsupported",
    "DatabaseUntouched",
    "Lease",
    "Transaction",
]
