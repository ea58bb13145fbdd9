"""Whether a model version is still what was registered: asked before every load, and told where it is not."""

from __future__ import annotations

__all__ = [
    "VersionChanged",
    "VersionCheck",
    "changed_versions",
    "check",
    "check_versions",
    "need_all_sound",
    "need_sound",
    "registered",
    "verify_version",
]

import logging
from functools import cache
from typing import TYPE_CHECKING, cast

import msgspec

from mainspring.digest import Digest
from mainspring.errors import Fault, MainspringError, Refused
from mainspring.events import Event, EventType
from mainspring.ref import ModelRef
from mainspring.registry.manifest import Manifest, ManifestRefused, key_of, unseal
from mainspring.stores.blobs import BlobCorrupt, BlobNotFound

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from mainspring.registry import ModelVersion
    from mainspring.stores.blobs import BlobStore
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace

_CHANGED = "version_changed:"

_log = logging.getLogger(__name__)


class VersionChanged(Refused):
    """A model version that is not what was registered, so that it is not loaded; all that is wrong is told."""

    def __init__(self, ref: ModelRef, faults: tuple[Fault, ...]) -> None:
        super().__init__(ref, faults)
        self.ref, self.faults = ref, faults

    def __str__(self) -> str:
        # One blob may be several parts: the model is a file of the folder, and what the gateway loads.
        parts: dict[str, list[str]] = {}
        for fault in self.faults:
            parts.setdefault(fault.what.removesuffix("."), []).append(fault.where)
        told = "; ".join(f"{', '.join(names)}: {what}" for what, names in parts.items())
        return (
            f"{self.ref} is not what was registered, so it is not loaded: {told}. "
            f"Put back copies of what is named, and see `mainspring models verify {self.ref}`; or train again."
        )


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a version's model folder, or what mainspring itself loads of it; `fault` says what is wrong."""

    name: str
    size: int | None
    sha256: str
    fault: str


class VersionCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of a version.

    Attributes
    ----------
    ref : str
    sound : bool
        All is as it was registered.
    signed : bool
        There is a manifest that this workspace has signed for this version.
    key : str
        The name of this workspace's key.
    manifest : str or None
        Its digest; None for a version of a release that wrote none.
    parts : list of Part
    faults : list of str
    """

    ref: str
    sound: bool
    signed: bool
    key: str
    manifest: str | None
    parts: list[Part]
    faults: list[str]


def check(
    ref: ModelRef,
    manifest: Digest | None,
    expected: Mapping[str, str],
    *,
    blobs: BlobStore,
    secret: bytes,
) -> Manifest | None:
    """Check all that a version consists of, and give its manifest.

    Parameters
    ----------
    ref : ModelRef
        By number.
    manifest : Digest or None
        As registered. Of a version that was registered before there were manifests, what is expected is checked alone.
    expected : mapping of str to str
        Digests that are registered, by what they are.
    blobs : BlobStore
    secret : bytes
        The workspace's.

    Raises
    ------
    VersionChanged
        Something is missing, was changed, or is not what was signed.
    """
    found, faults, _ = _look(ref, manifest, expected, blobs, secret)
    if faults:
        raise VersionChanged(ref, tuple(faults))
    return found


def need_sound(workspace: Workspace, version: ModelVersion) -> Manifest | None:
    """Check a version before it is loaded; one that was changed is told of in the ledger, once.

    Raises
    ------
    VersionChanged
        As `check`.
    """
    try:
        found = check(version.ref, *registered(version), blobs=workspace.blobs, secret=workspace.secret)
    except VersionChanged as error:
        _tell(workspace, version.ref, str(error))
        raise
    _tell(workspace, version.ref, "")
    return found


def need_all_sound(workspace: Workspace, product: str, numbers: Collection[int]) -> None:
    """Check those of some versions of a product that there are, before they are served; raises as `need_sound`."""
    with workspace.database.read() as tx:
        versions = [each for each in tx.registry.versions(product) if each.number in numbers]
    for version in versions:
        need_sound(workspace, version)


def verify_version(workspace: Workspace, ref: ModelRef) -> VersionCheck:
    """Check a version part by part; what is found wrong is told of in the ledger, once.

    Raises
    ------
    mainspring.registry.ModelVersionNotFound
    """
    with workspace.database.read() as tx:
        version = tx.registry.get(ref)
    digest, expected = registered(version)
    manifest, faults, parts = _look(version.ref, digest, expected, workspace.blobs, workspace.secret)
    _tell(workspace, version.ref, str(VersionChanged(version.ref, tuple(faults))) if faults else "")
    return VersionCheck(
        ref=str(version.ref),
        sound=not faults,
        signed=manifest is not None,
        key=key_of(workspace.secret),
        manifest=digest,
        parts=parts,
        faults=[str(fault) for fault in faults],
    )


def check_versions(workspace: Workspace, product: str) -> tuple[ModelRef, ...]:
    """Check the versions that a product's route names, and give those that were changed."""
    with workspace.database.read() as tx:
        routes = [route for route in tx.rollouts.routes() if route.product == product]
        versions = [
            tx.registry.get(ModelRef(product, variant.version))
            for route in routes
            for variant in route.variants
        ]
    changed = []
    for version in versions:
        try:
            need_sound(workspace, version)
        except VersionChanged:
            changed.append(version.ref)
    return tuple(changed)


def registered(version: ModelVersion) -> tuple[Digest | None, dict[str, str]]:
    """Give the digest of a version's manifest, and of what else is registered of it."""
    lineage = version.lineage
    served = cast("Mapping[str, object]", lineage.get("served") or {})
    known = {
        "artifact": version.artifact,
        "native": version.native,
        "reference": version.reference,
        "package": lineage.get("package"),
        "sample": served.get("sample"),
    }
    manifest = lineage.get("manifest")
    return Digest(str(manifest)) if manifest else None, {
        name: str(digest) for name, digest in known.items() if digest
    }


def changed_versions(tx: Transaction, product: str) -> list[str]:
    """What is wrong with versions of a product, as it was last found."""
    found = tx.values.items(f"{_CHANGED}{product}@")
    return [text for text in found.values() if text]


def _look(
    ref: ModelRef, digest: Digest | None, expected: Mapping[str, str], blobs: BlobStore, secret: bytes
) -> tuple[Manifest | None, list[Fault], list[Part]]:
    faults: list[Fault] = []
    manifest = None
    if digest is not None:
        try:
            manifest = unseal(blobs.get(digest), ref, secret)
        except (BlobNotFound, BlobCorrupt) as error:
            faults.append(Fault("manifest", _damage(error)))
        except ManifestRefused as error:
            faults.append(Fault("manifest", f"{error.why}."))
    parts, read = [], cache(lambda sha256: _size(blobs, sha256))
    for name, size, sha256 in _parts(manifest, expected):
        kept, fault = read(sha256)
        if not fault and size is not None and kept != size:
            fault = f"has {kept} bytes, and is signed with {size}."
        if manifest and name in expected and expected[name] != manifest.blobs.get(name, ""):
            fault = f"{expected[name][:12]} is registered, and not what is signed."
        parts.append(Part(name=name, size=size, sha256=sha256, fault=fault.removesuffix(".")))
        if fault:
            faults.append(Fault(name, fault))
    return manifest, faults, parts


def _parts(manifest: Manifest | None, expected: Mapping[str, str]) -> Iterator[tuple[str, int | None, str]]:
    for file in manifest.files if manifest else ():
        yield file.path, file.size, file.sha256
    for name, digest in sorted({**(manifest.blobs if manifest else {}), **expected}.items()):
        yield name, None, digest


def _size(blobs: BlobStore, sha256: str) -> tuple[int, str]:
    """How many bytes a blob has, or what is wrong with it."""
    try:
        return len(blobs.get(Digest(sha256))), ""
    except MainspringError as error:
        return 0, _damage(error)


def _damage(error: MainspringError) -> str:
    """What is wrong with a blob, without the folder of this machine: it is told to clients too."""
    match error:
        case BlobNotFound(digest=digest):
            return f"{_file(digest)} is missing."
        case BlobCorrupt(digest=digest):
            return f"{_file(digest)} was changed or damaged: it has the digest {error.found[:12]}."
        case _:
            return str(error)


def _file(digest: str) -> str:
    return f"blobs/{digest[:2]}/{digest[2:4]}/{digest}"


def _tell(workspace: Workspace, ref: ModelRef, what: str) -> None:
    """Record what is wrong with a version, or that nothing is any more; once as long as it stays."""
    name = f"{_CHANGED}{ref}"
    with workspace.database.read() as tx:
        if (tx.values.get(name) or "") == what:
            return
    kind, why = (
        (EventType.MODEL_VERSION_DAMAGED, what)
        if what
        else (EventType.MODEL_VERSION_RESTORED, "it is again what was registered")
    )
    with workspace.database.write() as tx:
        tx.values.put(name, what)
        tx.ledger.append(
            Event(type=kind, subject=str(ref), at=workspace.clock.now(), actor="loop", reason=why)
        )
    if what:
        _log.error("%s", what)
