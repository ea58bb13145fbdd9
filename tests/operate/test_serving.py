"""A gateway reads its workspace, and goes on with what it has read when the database is away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.operate.tiny import PRODUCT

from mainspring.digest import digest_of
from mainspring.formats.signature import Column, Signature
from mainspring.operate.serving import ServingSource
from mainspring.operate.snapshots import TakenSnapshot, name_snapshots
from mainspring.registry import ModelVersion
from mainspring.rollouts import Route, Variant
from mainspring.settings import Settings
from mainspring.stores.errors import StoreUnavailable
from mainspring.workspace import Workspace, open_workspace

SIGNATURE = Signature((Column("hour", "INT64", False),), (Column("probability", "FP32", False),))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a workspace in the system's time."""
    (tmp_path / "product.py").write_bytes((PRODUCT / "product.py").read_bytes())
    return Settings.load(tmp_path, {})


@pytest.fixture
def workspace(settings: Settings) -> Iterator[Workspace]:
    """One version, and a route to it."""
    with open_workspace(settings.root, settings) as workspace:
        artifact = workspace.blobs.put(b"a model")
        with workspace.database.write() as tx:
            tx.registry.add(
                ModelVersion(
                    product="tiny", number=1, cycle_id="c", run_id="r", artifact=artifact, native=artifact,
                    signature=SIGNATURE.to_json(), data=(), lineage={}, metrics={}, reference=artifact,
                    reason="a test", registered_at=workspace.clock.now(),
                )
            )  # fmt: skip
            tx.rollouts.put_route(
                Route(product="tiny", number=1, champion=Variant(version=1, artifact=artifact), salt="s")
            )
        yield workspace


def away(settings: Settings) -> Settings:
    """The same workspace, its database on a server that does not answer."""
    return replace(settings, database="postgresql://nobody@127.0.0.1:1/none")


def test_what_was_read_is_served_while_the_database_is_away(
    settings: Settings, workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    with ServingSource.open(settings) as source:
        routes = source.routes()
    with ServingSource.open(away(settings)) as source:
        assert source.routes() == routes
        assert source.registered("tiny", 1).signature == SIGNATURE
        assert source.blob(digest_of(b"a model")) == b"a model"
        assert source.secret == workspace.secret
    assert "until its database is back" in caplog.text


def test_a_snapshot_that_was_named_is_known_while_the_database_is_away(
    settings: Settings, workspace: Workspace
) -> None:
    digest = workspace.blobs.put(b"a snapshot")
    with ServingSource.open(settings) as source:
        stamp = source.route_stamp()
        with workspace.database.write() as tx:
            name_snapshots(tx, {"prices": TakenSnapshot(digest, 1)})
        assert source.route_stamp() != stamp
    with ServingSource.open(away(settings)) as source:
        assert source.snapshots() == {"prices": digest}
        assert source.blob(digest) == b"a snapshot"


def test_a_database_that_comes_back_is_followed_again(settings: Settings, workspace: Workspace) -> None:
    with ServingSource.open(settings) as source:
        (route,) = source.routes()
    with ServingSource.open(away(settings)) as source:
        stamp = source.route_stamp()
        source.settings = settings
        with workspace.database.write() as tx:
            tx.rollouts.put_route(replace(route, number=2))
        assert source.route_stamp() != stamp
        assert source.routes()[0].number == 2
    with ServingSource.open(away(settings)) as source:
        assert source.routes()[0].number == 2


def test_without_anything_kept_the_database_is_needed(settings: Settings) -> None:
    settings.state.mkdir()
    with pytest.raises(StoreUnavailable):
        ServingSource.open(away(settings))


@pytest.mark.parametrize("content", [b"", b"{", b'{"secret": 7}', b"\xff"])
def test_a_kept_file_that_cannot_be_read_is_written_anew(
    settings: Settings, workspace: Workspace, content: bytes
) -> None:
    (settings.state / "serving.json").write_bytes(content)
    with ServingSource.open(settings) as source:
        source.routes()
    with ServingSource.open(away(settings)) as source:
        assert len(source.routes()) == 1
