"""Small contents that came together: one file, found again, freed one by one, and whole after any death."""

from __future__ import annotations

from collections.abc import Collection
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainspring.digest import Digest
from mainspring.stores.blobs import BlobCorrupt, BlobNotFound
from mainspring.stores.files import FileContents
from mainspring.stores.packs import SMALL, Packing


def keep(contents: FileContents, texts: Collection[bytes]) -> dict[bytes, Digest]:
    with contents.keeping() as keeping:
        kept = {text: keeping.add(BytesIO(text))[0] for text in texts}
        keeping.finish()
    return kept


def many(first: int, count: int = 100) -> list[bytes]:
    return [f"picture {n}".encode() for n in range(first, first + count)]


def read(contents: FileContents, digest: Digest, place: Path) -> bytes:
    contents.copy(digest, place)
    found = place.read_bytes()
    place.unlink()
    return found


def names(root: Path) -> list[str]:
    return sorted(path.suffix for path in (root / "packs").iterdir())


@settings(max_examples=15)
@given(
    batches=st.lists(st.lists(st.integers(0, 300), max_size=150), min_size=1, max_size=4),
    left=st.sets(st.integers(0, 300)),
)
def test_what_was_kept_is_found_and_what_is_swept_is_gone(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[int]], left: set[int]
) -> None:
    root = tmp_path_factory.mktemp("files")
    kept: dict[bytes, Digest] = {}
    for batch in batches:
        kept |= keep(FileContents(root), [f"picture {n}".encode() * (1 + n % 3) for n in batch])
    contents, place = FileContents(root), root / "copy"
    assert all(
        contents.has(digest) and read(contents, digest, place) == text for text, digest in kept.items()
    )
    referred = {digest for n, digest in enumerate(kept.values()) if n in left}
    with contents.alone():
        told = contents.sweep(referred, dry_run=True)
        assert contents.sweep(referred, dry_run=False) == told
        assert contents.sweep(referred, dry_run=True) == (0, 0)
    assert told == (
        len(kept) - len(referred),
        sum(len(text) for text, each in kept.items() if each not in referred),
    )
    after = FileContents(root)
    for text, digest in kept.items():
        assert after.has(digest) == (digest in referred)
        if digest in referred:  # also by one who has looked before
            assert read(after, digest, place) == read(contents, digest, place) == text


def test_many_small_contents_are_one_file_and_few_or_large_ones_are_their_own(tmp_path: Path) -> None:
    contents = FileContents(tmp_path)
    large = b"x" * SMALL
    kept = keep(contents, [*many(0), large])
    assert names(tmp_path) == [".index", ".pack"]
    assert contents.path(kept[large]).read_bytes() == large
    (alone,) = keep(contents, [b"one more"]).values()
    assert contents.path(alone).exists()
    assert keep(FileContents(tmp_path), [*many(0), large]) == kept
    assert names(tmp_path) == [".index", ".pack"]


def test_contents_that_were_damaged_or_lost_are_told(tmp_path: Path) -> None:
    kept = keep(FileContents(tmp_path), many(0))
    (pack,) = (tmp_path / "packs").glob("*.pack")
    pack.write_bytes(pack.read_bytes().replace(b"picture 7\n", b"").replace(b"picture 42", b"picture 4x"))
    with pytest.raises(BlobCorrupt, match="a pack in"):
        FileContents(tmp_path).copy(kept[b"picture 42"], tmp_path / "copy")
    pack.unlink()
    with pytest.raises(BlobNotFound):
        FileContents(tmp_path).copy(kept[b"picture 1"], tmp_path / "copy")


@pytest.mark.parametrize("step", range(4))
def test_one_who_dies_while_a_pack_is_put_in_place_leaves_it_whole_or_to_be_swept(
    tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = FileContents(tmp_path)
    kept = keep(contents, many(0))
    referred = {digest for text, digest in kept.items() if text != b"picture 0"}
    calls, rename, unlink = [0], Path.rename, Path.unlink

    class Died(BaseException):
        pass

    def dying(real: object) -> object:
        def act(path: Path, *arguments: object) -> object:
            calls[0] += 1
            if calls[0] > step:
                raise Died
            return real(path, *arguments)  # type: ignore[operator]

        return act

    with monkeypatch.context() as patched, contents.alone():
        patched.setattr(Path, "rename", dying(rename))
        patched.setattr(Path, "unlink", dying(unlink))
        with pytest.raises(Died):
            contents.sweep(referred, dry_run=False)
    after = FileContents(tmp_path)
    assert all(
        read(after, digest, tmp_path / "copy") == text for text, digest in kept.items() if digest in referred
    )
    with after.alone():
        after.sweep(referred, dry_run=False)
        assert after.sweep(referred, dry_run=True) == (0, 0)
    assert names(tmp_path) == [".index", ".pack"]
    assert not FileContents(tmp_path).has(kept[b"picture 0"])
    assert list((tmp_path / ".parts").iterdir()) == []


def test_a_pack_that_was_never_named_is_swept(tmp_path: Path) -> None:
    contents = FileContents(tmp_path)
    kept = keep(contents, many(0))
    (tmp_path / "packs" / "lost.pack").write_bytes(b"bytes")
    packing = Packing(tmp_path / ".parts" / "lost")
    packing.add("0" * 64, b"more")
    packing.close()
    with contents.alone():
        assert contents.sweep(kept.values(), dry_run=False)[0] == 2
    assert names(tmp_path) == [".index", ".pack"]
