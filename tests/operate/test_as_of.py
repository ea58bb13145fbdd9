"""What was champion when, and which share it served: told from the ledger alone, for every instant as it was."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mainspring as ms
from mainspring.errors import Conflict, Invalid, NotFound
from mainspring.loop import RolloutFact
from mainspring.operate import steer
from mainspring.operate.acts.roll_out import advance, ask_approval, drop_arm, expire, roll_back
from mainspring.operate.acts.stage import Stage
from mainspring.operate.as_of import AsOf, as_of, history
from mainspring.operate.asking import Asking
from mainspring.operate.register_models import (
    create_model,
    create_version,
    delete_model,
    delete_version,
    point_alias,
    rename_model,
)
from mainspring.operate.start_rollout import start_rollout
from mainspring.operate.version_origins import NewVersion
from mainspring.ref import ModelRef
from mainspring.registry.registered import RegisteredModelNotFound
from mainspring.workspace import Workspace, open_workspace

WHO = {"actor": "ada", "reason": "why not"}
HOW = (
    ms.Canary(steps=(0.1, 0.5, 1.0)),
    ms.BlueGreen(),
    ms.AllAtOnce(),
    ms.Shadow(share=0.4, then=ms.Canary(steps=(0.2, 1.0))),
    ms.ABTest(shares={"candidate": 0.2, "4": 0.3}),
)


@pytest.fixture(scope="module")
def versions(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A champion, and three more versions that have not served."""
    folder = Path(shutil.copytree(trained, tmp_path_factory.mktemp("versions") / "root"))
    with open_workspace(folder) as workspace, workspace.database.write() as tx:
        first = tx.registry.get(ModelRef("tiny", 1))
        # A manifest is one version's own; without one, the digests of its lineage are verified.
        lineage = {name: value for name, value in first.lineage.items() if name != "manifest"}
        for number in (2, 3, 4):
            tx.registry.add(replace(first, number=number, lineage=lineage))
    return folder


def start(workspace: Workspace, number: int) -> None:
    how = HOW[number % len(HOW)]
    with workspace.database.read() as tx:
        champion = tx.registry.aliases("tiny")["champion"]
    first, second = [each for each in (2, 3, 4) if each != champion][:2]
    both = [first, second] if isinstance(how, ms.ABTest) else [first]
    if isinstance(how, ms.ABTest):
        how = ms.ABTest(shares={"candidate": 0.2, str(second): 0.3})
    start_rollout(
        workspace,
        "tiny",
        both,
        request_id=f"{workspace.clock.now()}",
        strategy=how if len(both) == 1 else None,
        shares=(0.2, 0.3) if len(both) == 2 else (),
        despite="we try",
        **WHO,
    )


def act(does: Callable[..., None], kind: str) -> Callable[[Workspace, int], None]:
    """An act of the loop, on whatever rollout is in progress."""

    def done(workspace: Workspace, number: int) -> None:
        with workspace.database.read() as tx:
            rollout = tx.rollouts.running("tiny")
            if rollout is None or (does is advance and rollout.last):
                return
            if does is drop_arm and len(rollout.live) < 2:
                return
            cycle, spec = tx.loop.get(rollout.rollout_id), workspace.specs(tx)["tiny"]
        version = rollout.live[number % len(rollout.live)]
        does(
            Stage(workspace, spec, lambda place: None),
            cycle,
            RolloutFact(kind=kind, reason="so", version=version),
        )

    return done


DOES: tuple[Callable[[Workspace, int], object], ...] = (
    start,
    act(advance, "advance"),
    act(drop_arm, "drop_arm"),
    act(ask_approval, "ask_approval"),
    act(roll_back, "roll_back"),
    act(expire, "expire"),
    lambda workspace, number: steer.pause(workspace, "tiny", **WHO),
    lambda workspace, number: steer.resume(workspace, "tiny", **WHO),
    lambda workspace, number: steer.approve(workspace, "tiny", **WHO),
    lambda workspace, number: steer.abort(workspace, "tiny", **WHO),
    lambda workspace, number: steer.promote(workspace, "tiny", **WHO),
)
# Rollouts begin and go on more often than they end.
moves = st.lists(
    st.tuples(
        st.sampled_from((*DOES, start, start, act(advance, "advance"), act(drop_arm, "drop_arm"))),
        st.integers(0, 9),
        st.integers(0, 2),
    ),
    max_size=25,
)


def served(workspace: Workspace) -> tuple[dict[str, int], dict[int, float], dict[int, float]]:
    """Aliases and shares as registry and route have them now."""
    with workspace.database.read() as tx:
        (route,) = tx.rollouts.routes()
        given = {each.variant.version: each.share for each in route.challengers}
        shadow = {route.shadow.version: route.shadow_share} if route.shadow else {}
        return (
            dict(tx.registry.aliases("tiny")),
            {route.champion.version: 1 - sum(given.values())} | given,
            shadow,
        )


def told(found: AsOf) -> tuple[dict[str, int], dict[int, float], dict[int, float]]:
    shares, shadow = (
        {int(version): pytest.approx(share) for version, share in each.items()}
        for each in (found.shares, found.shadow)
    )
    return found.aliases, shares, shadow


@settings(max_examples=25)
@given(moves)
def test_every_instant_is_told_as_it_was(
    versions: Path,
    tmp_path_factory: pytest.TempPathFactory,
    done: list[tuple[Callable[..., object], int, int]],
) -> None:
    folder = Path(shutil.copytree(versions, tmp_path_factory.mktemp("moved") / "root"))
    with open_workspace(folder) as workspace:
        was = {workspace.clock.now(): served(workspace)}
        for move, number, hours in done:
            workspace.advance(workspace.clock.now() + timedelta(hours=hours))
            try:
                move(workspace, number)
            except (Conflict, steer.NoRollout):
                continue  # it was no legal move
            was[workspace.clock.now()] = served(workspace)
        for at, then in was.items():
            assert told(as_of(workspace, "tiny", at)) == then
            assert (
                told(as_of(workspace, "tiny", min(at + timedelta(minutes=59), workspace.clock.now()))) == then
            )
        moved = history(workspace, "tiny")
        assert [each.event for each in moved] == sorted({each.event for each in moved})
    shutil.rmtree(folder)


NAMES = ("Fraud", "Scam")
changes = st.lists(
    st.one_of(
        st.tuples(st.just("create"), st.sampled_from(NAMES)),
        st.tuples(st.just("version"), st.sampled_from(NAMES)),
        st.tuples(st.just("delete"), st.sampled_from(NAMES)),
        st.tuples(st.just("drop"), st.sampled_from(NAMES), st.integers(1, 3)),
        st.tuples(
            st.just("point"), st.sampled_from(NAMES), st.sampled_from("ab"), st.none() | st.integers(1, 3)
        ),
    ),
    max_size=30,
)


def change(workspace: Workspace, asking: Asking, what: tuple[str | int | None, ...]) -> None:
    with workspace.database.write() as tx:
        match what:
            case "create", str(name):
                create_model(tx, name, "", {}, asking)
            case "version", str(name):
                create_version(tx, NewVersion(name=name, source="s3://bucket/m"), asking)
            case "delete", str(name):
                delete_model(tx, name, asking)
            case "drop", str(name), int(number):
                delete_version(tx, name, number, asking)
            case "point", str(name), str(alias), number:
                assert not isinstance(number, str)
                point_alias(tx, name, alias, number, asking)


def aliases(workspace: Workspace, name: str) -> dict[str, int]:
    with workspace.database.read() as tx:
        try:
            return dict(tx.registered_models.get(name).aliases)
        except RegisteredModelNotFound:
            return {}


@settings(max_examples=40)
@given(changes)
def test_aliases_of_clients_models_are_told_as_they_were(
    begun: Path, tmp_path_factory: pytest.TempPathFactory, done: list[tuple[str | int | None, ...]]
) -> None:
    folder = Path(shutil.copytree(begun, tmp_path_factory.mktemp("named") / "root"))
    with open_workspace(folder) as workspace:
        was: list[tuple[datetime, dict[str, dict[str, int]]]] = []
        for what in done:
            workspace.advance(workspace.clock.now() + timedelta(minutes=1))
            now = workspace.clock.now()
            with suppress(NotFound, Conflict):
                change(workspace, Asking("ana", int(now.timestamp() * 1000)), what)
            was.append((now, {name: aliases(workspace, name) for name in NAMES}))
        known = {str(name) for kind, name, *_ in done if kind == "create"}
        for at, then in was:
            assert {name: as_of(workspace, name, at).aliases for name in known} == {
                name: then[name] for name in known
            }
        for name in {*NAMES} - known:
            with pytest.raises(RegisteredModelNotFound):
                history(workspace, name)
    shutil.rmtree(folder)


def test_a_model_keeps_its_history_when_it_is_renamed_and_a_new_one_of_the_old_name_begins_anew(
    empty: Workspace,
) -> None:
    moments = []
    for what in (
        lambda tx, asking: create_model(tx, "Fraud", "", {}, asking),
        lambda tx, asking: create_version(tx, NewVersion(name="Fraud", source="s3://b/m"), asking),
        lambda tx, asking: point_alias(tx, "Fraud", "live", 1, asking),
        lambda tx, asking: rename_model(tx, "Fraud", "Scam", asking),
        lambda tx, asking: create_model(tx, "Fraud", "", {}, asking),
        lambda tx, asking: point_alias(tx, "Scam", "live", None, asking),
    ):
        empty.advance(empty.clock.now() + timedelta(minutes=1))
        moments.append(empty.clock.now())
        with empty.database.write() as tx:
            what(tx, Asking("ana", int(moments[-1].timestamp() * 1000)))
    told = [as_of(empty, "Scam", at) for at in moments]
    assert [each.called for each in told] == ["Fraud", "Fraud", "Fraud", "Scam", "Scam", "Scam"]
    assert [each.aliases for each in told] == [{}, {}, {"live": 1}, {"live": 1}, {"live": 1}, {}]
    assert [each.called for each in history(empty, "Scam")] == ["Fraud", "Fraud", "Scam", "Scam"]
    assert as_of(empty, "Fraud", moments[-1]).aliases == {}


def test_before_anything_was_promoted_nothing_served(trained: Path) -> None:
    with open_workspace(trained) as workspace:
        found = as_of(workspace, "tiny", datetime(2023, 1, 1, tzinfo=UTC))
        assert (found.since, found.aliases, found.shares, found.endpoint) == (None, {}, {}, None)
        assert as_of(workspace, "tiny", workspace.clock.now()).shares == {"1": 1.0}


def test_what_has_not_come_is_not_told(trained: Path) -> None:
    with open_workspace(trained) as workspace:
        with pytest.raises(Invalid, match="has not come"):
            as_of(workspace, "tiny", workspace.clock.now() + timedelta(seconds=1))
        with pytest.raises(RegisteredModelNotFound):
            as_of(workspace, "none", workspace.clock.now())
