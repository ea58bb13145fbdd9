"""Small contents that came together, one after the other in one file: twenty thousand names take longer than bytes."""

from __future__ import annotations

__all__ = ["SMALL", "Packing", "Packs"]

import os
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple
from uuid import uuid4

SMALL = 1 << 16
"""Contents of fewer bytes may go into a pack."""

_ENTRY = struct.Struct("<32sQQ")
_INDEX, _PACK = ".index", ".pack"


class _Place(NamedTuple):
    """Where contents lie: from a byte of a pack on, so many."""

    pack: Path
    begin: int
    size: int


@dataclass(slots=True)
class Packing:
    """A pack that is being written, in a folder of the writer's own."""

    folder: Path
    _entries: list[tuple[bytes, int, int]] = field(default_factory=list)
    _known: set[str] = field(default_factory=set)
    _file: BinaryIO | None = None
    _end: int = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, digest: str) -> bool:
        return digest in self._known

    def add(self, digest: str, content: bytes) -> None:
        """Append contents."""
        if self._file is None:
            self.folder.mkdir(exist_ok=True)
            self._file = open(self._part, "xb")  # noqa: SIM115 - closed by `close`
        self._file.write(content)
        self._entries.append((bytes.fromhex(digest), self._end, len(content)))
        self._known.add(digest)
        self._end += len(content)

    def each(self) -> Iterator[tuple[str, bytes]]:
        """Give back what was appended."""
        self.close()
        with self._part.open("rb") as pack:
            for digest, _, size in self._entries:
                yield digest.hex(), pack.read(size)

    def finish(self, packs: Path) -> None:
        """Put the pack in its place, the bytes before the index that names them; both are durable then."""
        self.close()
        index = self._part.with_suffix(_INDEX)
        index.write_bytes(b"".join(_ENTRY.pack(*entry) for entry in self._entries))
        os.sync()
        packs.mkdir(exist_ok=True)
        name = uuid4().hex
        self._part.rename(packs / f"{name}{_PACK}")
        index.rename(packs / f"{name}{_INDEX}")
        os.sync()

    @property
    def _part(self) -> Path:
        return self.folder / f"small{_PACK}"

    def close(self) -> None:
        """Write no more."""
        if self._file is not None:
            self._file.close()
            self._file = None


@dataclass(slots=True)
class Packs:
    """The packs in a folder. What has come into it since it was read first is found when something else is missing."""

    root: Path
    _places: dict[bytes, _Place] | None = None

    def __contains__(self, digest: str) -> bool:
        if self._places is None:
            self._places = self._read()
        return bytes.fromhex(digest) in self._places

    def read(self, digest: str) -> bytes | None:
        """Give the bytes that lie under a digest, not verified; None where no pack has them."""
        key = bytes.fromhex(digest)
        for again in (False, True):
            if again or self._places is None:  # another process may have written a pack, or rewritten one
                self._places = self._read()
            place = self._places.get(key)
            if place is not None:
                try:
                    with place.pack.open("rb") as pack:
                        pack.seek(place.begin)
                        return pack.read(place.size)
                except FileNotFoundError:
                    continue
        return None

    def sweep(self, referred: Collection[str], parts: Path, *, dry_run: bool) -> tuple[int, int]:
        """Remove what nothing refers to, while nobody keeps contents; what else is in its pack is written anew.

        Returns
        -------
        (int, int)
            How many contents, and how many bytes.
        """
        count = size = 0
        wanted, known = {bytes.fromhex(digest) for digest in referred}, set[bytes]()
        for index in sorted(self.root.glob(f"*{_INDEX}")):
            entries = _entries(index)
            # Contents lie in two packs where one was killed that wrote them anew.
            kept = [entry for entry in entries if entry[0] in wanted and entry[0] not in known]
            known |= {digest for digest, _, _ in kept}
            count += len(entries) - len(kept)
            size += sum(each[2] for each in entries) - sum(each[2] for each in kept)
            if len(kept) < len(entries) and not dry_run:
                self._rewrite(index, kept, parts)
        for pack in self.root.glob(f"*{_PACK}"):  # of one that was not named yet, or is not any more
            if not pack.with_suffix(_INDEX).exists():
                count, size = count + 1, size + pack.stat().st_size
                if not dry_run:
                    pack.unlink()
        return count, size

    def _rewrite(self, index: Path, kept: list[tuple[bytes, int, int]], parts: Path) -> None:
        if kept:
            parts.mkdir(exist_ok=True)
            packing = Packing(parts / uuid4().hex)
            with index.with_suffix(_PACK).open("rb") as pack:
                for digest, begin, length in kept:
                    pack.seek(begin)
                    packing.add(digest.hex(), pack.read(length))
            packing.finish(self.root)
            packing.folder.rmdir()
        index.unlink()
        index.with_suffix(_PACK).unlink()

    def _read(self) -> dict[bytes, _Place]:
        places = {}
        for index in sorted(self.root.glob(f"*{_INDEX}")):
            pack = index.with_suffix(_PACK)
            for digest, begin, size in _entries(index):
                places[digest] = _Place(pack, begin, size)
        return places


def _entries(index: Path) -> list[tuple[bytes, int, int]]:
    try:
        return [*_ENTRY.iter_unpack(index.read_bytes())]
    except FileNotFoundError:  # rewritten since it was listed
        return []
