"""The controller: reads, watches, and carries out what the loop decides, until there is nothing left to do."""

from __future__ import annotations

__all__ = ["Controller", "Turn", "turn"]

import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from mainspring.errors import MainspringError
from mainspring.loop import Judge, Start, Train, decide
from mainspring.operate.acts import carry_out
from mainspring.operate.certify import certify_due
from mainspring.operate.compact import compact
from mainspring.operate.declare import declare, refused_files
from mainspring.operate.end_alarms import end_alarms
from mainspring.operate.forecast import plan_begun
from mainspring.operate.gain import measure_gain
from mainspring.operate.ingest import ingest
from mainspring.operate.observe import observe
from mainspring.operate.turns import note, seen_by
from mainspring.operate.verify_version import check_versions
from mainspring.operate.watch import watch

if TYPE_CHECKING:
    from types import TracebackType

    from mainspring.workspace import Workspace


_log = logging.getLogger(__name__)
_LEASE_S = 60.0
_LEAVE_S = 3.0
_OF_CODE = Start | Train | Judge
"""What needs the code of a product, or would only wait for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one turn did: records read, alarms raised, and acts carried out, in words.

    `refused` says of each product file that is at fault what is wrong with it: its products go on as they were declared
    before, except for what needs their code.
    """

    records: int
    alarms: tuple[str, ...]
    acts: tuple[str, ...]
    refused: tuple[str, ...]


def turn(workspace: Workspace, boundary: Callable[[str], None] = lambda place: None) -> Turn:
    """Turn the loop of every product until it is at rest at the present moment.

    It may be killed anywhere and called again: what was recorded stays, what was not is done again.

    Parameters
    ----------
    workspace : Workspace
        Whose products.
    boundary : callable
        Told where the work stands; see `mainspring.operate.acts.carry_out`.
    """
    boundary("before ingest")
    began = workspace.clock.now()
    records = ingest(workspace)
    boundary("before watch")
    with workspace.database.read() as tx:
        specs, refused = workspace.specs(tx), refused_files(tx)
        noted = seen_by(tx, began)
    alarms, acts = [], []
    errors: list[Exception] = []
    for spec in specs.values():
        try:
            if noted.first_of_day:
                check_versions(workspace, spec.name)
            alarms += [f"{alarm.product}: {alarm.monitor}" for alarm in watch(workspace, spec)]
            if (certificate := certify_due(workspace, spec)) is not None:
                acts.append(f"{spec.name}: Certify ({certificate.verdict.value})")
            while (action := decide(observe(workspace, spec))) is not None:
                if spec.file in refused and isinstance(action, _OF_CODE):
                    break  # until the file is mended
                carry_out(workspace, spec, action, boundary)
                acts.append(f"{spec.name}: {type(action).__name__}")
            end_alarms(workspace, spec)
            plan_begun(workspace, spec)
            measure_gain(workspace, spec)
        except Exception as error:  # noqa: BLE001 - one product's trouble does not keep the others from their turn
            errors.append(error)
    if acts or alarms or noted.first_of_day:
        with workspace.database.write() as tx:
            note(tx, noted)
    compact(workspace, boundary)
    if errors:
        raise errors[0]
    return Turn(
        records=records,
        alarms=tuple(alarms),
        acts=tuple(acts),
        refused=tuple(dict.fromkeys(refused.values())),
    )


@dataclass(slots=True)
class Controller:
    """A thread that turns the loop of a workspace in the system's time.

    Attributes
    ----------
    workspace : Workspace
        Whose products.
    """

    workspace: Workspace
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name="controller", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            # Most turns have ended by then, and start no worker in a workspace that is closed. What takes longer is
            # gone on with by the next process, as after a crash.
            self._thread.join(_LEAVE_S)

    def _run(self) -> None:
        told = ""
        while not self._stop.wait(self.workspace.settings.interval_s):
            try:
                if not self._leads():
                    continue
                try:
                    declare(self.workspace, actor="product file")
                finally:
                    # What is at fault stays as it was declared, and keeps nothing else from its turn.
                    turn(self.workspace)
                told = ""
            except Exception as error:  # noqa: BLE001 - without this thread the loop would stand still unnoticed
                # A full disk or a database that is away passes; the next turn goes on from what is recorded.
                if str(error) != told:
                    _log.error("%s", error, exc_info=None if isinstance(error, MainspringError) else error)
                told = str(error)

    def _leads(self) -> bool:
        """Take or renew the lease, so that of several control planes on one database one turns the loop.

        A turn may outlast the lease. Another control plane then begins the same acts: that costs work and changes
        nothing, since each act is recorded only from the state that it began in.
        """
        # The same after a restart on this machine, which need not wait for its own lease to run out.
        holder = f"{socket.gethostname()}:{self.workspace.settings.root}"
        with self.workspace.database.write() as tx:
            lease = tx.leases.acquire("loop", holder, ttl_s=_LEASE_S, now=datetime.now(UTC))
        return lease.holder == holder
