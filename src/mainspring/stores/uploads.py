"""Artifacts that are uploaded in parts, several at once and each as often as it takes."""

from __future__ import annotations

__all__ = ["LARGEST_PART_NUMBER", "PartRefused", "UploadNotFound", "Uploads"]

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from mainspring.digest import digest_of
from mainspring.errors import Invalid, NotFound
from mainspring.stores.artifacts import Writing
from mainspring.stores.durable import make_folder, sync
from mainspring.stores.errors import disk_refused

if TYPE_CHECKING:
    from pathlib import Path

    from mainspring.stores.artifact_path import ArtifactPath
    from mainspring.stores.artifacts import FileArtifacts

LARGEST_PART_NUMBER = 10_000
_DONE = "done"


class UploadNotFound(NotFound):
    """An upload that was never begun for this path, or was given up."""

    def __init__(self, path: ArtifactPath, upload: str) -> None:
        super().__init__(path, upload)
        self.path, self.upload = path, upload

    def __str__(self) -> str:
        return (
            f"No upload {self.upload[:64]!r} of '{self.path}' is under way: it was given up, or swept away after a "
            "while. Begin it again."
        )


class PartRefused(Invalid):
    """A part that cannot be, or that was not received as the client says."""

    def __init__(self, path: ArtifactPath, number: int, why: str) -> None:
        super().__init__(path, number, why)
        self.path, self.number, self.why = path, number, why

    def __str__(self) -> str:
        return f"Part {self.number} of '{self.path}' {self.why}. Send it, then complete the upload."


@dataclass(frozen=True, slots=True)
class Uploads:
    """Uploads in parts to a store of artifacts.

    Each is a folder beside the artifacts, named after itself and its path; `FileArtifacts.sweep` removes those that
    were left.
    """

    store: FileArtifacts

    def begin(self, path: ArtifactPath) -> str:
        """Begin an upload and give its id; raises `StoreUnavailable`."""
        upload = uuid4().hex
        folder = self._folder(path, upload)
        try:
            make_folder(folder)
        except OSError as error:
            raise disk_refused(folder, error) from error
        return upload

    def part(self, path: ArtifactPath, upload: str, number: int) -> tuple[str, Writing]:
        """Begin a part and give the tag that it will be known by.

        A part that is sent again has another tag, and the one that `complete` is told is taken. Raises
        `UploadNotFound`, `PartRefused`, `StoreUnavailable`.
        """
        if not 1 <= number <= LARGEST_PART_NUMBER:
            raise PartRefused(path, number, f"cannot be: parts count from 1 to {LARGEST_PART_NUMBER}")
        folder = self._begun(path, upload)
        tag = uuid4().hex
        return tag, Writing(folder / f"{number}-{tag}", lambda: sync(folder), self.store.largest)

    def complete(self, path: ArtifactPath, upload: str, tags: Sequence[str]) -> None:
        """Put the parts together as the artifact; asked again, it is done already.

        Parameters
        ----------
        path : ArtifactPath
            Where the artifact will be.
        upload : str
            What `begin` gave.
        tags : sequence of str
            What `part` gave for parts 1, 2, 3…

        Raises
        ------
        UploadNotFound, PartRefused, WrongKind, StoreUnavailable
            The upload is as it was, and can be completed later.
        """
        folder = self._begun(path, upload)
        done = folder / _DONE
        parts = [folder / f"{number}-{_word(tag)}" for number, tag in enumerate(tags, 1)]
        missing = [number for number, part in enumerate(parts, 1) if not part.is_file()] if parts else [1]
        # Parts go after this mark is set: whoever misses one because another has completed it sees the mark.
        if done.exists():
            return
        if missing:
            raise PartRefused(path, missing[0], "was not received under the tag that is named")
        try:
            with self.store.writing(path) as whole:
                for part in parts:
                    with part.open("rb") as file:
                        while piece := file.read(1 << 20):
                            whole.write(piece)
                whole.keep()
            done.touch()
            sync(folder)
            for part in parts:
                part.unlink(missing_ok=True)
        except FileNotFoundError as error:
            if not done.exists():
                raise UploadNotFound(path, upload) from error
        except OSError as error:
            raise disk_refused(folder, error) from error

    def abort(self, path: ArtifactPath, upload: str) -> None:
        """Give an upload up; one that is not there is fine. Raises `StoreUnavailable`."""
        folder = self._folder(path, upload)
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise disk_refused(folder, error) from error

    def _begun(self, path: ArtifactPath, upload: str) -> Path:
        folder = self._folder(path, upload)
        if not folder.is_dir():
            raise UploadNotFound(path, upload)
        return folder

    def _folder(self, path: ArtifactPath, upload: str) -> Path:
        return self.store.aside / f"{_word(upload)}-{digest_of(str(path).encode())[:32]}"


def _word(text: str) -> str:
    # An id of ours from a client: whatever else it sends names nothing.
    return text if re.fullmatch(r"[0-9a-f]{32}", text) else "none"
