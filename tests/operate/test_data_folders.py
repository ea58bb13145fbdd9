"""Datasets of files: what a version has is what the folder had, each content once; links and ways out are refused."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from mainspring.data import Batch, Change, DataVersion
from mainspring.errors import Faults, Taken
from mainspring.operate.data.checkout import check_out
from mainspring.operate.data.datasets import find_version
from mainspring.operate.data.incoming import SourceUnreadable
from mainspring.operate.data.publish import Adding, CannotAdd
from mainspring.operate.data.sources import add_source
from mainspring.ref import DataAddress
from mainspring.stores.blobs import BlobCorrupt
from mainspring.stores.files import FileContents, Keeping
from mainspring.workspace import Workspace

NEW = Adding(new=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "photos"
    for name in ("a", "sub/b", "sub/deep/c", "same"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text("one" if name in ("a", "same") else name)
    (made / "empty").write_bytes(b"")
    (made / "large").write_bytes(os.urandom(3 << 20))
    return made


def old(folder: Path) -> None:
    """Let a folder look as if nobody had written to it for a while, as far as a program may say so."""
    for path in folder.rglob("*"):
        os.utime(path, (1_700_000_000, 1_700_000_000))


def add(workspace: Workspace, source: Path, **how: Any) -> Batch:
    return add_source(workspace, "photos", str(source), actor="ana", adding=how.pop("adding", NEW), **how)


def version(workspace: Workspace, address: str = "photos") -> DataVersion:
    with workspace.database.read() as tx:
        return find_version(tx, DataAddress.parse(address))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def checked_out(workspace: Workspace, to: Path, address: str = "photos") -> dict[str, bytes]:
    check_out(workspace, DataAddress.parse(address), to)
    return files(to)


def test_a_version_is_what_the_folder_had_and_comes_back_byte_by_byte(
    empty: Workspace, folder: Path, tmp_path: Path
) -> None:
    first = files(folder)
    assert add(empty, folder).version == 1
    (folder / "a").write_text("another")
    (folder / "sub" / "b").unlink()
    (folder / "new").write_text("new")
    second = files(folder)
    add(empty, folder)
    now = version(empty)
    assert (now.number, now.rows, now.rows_added, now.rows_changed, now.rows_removed) == (2, 6, 1, 1, 1)
    assert checked_out(empty, tmp_path / "first", "photos@v1") == first
    assert checked_out(empty, tmp_path / "second") == second
    with pytest.raises(Taken):
        checked_out(empty, tmp_path / "second")


def test_a_folder_that_is_the_same_makes_no_version(empty: Workspace, folder: Path) -> None:
    add(empty, folder)
    assert add(empty, folder).version == 1
    copy = shutil.copytree(folder, folder.parent / "copy")
    assert add(empty, Path(copy)).version == 1


def test_equal_contents_are_kept_once(empty: Workspace, folder: Path) -> None:
    add(empty, folder)
    kept = list((empty.settings.state / "files").glob("[0-9a-f]*/*"))
    assert len(kept) == len({path.read_bytes() for path in folder.rglob("*") if path.is_file()}) == 5
    assert not list((empty.settings.state / "files" / ".parts").iterdir())


def test_only_what_looks_otherwise_than_before_is_read_again(
    empty: Workspace, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(empty, folder)
    old(folder)
    monkeypatch.setattr("mainspring.operate.data.folders._RACY_NS", -(10**18))
    add(empty, folder)  # notes how the files look now
    read: list[str] = []
    real = Keeping.add

    def noting(self: Keeping, source: Any) -> Any:
        read.append(Path(source.name).name)
        return real(self, source)

    monkeypatch.setattr(Keeping, "add", noting)
    assert add(empty, folder).version == 1
    assert read == []
    (folder / "sub" / "b").write_text("b is another")
    assert add(empty, folder).version == 2
    assert read == ["b"]


def test_a_change_that_hides_behind_its_old_time_is_found(empty: Workspace, folder: Path) -> None:
    old(folder)
    add(empty, folder)
    before = (folder / "a").stat()
    (folder / "a").write_text("two")  # as long as before
    os.utime(folder / "a", ns=(before.st_atime_ns, before.st_mtime_ns))
    add(empty, folder)
    assert version(empty).rows_changed == 1


def test_files_may_be_added_beside_or_in_place_of_those_of_before(
    empty: Workspace, folder: Path, tmp_path: Path
) -> None:
    add(empty, folder)
    more = tmp_path / "more"
    more.mkdir()
    (more / "d").write_text("d")
    add(empty, more, change=Change.APPEND)
    (more / "a").write_text("other")
    assert add(empty, more, change=Change.APPEND).version is None
    add(empty, more, change=Change.UPSERT)
    now = version(empty)
    assert (now.number, now.rows, now.rows_added, now.rows_changed) == (3, 7, 0, 1)


def test_links_and_what_is_no_file_are_all_told_and_nothing_is_added(empty: Workspace, folder: Path) -> None:
    (folder / "sub" / "link").symlink_to("/etc/hostname")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    (Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9"))).write_text("x")
    with pytest.raises(Faults) as refused:
        add(empty, folder)
    told = str(refused.value)
    assert len(refused.value.faults) == 4
    assert all(name in told for name in ("sub/link", "loop", "pipe", "not UTF-8"))
    with empty.database.read() as tx:
        assert tx.data.versions("photos") == ()


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
def test_an_archive_is_what_its_folder_is(empty: Workspace, folder: Path, kind: str) -> None:
    add(empty, folder)
    form = {"tar": "tar", "tar.gz": "gztar", "zip": "zip"}[kind]
    archive = shutil.make_archive(str(folder.parent / "archive"), form, folder)
    assert add(empty, Path(archive)).version == 1


def test_an_archive_with_a_way_out_is_refused_whole(empty: Workspace, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "bad.tar", "w") as tarred:
        for name in ("good", "../up", "/abs", "a/../../b"):
            member = tarfile.TarInfo(name)
            member.size = 1
            tarred.addfile(member, io.BytesIO(b"x"))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tarred.addfile(link)
    with pytest.raises(Faults) as refused:
        add(empty, tmp_path / "bad.tar")
    assert len(refused.value.faults) == 4
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as zipped:
        zipped.writestr("good", "x")
        zipped.writestr("../up", "x")
    with pytest.raises(Faults, match="lies outside"):
        add(empty, tmp_path / "bad.zip")
    with empty.database.read() as tx:
        assert tx.data.versions("photos") == ()


def test_an_archive_that_was_cut_off_is_told(empty: Workspace, folder: Path) -> None:
    archive = Path(shutil.make_archive(str(folder.parent / "archive"), "gztar", folder))
    archive.write_bytes(archive.read_bytes()[:-1000])
    with pytest.raises(SourceUnreadable, match="Nothing of it was added"):
        add(empty, archive)


def test_a_file_that_cannot_be_read_is_told_and_the_version_before_goes_on(
    empty: Workspace, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(empty, folder)
    (folder / "gone").write_text("soon")
    real = FileContents.has

    def has(self: FileContents, digest: str) -> bool:
        shutil.rmtree(folder / "sub", ignore_errors=True)
        (folder / "gone").unlink(missing_ok=True)
        return real(self, digest)

    monkeypatch.setattr(FileContents, "has", has)  # the source disappears while it is read
    with pytest.raises(SourceUnreadable):
        add(empty, folder)
    assert version(empty).number == 1


def test_contents_that_were_changed_are_not_checked_out(
    empty: Workspace, folder: Path, tmp_path: Path
) -> None:
    add(empty, folder)
    damaged = next((empty.settings.state / "files").glob("[0-9a-f]*/*"))
    damaged.write_bytes(b"other")
    with pytest.raises(BlobCorrupt):
        check_out(empty, DataAddress("photos"), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


def test_a_table_and_a_folder_are_not_added_to_one_another(
    empty: Workspace, folder: Path, tmp_path: Path
) -> None:
    add(empty, folder)
    (tmp_path / "rows.csv").write_text("path,size,digest\nx,1,abc\n")
    with pytest.raises(CannotAdd, match="of the kind files"):
        add(empty, tmp_path / "rows.csv")
    with pytest.raises(CannotAdd, match="is a table"):
        add_source(empty, "orders", str(folder), actor="ana")
