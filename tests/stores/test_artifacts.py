"""Artifacts on disk: whole or not there, at the path that was meant, and never outside the root."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mainspring.errors import MainspringError
from mainspring.stores.artifact_path import ASIDE, ArtifactPath, InvalidArtifactPath
from mainspring.stores.artifacts import (
    Artifact,
    ArtifactNotFound,
    ArtifactTooLarge,
    FileArtifacts,
    WrongKind,
)
from mainspring.stores.errors import StoreUnavailable
from mainspring.stores.uploads import LARGEST_PART_NUMBER, PartRefused, UploadNotFound, Uploads

at = ArtifactPath.parse
LATER = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def store(tmp_path: Path) -> FileArtifacts:
    return FileArtifacts(tmp_path / "artifacts")


def put(store: FileArtifacts, path: ArtifactPath, *pieces: bytes) -> None:
    with store.writing(path) as file:
        for piece in pieces:
            file.write(piece)
        file.keep()


def get(store: FileArtifacts, path: ArtifactPath) -> bytes:
    found = store.open(path)
    with found.file as file:
        content = file.read()
    assert len(content) == found.size
    return content


def files(store: FileArtifacts) -> list[Path]:
    """Every file in the store, aside or in its place."""
    return sorted(path.relative_to(store.root) for path in store.root.rglob("*") if not path.is_dir())


# --- paths ----------------------------------------------------------------------------------------------------------

SPELLINGS = [
    "..",
    "%2e%2e",
    "%252e%252e",
    "%25252e.",
    ".%2E",
    "..%5c..",
    "..%255c",
    "x%2f..%2f..",
    "x%252f..",
    "..\\x",
]


@pytest.mark.parametrize("climb", SPELLINGS)
@pytest.mark.parametrize("path", ["{}", "{}/etc/passwd", "0/{}/secret", "0/run/artifacts/{}"])
def test_a_path_that_climbs_is_refused_in_every_spelling(path: str, climb: str) -> None:
    with pytest.raises(InvalidArtifactPath) as refused:
        at(path.format(climb))
    assert refused.value.text == path.format(climb)


@pytest.mark.parametrize(
    "text",
    ["", ".", "./", "/", "/etc/passwd", "//server/share", "%2fetc/passwd", "%252fetc/passwd", "C:/x", "c%3a/x", "C:",
     "file:///etc/passwd", "s3://bucket/x", "\\\\server\\share", "%5c%5cserver", "a\\b", "a%5cb", "a#b", "a%2523b",
     "a\x85b", "\ud800", "a" * 256, "%" + "25" * 11 + "41", "é" * 128,
     "a/" * 101 + "a", "abcdefgh/" * 128, ASIDE, f"0/{ASIDE}/x"],
)  # fmt: skip
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(InvalidArtifactPath):
        at(text)


@pytest.mark.parametrize(
    "parts", [(), ("",), ("a", ".."), ("a/b",), ("%2e",), ("a%20b",), ("a:",), ("\ud800",)]
)
def test_a_path_cannot_be_made_malformed(parts: tuple[str, ...]) -> None:
    with pytest.raises(InvalidArtifactPath):
        ArtifactPath(parts)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a/b", "a/b"),
        ("a//b/./c/", "a/b/c"),
        ("plots%2Froc.png", "plots/roc.png"),
        ("a%2520b", "a b"),
        ("100%.txt", "100%.txt"),
        ("..a/b..", "..a/b.."),
        (".hidden", ".hidden"),
        ("модель/日本語.txt", "модель/日本語.txt"),
        # Names that a client makes of key, step, moment and a random number, as it reads them in a list.
        (
            "dog%step%20%timestamp%1764207156000%ab2.png",
            "dog%step %timestamp%1764207156000\N{REPLACEMENT CHARACTER}2.png",
        ),
        ("a%00b", "a%00b"),
        ("a%250ab", "a%0ab"),
        ("a\0b\n\x7f", "a%00b%0a%7f"),
    ],
)
def test_spellings_of_a_path_mean_one_file(text: str, path: str) -> None:
    assert str(at(text)) == path
    assert at(path) == at(text)


TEXTS = st.one_of(
    st.text(max_size=40),
    st.lists(
        st.sampled_from(
            ["a", "b", ".", "..", "/", "\\", "%", "2e", "25", "2f", "5c", "00", ":", "#", "é", "ff"]
        ),
        max_size=12,
    ).map("".join),
)


def parsed(text: str) -> ArtifactPath | None:
    try:
        return at(text)
    except InvalidArtifactPath:
        return None


@given(TEXTS)
@example("%2525%2525")
@example("a/%2f%2f%25/b")
def test_parsing_undoes_printing_and_what_parses_stays_under_the_root(text: str) -> None:
    path = parsed(text)
    if path is None:
        return
    assert at(str(path)) == path
    root = PurePosixPath("/store")
    normal = PurePosixPath(os.path.normpath(root / str(path)))
    assert normal.parts == (*root.parts, *path.parts)
    assert at(quote(str(path))) == at(quote(quote(str(path)))) == path


@given(TEXTS, TEXTS)
def test_a_path_below_a_path_is_one_or_is_refused(folder: str, below: str) -> None:
    with suppress(InvalidArtifactPath):
        above, under = at(folder), at(below)
        assert (above / under).parts == above.parts + under.parts


# --- files ----------------------------------------------------------------------------------------------------------

PATHS = st.lists(st.sampled_from(["a", "b", "é %", ".c"]), min_size=1, max_size=3).map(
    lambda p: ArtifactPath(tuple(p))
)
ACTS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "fail", "delete"]), PATHS, st.binary(max_size=20)), max_size=12
)


def folders_of(path: ArtifactPath) -> set[tuple[str, ...]]:
    return {path.parts[:n] for n in range(1, len(path.parts))}


@given(ACTS)
def test_a_store_behaves_as_a_dictionary_of_paths(acts: Sequence[tuple[str, ArtifactPath, bytes]]) -> None:
    with TemporaryDirectory() as folder:
        store = FileArtifacts(Path(folder) / "artifacts")
        kept: dict[tuple[str, ...], bytes] = {}
        folders: set[tuple[str, ...]] = set()
        for act, path, content in acts:
            if act == "delete":
                store.delete(path)
                kept = {key: value for key, value in kept.items() if key[: len(path.parts)] != path.parts}
                folders = {each for each in folders if each[: len(path.parts)] != path.parts}
            elif act == "fail":
                with store.writing(path) as file:
                    file.write(content)
            elif path.parts in folders or folders_of(path) & kept.keys():
                with pytest.raises(WrongKind):
                    put(store, path, content)
                folders |= {
                    each for each in folders_of(path) if not any(each[:n] in kept for n in range(1, 4))
                }
            else:
                put(store, path, content[:3], content[3:])
                kept[path.parts] = content
                folders |= folders_of(path)
        for key, content in kept.items():
            assert get(store, ArtifactPath(key)) == content
        for above in [(), *folders, *kept]:
            names = {key[len(above)]: None for key in folders if key[:-1] == above}
            names |= {key[len(above)]: len(content) for key, content in kept.items() if key[:-1] == above}
            listed = store.list(ArtifactPath(above) if above else None)
            assert listed == tuple(Artifact(name, size) for name, size in sorted(names.items()))
        assert not list(store.aside.glob("*"))


def test_what_is_not_there_is_told_and_lists_as_nothing(store: FileArtifacts) -> None:
    for path in (at("a"), at("a/b/c")):
        with pytest.raises(ArtifactNotFound, match=f"No such artifact: '{path}'"):
            store.open(path)
        assert store.list(path) == ()
        store.delete(path)
    assert store.list() == ()
    put(store, at("a"), b"")
    with pytest.raises(ArtifactNotFound):
        store.open(at("a/b"))
    assert store.list(at("a")) == ()
    store.delete(at("a/b"))
    assert get(store, at("a")) == b""


def test_a_folder_is_not_a_file_and_a_file_is_no_folder(store: FileArtifacts) -> None:
    put(store, at("folder/file"), b"1")
    with pytest.raises(WrongKind, match="directory, not a file: 'folder'"):
        store.open(at("folder"))
    with pytest.raises(WrongKind, match="A folder has this path: 'folder'"):
        put(store, at("folder"), b"2")
    with pytest.raises(WrongKind, match="where a folder of this path should be: 'folder/file/x'"):
        put(store, at("folder/file/x"), b"3")
    assert files(store) == [Path("folder/file")]


def test_names_that_no_path_could_have_are_not_listed(store: FileArtifacts) -> None:
    put(store, at("a/b"), b"1")
    (store.root / "a" / "has#hash").write_text("made by somebody else")
    os.close(os.open(os.fsencode(store.root / "a") + b"/\xff", os.O_CREAT))
    os.mkfifo(store.root / "a" / "pipe")
    assert store.list(at("a")) == (Artifact("b", 1),)
    with pytest.raises(ArtifactNotFound):
        store.open(at("a/pipe"))


def test_the_longest_path_and_name_can_be_kept(store: FileArtifacts) -> None:
    for path in (at("n" * 255), at("/".join(["d" * 9] * 100)), at("/".join(["e" * 255] * 4))):
        put(store, path, b"x")
        assert get(store, path) == b"x"
        store.delete(ArtifactPath(path.parts[:1]))
        with pytest.raises(ArtifactNotFound):
            store.open(path)


@pytest.mark.parametrize("inside", ["link", "link/secret", "folder/link/secret", "folder/dangling"])
def test_a_link_is_never_followed(store: FileArtifacts, tmp_path: Path, inside: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    put(store, at("folder/file"), b"")
    (store.root / "link").symlink_to(outside)
    (store.root / "folder" / "link").symlink_to(outside)
    (store.root / "folder" / "dangling").symlink_to(tmp_path / "new")

    with pytest.raises(ArtifactNotFound):
        store.open(at(inside))
    assert store.list(at(inside)) == ()
    assert {each.name for each in store.list(at("folder"))} == {"file"}
    with suppress(MainspringError):
        put(store, at(inside), b"overwritten")
    store.delete(at(inside))
    assert (outside / "secret").read_text() == "secret"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["artifacts", "outside"]


def test_a_root_that_is_a_link_itself_is_the_operators_wish(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "artifacts").symlink_to(tmp_path / "disk")
    store = FileArtifacts(tmp_path / "artifacts")
    put(store, at("a/b"), b"1")
    assert (tmp_path / "disk" / "a" / "b").read_bytes() == b"1"


def test_an_overwrite_that_fails_leaves_the_old_content(store: FileArtifacts) -> None:
    put(store, at("a"), b"old")

    def fail() -> None:
        with store.writing(at("a")) as file:
            file.write(b"half of the n")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert get(store, at("a")) == b"old"
    assert files(store) == [Path("a")]


DIE_HALF_WAY = """
import os, signal, sys
from pathlib import Path
from mainspring.stores.artifact_path import ArtifactPath
from mainspring.stores.artifacts import FileArtifacts

with FileArtifacts(Path(sys.argv[1])).writing(ArtifactPath.parse("a")) as file:
    file.write(b"new" * 100_000)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_that_is_killed_leaves_the_old_content_and_what_can_be_swept(store: FileArtifacts) -> None:
    put(store, at("a"), b"old")
    done = subprocess.run([sys.executable, "-c", DIE_HALF_WAY, str(store.root)], check=False)
    assert done.returncode == -9
    assert get(store, at("a")) == b"old"
    assert store.list() == (Artifact("a", 3),)
    assert store.sweep(LATER) > 0
    assert files(store) == [Path("a")]


def test_a_reader_goes_on_with_what_it_opened(store: FileArtifacts) -> None:
    put(store, at("a"), b"old")
    with store.open(at("a")).file as file:
        put(store, at("a"), b"newer")
        store.delete(at("a"))
        assert file.read() == b"old"


def test_of_many_writers_of_a_path_one_is_kept_whole(store: FileArtifacts) -> None:
    contents = [bytes([n]) * (100_000 + n) for n in range(16)]

    def write(content: bytes) -> None:
        put(store, at("folder/file"), *(content[n : n + 7000] for n in range(0, len(content), 7000)))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, contents))
    assert get(store, at("folder/file")) in contents
    assert files(store) == [Path("folder/file")]


def test_folders_that_are_deleted_under_a_writer_do_not_fail_it(store: FileArtifacts) -> None:
    def write(n: int) -> None:
        put(store, at(f"run/a/b/{n}"), b"x" * n)

    def delete(n: int) -> None:
        store.delete(at("run"))

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(each, n) for n in range(100) for each in (write, delete)]:
            done.result()
    write(7)
    assert get(store, at("run/a/b/7")) == b"x" * 7
    assert not list(store.aside.glob("*"))


def test_a_file_larger_than_the_store_takes_is_refused_whole(tmp_path: Path) -> None:
    store = FileArtifacts(tmp_path / "artifacts", largest=10)
    put(store, at("a"), b"x" * 10)
    with pytest.raises(ArtifactTooLarge, match="larger than 10 bytes"):
        put(store, at("a"), b"y" * 6, b"y" * 5)
    assert get(store, at("a")) == b"x" * 10
    assert files(store) == [Path("a")]


FILL_THE_DISK = """
import resource, sys
from pathlib import Path
from mainspring.stores.artifact_path import ArtifactPath
from mainspring.stores.artifacts import FileArtifacts
from mainspring.stores.errors import StoreUnavailable

store, path = FileArtifacts(Path(sys.argv[1])), ArtifactPath.parse("a/b")
with store.writing(path) as file:
    file.write(b"old")
    file.keep()
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    with store.writing(path) as file:
        file.write(b"x" * 5000)
        file.keep()
except StoreUnavailable as error:
    print(error)
"""


def test_a_file_that_the_disk_has_no_room_for_is_refused_whole(store: FileArtifacts) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, str(store.root)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "File too large" in done.stdout
    assert "Free space" in done.stdout
    assert get(store, at("a/b")) == b"old"
    assert files(store) == [Path("a/b")]


def test_a_root_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "artifacts").write_text("a file where the folder should be")
    store = FileArtifacts(tmp_path / "artifacts")
    with pytest.raises(StoreUnavailable, match="artifacts"):
        put(store, at("a"), b"")


# --- uploads in parts -------------------------------------------------------------------------------------------------


def send(uploads: Uploads, path: ArtifactPath, upload: str, number: int, content: bytes) -> str:
    tag, writing = uploads.part(path, upload, number)
    with writing as file:
        file.write(content)
        file.keep()
    return tag


@given(st.lists(st.binary(max_size=9), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_parts_become_the_file_in_their_order_whenever_they_come(parts: list[bytes], chance: object) -> None:
    with TemporaryDirectory() as folder:
        store = FileArtifacts(Path(folder) / "artifacts")
        uploads = Uploads(store)
        upload = uploads.begin(at("run/model"))
        numbers = list(range(1, len(parts) + 1)) * 2  # each is sent twice, first as something else
        chance.shuffle(numbers)  # type: ignore[attr-defined]
        tags, sent = {}, set()
        for number in numbers:
            content = parts[number - 1] if number in sent else b"another"
            tags[number] = send(uploads, at("run/model"), upload, number, content)
            sent.add(number)
        uploads.complete(at("run/model"), upload, [tags[number] for number in range(1, len(parts) + 1)])
        assert get(store, at("run/model")) == b"".join(parts)


def test_nothing_is_seen_of_an_upload_before_it_is_complete(store: FileArtifacts) -> None:
    uploads = Uploads(store)
    put(store, at("a"), b"old")
    upload = uploads.begin(at("a"))
    tag = send(uploads, at("a"), upload, 1, b"new")
    assert get(store, at("a")) == b"old"
    assert store.list() == (Artifact("a", 3),)
    uploads.complete(at("a"), upload, [tag])
    uploads.complete(at("a"), upload, [tag])  # a client that did not hear of it asks again
    assert get(store, at("a")) == b"new"
    uploads.abort(at("a"), upload)
    assert get(store, at("a")) == b"new"
    assert files(store) == [Path("a")]


def test_an_upload_that_was_given_up_leaves_nothing(store: FileArtifacts) -> None:
    uploads = Uploads(store)
    upload = uploads.begin(at("a"))
    tag = send(uploads, at("a"), upload, 1, b"new")
    uploads.abort(at("a"), upload)
    uploads.abort(at("a"), upload)
    assert files(store) == []
    with pytest.raises(UploadNotFound, match="Begin it again"):
        uploads.complete(at("a"), upload, [tag])
    with pytest.raises(UploadNotFound):
        uploads.part(at("a"), upload, 2)


def test_a_part_that_was_not_received_is_named_and_can_still_be_sent(store: FileArtifacts) -> None:
    uploads = Uploads(store)
    upload = uploads.begin(at("a"))
    first = send(uploads, at("a"), upload, 1, b"1")
    for tags, number in [([], 1), ([first, "0" * 32], 2), (["../../x"], 1), ([first, first], 2)]:
        with pytest.raises(PartRefused, match="Send it, then complete") as refused:
            uploads.complete(at("a"), upload, tags)
        assert refused.value.number == number
    for number in (0, -1, LARGEST_PART_NUMBER + 1):
        with pytest.raises(PartRefused):
            uploads.part(at("a"), upload, number)
    with uploads.part(at("a"), upload, 2)[1] as cut_off:
        cut_off.write(b"half")
    uploads.complete(at("a"), upload, [first, send(uploads, at("a"), upload, 2, b"2")])
    assert get(store, at("a")) == b"12"


@pytest.mark.parametrize("upload", ["", "..", "0" * 32, "../..", "done", "a" * 32 + "\n"])
def test_an_upload_that_was_never_begun_is_not_found(store: FileArtifacts, upload: str) -> None:
    uploads = Uploads(store)
    begun = uploads.begin(at("a"))
    for path, each in [(at("a"), upload), (at("b"), begun)]:
        with pytest.raises(UploadNotFound):
            uploads.part(path, each, 1)
        with pytest.raises(UploadNotFound):
            uploads.complete(path, each, ["0" * 32])
        uploads.abort(path, each)
    send(uploads, at("a"), begun, 1, b"1")


def test_many_may_complete_an_upload_at_once(store: FileArtifacts) -> None:
    uploads = Uploads(store)
    upload = uploads.begin(at("a"))
    tags = [send(uploads, at("a"), upload, number, b"%03d" % number) for number in range(1, 30)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: uploads.complete(at("a"), upload, tags), range(16)))
    assert get(store, at("a")) == b"".join(b"%03d" % number for number in range(1, 30))


def test_what_was_left_aside_is_swept_and_what_is_under_way_is_not(store: FileArtifacts) -> None:
    uploads = Uploads(store)
    assert store.sweep(LATER) == 0
    put(store, at("a"), b"kept")
    old, new = uploads.begin(at("b")), uploads.begin(at("b"))
    for upload in (old, new):
        send(uploads, at("b"), upload, 1, b"12345")
    (store.aside / "cut-off").write_bytes(b"123")
    long_ago = datetime(2020, 1, 1, tzinfo=UTC).timestamp()
    for path in (store.aside / "cut-off", *store.aside.glob(f"{old}-*/*"), *store.aside.glob(f"{old}-*")):
        os.utime(path, (long_ago, long_ago))
    assert store.sweep(datetime(2021, 1, 1, tzinfo=UTC)) == 8
    with pytest.raises(UploadNotFound):
        uploads.part(at("b"), old, 2)
    uploads.complete(at("b"), new, [send(uploads, at("b"), new, 1, b"new")])
    assert store.sweep(LATER) == 5  # the part that was sent again
    assert files(store) == [Path("a"), Path("b")]
