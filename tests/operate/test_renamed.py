"""Views whose source calls things otherwise: two of one source, by two columns of a row, joined and looked up alike."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from tests.operate import shop, tiny
from tests.products.tiny.orders import FIRST

from mainspring.features.online import snapshot_name
from mainspring.operate.data.publish import add_batch
from mainspring.operate.declare import DeclarationInvalid
from mainspring.operate.joining import join_features
from mainspring.operate.online_features import look_up_online
from mainspring.product import FeatureViewSpec
from mainspring.workspace import Workspace

NOW = FIRST + timedelta(days=30, hours=12)
VIEWS = """
def spent(name, entity, feature, online):
    return ms.FeatureView(
        name, source=customers, entity=entity, source_entity="customer", event_time="at", ttl="30d",
        features=[ms.Renamed("amount", feature)], online=online,
    )


buyers = spent("buyers", "buyer", "amount", "store")
payers = spent("payers", "payer", "paid", PAYERS)
"""


def declared(payers: object = "store", old: str = "", new: str = "") -> str:
    text = shop.declaration(pii=False)
    for before, after in (
        ("    customer: str\n    hour", "    buyer: str\n    payer: str\n    hour"),
        ("features=[profile],", "features=[buyers, payers],"),
        ('inputs=["amount", "hour", "kind"]', 'inputs=["amount", "hour", "kind", "paid"]'),
        ("@ms.step\ndef recent", f"{VIEWS.replace('PAYERS', repr(payers))}\n\n@ms.step\ndef recent"),
        *([(old, new)] if old else []),
    ):
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    return text


@pytest.fixture(params=["store", True], ids=["both in the store", "one in memory"], scope="module")
def workspace(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workspace]:
    def change(_: str) -> str:
        return declared(request.param)

    with tiny.begin(tmp_path_factory.mktemp("renamed") / "root", change) as workspace:
        workspace.advance(NOW)
        assert add_batch(
            workspace, "customers", shop.customers(0, ann=1.5, bob=2.5, at=NOW), actor="test"
        ).version
        yield workspace


def views(workspace: Workspace) -> tuple[FeatureViewSpec, ...]:
    with workspace.database.read() as tx:
        return workspace.specs(tx)["tiny"].features


def test_two_views_of_one_source_are_joined_by_their_own_entities(workspace: Workspace) -> None:
    rows = pl.DataFrame(
        {
            "buyer": ["ann", "bob", "eve"],
            "payer": ["bob", "bob", "ann"],
            "asked_at": [NOW + timedelta(hours=1)] * 3,
        },
        schema_overrides={"asked_at": shop.MOMENT},
    )
    joined = join_features(
        rows,
        at="asked_at",
        views=views(workspace),
        keys={"customers": ("row_id",)},
        tables=workspace.tables,
        versions={"customers": 0},
        known=NOW + timedelta(days=1),
    )
    assert joined["amount"].to_list() == [1.5, 2.5, None]
    assert joined["paid"].to_list() == [2.5, 2.5, 1.5]


def test_what_is_looked_up_is_what_is_joined_and_is_kept_once(workspace: Workspace) -> None:
    asked = [("buyers", "amount"), ("payers", "paid")]
    found = look_up_online(workspace, asked, {"buyer": ["ann", "bob", "eve"], "payer": ["bob", "bob", "ann"]})
    assert [each.columns[feature] for (_, feature), each in found] == [[1.5, 2.5, None], [2.5, 2.5, 1.5]]
    assert len({snapshot_name(view) for view in views(workspace)}) == 1


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            'source_entity="customer"',
            'source_entity="client"',
            "'client' is no column of its source 'customers'",
        ),
        ('ms.Renamed("amount", feature)', 'ms.Renamed("sum", feature)', "'sum' is no column of its source"),
        (
            'ms.Renamed("amount", feature)',
            'ms.Renamed("amount", "at")',
            "calls a feature 'at', as its source does",
        ),
        ('"payer", "paid"', '"payer", "amount"', "is given by two tables"),
    ],
    ids=["no entity", "no column", "a name that is read", "a name twice"],
)
def test_names_that_lead_nowhere_or_to_two_places_are_refused(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    with pytest.raises(DeclarationInvalid) as refused:
        tiny.begin(tmp_path / "root", lambda _: declared("store", old, new))
    assert told in str(refused.value)
