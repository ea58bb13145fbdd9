"""Lineage through an offer: from a client's run over the gates to the endpoint, and back."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.operate.test_offers import MODEL, RUN, booster, described, log, offer, put
from tests.operate.tiny import begin
from tests.products.tiny.orders import orders, parquet

from mainspring.lineage import Direction, Kind, Relation
from mainspring.operate.asking import Asking
from mainspring.operate.cards import card
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.lineage import impact, lineage
from mainspring.operate.register_models import create_model, create_version
from mainspring.operate.version_origins import NewVersion
from mainspring.ref import ModelRef

FILES = {"MLmodel": described("lightgbm", "model.lgb"), "model.lgb": booster().model_to_string().encode()}


@pytest.mark.parametrize("named", [f"models:/{MODEL}", "models:/Trees/1", f"runs:/{RUN}/second"])
def test_an_offered_model_is_followed_to_the_run_of_its_client_and_back(tmp_path: Path, named: str) -> None:
    with begin(tmp_path / "root", lambda text: text.replace("ms.OnNewData(rows=2_000),", "")) as workspace:
        add_batch(workspace, "orders", parquet(orders()), actor="ada")
        log(workspace, FILES)
        put(workspace, FILES, f"mlflow-artifacts:/0/{RUN}/artifacts/second")
        with workspace.database.write() as tx:
            create_model(tx, "Trees", "", {}, Asking("ana", 5))
            asked = NewVersion(name="Trees", source=f"models:/{MODEL}", model_id=MODEL)
            create_version(tx, asked, Asking("ana", 5))
        offer(workspace, named)
        turn(workspace)
        up = lineage(workspace, "tiny@1", Direction.UP).up
        assert up is not None
        found = {each.ref: each.kind for each in up.nodes}
        assert found[RUN] is Kind.RUN
        assert found["orders@v1"] is Kind.DATA
        assert (named == "models:/Trees/1") == ("Trees@1" in found)
        assert (Relation.OFFERED in {each.relation for each in up.edges}) == (MODEL not in named)
        down = impact(workspace, RUN)
        assert "tiny@1" in {each.ref for each in down.versions}
        assert [each.ref for each in down.endpoints] == ["tiny"]
        assert card(workspace, ModelRef("tiny", 1)).facts["made by a client"] == named
