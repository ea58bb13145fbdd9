"""The model folder of a version: what it tells of the model, and of the environment that it was made in."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.metadata import PathDistribution, distribution
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.operate.tiny import train_first

from mainspring.digest import Digest, canonical_json
from mainspring.operate.inventory import bill_of_materials, licences_of
from mainspring.operate.verify_version import need_sound
from mainspring.operate.version_artifacts import NoBill, bill_of
from mainspring.ref import ModelRef
from mainspring.workspace import Workspace, open_workspace

FIRST = ModelRef("tiny", 1)


def folder_of(workspace: Workspace) -> dict[str, bytes]:
    with workspace.database.read() as tx:
        manifest = need_sound(workspace, tx.registry.get(FIRST))
    assert manifest is not None
    return {file.path: workspace.blobs.get(file.sha256) for file in manifest.files}


def test_the_model_of_the_folder_is_the_one_that_is_served(workspace: Workspace) -> None:
    with workspace.database.read() as tx:
        version = tx.registry.get(FIRST)
        manifest = need_sound(workspace, version)
    assert manifest is not None
    assert {file.path: file.sha256 for file in manifest.files}["data/model.onnx"] == version.artifact


def test_the_signature_tells_names_types_nulls_shapes_and_categories(workspace: Workspace) -> None:
    told = msgspec.yaml.decode(folder_of(workspace)["MLmodel"])
    assert msgspec.json.decode(told["signature"]["inputs"]) == [
        {"name": "amount", "type": "double", "required": True},
        {"name": "hour", "type": "long", "required": True},
        {"name": "kind", "type": "string", "required": True},
    ]
    inputs = told["metadata"]["mainspring.signature"]["inputs"]
    assert inputs[2] == {
        "name": "kind",
        "dtype": "BYTES",
        "nullable": False,
        "categories": ["a", "b", "c"],
        "shape": [-1],
    }


def test_requirements_are_those_that_were_installed(workspace: Workspace) -> None:
    folder = folder_of(workspace)
    installed = {each.partition("==")[0]: each for each in environment_of(workspace)[2]}
    pinned = [each for each in folder["requirements.txt"].decode().splitlines() if "==" in each]
    assert {each.partition("==")[0] for each in pinned} == {"numpy", "onnx", "onnxruntime"}
    assert all(each in installed.values() for each in pinned)
    conda = msgspec.yaml.decode(folder["conda.yaml"])
    assert conda["dependencies"][2]["pip"] == folder["requirements.txt"].decode().splitlines()
    assert msgspec.yaml.decode(folder["python_env.yaml"])["python"] == environment_of(workspace)[1]


def environment_of(workspace: Workspace) -> list[Any]:
    with workspace.database.read() as tx:
        digest = tx.registry.get(FIRST).lineage["environment"]
    found: list[Any] = msgspec.json.decode(workspace.blobs.get(Digest(str(digest))))
    return found


def test_the_bill_names_every_distribution_of_the_environment_with_its_licence(workspace: Workspace) -> None:
    bill: Any = bill_of(workspace, FIRST)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    named = {f"{each['name']}=={each['version']}" for each in bill["components"][1:]}
    normal = lambda names: {re.sub(r"[-_.]+", "-", name).lower() for name in names}  # noqa: E731
    assert normal(named) == normal(environment_of(workspace)[2])
    (numpy,) = (each for each in bill["components"] if each["name"] == "numpy")
    assert "BSD-3-Clause" in numpy["licenses"][0]["expression"]
    refs = {each["bom-ref"] for each in bill["components"]}
    assert all({each["ref"], *each["dependsOn"]} <= refs for each in bill["dependencies"])
    (lightgbm,) = (each for each in bill["dependencies"] if "/lightgbm@" in each["ref"])
    assert f"pkg:pypi/numpy@{distribution('numpy').version}" in lightgbm["dependsOn"]


def test_the_same_environment_gives_the_same_bill() -> None:
    assert canonical_json(bill_of_materials()) == canonical_json(bill_of_materials())


@pytest.mark.parametrize(
    ("metadata", "licences"),
    [
        ("License-Expression: MIT OR Apache-2.0", [{"expression": "MIT OR Apache-2.0"}]),
        ("Classifier: License :: OSI Approved :: MIT License", [{"license": {"name": "MIT License"}}]),
        ("Classifier: License :: OSI Approved\nLicense: BSD", [{"license": {"name": "BSD"}}]),
        (
            "License: MIT License\n\n        Permission is hereby granted",
            [{"license": {"name": "MIT License"}}],
        ),
        ("License: UNKNOWN", []),
        ("Summary: says nothing of it", []),
    ],
)
def test_a_licence_is_what_the_distribution_declares(
    tmp_path: Path, metadata: str, licences: list[dict[str, object]]
) -> None:
    (tmp_path / "METADATA").write_text(f"Metadata-Version: 2.4\nName: some\nVersion: 1\n{metadata}\n")
    found = licences_of(PathDistribution(tmp_path).metadata)
    for each in found:
        each.pop("acknowledgement", None)
        each.get("license", {}).pop("acknowledgement", None)  # type: ignore[attr-defined]
    assert found == licences


def test_rows_that_tell_of_persons_are_no_example(tmp_path: Path) -> None:
    def personal(text: str) -> str:
        field = 'kind: str = pa.Field(isin=["a", "b", "c"], nullable=True'
        assert text.count(field) == 1
        return text.replace(field, f"{field}, metadata=ms.pii(as_input=True)")

    with open_workspace(train_first(tmp_path / "root", personal)) as workspace:
        folder = folder_of(workspace)
    assert "input_example.json" not in folder
    assert "saved_input_example_info" not in msgspec.yaml.decode(folder["MLmodel"])


def test_of_a_version_without_a_bill_this_is_told(workspace: Workspace) -> None:
    with workspace.database.write() as tx:
        first = tx.registry.get(FIRST)
        lineage = {name: value for name, value in first.lineage.items() if name != "manifest"}
        tx.registry.add(replace(first, number=2, lineage=lineage))
    with pytest.raises(NoBill, match="tiny@2 has no bill of materials"):
        bill_of(workspace, ModelRef("tiny", 2))
