"""Attribution drift in the loop: the champion is asked again, with each input at its usual value."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import pytest
from tests.operate.tiny import ask, train_first
from tests.operate.watching import DAY, live, moved, spec
from tests.products.tiny.orders import FIRST, orders

from mainspring.monitoring.attribution import AttributionTable
from mainspring.operate.alarms import replay
from mainspring.operate.references import reference_of
from mainspring.operate.watch import looks, watch
from mainspring.ref import ModelRef
from mainspring.workspace import Workspace, open_workspace


@pytest.fixture(scope="module")
def trained_so(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def declared(text: str) -> str:
        begin = text.index("    monitors=[") + len("    monitors=")
        end = text.index("    retrain=")
        return f"{text[:begin]}[ms.AttributionDrift()],\n{text[end:]}"

    return train_first(tmp_path_factory.mktemp("attributed") / "root", declared, per_day=200)


@pytest.fixture
def workspace(trained_so: Path, tmp_path: Path) -> Iterator[Workspace]:
    with open_workspace(Path(copytree(trained_so, tmp_path / "root"))) as workspace:
        yield workspace


def test_an_input_that_moves_answers_otherwise_than_on_the_holdout_is_an_alarm(workspace: Workspace) -> None:
    assert live(workspace, range(1, 4)) == {}
    spoken = live(workspace, range(4, 9), moved)
    _, alarm = spoken["attribution_drift"]
    assert alarm.about == "drift"
    assert alarm.change is not None
    assert alarm.change.blame[0].feature == "amount"
    assert alarm.change.blame[0].stream == "amount moves answers by more"
    assert replay(workspace, alarm.alarm_id).same


def test_the_usual_value_of_each_input_is_kept_with_the_reference(workspace: Workspace) -> None:
    with workspace.database.read() as tx:
        digest = tx.registry.get(ModelRef("tiny", 1)).reference
    kept = AttributionTable.from_json(reference_of(workspace.blobs, digest).attributions)
    assert kept.baseline["kind"] == "a"
    assert kept.baseline["hour"] in (11, 12)
    assert 80 < float(str(kept.baseline["amount"])) < 130
    # The hold-out is the newest five days that are settled.
    (rows,) = {sum(counts) for counts in kept.counts.values()}
    assert 900 < rows <= 1_000


def test_inputs_that_the_log_leaves_out_are_named_and_nothing_is_taken_for_quiet(
    workspace: Workspace,
) -> None:
    workspace.advance(FIRST + 31 * DAY)
    ask(workspace, orders(FIRST + 31 * DAY, days=1).drop("kind").with_columns(kind=None))
    live(workspace, range(2, 3), lambda rows: rows)
    with workspace.database.write() as tx:
        for day, text in tx.monitoring.tables("tiny", 1, "rows").items():
            tx.monitoring.put_table("tiny", 1, "rows", day, text.replace('"kind"', '"hidden"'))
            tx.monitoring.put_table("tiny", 1, "attributions", day, '{"unattributed":"not yet"}')
    workspace.advance(FIRST + 40 * DAY)
    assert watch(workspace, spec(workspace)) == ()
    with workspace.database.read() as tx:
        seen = looks(tx, "tiny", "attribution_drift")
    assert seen is not None
    assert seen.outcome == "could_not_judge"
    assert "kind" in seen.told
