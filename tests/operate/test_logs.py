"""Logs that somebody has damaged: the others go on, the damage is told, and so is the loss that is accepted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.operate.test_ingest import counts, go_to, quality, record_of
from tests.operate.tiny import ask
from tests.products.tiny.orders import FIRST, orders

from mainspring.errors import Invalid
from mainspring.events import EventType
from mainspring.governance import verify
from mainspring.monitoring.record import LabelEntry, LabelRecord
from mainspring.operate.compact import GROUP, compact, prediction_log
from mainspring.operate.controller import turn
from mainspring.operate.ingest import ingest, log_counts
from mainspring.operate.logs import NotDamaged, StillWritten, UnknownLog, accept_loss
from mainspring.operate.status import product_status
from mainspring.stores.segments import LogUnwritable, SegmentCorrupt, SegmentWriter, segments
from mainspring.workspace import Workspace, open_workspace

LOG_EVENTS = (EventType.LOG_DAMAGED, EventType.LOG_RESTORED, EventType.LOG_LOSS_ACCEPTED)


def write(workspace: Workspace, *names: str, log: str = "gateway-0") -> None:
    """Log one prediction a segment."""
    with SegmentWriter(workspace.logs / log, limit=0) as writer:
        for name in names:
            writer.append([record_of(name, workspace.clock.now())])


def delete(workspace: Workspace, *numbers: int) -> None:
    for number in numbers:
        (workspace.logs / "gateway-0" / f"{number:08}.log").unlink()


def logged(workspace: Workspace) -> list[str]:
    return sorted(prediction_log(workspace, "tiny")[0]["prediction_id"])


def damaged(workspace: Workspace) -> list[str]:
    return product_status(workspace, "tiny").damaged_logs


def told(workspace: Workspace) -> list[tuple[str, str, str]]:
    with workspace.database.read() as tx:
        assert verify(tx.ledger.entries()).sound
        entries = [each for each in tx.ledger.entries() if each.type in LOG_EVENTS]
    return [(each.type, each.subject, each.actor) for each in entries]


def accept(workspace: Workspace, log: str = "gateway-0") -> str:
    return accept_loss(workspace, log, actor="ana", reason="no copy").told


def test_a_lost_segment_is_told_once_and_keeps_nobody_else_from_being_read(workspace: Workspace) -> None:
    go_to(workspace, 1)
    write(workspace, "a", "b", "c")
    write(workspace, "d", "e", log="gateway-1")
    delete(workspace, 2)
    for _ in range(2):
        assert turn(workspace).alarms == ()
    assert counts(workspace)[0] == 3
    assert told(workspace) == [("log.damaged", "log/gateway-0", "loop")]
    (damage,) = damaged(workspace)
    assert "00000002.log at byte 0: the file is gone" in damage
    assert "mainspring log accept-loss gateway-0" in damage
    with pytest.raises(SegmentCorrupt, match="gone"):  # whoever needs all of it is not given less
        prediction_log(workspace, "tiny")


def test_behind_an_accepted_loss_a_log_is_read_on(workspace: Workspace) -> None:
    go_to(workspace, 1)
    write(workspace, "a", "b", "c", "d")
    delete(workspace, 2, 3)
    ingest(workspace)
    assert accept(workspace) == "What gateway-0 held from segment 2 up to segment 4 is lost"
    assert ingest(workspace) == 1
    assert (counts(workspace)[0], damaged(workspace)) == (2, [])
    assert logged(workspace) == ["a", "d"]
    assert told(workspace)[1:] == [("log.loss.accepted", "log/gateway-0", "ana")]
    with workspace.database.read() as tx:
        (entry,) = [each for each in tx.ledger.entries() if each.type == EventType.LOG_LOSS_ACCEPTED]
    assert entry.reason == "no copy"
    lost = json.loads(entry.data)
    assert lost["since"] == {"segment": 2, "offset": 0}
    assert lost["until"] == {"segment": 4, "offset": 0}
    with pytest.raises(NotDamaged):
        accept(workspace)


def test_what_is_put_back_is_read_and_that_is_told(workspace: Workspace, tmp_path: Path) -> None:
    go_to(workspace, 1)
    write(workspace, "a", "b", "c")
    file = workspace.logs / "gateway-0" / "00000002.log"
    file.rename(tmp_path / "away")
    ingest(workspace)
    (tmp_path / "away").rename(file)
    assert ingest(workspace) == 2
    assert (logged(workspace), damaged(workspace)) == (["a", "b", "c"], [])
    assert [kind for kind, _, _ in told(workspace)] == ["log.damaged", "log.restored"]


def test_a_folder_that_is_deleted_under_its_gateway_is_read_on_when_that_is_accepted(
    workspace: Workspace,
) -> None:
    at = go_to(workspace, 1)
    with SegmentWriter(workspace.logs / "gateway-0") as writer:
        writer.append([record_of("a", at)])
        ingest(workspace)
        writer.append([record_of("lost", at)])
        shutil.rmtree(workspace.logs / "gateway-0")
        ingest(workspace)
        assert "all files of the log are gone" in damaged(workspace)[0]
        with pytest.raises(LogUnwritable):
            writer.append([record_of("refused", at)])
        writer.append([record_of("b", at)])
        ingest(workspace)
        assert "the file is gone" in damaged(workspace)[0]
        accept(workspace)
        ingest(workspace)
        assert (counts(workspace)[0], damaged(workspace), logged(workspace)) == (2, [], ["b"])
        writer.append([record_of("c", at)])
        ingest(workspace)
        assert logged(workspace) == ["b", "c"]


@pytest.mark.parametrize("before", [1, GROUP + 3])
def test_a_log_that_was_begun_anew_is_another_and_nothing_of_it_is_taken_for_counted(
    workspace: Workspace, before: int
) -> None:
    """Its segments have the numbers of those that were counted, and sealed, before."""
    go_to(workspace, 1)
    old, new = [f"old{n}" for n in range(before)], [f"new{n}" for n in range(GROUP + 2)]
    write(workspace, *old)
    turn(workspace)
    kept = logged(workspace)
    in_tables = [name for name in kept if before > GROUP and int(name[3:]) < GROUP]
    shutil.rmtree(workspace.logs / "gateway-0")
    write(workspace, *new[:1])
    turn(workspace)
    assert counts(workspace)[0] == before
    assert "begun anew" in damaged(workspace)[0]
    write(workspace, *new[1:])
    turn(workspace)
    assert segments(workspace.logs / "gateway-0") == tuple(range(1, GROUP + 3))
    with pytest.raises(SegmentCorrupt):
        prediction_log(workspace, "tiny")
    accept(workspace)
    turn(workspace)
    assert (counts(workspace)[0], damaged(workspace)) == (before + len(new), [])
    assert logged(workspace) == sorted([*in_tables, *new])
    assert segments(workspace.logs / "gateway-0") == (GROUP + 1, GROUP + 2)
    turn(workspace)
    assert logged(workspace) == sorted([*in_tables, *new])


def test_a_folder_that_is_gone_can_be_accepted_before_anything_is_written_there_again(
    workspace: Workspace,
) -> None:
    go_to(workspace, 1)
    write(workspace, "a", "b")
    ingest(workspace)
    shutil.rmtree(workspace.logs / "gateway-0")
    ingest(workspace)
    accept(workspace)
    assert (ingest(workspace), damaged(workspace), logged(workspace)) == (0, [], [])
    write(workspace, "c")
    assert ingest(workspace) == 1
    assert (counts(workspace)[0], logged(workspace)) == (3, ["c"])


def test_of_a_damaged_segment_what_stands_before_is_kept_and_the_rest_can_be_given_up(
    workspace: Workspace,
) -> None:
    at = go_to(workspace, 1)
    with SegmentWriter(workspace.logs / "gateway-0") as writer:
        writer.append([record_of(name, at) for name in ("a", "b", "c")])
    file = workspace.logs / "gateway-0" / "00000001.log"
    content = file.read_bytes()
    file.write_bytes(content.replace(b'"b"', b'"x"'))
    ingest(workspace)
    assert "checksum" in damaged(workspace)[0]
    with pytest.raises(StillWritten, match="Restart its gateway"):
        accept(workspace)
    write(workspace, "d")
    accept(workspace)
    ingest(workspace)
    assert (counts(workspace)[0], logged(workspace)) == (2, ["a", "d"])
    write(workspace, *(f"e{n}" for n in range(GROUP)))
    assert turn(workspace).records == GROUP
    assert damaged(workspace) == []
    assert logged(workspace) == ["a", "d", *(f"e{n}" for n in range(GROUP))]


def test_a_label_waits_for_a_prediction_that_is_behind_the_damage(
    workspace: Workspace, tmp_path: Path
) -> None:
    at = go_to(workspace, 1)
    write(workspace, "a", "b")
    with SegmentWriter(workspace.logs / "gateway-1") as writer:
        writer.append([LabelRecord(at=at, labels=[LabelEntry("b", True, at)])])
    file = workspace.logs / "gateway-0" / "00000001.log"
    file.rename(tmp_path / "away")
    for _ in range(3):
        ingest(workspace)
    (tmp_path / "away").rename(file)
    ingest(workspace)
    assert counts(workspace) == (2, 1)
    with workspace.database.read() as tx:
        assert log_counts(tx, None) == {}


def test_a_loss_is_of_a_log_that_there_is_and_has_a_reason(workspace: Workspace) -> None:
    go_to(workspace, 1)
    ask(workspace, orders(FIRST, days=1, per_day=3))
    with pytest.raises(UnknownLog, match="There are: gateway-0"):
        accept(workspace, "gateway-7")
    with pytest.raises(Invalid, match="Say why"):
        accept_loss(workspace, "gateway-0", actor="ana", reason=" ")
    assert quality(workspace) == ()


NUMBERS = range(1, GROUP + 5)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=st.sets(st.sampled_from(NUMBERS[:-1]), max_size=4),
    then=st.sets(st.sampled_from(NUMBERS[:-1]), max_size=4),
    ingested=st.booleans(),
)
def test_whatever_is_lost_all_the_rest_is_counted_once_and_logged_once(
    trained: Path, tmp_path: Path, first: Collection[int], then: Collection[int], ingested: bool
) -> None:
    root = tmp_path / "each"
    shutil.rmtree(root, ignore_errors=True)
    with open_workspace(Path(shutil.copytree(trained, root))) as workspace:
        go_to(workspace, 1)
        write(workspace, *(f"{n:02}" for n in NUMBERS))
        if ingested:
            ingest(workspace)
        for numbers in (first, then):
            here = set(segments(workspace.logs / "gateway-0"))
            delete(workspace, *here.intersection(numbers))
            while damage_is_accepted(workspace):
                pass
            ingest(workspace)
        left = [f"{n:02}" for n in NUMBERS if n not in {*first, *then}]
        assert counts(workspace)[0] == len(NUMBERS) - (0 if ingested else len(first))
        assert logged(workspace) == left
        compact(workspace)
        assert damaged(workspace) == []
        assert logged(workspace) == left


def damage_is_accepted(workspace: Workspace) -> bool:
    try:
        accept(workspace)
    except NotDamaged:
        return False
    return True
