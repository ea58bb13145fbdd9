"""Errors of stores travel between processes and say how to mend what is wrong."""

from __future__ import annotations

import errno
import pickle
from pathlib import Path

import pytest

from mainspring.digest import digest_of
from mainspring.errors import Fault, MainspringError
from mainspring.stores.blobs import BlobCorrupt, BlobNotFound
from mainspring.stores.errors import StoreUnavailable, disk_refused
from mainspring.stores.sql import DatabaseForeign, DatabaseNewer, DatabaseOlder, DatabaseUnsupported
from mainspring.stores.tables import TableNotFound, TableRefused


@pytest.mark.parametrize(
    "error",
    [
        StoreUnavailable("state.db", "the disk is full", "Free space."),
        BlobNotFound(digest_of(b"a")),
        BlobCorrupt(digest_of(b"a"), digest_of(b"b"), "a/file"),
        DatabaseForeign("state.db", ("invoices", "orders", "people", "visits")),
        DatabaseNewer("state.db", "0009", "0001", None),
        DatabaseNewer("state.db", "0009", "0001", "1.2"),
        DatabaseOlder("state.db", "0000", "0001"),
        DatabaseUnsupported("mysql://x", "it is no file"),
        TableNotFound("flights", None),
        TableNotFound("flights", 3),
        TableRefused("These rows", (Fault("delay", "it is text."),)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_keeps_its_text_on_the_way_to_another_process(error: MainspringError) -> None:
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize(
    ("error", "mend"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "Free space"),
        (OSError(errno.EACCES, "Permission denied"), "you may write there"),
        (OSError(errno.EIO, "Input/output error"), "the disk works"),
        (OSError("Generic LocalFileSystem error: no room (os error 28)"), "Free space"),
        (OSError("something else\nwith details"), "something else"),
    ],
)
def test_a_fault_of_the_disk_says_how_to_mend_it(error: OSError, mend: str) -> None:
    assert mend in str(disk_refused(Path("a/folder"), error))
    assert "\n" not in str(disk_refused(Path("a/folder"), error))
