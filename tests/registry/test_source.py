"""What a version may come from: every way out of the run or model that it names is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.errors import MainspringError
from mainspring.registry.source import (
    Elsewhere,
    InFolder,
    OfLoggedModel,
    OfRun,
    OfVersion,
    SourceRefused,
    lies_within,
    read_source,
)

ROOT = "mlflow-artifacts:/1/5f2c/artifacts"


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("runs:/5f2c/model", OfRun("5f2c")),
        ("runs:/5f2c/a/b", OfRun("5f2c")),
        ("models:/m-1", OfLoggedModel("m-1")),
        ("models:/late/3", OfVersion("late", "3")),
        ("models:/late/Production", OfVersion("late", "Production")),
        ("models:/late/latest", OfVersion("late", "latest")),
        ("models:/late/" + "9" * 5000, OfVersion("late", "9" * 5000)),
        ("models:/late@champion", OfVersion("late", "champion", is_alias=True)),
        ("models:/a@b@champion", OfVersion("a@b", "champion", is_alias=True)),
        (f"{ROOT}/model", InFolder()),
        ("mlflow-artifacts://host:5000/1", InFolder()),
        ("MLFLOW-ARTIFACTS:/1", InFolder()),
        ("http://host/api/2.0/mlflow-artifacts/artifacts/1", InFolder()),
        ("https://host/x/api//2.0/mlflow-artifacts%2Fartifacts/1", InFolder()),
        ("/models/a", InFolder()),
        ("models", InFolder()),
        ("file:///models/a", InFolder()),
        ("s3://bucket/a", Elsewhere()),
        ("dbfs:/a", Elsewhere()),
    ],
)
def test_a_source_is_read(text: str, source: object) -> None:
    assert read_source(text) == source


@pytest.mark.parametrize(
    "text",
    [
        f"{ROOT}/..",
        f"{ROOT}/../other",
        f"{ROOT}/%2e%2e/other",
        f"{ROOT}/%252e%252e/other",
        f"{ROOT}/..%2fother",
        f"{ROOT}/..%5cother",
        f"{ROOT}/./other",
        "s3://bucket/../other",
        "s3://bucket/a/..",
        "s3://bucket/a%00b",
        "runs:/5f2c/../other/model",
        "runs:/5f2c",
        "runs://host/5f2c/model",
        "runs:/",
        "models:/",
        "models://host/late/1",
        "models:/a/1/2",
        "models:/a/ ",
        "models:late",
        "file://host/models",
        "http://[",
        "s3://bucket/" + "%" + "25" * 20 + "2e",
        "s" * 10_001,
    ],
)
def test_a_source_that_leads_elsewhere_or_nowhere_is_refused(text: str) -> None:
    with pytest.raises(MainspringError):
        read_source(text)


@pytest.mark.parametrize(
    ("source", "root", "within"),
    [
        (f"{ROOT}/model", ROOT, True),
        (ROOT, ROOT, True),
        (f"{ROOT}//model", f"{ROOT}/", True),
        (f"{ROOT}x/model", ROOT, False),
        ("mlflow-artifacts:/1/5f2c", ROOT, False),
        (f"{ROOT.replace(':/', '://host/')}/model", ROOT, False),
        ("s3://bucket/1/5f2c/artifacts", ROOT, False),
        ("/models/run/a", "file:///models/run", True),
        ("file:///models/run/a", "/models/run", True),
        ("/models/running", "/models/run", False),
        (f"{ROOT}/model", "mlflow-artifacts:/", False),
        ("mlflow-artifacts:/1%2F5f2c/artifacts/model", ROOT, False),
    ],
)
def test_a_source_lies_within_a_folder_name_by_name(source: str, root: str, within: bool) -> None:
    assert lies_within(source, root) is within


NAMES = st.lists(st.sampled_from(["a", "..", ".", "%2e%2e", "b%20c", "", "%2F", "..%2f"]), max_size=6)


@given(NAMES)
def test_what_lies_within_a_folder_never_leaves_it(names: list[str]) -> None:
    source = "/".join([ROOT, *names])
    try:
        read_source(source)
    except SourceRefused:
        return
    assert lies_within(source, ROOT)
    assert not any(part in (".", "..") for part in source.replace("%2F", "/").replace("%2e", ".").split("/"))
