"""Databases that cannot be opened, and faults of the driver in the words of the person who must mend them."""

from __future__ import annotations

__all__ = [
    "DatabaseForeign",
    "DatabaseNewer",
    "DatabaseOlder",
    "DatabaseUnsupported",
    "DatabaseUntouched",
    "unavailable",
]

from typing import TYPE_CHECKING

from mainspring.errors import Invalid, Refused
from mainspring.stores.errors import StoreUnavailable

if TYPE_CHECKING:
    from sqlalchemy.exc import DBAPIError


class DatabaseUnsupported(Invalid):
    """A database URL that names no database that mainspring can use."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(url, why)
        self.url, self.why = url, why

    def __str__(self) -> str:
        return (
            f"{self.url!r} names no database that mainspring can use: {self.why}. "
            "Write `sqlite:////absolute/path/state.db` or `postgresql://user@host/database`."
        )


class DatabaseUntouched(Refused):
    """A database that was not opened, and in which nothing was changed."""


class DatabaseOlder(DatabaseUntouched):
    """A database that an earlier mainspring wrote."""

    def __init__(self, where: str, found: str, needed: str) -> None:
        super().__init__(where, found, needed)
        self.where, self.found, self.needed = where, found, needed

    def __str__(self) -> str:
        return (
            f"{self.where} is at revision {self.found}, and this mainspring needs {self.needed}. Nothing was changed. "
            "Stop what uses it, keep a copy of it, and run `mainspring upgrade`."
        )


class DatabaseNewer(DatabaseUntouched):
    """A database that a later mainspring wrote."""

    def __init__(self, where: str, found: str, needed: str, written_by: str | None) -> None:
        super().__init__(where, found, needed, written_by)
        self.where, self.found, self.needed, self.written_by = where, found, needed, written_by

    def __str__(self) -> str:
        which = "a newer version" if self.written_by is None else f"version {self.written_by} or newer"
        return (
            f"{self.where} is at revision {self.found}, and this mainspring knows only those up to {self.needed}: it "
            f"is too old. Nothing was changed. Install {which} of mainspring, then try again."
        )


class DatabaseForeign(DatabaseUntouched):
    """A database that holds the tables of another program."""

    def __init__(self, where: str, tables: tuple[str, ...]) -> None:
        super().__init__(where, tables)
        self.where, self.tables = where, tables

    def __str__(self) -> str:
        some = ", ".join(self.tables[:3]) + (", …" if len(self.tables) > 3 else "")
        return (
            f"{self.where} holds tables that are not mainspring's ({some}). Nothing was changed. "
            "Name an empty database, or a new file, that mainspring has for itself."
        )


_SQLITE = {
    "SQLITE_BUSY": (
        "another process has held it for too long",
        "Try again; if it stays so, look for a process that hangs with the database open.",
    ),
    "SQLITE_FULL": ("the disk is full", "Free space on that disk, then try again."),
    "SQLITE_CANTOPEN": (
        "the file cannot be opened",
        "See that its folder exists and that you may write there.",
    ),
    "SQLITE_READONLY": ("it may not be written", "See that you may write the file and its folder."),
    "SQLITE_CORRUPT": ("the file is damaged", "Put back a copy from before the damage."),
    "SQLITE_NOTADB": ("the file is no SQLite database", "Name another file."),
    "SQLITE_IOERR": (
        "the disk gave an error, or the file may not grow further",
        "See that the disk works, has space left, and that no limit holds for the size of files.",
    ),
}

_POSTGRESQL = {
    "53": ("the server has run out of disk, memory or connections", "Give it more, then try again."),
    "55P03": (
        "another process has held its lock for too long",
        "Try again; if it stays so, look for a process that hangs in a transaction.",
    ),
    "57": ("the server is shutting down or ended the connection", "Try again when it is up."),
    "40": ("it got into a deadlock with another transaction", "Try again."),
}


def unavailable(where: str, error: DBAPIError) -> StoreUnavailable | None:
    """Say what a fault of the driver means to a person; None for one that only a fault of ours can cause."""
    name = getattr(error.orig, "sqlite_errorname", None)
    if name is not None:
        # Extended names continue the plain one: SQLITE_IOERR_WRITE, SQLITE_BUSY_SNAPSHOT.
        known = next((text for plain, text in _SQLITE.items() if name.startswith(plain)), None)
    else:
        state = getattr(error.orig, "sqlstate", None) or ""
        known = next((text for prefix, text in _POSTGRESQL.items() if state.startswith(prefix)), None)
        if known is None and type(error).__name__ in ("OperationalError", "InterfaceError"):
            known = (
                f"no connection could be made ({str(error.orig).strip().splitlines()[0]})",
                "See that the server runs and that the URL is right.",
            )
    return StoreUnavailable(where, *known) if known else None
