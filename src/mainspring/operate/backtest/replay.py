"""One replay: a workspace of its own, in which the loop turns again at each recorded moment."""

from __future__ import annotations

__all__ = ["Replay", "replay"]

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mainspring.clock import time_text
from mainspring.loop import Cycle
from mainspring.operate.backtest.answers import Answers
from mainspring.operate.backtest.traffic import Served, Traffic
from mainspring.operate.controller import turn
from mainspring.operate.declare import DeclarationInvalid
from mainspring.operate.gain import Gain, gains
from mainspring.operate.tasks import Describe, Described
from mainspring.operate.workers import TaskFailed
from mainspring.stores.segments import SegmentWriter
from mainspring.triggers import OnDemand
from mainspring.workspace import Workspace, open_workspace

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from mainspring.monitoring import Alarm
    from mainspring.operate.backtest.history import History
    from mainspring.operate.turns import NotedTurn
    from mainspring.product import ProductSpec
    from mainspring.stores.sql.database import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What came of a replay.

    Attributes
    ----------
    spec : ProductSpec
        The product under the policy.
    cycles, alarms, gains : tuple
        What the loop did, what monitors said, and what promotions were worth.
    seconds : mapping of str to float
        By cycle, what training and judging took: measured here, where nothing was found again.
    served : Served
        What was answered.
    """

    spec: ProductSpec
    cycles: tuple[Cycle, ...]
    alarms: tuple[Alarm, ...]
    gains: tuple[Gain, ...]
    seconds: Mapping[str, float]
    served: Served


def replay(
    workspace: Workspace,
    history: History,
    policy: Path | None,
    folder: Path,
    tell: Callable[[datetime, str], None] = lambda at, what: None,
) -> Replay:
    """Turn the loop again, under another policy or as it is declared.

    Parameters
    ----------
    workspace : Workspace
        The recorded one; nothing of it is changed.
    history : History
        What it has recorded.
    policy : Path, optional
        The file with what is to be otherwise.
    folder : Path
        Where the replay keeps its state; on the file system of the workspace, its blobs take no room.
    tell : callable
        Told where the replay is, and what it does.

    Raises
    ------
    DeclarationInvalid
        The policy does not import, sets what no policy sets, or contradicts itself.
    NotInTheLog
        A version is to be asked for inputs that the log leaves out.
    """
    name = history.spec.name
    with _workspace(workspace, history, policy, folder) as scratch:
        spec = _declare(scratch, history)
        at = history.turns[0].at
        answers = Answers(scratch, history.rows, history.versions, lambda what: tell(at, what))
        traffic = Traffic(history, answers, scratch.clock)
        waiting = _Waiting(history, spec)
        with SegmentWriter(scratch.logs / "replay") as writer:
            day = at.date()
            for noted in history.turns:
                at = noted.at
                tell(at, "")
                scratch.advance(at)
                if at.date() != day:
                    day = at.date()
                    writer.roll()  # as a gateway does: what has ended moves into tables
                with scratch.database.read() as tx:
                    route = next((each for each in tx.rollouts.routes() if each.product == name), None)
                    versions = {each.number: each for each in tx.registry.versions(name)}
                if records := traffic.until(noted, route, versions):
                    writer.append(records)
                waiting.publish(scratch, noted)
                turn(scratch)
        with scratch.database.read() as tx:
            cycles = tx.loop.cycles(name)
            return Replay(
                spec=spec,
                cycles=cycles,
                alarms=tx.monitoring.alarms(name),
                gains=gains(tx, name),
                seconds={each.cycle_id: _seconds(tx, history, each) for each in cycles},
                served=traffic.served,
            )


def _seconds(tx: Transaction, history: History, cycle: Cycle) -> float:
    """What training and judging took: as it did then, where all steps were found again, or else here."""
    known = {each.key.digest for each in history.steps}
    keys = [step["key"] for step in tx.runs.get(cycle.run_id).steps if "key" in step] if cycle.trains else []
    if keys and known.issuperset(keys) and cycle.cycle_id in history.seconds:
        return history.seconds[cycle.cycle_id]
    return sum(map(float, tx.values.items(f"seconds:{cycle.cycle_id}:").values()))


class _Waiting:
    """What was published and asked for, and is not yet in the replay."""

    def __init__(self, history: History, spec: ProductSpec) -> None:
        self._data = list(history.data)
        asked = any(isinstance(each, OnDemand) for each in spec.retrain)
        self._requests = list(history.requests) if asked else []

    def publish(self, scratch: Workspace, noted: NotedTurn) -> None:
        """Bring in what a turn saw."""

        def seen(number: int, at: datetime) -> bool:
            return number <= noted.entries if noted.entries else at < noted.at

        data = [each for each in self._data if seen(each[0], each[1].published_at)]
        asked = [each for each in self._requests if seen(each[0], each[1].at)]
        if not data and not asked:
            return
        with scratch.database.write() as tx:
            for each in data:
                tx.data.add(each[1])
                self._data.remove(each)
            for place in asked:
                tx.loop.request(replace(place[1], cycle_id=None))
                self._requests.remove(place)


def _workspace(workspace: Workspace, history: History, policy: Path | None, folder: Path) -> Workspace:
    """Open a workspace with the same code, data and blobs, and a state of its own."""
    folder.mkdir(parents=True)
    begin = min(history.declared_at, history.turns[0].at)
    settings = replace(
        workspace.settings,
        place=folder,
        database="",
        online_store="",
        clock=time_text(begin),
        gateways=1,
        log_window_s=0.0,
        alerts={},
    )
    # A blob never changes, so that one file may stand for it in both places.
    shutil.copytree(workspace.blobs.root, folder / "blobs", copy_function=_link)
    (folder / "tables").mkdir()
    for dataset in history.spec.datasets:
        if (workspace.tables.root / dataset.name).exists():
            (folder / "tables" / dataset.name).symlink_to(workspace.tables.root / dataset.name)
    if policy is not None:
        settings.policies.mkdir()
        shutil.copy(policy, settings.policies / f"{history.spec.name}.py")
    return open_workspace(settings.root, settings)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def _declare(scratch: Workspace, history: History) -> ProductSpec:
    """Declare the product alone, as it is under the policy, and bring in what need not be made again."""
    try:
        described = scratch.workers.ask(Describe(), Described)
    except TaskFailed as error:
        raise DeclarationInvalid(str(error)) from None
    spec = next((each for each in described.products if each.name == history.spec.name), None)
    if spec is None:
        raise DeclarationInvalid(
            "\n".join(described.refused.values())
            or f"No product file declares {history.spec.name!r} any more: restore it, and replay it then."
        )
    with scratch.database.write() as tx:
        tx.values.put(f"product:{spec.name}", spec.to_json())
        tx.values.put(f"declared:{spec.name}", time_text(history.declared_at))
        for key, value in history.values.items():
            tx.values.put(key, value)
        for run in history.runs:
            tx.runs.put(run)
        for step in history.steps:
            tx.runs.add_step(step)
    return spec
