"""Run events of OpenLineage on their way: to a catalogue over HTTP, and to a file, each in the ledger's order.

How far each has read is recorded after every entry, so that a process may be killed anywhere: what was told and not yet
recorded is told once more, word for word. A new one begins with the first entry of the ledger.
"""

from __future__ import annotations

__all__ = ["Told", "lineage_telling", "tell_runs"]

import functools
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

import msgspec

from mainspring.clock import parse_time, time_text
from mainspring.errors import MainspringError, NotFound
from mainspring.ref import DataRef
from mainspring.sinks.background import Background
from mainspring.sinks.run_events import Document, Known, run_events

if TYPE_CHECKING:
    from mainspring.settings import Settings
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace

_log = logging.getLogger(__name__)
_FIRST_RETRY, _LAST_RETRY = timedelta(seconds=10), timedelta(minutes=15)
_AT_ONCE = 200  # entries of a turn
_TIMEOUT_S = 10.0
_PATH = "/api/v1/lineage"
_NEVER = frozenset({400, 413, 415, 422})
"""What is answered so will be answered so again: the event is left out, and the next one told."""

Send = Callable[[list[Document]], None]


class NotTaken(MainspringError):
    """Events that were not taken, and are told again later."""


class Refused(MainspringError):
    """Events that will not be taken, however often they are told."""


class Told(msgspec.Struct, frozen=True):
    """How far one has been told, and what kept it from more.

    Attributes
    ----------
    read : int
        The last entry of the ledger that it was told.
    attempts : int
        How often the next one was not taken.
    retry_at : str
        When it is told again.
    error : str
        Why it was not taken.
    left_out : int
        How many entries it has refused for good.
    """

    read: int = 0
    attempts: int = 0
    retry_at: str = ""
    error: str = ""
    left_out: int = 0


def tell_runs(
    workspace: Workspace, now: datetime, environment: Mapping[str, str] = os.environ
) -> dict[str, Told]:
    """Tell each what is new in the ledger, as far as it takes it; one that does not keeps no other waiting.

    Parameters
    ----------
    workspace : Workspace
        Whose ledger and settings.
    now : datetime
        By the machine's clock.
    environment : mapping
        Where the key for the catalogue is.

    Returns
    -------
    dict of str to Told
        By `http` and `file`, where they are set, how far each was told.
    """
    return {
        name: _tell(workspace, name, send, now)
        for name, send in _ways(workspace.settings, environment).items()
    }


def lineage_telling(workspace: Workspace) -> Background:
    """Give the thread that tells a workspace's run events; where nobody is to be told, it does nothing."""

    def work(now: datetime) -> None:
        tell_runs(workspace, now)

    return Background(workspace, "openlineage", work if _ways(workspace.settings, os.environ) else None)


def _ways(settings: Settings, environment: Mapping[str, str]) -> dict[str, Send]:
    ways: dict[str, Send] = {}
    if url := settings.openlineage_url:
        address = url if urlsplit(url).path.strip("/") else url.rstrip("/") + _PATH
        ways["http"] = functools.partial(_post, address, environment.get("OPENLINEAGE_API_KEY", ""))
    if settings.openlineage_file:
        ways["file"] = functools.partial(_append, settings.root / settings.openlineage_file)
    return ways


def _tell(workspace: Workspace, name: str, send: Send, now: datetime) -> Told:
    key = f"openlineage:{name}"
    with workspace.database.read() as tx:
        told = msgspec.json.decode(tx.values.get(key) or "{}", type=Told)
        if told.retry_at and parse_time(told.retry_at) > now:
            return told
        due = list(_due(workspace, tx, told.read))
    for number, events in due:
        left_out, error = told.left_out, ""
        try:
            if events:
                send(events)
        except NotTaken as failure:
            pause = min(_FIRST_RETRY * 2 ** min(told.attempts, 16), _LAST_RETRY)
            _log.warning("OpenLineage (%s) has not taken entry %d: %s", name, number, failure)
            told = Told(told.read, told.attempts + 1, time_text(now + pause), str(failure), left_out)
            _keep(workspace, key, told)
            return told
        except Refused as failure:
            left_out, error = left_out + 1, str(failure)
            _log.warning("OpenLineage (%s) refuses entry %d, which is left out: %s", name, number, failure)
        told = Told(read=number, left_out=left_out, error=error or (told.error if left_out else ""))
        if events:
            _keep(workspace, key, told)
    if due:
        _keep(workspace, key, told)
    return told


def _keep(workspace: Workspace, key: str, told: Told) -> None:
    with workspace.database.write() as tx:
        tx.values.put(key, msgspec.json.encode(told).decode())


def _due(workspace: Workspace, tx: Transaction, after: int) -> Iterator[tuple[int, list[Document]]]:
    """The next entries, with what each tells."""
    entries = list(tx.ledger.entries(after=after, limit=_AT_ONCE))
    if not entries:
        return
    first = next(iter(tx.ledger.entries(limit=1)))
    specs = workspace.specs(tx).values()

    def rows(ref: str) -> int | None:
        try:
            return tx.data.get(DataRef.parse(ref)).rows
        except NotFound:
            return None

    def run(run_id: str) -> tuple[str, str]:
        found = tx.runs.get(run_id)
        return found.product, time_text(found.started_at)

    known = Known(
        workspace=first.hash,
        namespace=workspace.settings.openlineage_namespace or "mainspring",
        schemas={
            each.name: {column.name: column.dtype for column in each.columns}
            for spec in specs
            for each in spec.datasets
        },
        rows=rows,
        run=run,
    )
    for entry in entries:
        yield entry.number, list(run_events(entry, known))


def _post(url: str, key: str, events: list[Document]) -> None:
    import httpx

    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    for event in events:
        try:
            # The answer's body is not read, so that it cannot keep us.
            content = msgspec.json.encode(event)
            with httpx.stream("POST", url, content=content, headers=headers, timeout=_TIMEOUT_S) as answer:
                status = answer.status_code
        except httpx.TimeoutException:
            raise NotTaken(f"It did not answer within {_TIMEOUT_S:g} seconds.") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NotTaken(f"It could not be reached: {type(error).__name__}.") from None
        if status in _NEVER:
            raise Refused(f"It answered with status {status}.")
        if not 200 <= status < 300:
            raise NotTaken(f"It answered with status {status}.")


def _append(file: Path, events: list[Document]) -> None:
    """Add lines, which are on disk afterwards; half a line of a process that was killed is taken away before."""
    content = b"".join(msgspec.json.encode(event) + b"\n" for event in events)
    try:
        with file.open("ab+") as opened:
            size = opened.seek(0, os.SEEK_END)
            opened.truncate(_whole(opened, size))
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
    except OSError as error:
        raise NotTaken(f"{file}: {error.strerror or error}.") from error


def _whole(opened: BinaryIO, size: int) -> int:
    """How many bytes of a file are whole lines."""
    end = size
    while end > 0:
        start = max(0, end - 65_536)
        opened.seek(start)
        cut = opened.read(end - start).rfind(b"\n")
        if cut >= 0:
            return start + cut + 1
        end = start
    return 0
