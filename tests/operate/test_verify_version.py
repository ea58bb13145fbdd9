"""A version is loaded only as it was registered: a byte, a file or a manifest that is not, and it is refused."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update
from tests.operate.test_native import trained
from tests.operate.tiny import ask
from tests.products.tiny.orders import orders, parquet

from mainspring.digest import Digest
from mainspring.events import EventType
from mainspring.gateway.follow import Follower
from mainspring.loop import CycleOutcome
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.request import request_training
from mainspring.operate.score_data import score_data
from mainspring.operate.serving import ServingSource
from mainspring.operate.start_rollout import start_rollout
from mainspring.operate.status import product_status
from mainspring.operate.steer import promote
from mainspring.operate.verify_version import (
    VersionChanged,
    check,
    need_sound,
    registered,
    verify_version,
)
from mainspring.operate.version_artifacts import VersionArtifacts, bill_of
from mainspring.ref import ModelRef
from mainspring.registry import ModelVersion
from mainspring.registry.manifest import Manifest, ManifestRefused, PackagedFile, seal, unseal
from mainspring.stores.artifact_path import ArtifactPath
from mainspring.stores.sql.schema import model_versions
from mainspring.workspace import Workspace

FIRST = ModelRef("tiny", 1)


def version(workspace: Workspace, number: int = 1) -> ModelVersion:
    with workspace.database.read() as tx:
        return tx.registry.get(ModelRef("tiny", number))


def manifest_of(workspace: Workspace, number: int = 1) -> Manifest:
    found = need_sound(workspace, version(workspace, number))
    assert found is not None
    return found


def flip(workspace: Workspace, digest: str) -> None:
    file = workspace.blobs.root / digest[:2] / digest[2:4] / digest
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def delete(workspace: Workspace, digest: str) -> None:
    (workspace.blobs.root / digest[:2] / digest[2:4] / digest).unlink()


def put_manifest(workspace: Workspace, content: bytes, number: int = 1) -> None:
    """Let the registry say that a version has this manifest, as somebody could who writes to the database."""
    found = version(workspace, number)
    lineage = {**found.lineage, "manifest": workspace.blobs.put(content)}
    with workspace.database.write() as tx:
        tx.registry.connection.execute(
            update(model_versions)
            .where(model_versions.c.product == "tiny", model_versions.c.number == number)
            .values(lineage=msgspec.json.encode(lineage).decode())
        )


def events(workspace: Workspace, kind: EventType) -> list[str]:
    with workspace.database.read() as tx:
        return [entry.reason for entry in tx.ledger.entries() if entry.type == kind]


def parts(workspace: Workspace) -> dict[str, str]:
    manifest = manifest_of(workspace)
    digest, _ = registered(version(workspace))
    assert digest is not None
    return {file.path: file.sha256 for file in manifest.files} | manifest.blobs | {"manifest": digest}


def test_a_version_is_signed_with_all_that_it_consists_of(workspace: Workspace) -> None:
    found = verify_version(workspace, FIRST)
    assert found.sound
    assert found.signed
    names = {part.name for part in found.parts}
    assert {"MLmodel", "data/model.onnx", "sbom.cdx.json", "artifact", "native", "sample", "package"} <= names
    manifest = manifest_of(workspace)
    lineage = version(workspace).lineage
    assert (manifest.code, manifest.environment) == (lineage["snapshot"], lineage["environment"])
    with workspace.database.read() as tx:
        assert [*manifest.data.values()] == [each.digest for each in tx.data.versions("orders")]


@pytest.mark.parametrize("damage", [flip, delete])
def test_a_byte_changed_or_a_file_deleted_is_found_in_every_part(
    workspace: Workspace, damage: Callable[[Workspace, str], None]
) -> None:
    for name, digest in parts(workspace).items():
        kept = workspace.blobs.get(Digest(digest))
        damage(workspace, digest)
        with pytest.raises(VersionChanged) as refused:
            need_sound(workspace, version(workspace))
        assert name in {fault.where for fault in refused.value.faults}
        assert digest[:12] in str(refused.value)
        delete(workspace, digest) if damage is flip else None
        workspace.blobs.put(kept)
        assert verify_version(workspace, FIRST).sound


def test_a_manifest_with_a_file_more_or_less_or_of_another_size_is_refused(workspace: Workspace) -> None:
    manifest = manifest_of(workspace)
    digest, _ = registered(version(workspace))
    assert digest is not None
    sealed = workspace.blobs.get(digest)
    body = msgspec.json.encode(manifest, order="deterministic")
    first, *others = manifest.files
    more = PackagedFile("code/sitecustomize.py", 1, workspace.blobs.put(b"#"))
    for files in (
        (*manifest.files, more),
        tuple(others),
        (msgspec.structs.replace(first, size=first.size + 1), *others),
    ):
        changed = msgspec.json.encode(msgspec.structs.replace(manifest, files=files), order="deterministic")
        assert sealed.count(body) == 1
        put_manifest(workspace, sealed.replace(body, changed))
        with pytest.raises(VersionChanged, match="manifest: it was changed since it was signed"):
            need_sound(workspace, version(workspace))


def test_a_manifest_signed_with_another_key_is_refused(workspace: Workspace) -> None:
    put_manifest(workspace, seal(manifest_of(workspace), b"another workspace's"))
    with pytest.raises(VersionChanged, match="it was signed with the key"):
        need_sound(workspace, version(workspace))


def test_a_workspace_with_another_secret_loads_nothing(workspace: Workspace) -> None:
    with pytest.raises(VersionChanged, match="it was signed with the key"):
        need_sound(replace(workspace, secret=b"another"), version(workspace))


def test_an_artifact_of_the_registry_that_is_not_the_signed_one_is_refused(workspace: Workspace) -> None:
    manifest, expected = registered(version(workspace))
    other = workspace.blobs.put(b"another model, whole and under its own digest")
    with pytest.raises(VersionChanged, match="is registered, and not what is signed"):
        check(
            FIRST, manifest, {**expected, "artifact": other}, blobs=workspace.blobs, secret=workspace.secret
        )


def test_a_version_of_a_release_without_manifests_is_verified_by_its_digests(workspace: Workspace) -> None:
    _, expected = registered(version(workspace))
    ground = {"blobs": workspace.blobs, "secret": workspace.secret}
    assert check(FIRST, None, expected, **ground) is None
    flip(workspace, expected["artifact"])
    with pytest.raises(VersionChanged, match="artifact"):
        check(FIRST, None, expected, **ground)


def test_what_is_wrong_is_told_once_and_so_is_that_it_is_mended(workspace: Workspace) -> None:
    digest = version(workspace).artifact
    kept = workspace.blobs.get(digest)
    flip(workspace, digest)
    for _ in range(2):
        with pytest.raises(VersionChanged):
            need_sound(workspace, version(workspace))
    (told,) = events(workspace, EventType.MODEL_VERSION_DAMAGED)
    assert product_status(workspace, "tiny").changed_versions == [told]
    delete(workspace, digest)
    workspace.blobs.put(kept)
    for _ in range(2):
        need_sound(workspace, version(workspace))
    assert len(events(workspace, EventType.MODEL_VERSION_RESTORED)) == 1
    assert product_status(workspace, "tiny").changed_versions == []


def test_the_loop_looks_once_a_day_at_what_is_served(workspace: Workspace) -> None:
    turn(workspace)
    flip(workspace, version(workspace).native)  # which no gateway reads
    turn(workspace)
    assert events(workspace, EventType.MODEL_VERSION_DAMAGED) == []
    workspace.advance(workspace.clock.now() + timedelta(days=1))
    turn(workspace)
    assert len(events(workspace, EventType.MODEL_VERSION_DAMAGED)) == 1


def test_a_scoring_by_a_changed_version_is_refused(workspace: Workspace) -> None:
    flip(workspace, version(workspace).artifact)
    with pytest.raises(VersionChanged):
        score_data(workspace, "tiny", ["orders"], actor="test")


def test_a_candidate_is_not_promoted_over_a_champion_that_was_changed(workspace: Workspace) -> None:
    flip(workspace, version(workspace).artifact)
    request_training(
        workspace, "tiny", request_id="r", actor="test", reason="a test", params={"train.rounds": 19}
    )
    turn(workspace)
    with workspace.database.read() as tx:
        assert tx.registry.aliases("tiny") == {"champion": 1}
        last = tx.loop.cycles("tiny")[-1]
    assert "is not what was registered" in last.reason


@pytest.fixture
def rolling(workspace: Workspace) -> Workspace:
    """A second version that is rolled out."""
    add_batch(workspace, "orders", parquet(orders(days=31, per_day=100)), actor="test")
    request_training(
        workspace, "tiny", request_id="r", actor="test", reason="a test", params={"train.rounds": 30}
    )
    turn(workspace)
    with workspace.database.read() as tx:
        assert tx.registry.aliases("tiny") == {"champion": 1, "challenger": 2}
    return workspace


def test_manifests_of_two_versions_cannot_be_swapped(rolling: Workspace) -> None:
    first, second = (registered(version(rolling, number))[0] for number in (1, 2))
    assert first is not None
    assert second is not None
    put_manifest(rolling, rolling.blobs.get(second), 1)
    put_manifest(rolling, rolling.blobs.get(first), 2)
    with pytest.raises(VersionChanged, match=r"tiny@1 is not what was registered.*it is that of tiny@2"):
        need_sound(rolling, version(rolling, 1))
    with pytest.raises(VersionChanged, match=r"tiny@2 is not what was registered.*it is that of tiny@1"):
        need_sound(rolling, version(rolling, 2))


def test_a_challenger_that_was_changed_is_promoted_neither_by_the_loop_nor_by_hand(
    rolling: Workspace,
) -> None:
    digest = version(rolling, 2).native
    kept = rolling.blobs.get(digest)
    flip(rolling, digest)
    with pytest.raises(VersionChanged, match="tiny@2"):
        promote(rolling, "tiny", actor="test", reason="a test")
    with pytest.raises(VersionChanged, match="tiny@2"):
        start_rollout(rolling, "tiny", [2], request_id="s", actor="test", reason="a test")
    for _ in range(5):
        ask(rolling, orders(rolling.clock.now(), days=1, per_day=400, seed=3))
        rolling.advance(rolling.clock.now() + timedelta(days=1, hours=1))
        turn(rolling)
    with rolling.database.read() as tx:
        (cycle,) = (each for each in tx.loop.cycles("tiny") if each.version == 2)
    assert cycle.outcome is CycleOutcome.ROLLED_BACK
    assert "tiny@2 is not what was registered" in cycle.reason
    delete(rolling, digest)
    rolling.blobs.put(kept)
    assert verify_version(rolling, ModelRef("tiny", 2)).sound


def test_a_gateway_goes_on_with_the_last_good_route_when_the_next_has_a_changed_version(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    async def follow() -> None:
        with ServingSource.open(workspace.settings) as source:
            follower = Follower(source)
            try:
                await follower.check()
                before = follower.serving("tiny").route
                add_batch(workspace, "orders", parquet(orders(days=31, per_day=100)), actor="test")
                request_training(
                    workspace,
                    "tiny",
                    request_id="r",
                    actor="test",
                    reason="a test",
                    params={"train.rounds": 30},
                )
                turn(workspace)
                kept = manifest_of(workspace, 2)
                requirements = next(file for file in kept.files if file.path == "MLmodel")
                content = workspace.blobs.get(requirements.sha256)
                flip(workspace, requirements.sha256)
                await follower.check()
                assert follower.serving("tiny").route == before
                assert "tiny@2 is not what was registered" in caplog.text
                assert f"Route {before.number} stays in force" in caplog.text
                delete(workspace, requirements.sha256)
                workspace.blobs.put(content)
                await follower.check()
                assert follower.serving("tiny").route.number > before.number
            finally:
                await follower.close()

    asyncio.run(follow())


def test_a_gateway_that_starts_does_not_serve_a_changed_version(workspace: Workspace) -> None:
    flip(workspace, version(workspace).artifact)

    async def follow() -> None:
        with ServingSource.open(workspace.settings) as source:
            follower = Follower(source)
            try:
                await follower.check()
                assert not follower.ready
                assert "tiny@1 is not what was registered" in follower.waiting["tiny"]
            finally:
                await follower.close()

    asyncio.run(follow())


def manifest_of_any(workspace: Workspace) -> Manifest:
    """The manifest of a version that is changed elsewhere."""
    digest, _ = registered(version(workspace))
    assert digest is not None
    return unseal(workspace.blobs.get(digest), FIRST, workspace.secret)


def test_a_changed_version_is_not_listed_and_its_changed_file_not_read(workspace: Workspace) -> None:
    folder = VersionArtifacts(workspace)
    root = ArtifactPath.parse("mainspring-models/tiny/1")
    listed = {each.name for each in folder.list(root)}
    assert {"MLmodel", "code", "data", "manifest.json"} <= listed
    with folder.open(root / ArtifactPath.parse("data/model.onnx")).file as file:
        assert file.read() == workspace.blobs.get(version(workspace).artifact)
    flip(workspace, parts(workspace)["requirements.txt"])
    with pytest.raises(VersionChanged, match=r"requirements\.txt"):
        folder.list(root)
    with pytest.raises(VersionChanged, match=r"requirements\.txt"):
        folder.open(root / ArtifactPath.parse("requirements.txt"))
    put_manifest(workspace, seal(manifest_of_any(workspace), b"another workspace's"))
    with pytest.raises(VersionChanged, match="it was signed with the key"):
        folder.open(root / ArtifactPath.parse("data/model.onnx"))


def test_a_gateway_without_the_database_verifies_all_the_same(workspace: Workspace) -> None:
    real = replace(workspace.settings, clock="system")  # a clock that data drives would be in the database
    with ServingSource.open(real) as source:
        source.routes()
    with ServingSource.open(replace(real, database="postgresql://nobody@127.0.0.1:1/none")) as source:
        artifact = version(workspace).artifact
        source.check("tiny", 1, artifact)
        flip(workspace, parts(workspace)["MLmodel"])
        with pytest.raises(VersionChanged, match="MLmodel"):
            source.check("tiny", 1, artifact)


MARKED = """
import os, pathlib

class Rule:
    def __init__(self):
        self.middle = 120.0

    def __setstate__(self, state):
        self.__dict__ |= state
        pathlib.Path(f"read-{os.getpid()}").touch()

    def predict(self, frame):
        return (1 / (1 + (1.5 - (frame["amount"] - self.middle) / 60).exp())).to_numpy()
"""


def test_a_model_that_is_code_is_verified_and_downloaded_without_being_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    step = '    from rule import Rule\n    return ms.Fitted(model=Rule(), inputs=("amount",))\n'
    with trained(tmp_path, step, rule_py=MARKED, mainspring_toml='allow_code = "tiny"\n') as workspace:
        assert list(tmp_path.rglob("read-*")) != []  # by the processes that have packaged and judged it
        assert verify_version(workspace, FIRST).sound
        folder = VersionArtifacts(workspace)
        root = ArtifactPath.parse("mainspring-models/tiny/1")
        for file in manifest_of(workspace).files:
            folder.open(root / ArtifactPath.parse(file.path)).file.close()
        assert {each.name for each in folder.list(root / ArtifactPath.parse("data"))} == {"about.json"}
        assert bill_of(workspace, FIRST)
        assert list(tmp_path.rglob(f"read-{os.getpid()}")) == []


REF = ModelRef("flights", 3)
SECRET = b"of a workspace"


@pytest.fixture(scope="module")
def sealed() -> bytes:
    files = (PackagedFile("MLmodel", 12, Digest("ab" * 32)),)
    return seal(
        Manifest(
            model="flights@3",
            registered_at=datetime(2026, 1, 1, tzinfo=UTC),
            files=files,
            blobs={"artifact": Digest("cd" * 32)},
            data={"flights@v1": "ef" * 32},
            code="01" * 32,
            environment="23" * 32,
        ),
        SECRET,
    )


@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_bit_of_a_manifest_can_be_flipped(sealed: bytes, where: float, bit: int) -> None:
    changed = bytearray(sealed)
    changed[int(where * len(changed))] ^= 1 << bit
    with pytest.raises(ManifestRefused):
        unseal(bytes(changed), REF, SECRET)
