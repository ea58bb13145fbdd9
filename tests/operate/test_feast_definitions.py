"""Definitions of a Feast repository, as release 0.67 told them, become views that a product file can declare."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.operate import tiny

from mainspring.operate.feast import Definitions, FeastUnreadable, Imported, product_file, read_definitions
from mainspring.workspace import Workspace

RIDES = Path(__file__).with_name("feast_rides.json")


@pytest.fixture(scope="module")
def rides() -> Imported:
    return product_file(msgspec.json.decode(RIDES.read_bytes(), type=Definitions))


def test_views_sources_and_services_become_code_that_is_what_feast_defined(rides: Imported) -> None:
    found: dict[str, Any] = {}
    exec(compile(rides.code, "features.py", "exec"), found)
    hourly, second = found["driver_hourly_stats"], found["second_driver"]
    assert (hourly.entity, hourly.ttl, hourly.online, hourly.source.known_at) == (
        "driver_id",
        "1d",
        "store",
        "created",
    )
    assert hourly.renamed == {"conv_rate": "conv"}
    assert hourly.source.key_columns == ("driver_id", "event_timestamp", "created")
    assert (second.entity, second.source_entity) == ("second_driver_id", "driver_id")
    assert found["embedded"].features == ["segment"]
    assert found["rank_drivers_features"] == [hourly, second]
    assert found["rank_drivers_inputs"][:2] == ["conv_rate", "second_driver__conv_rate"]
    assert rides.sources == {
        "driver_stats_source": "data/driver_stats.parquet",
        "customers": "s3://lake/customers",
    }


def test_what_is_not_taken_is_told_with_the_reason(rides: Imported) -> None:
    told = {each.what: each.why for each in rides.left}
    assert "it has 2 entities (driver, customer)" in told["feature view driver_of_customer"]
    assert "no feature is of type Array(Float32)" in told["feature embedded:vector"]
    assert "@ms.computed" in told["on-demand view ratio"]
    assert len(told) == 4


def test_a_product_declares_them(rides: Imported, tmp_path: Path) -> None:
    def change(text: str) -> str:
        code = rides.code.partition("import mainspring as ms\n")[2].partition("class ")
        text = text.replace(
            "    order_id: str\n", "    order_id: str\n    driver_id: int\n    second_driver_id: int\n"
        )
        text = text.replace("@ms.step\ndef recent", f"class {code[2]}\n\n@ms.step\ndef recent")
        return text.replace(
            '    inputs=["amount", "hour", "kind"],',
            '    features=rank_drivers_features,\n    inputs=["amount", "hour", "kind", *rank_drivers_inputs],',
        )

    with tiny.begin(tmp_path / "root", change) as workspace:
        assert _views(workspace) == ["driver_hourly_stats", "second_driver"]


def _views(workspace: Workspace) -> list[str]:
    with workspace.database.read() as tx:
        return [view.name for view in workspace.specs(tx)["tiny"].online]


@pytest.mark.parametrize(
    ("folder", "python", "told"),
    [
        ("nowhere", sys.executable, "there is no such folder"),
        (".", "no-such-python", "Name the Python that Feast is in"),
        (".", sys.executable, "with --python"),
    ],
    ids=["no folder", "no interpreter", "no Feast"],
)
def test_what_cannot_be_read_says_why_and_how_to_mend_it(
    tmp_path: Path, folder: str, python: str, told: str
) -> None:
    (tmp_path / "broken.py").write_text("import what_is_not_there\n")
    with pytest.raises(FeastUnreadable) as refused:
        read_definitions(tmp_path / folder, python=python)
    assert told in str(refused.value)


@pytest.mark.skipif(find_spec("feast") is None, reason="feast is not installed")
def test_feast_itself_tells_a_repository(tmp_path: Path) -> None:
    (tmp_path / "definitions.py").write_text(
        "from datetime import timedelta\n"
        "from feast import Entity, FeatureView, Field, FileSource, ValueType\n"
        "from feast.types import Float32\n"
        'driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)\n'
        'source = FileSource(name="rides", path="rides.parquet", timestamp_field="at")\n'
        'view = FeatureView(name="rides", entities=[driver], ttl=timedelta(hours=1), source=source,\n'
        '                   schema=[Field(name="fare", dtype=Float32)])\n'
    )
    assert product_file(read_definitions(tmp_path)).views == ["rides"]
