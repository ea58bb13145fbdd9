"""Blobs are kept under their digest, whole or not at all, and verified before use."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.digest import Digest, digest_of
from mainspring.errors import Invalid
from mainspring.stores.blobs import BlobCorrupt, BlobNotFound, FileBlobs


@pytest.fixture
def blobs(tmp_path: Path) -> FileBlobs:
    return FileBlobs(tmp_path / "blobs")


def files(blobs: FileBlobs) -> list[Path]:
    return [path for path in blobs.root.rglob("*") if path.is_file()]


@given(content=st.binary(max_size=100))
def test_what_was_put_is_given_back(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    blobs = FileBlobs(tmp_path_factory.getbasetemp() / "blobs")
    digest = blobs.put(content)
    assert digest == digest_of(content)
    assert blobs.get(digest) == content
    assert blobs.path(digest).read_bytes() == content


def test_a_file_is_kept_like_its_bytes(blobs: FileBlobs, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"model" * 1_000_000)
    digest = blobs.put_file(file)
    assert digest == blobs.put(file.read_bytes())
    file.write_bytes(b"changed")
    assert blobs.get(digest) == b"model" * 1_000_000


def test_content_that_is_kept_already_stays_as_it_is(blobs: FileBlobs) -> None:
    path = blobs.path(blobs.put(b"content"))
    before = path.stat()
    blobs.put(b"content")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert files(blobs) == [path]


def test_many_at_once_may_put_the_same_content(blobs: FileBlobs) -> None:
    with ThreadPoolExecutor(8) as threads:
        digests = set(threads.map(blobs.put, [b"content" * 10_000] * 32))
    assert len(digests) == 1
    assert len(files(blobs)) == 1


def test_what_was_never_put_is_not_there(blobs: FileBlobs) -> None:
    digest = digest_of(b"other")
    assert not blobs.has(digest)
    for read in (blobs.get, blobs.path):
        with pytest.raises(BlobNotFound, match=digest[:12]):
            read(digest)
    assert blobs.has(blobs.put(b"other"))


def test_a_flipped_bit_is_found_before_use(blobs: FileBlobs) -> None:
    digest = blobs.put(b"content")
    blobs.path(digest).write_bytes(b"contenu")
    for read in (blobs.get, blobs.path):
        with pytest.raises(BlobCorrupt) as corrupt:
            read(digest)
        assert (corrupt.value.digest, corrupt.value.found) == (digest, digest_of(b"contenu"))


@pytest.mark.parametrize("text", ["", "../../../etc/passwd", "a" * 63, "A" * 64, "a" * 64 + "\n", "/" * 64])
def test_what_is_no_digest_never_becomes_a_path(blobs: FileBlobs, text: str) -> None:
    for read in (blobs.get, blobs.path, blobs.has):
        with pytest.raises(Invalid, match="is no digest"):
            read(Digest(text))


FILL_THE_DISK = """
import resource, sys
from pathlib import Path
from mainspring.stores.blobs import FileBlobs
from mainspring.stores.errors import StoreUnavailable

blobs = FileBlobs(Path(sys.argv[1]))
digest = blobs.put(b"accepted")
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    blobs.put(b"x" * 5000)
except StoreUnavailable as error:
    print(error)
assert blobs.get(digest) == b"accepted"
assert blobs.get(blobs.put(b"small")) == b"small"
"""


def test_content_that_the_disk_has_no_room_for_is_refused_whole(blobs: FileBlobs) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, str(blobs.root)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "File too large" in done.stdout
    assert "Free space" in done.stdout
    assert sorted(path.read_bytes() for path in files(blobs)) == [b"accepted", b"small"]


def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    from mainspring.stores.errors import StoreUnavailable

    (tmp_path / "blobs").write_text("a file where the folder should be")
    with pytest.raises(StoreUnavailable, match="blobs"):
        FileBlobs(tmp_path / "blobs").put(b"content")
