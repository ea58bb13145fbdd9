"""The model folders of products' versions, as MLflow's clients list and read them; each file is verified before."""

from __future__ import annotations

__all__ = ["NoBill", "ReadOnly", "VersionArtifacts", "bill_of"]

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from mainspring.errors import NotFound, Refused
from mainspring.operate.model_folder import BILL, FOLDERS
from mainspring.operate.verify_version import need_sound, registered
from mainspring.ref import ModelRef
from mainspring.registry.manifest import ManifestRefused, PackagedFile, unseal
from mainspring.stores.artifacts import Artifact, ArtifactNotFound, OpenArtifact, WrongKind
from mainspring.stores.blobs import BlobCorrupt, BlobNotFound

if TYPE_CHECKING:
    from mainspring.registry import ModelVersion
    from mainspring.stores.artifact_path import ArtifactPath
    from mainspring.workspace import Workspace

MANIFEST = "manifest.json"


class ReadOnly(Refused):
    """A path below which nobody writes."""

    def __init__(self, path: ArtifactPath) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"'{self.path}' is for versions of products, which their cycles alone make. Log the file with a run."


class NoBill(NotFound):
    """A version of which nobody has kept what its environment consisted of."""

    def __init__(self, ref: ModelRef) -> None:
        super().__init__(ref)
        self.ref = ref

    def __str__(self) -> str:
        return (
            f"{self.ref} has no bill of materials: it was packaged by a release that made none. "
            "Names and versions alone are in the blob that its lineage names as `environment`."
        )


def bill_of(workspace: Workspace, ref: ModelRef) -> dict[str, object]:
    """Give the bill of materials of the environment that a version was made in, as CycloneDX JSON.

    Raises
    ------
    mainspring.registry.ModelVersionNotFound
    NoBill
    mainspring.operate.verify_version.VersionChanged
        The version is not what was registered.
    """
    with workspace.database.read() as tx:
        version = tx.registry.get(ref)
    manifest = need_sound(workspace, version)
    for file in manifest.files if manifest else ():
        if file.path == BILL:
            found: dict[str, object] = msgspec.json.decode(workspace.blobs.get(file.sha256))
            return found
    raise NoBill(version.ref)


@dataclass(frozen=True, slots=True)
class VersionArtifacts:
    """Artifacts below `mainspring-models/PRODUCT/NUMBER`: those of the version's manifest, and the manifest itself."""

    workspace: Workspace

    @staticmethod
    def has(path: ArtifactPath | None) -> bool:
        """Whether a path is one of these."""
        return path is not None and path.parts[0] == FOLDERS

    def list(self, path: ArtifactPath) -> tuple[Artifact, ...]:
        """List a folder by name, when all of the version was verified; nothing where there is none, or a file.

        Raises
        ------
        mainspring.registry.ModelVersionNotFound
        mainspring.operate.verify_version.VersionChanged
            The version is not what was registered.
        """
        version, below = self._version(path)
        if version is None:
            return ()
        prefix = f"{below}/" if below else ""
        found: dict[str, Artifact] = {}
        for file in self._files(version):
            if file.path.startswith(prefix):
                name, _, more = file.path.removeprefix(prefix).partition("/")
                found[name] = Artifact(name, None if more else file.size)
        return tuple(found[name] for name in sorted(found))

    def open(self, path: ArtifactPath) -> OpenArtifact:
        """Open a file, when it and the manifest were verified; raises as `list`, `ArtifactNotFound`, `WrongKind`."""
        version, below = self._version(path)
        digest = registered(version)[0] if version else None
        if version is None or digest is None:
            raise ArtifactNotFound(path)
        blobs = self.workspace.blobs
        try:
            content = blobs.get(digest)
            manifest = unseal(content, version.ref, self.workspace.secret)
            files = {file.path: file for file in manifest.files}
            files[MANIFEST] = PackagedFile(MANIFEST, len(content), digest)
            if below in files:
                return OpenArtifact(blobs.open(files[below].sha256), files[below].size)
        except (BlobNotFound, BlobCorrupt, ManifestRefused):
            need_sound(self.workspace, version)  # to tell of all that is wrong with it
            raise
        if not below or any(name.startswith(f"{below}/") for name in files):
            raise WrongKind(path, "Artifact path refers to a directory, not a file")
        raise ArtifactNotFound(path)

    def _version(self, path: ArtifactPath) -> tuple[ModelVersion | None, str]:
        _, *names = path.parts
        if len(names) < 2 or not re.fullmatch("[1-9][0-9]{0,8}", names[1]):
            return None, ""
        with self.workspace.database.read() as tx:
            return tx.registry.get(ModelRef(names[0], int(names[1]))), "/".join(names[2:])

    def _files(self, version: ModelVersion) -> tuple[PackagedFile, ...]:
        manifest = need_sound(self.workspace, version)
        if manifest is None:
            return ()
        digest, _ = registered(version)
        assert digest is not None  # it has been read
        return (*manifest.files, PackagedFile(MANIFEST, len(self.workspace.blobs.get(digest)), digest))
