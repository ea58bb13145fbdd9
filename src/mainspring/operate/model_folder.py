"""A model version as a folder that MLflow's clients load, and the manifest of all that the version consists of.

Nothing is kept twice: the folder is a list of names of blobs, and the model in it is the one that the gateway serves.
"""

from __future__ import annotations

__all__ = ["BILL", "FOLDERS", "MLMODEL", "Origin", "describe"]

import io
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mainspring.digest import Digest, digest_of
from mainspring.formats import shipped
from mainspring.formats.native import RUNS_CODE, read
from mainspring.formats.sample import Sample
from mainspring.registry.manifest import Manifest, PackagedFile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from mainspring.formats.native import Written
    from mainspring.formats.signature import Column, Signature
    from mainspring.operate.packaging import Package
    from mainspring.product import ColumnSpec
    from mainspring.ref import ModelRef
    from mainspring.stores.blobs import BlobStore

MLMODEL, BILL = "MLmodel", "sbom.cdx.json"
FOLDERS = "mainspring-models"
"""The first name of the paths under which artifacts of versions are asked for; nobody else's artifact has it."""

_EXAMPLES = 5
_FILES = {
    "onnx": "model.onnx",
    "lightgbm": "model.txt",
    "xgboost": "model.json",
    "sklearn": "model.skops",
}
_NEEDS = {
    "onnx": ("onnx", "onnxruntime"),
    "lightgbm": ("lightgbm",),
    "xgboost": ("xgboost", "xgboost-cpu"),
    "sklearn": ("scikit-learn", "skops", "polars"),
}
_TYPES = {"INT64": "long", "BOOL": "boolean", "BYTES": "string", "FP32": "double", "FP64": "double"}
"""MLflow's names. Its clients would refuse a double where a float is declared, and pandas makes doubles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a version comes from.

    Attributes
    ----------
    ref : ModelRef
        By number.
    run_id, package : str
        The run that made it, and the digest of what that packaged.
    registered_at : datetime
    data : mapping of str to str
        Digests of the data versions, by ref.
    code, environment : str
        Digests, empty where they are not known.
    reference : str
        Digest of the reference profile.
    inputs : sequence of ColumnSpec
        As the product declares them.
    """

    ref: ModelRef
    run_id: str
    package: str
    registered_at: datetime
    data: Mapping[str, str]
    code: str
    environment: str
    reference: str
    inputs: Sequence[ColumnSpec]


def describe(package: Package, origin: Origin, blobs: BlobStore) -> Manifest:
    """Keep the files of a version's model folder, and list all that the version consists of.

    Of a model that is code of the product's own the folder says that it cannot be loaded: that would run a pickle.
    """
    artifact = blobs.get(Digest(package.artifact))
    native = read(blobs.get(Digest(package.native)))
    files = {
        path: PackagedFile(path, len(content), blobs.put(content))
        for path, content in _texts(package, origin, native, len(artifact), blobs).items()
    }
    kind = _kind(package, native)
    if kind != RUNS_CODE:
        path, content = f"data/{_FILES[kind]}", artifact if kind == "onnx" else native.model
        files[path] = PackagedFile(path, len(content), blobs.put(content))
    if package.sbom:
        files[BILL] = PackagedFile(BILL, len(blobs.get(Digest(package.sbom))), Digest(package.sbom))
    kept = {
        "artifact": package.artifact,
        "native": package.native,
        "sample": package.sample,
        "package": origin.package,
        "reference": origin.reference,
    }
    return Manifest(
        model=str(origin.ref),
        registered_at=origin.registered_at,
        files=tuple(files[path] for path in sorted(files)),
        blobs={name: Digest(digest) for name, digest in kept.items() if digest},
        data=dict(origin.data),
        code=origin.code,
        environment=origin.environment,
    )


def _texts(
    package: Package, origin: Origin, native: Written, size: int, blobs: BlobStore
) -> dict[str, bytes]:
    """All files but the model and the bill of materials."""
    kind = _kind(package, native)
    implementation, python, installed = _environment(origin, blobs)
    requirements = _requirements(kind, native, installed)
    files = {
        "requirements.txt": "".join(f"{each}\n" for each in requirements).encode(),
        "conda.yaml": _yaml(
            {
                "name": "mlflow-env",
                "channels": ["conda-forge"],
                "dependencies": [f"python={python}", "pip", {"pip": requirements}],
            }
        ),
        "python_env.yaml": _yaml(
            {
                "python": python,
                "build_dependencies": ["pip", "setuptools", "wheel"],
                "dependencies": ["-r requirements.txt"],
            }
        ),
    }
    example = _example(package, origin, blobs)
    if example is not None:
        files["input_example.json"] = msgspec.json.encode(example)
    loader = Path(shipped.__file__).read_bytes()
    module = (
        f"mainspring_model_{digest_of(loader)[:12]}"  # two models in one process must not share an older one
    )
    about = {
        "model": str(origin.ref),
        "format": kind,
        "file": _FILES.get(kind, ""),
        "inputs": msgspec.to_builtins(package.signature.inputs),
        "output": package.signature.outputs[0].name,
        "encodings": native.encodings,
        **({"trusted": _trusted()} if kind == "sklearn" else {}),
    }
    described = {
        "flavors": {
            **_flavor(kind, installed),
            "python_function": {
                "loader_module": module,
                "python_version": python,
                "code": "code",
                "data": "data",
                "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
            },
        },
        "model_uuid": package.artifact[:32],
        "model_size_bytes": size,
        "run_id": origin.run_id,
        "utc_time_created": f"{origin.registered_at:%Y-%m-%d %H:%M:%S.%f}",
        "signature": _signature(package.signature),
        "metadata": {
            "mainspring.model": str(origin.ref),
            "mainspring.served": package.served,
            "mainspring.why_native": package.why_native,
            "mainspring.python": f"{implementation} {python}",
            "mainspring.signature": {
                kind: [{**msgspec.to_builtins(each), "shape": [-1]} for each in columns]
                for kind, columns in (
                    ("inputs", package.signature.inputs),
                    ("outputs", package.signature.outputs),
                )
            },
        },
    }
    if example is not None:
        told = {"artifact_path": "input_example.json", "type": "dataframe", "pandas_orient": "split"}
        described["saved_input_example_info"] = told
    return files | {
        MLMODEL: _yaml(described),
        f"code/{module}.py": loader,
        "data/about.json": msgspec.json.format(msgspec.json.encode(about, order="deterministic")),
    }


def _kind(package: Package, native: Written) -> str:
    return "onnx" if package.served == "onnx" else native.format


def _yaml(value: object) -> bytes:
    return msgspec.yaml.encode(value)


def _environment(origin: Origin, blobs: BlobStore) -> tuple[str, str, dict[str, str]]:
    """The interpreter, its version, and what was installed beside it."""
    told: list[Any] = msgspec.json.decode(blobs.get(Digest(origin.environment)))
    return told[0], told[1], dict(each.split("==", 1) for each in told[2])


def _requirements(kind: str, native: Written, installed: Mapping[str, str]) -> list[str]:
    """What a model needs to answer, with the versions that it was made with, and what MLflow needs to load it."""
    needs = ["numpy", *_NEEDS.get(kind, ())]
    if kind == "sklearn":
        schema = zipfile.ZipFile(io.BytesIO(native.model)).read("schema.json").decode()
        parts = set(re.findall(r'"__module__": "(\w+)', schema))
        needs += [name for library in ("lightgbm", "xgboost") if library in parts for name in _NEEDS[library]]
    # Not what these need in turn: MLflow's own bounds may be otherwise, and the bill of materials has all of it.
    return ["mlflow>=2.22,<4", *sorted(f"{name}=={installed[name]}" for name in needs if name in installed)]


def _flavor(kind: str, installed: Mapping[str, str]) -> dict[str, object]:
    """The flavor of the model's own library, where its file is as that writes it."""
    data = f"data/{_FILES.get(kind)}"
    match kind:
        case "onnx":
            providers = ["CPUExecutionProvider"]
            return {
                "onnx": {
                    "onnx_version": installed.get("onnx", ""),
                    "data": data,
                    "providers": providers,
                    "code": None,
                }
            }
        case "lightgbm":
            about = {"lgb_version": installed.get("lightgbm", ""), "data": data, "code": None}
            return {"lightgbm": about | {"model_class": "lightgbm.basic.Booster"}}
        case "xgboost":
            version = installed.get("xgboost") or installed.get("xgboost-cpu", "")
            about = {"xgb_version": version, "data": data, "code": None, "model_format": "json"}
            return {"xgboost": about | {"model_class": "xgboost.core.Booster"}}
        case _:
            return {}


def _trusted() -> list[str]:
    from mainspring.formats.sklearn import TRUSTED

    return list(TRUSTED)


def _signature(signature: Signature) -> dict[str, object]:
    inputs = [
        {"name": each.name, "type": _type(each), "required": not each.nullable} for each in signature.inputs
    ]
    outputs = [{"name": each.name, "type": "float", "required": True} for each in signature.outputs]
    return {
        "inputs": msgspec.json.encode(inputs).decode(),
        "outputs": msgspec.json.encode(outputs).decode(),
        "params": None,
    }


def _type(column: Column) -> str:
    # pandas keeps whole numbers with a null among them as doubles, and truth values as objects.
    if column.nullable and column.dtype == "INT64":
        return "double"
    return _TYPES[column.dtype]


def _example(package: Package, origin: Origin, blobs: BlobStore) -> dict[str, object] | None:
    """The first rows of the sample, unless they tell of persons."""
    signature = package.signature
    personal = {each.name for each in origin.inputs if each.pii}
    if not package.sample or personal & {each.name for each in signature.inputs}:
        return None
    sample = msgspec.json.decode(blobs.get(Digest(package.sample)), type=Sample)
    if not {each.name for each in signature.inputs} <= {*sample.numbers, *sample.texts}:
        return None  # the model does not read all of its inputs, and the sample holds what it reads
    columns = [[_value(each, sample, row) for row in range(_EXAMPLES)] for each in signature.inputs]
    return {
        "columns": [each.name for each in signature.inputs],
        "data": [list(row) for row in zip(*columns, strict=True)],
    }


def _value(column: Column, sample: Sample, row: int) -> object:
    if column.dtype == "BYTES":
        texts = sample.texts[column.name]
        return (texts[row] or None) if row < len(texts) else None
    numbers = sample.numbers[column.name]
    value = numbers[row] if row < len(numbers) else None
    match column.dtype:
        case _ if value is None:
            return None
        case "INT64":
            return int(value)
        case "BOOL":
            return bool(value)
        case _:
            return value
