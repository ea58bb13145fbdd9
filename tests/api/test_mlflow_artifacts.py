"""The artifact proxy as clients of MLflow, browsers and those who mean harm meet it, over a real socket."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from tests.api.conftest import Api

from mainspring.stores.artifact_path import ASIDE
from mainspring.workspace import Workspace

PROXY = "/api/2.0/mlflow-artifacts"
MB = 2**20
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Served:
    """A running server, and the folder with its artifacts."""

    root: Path
    port: int
    process: subprocess.Popen[bytes]
    client: httpx.Client

    def __call__(self, method: str, path: str, **sent: Any) -> httpx.Response:
        return self.client.request(method, path, **sent)

    def put(self, path: str, content: Any, **sent: Any) -> httpx.Response:
        return self("PUT", f"{PROXY}/artifacts/{path}", content=content, **sent)

    def get(self, path: str, **sent: Any) -> httpx.Response:
        return self("GET", f"{PROXY}/artifacts/{path}", **sent)

    def list(self, path: str | None = None) -> Any:
        reply = self("GET", f"{PROXY}/artifacts", params={} if path is None else {"path": path})
        assert reply.status_code == 200
        return reply.json()

    def raw(self, request: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        connection.sendall(request)
        return connection

    def status_of(self, target: bytes, method: bytes = b"GET") -> int:
        """Send a target that no client library would, and give the status of the answer."""
        with self.raw(
            method + b" " + target + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
        ) as connection:
            return int(connection.recv(1000).split()[1])

    def aside(self) -> list[Path]:
        """Every file that is no artifact (yet)."""
        return [path for path in (self.root / ASIDE).rglob("*") if path.is_file()]

    def peak(self) -> int:
        """Bytes of memory that the server has held at most."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


@contextmanager
def serving(root: Path, *limits: str) -> Iterator[Served]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        str(Path(__file__).with_name("artifact_server.py")),
        str(root),
        str(port),
        *limits,
    ]
    with (
        subprocess.Popen(command) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        try:
            eventually(lambda: answers(client))
            yield Served(root, port, process, client)
        finally:
            process.terminate()


def answers(client: httpx.Client) -> bool:
    try:
        return client.get(f"{PROXY}/artifacts").status_code == 200
    except httpx.TransportError:
        return False


def eventually(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("served") / "artifacts") as served:
        yield served


@pytest.fixture
def served(shared: Served) -> Served:
    """The server, without any artifact."""
    for each in shared.list().get("files", []):
        shared("DELETE", f"{PROXY}/artifacts/{each['path']}")
    return shared


def refusal(reply: httpx.Response) -> tuple[int, str]:
    assert reply.headers["content-type"] == "application/json"
    body = reply.json()
    assert body.keys() == {"error_code", "message"}
    assert body["message"]
    return reply.status_code, body["error_code"]


# --- as the released server answers ---------------------------------------------------------------------------------


def test_what_was_put_is_given_back_listed_and_deleted(served: Served) -> None:
    for path, content in [
        ("0/r1/artifacts/a.txt", b"0"),
        ("0/r1/artifacts/dir/b.txt", b"23"),
        ("0/r1/artifacts/c", b""),
    ]:
        reply = served.put(path, content)
        assert (reply.status_code, reply.json()) == (200, {})
        assert served.get(path).content == content
        assert (served.root / path).read_bytes() == content
    assert served.list("0/r1/artifacts") == {
        "files": [
            {"path": "a.txt", "is_dir": False, "file_size": 1},
            {"path": "c", "is_dir": False},
            {"path": "dir", "is_dir": True},
        ]
    }
    assert served.list("0/r1/artifacts/dir") == {
        "files": [{"path": "b.txt", "is_dir": False, "file_size": 2}]
    }
    assert served.list() == {"files": [{"path": "0", "is_dir": True}]}
    assert served.list("0/r1/artifacts/a.txt") == {}
    assert served.list("0/nothing") == {}

    for path in ("a.txt", "a.txt", "dir/", "no/such/file"):
        reply = served("DELETE", f"{PROXY}/artifacts/0/r1/artifacts/{path}")
        assert (reply.status_code, reply.json()) == (200, {})
    assert served.list("0/r1/artifacts") == {"files": [{"path": "c", "is_dir": False}]}
    assert served.aside() == []


def test_pages_find_the_same_under_their_own_addresses(served: Served) -> None:
    served.put("0/r1/artifacts/plots/a.txt", b"of a run")
    served.put("0/models/m-1/artifacts/MLmodel", b"of a version")
    twin = PROXY.replace("/api", "/ajax-api")
    assert served("GET", f"{twin}/artifacts/0/r1/artifacts/plots/a.txt").content == b"of a run"
    assert served("GET", f"{twin}/artifacts?path=0/r1/artifacts").json() == {
        "files": [{"path": "plots", "is_dir": True}]
    }
    for run in ({"run_id": "r1"}, {"run_uuid": "r1"}):
        assert served("GET", "/get-artifact", params=run | {"path": "plots/a.txt"}).content == b"of a run"
    version = {"name": "tiny", "version": "1", "path": "MLmodel"}
    assert served("GET", "/model-versions/get-artifact", params=version).content == b"of a version"

    missing = (404, "RESOURCE_DOES_NOT_EXIST")
    assert refusal(served("GET", "/get-artifact", params={"run_id": "r2", "path": "a"})) == missing
    assert refusal(served("GET", "/get-artifact", params={"run_id": "r1", "path": "a"})) == missing
    assert (
        refusal(served("GET", "/model-versions/get-artifact", params=version | {"version": "2"})) == missing
    )
    invalid = (400, "INVALID_PARAMETER_VALUE")
    for asked in (
        {"run_id": "r1"},
        {"path": "a"},
        {"run_id": "r1", "path": "../x"},
        {"run_id": "r1", "path": ""},
    ):
        assert refusal(served("GET", "/get-artifact", params=asked)) == invalid
    for name in version:
        without = {key: value for key, value in version.items() if key != name}
        assert refusal(served("GET", "/model-versions/get-artifact", params=without)) == invalid


def test_what_is_missing_or_no_file_is_refused_in_the_clients_words(served: Served) -> None:
    served.put("0/r1/artifacts/a", b"")
    missing = served.get("0/r1/artifacts/b")
    assert refusal(missing) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert "No such artifact: '0/r1/artifacts/b'" in missing.json()["message"]
    for reply in (served.get("0/r1"), served.put("0/r1", b""), served.put("0/r1/artifacts/a/b", b"")):
        assert refusal(reply) == (400, "INVALID_PARAMETER_VALUE")
    assert refusal(served("GET", f"{PROXY}/presigned/0/r1/artifacts/a")) == (501, "NOT_IMPLEMENTED")


def test_a_part_of_a_file_can_be_asked_for(served: Served) -> None:
    served.put("a", b"0123456789")
    for asked, status, content, told in [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=7-99999", 206, b"789", "bytes 7-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-30", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=-0", 416, b"", "bytes */10"),
        ("bytes=5-2", 416, b"", "bytes */10"),
        ("bytes=1-2,4-5", 200, b"0123456789", None),
        ("bytes=-", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
    ]:
        reply = served.get("a", headers={"Range": asked})
        assert (reply.status_code, reply.content, reply.headers.get("content-range")) == (
            status,
            content,
            told,
        )
    head = served("HEAD", f"{PROXY}/artifacts/a")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "10")


def test_the_control_plane_keeps_the_artifacts_of_runs_in_its_workspace(
    empty: Workspace, empty_api: Api
) -> None:
    run = empty_api.post("/api/2.0/mlflow/runs/create", json={}).json()["run"]["info"]
    folder = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
    assert folder == f"0/{run['run_id']}/artifacts"
    assert empty_api("PUT", f"{PROXY}/artifacts/{folder}/plots/a.txt", content=b"a").status_code == 200
    kept = empty.settings.state / "artifacts" / "0" / run["run_id"] / "artifacts" / "plots" / "a.txt"
    assert kept.read_bytes() == b"a"
    asked = {"run_id": run["run_id"], "path": "plots/a.txt"}
    assert empty_api.get("/get-artifact", params=asked).content == b"a"
    unknown = empty_api.get("/get-artifact", params=asked | {"run_id": "0" * 32})
    assert refusal(unknown) == (404, "RESOURCE_DOES_NOT_EXIST")
    version = {"name": "tiny", "version": "1", "path": "MLmodel"}
    assert refusal(empty_api.get("/model-versions/get-artifact", params=version)) == (
        404,
        "RESOURCE_DOES_NOT_EXIST",
    )

    bucket = {"name": "elsewhere", "artifact_location": "s3://bucket/x"}
    elsewhere = empty_api.post("/api/2.0/mlflow/experiments/create", json=bucket).json()
    run = empty_api.post("/api/2.0/mlflow/runs/create", json=elsewhere).json()["run"]["info"]
    reply = empty_api.get("/get-artifact", params={"run_id": run["run_id"], "path": "a"})
    assert refusal(reply) == (400, "INVALID_PARAMETER_VALUE")
    assert "read them there" in reply.json()["message"]


# --- what browsers make of it ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.txt", "text/plain"),
        ("b.pkl", "application/octet-stream"),
        ("c.png", "image/png"),
        ("d.pdf", "application/pdf"),
        ("MLmodel", "text/plain"),
        ("mlproject", "text/plain"),
        ("table.json", "text/plain"),
        ("rows.csv.gz", "application/octet-stream"),
        *((f"page.{run}", "text/plain") for run in ("html", "htm", "HTML", "xml", "js", "mjs", "css")),
        *(
            (f"page.{run}", "application/octet-stream")
            for run in ("svg", "xhtml", "mht", "eml", "swf", "xsl", "wasm")
        ),
    ],
)
def test_no_artifact_runs_in_a_browser(served: Served, name: str, kind: str) -> None:
    served.put(f"0/r1/artifacts/{name}", b"<script>alert(1)</script>", headers={"Content-Type": "text/html"})
    for reply in (
        served.get(f"0/r1/artifacts/{name}"),
        served("GET", "/get-artifact", params={"run_id": "r1", "path": name}),
    ):
        assert reply.status_code == 200
        assert reply.headers["content-type"] == kind
        assert reply.headers["content-disposition"] == f"attachment; filename={name}"
        assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("two words.txt", "attachment; filename=\"two words.txt\"; filename*=UTF-8''two%20words.txt"),
        ('a";x="b.html', "attachment; filename=\"a_;x=_b.html\"; filename*=UTF-8''a%22%3Bx%3D%22b.html"),
        ("naïve.txt", "attachment; filename=\"na_ve.txt\"; filename*=UTF-8''na%C3%AFve.txt"),
    ],
)
def test_a_name_cannot_write_its_own_header(served: Served, name: str, told: str) -> None:
    assert served.put(name.replace('"', "%22"), b"x").status_code == 200
    assert served.get(name.replace('"', "%22")).headers["content-disposition"] == told


# --- what those try who mean harm -----------------------------------------------------------------------------------

CLIMBS = [
    b"..",
    b"%2e%2e",
    b"%2E.",
    b"%252e%252e",
    b"%25252e%25252e",
    b"..%5c..",
    b"..%255c..",
    b"x%2f..%2f..",
    b"x%252f..",
]
ROUTES = [
    (b"GET", b"artifacts/"), (b"PUT", b"artifacts/"), (b"DELETE", b"artifacts/"), (b"GET", b"presigned/"),
    (b"GET", b"artifacts?path="), (b"PUT", b"mpu/part/"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "route"), ROUTES)
@pytest.mark.parametrize("path", [
    *(climb + b"/secret" for climb in CLIMBS), *(b"0/" + climb + b"/" + climb + b"/secret" for climb in CLIMBS),
    b"/etc/passwd", b"%2fetc/passwd", b"%252fetc/passwd", b"C:/secret", b"file:///etc/passwd", b"%5c%5cserver/share",
    b"a%23b", b"a%5cb", b"%2e", b"a" * 256, b"abcdefgh/" * 128,
    ASIDE.encode(), b"0/" + ASIDE.encode() + b"/x",
])  # fmt: skip
def test_no_path_leads_out_of_the_store(served: Served, method: bytes, route: bytes, path: bytes) -> None:
    (served.root.parent / "secret").write_text("secret")
    before = sorted(served.root.parent.rglob("*"))
    assert served.status_of(PROXY.encode() + b"/" + route + path, method) == 400
    assert (served.root.parent / "secret").read_text() == "secret"
    assert sorted(served.root.parent.rglob("*")) == before


@pytest.mark.parametrize("local", ["..", "/x/..", "C:\\x\\..", "", "x/", "%2e%2e", "a#b"])
def test_no_name_of_a_local_file_leads_out_of_the_store(served: Served, local: str) -> None:
    for act, more in [
        ("create", {}),
        ("complete", {"upload_id": "0" * 32, "parts": []}),
        ("abort", {"upload_id": ""}),
    ]:
        reply = served("POST", f"{PROXY}/mpu/{act}/0/r1/artifacts", json={"path": local} | more)
        assert refusal(reply) == (400, "INVALID_PARAMETER_VALUE")
        assert reply.json()["message"] == "Invalid path"


@pytest.mark.parametrize(
    "path", [b"a%00b", b"a%2500b", b"a%17b", b"a%FFb", b"a%7f", b"%C0%AE%C0%AE/x", b"..%00/x"]
)
def test_bytes_that_are_no_text_reach_no_disk(served: Served, path: bytes) -> None:
    artifact = PROXY.encode() + b"/artifacts/0/" + path
    assert served.status_of(artifact) == 404
    assert served.status_of(artifact, b"PUT") == 200
    assert served.status_of(artifact) == 200
    assert all(path.name.isprintable() for path in served.root.rglob("*"))
    [listed] = served.list("0")["files"]
    assert (
        served.status_of(PROXY.encode() + b"/artifacts/0/" + quote(listed["path"]).encode(), b"DELETE") == 200
    )
    assert served.list("0") == {}


def test_the_root_itself_cannot_be_deleted(served: Served) -> None:
    served.put("a", b"kept")
    for path in (b"", b"/", b".", b"./", b"%2e", b"//"):
        assert served.status_of(PROXY.encode() + b"/artifacts/" + path, b"DELETE") in (400, 404, 405)
    assert served.status_of(PROXY.encode() + b"/artifacts", b"DELETE") == 405
    assert served.get("a").content == b"kept"


def test_a_link_in_the_store_leads_nowhere(served: Served) -> None:
    (served.root.parent / "secret").write_text("secret")
    served.put("0/file", b"")
    (served.root / "0" / "link").symlink_to(served.root.parent)
    assert refusal(served.get("0/link/secret")) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert served.list("0/link") == {}
    assert served.list("0") == {"files": [{"path": "file", "is_dir": False}]}
    assert refusal(served.put("0/link/secret", b"overwritten")) == (400, "INVALID_PARAMETER_VALUE")
    served("DELETE", f"{PROXY}/artifacts/0")
    assert (served.root.parent / "secret").read_text() == "secret"


def test_a_file_that_is_too_large_is_refused_before_it_is_read(served: Served) -> None:
    with served.raw(
        f"PUT {PROXY}/artifacts/a HTTP/1.1\r\nHost: x\r\nContent-Length: {2**30 + 1}\r\n\r\n".encode()
    ) as big:
        answer = big.recv(1000)
    assert b" 400 " in answer.splitlines()[0]
    assert b"larger than 1,073,741,824 bytes" in answer
    assert served.list() == {}
    assert served.aside() == []


def test_bodies_that_are_not_as_described_are_refused(served: Served) -> None:
    create = f"{PROXY}/mpu/create/0/r1/artifacts"
    for sent in (
        {"content": b"{", "headers": JSON},
        {"json": []},
        {"json": {}},
        {"json": {"path": 7}},
        {"json": {"path": "a", "num_parts": 0}},
        {"json": {"path": "a", "num_parts": 10_001}},
        {"content": b'{"path": "a"}', "headers": {"Content-Type": "text/plain"}},
        {"content": b" " * (8 * MB + 1), "headers": JSON},
    ):
        status, code = refusal(served("POST", create, **sent))
        assert status == 400
        assert code in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")


# --- what goes wrong on the way -------------------------------------------------------------------------------------

LENGTH = b"Content-Length: 1000000\r\n\r\n"
CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n40000\r\n"


@pytest.mark.parametrize("framing", [LENGTH, CHUNKS])
def test_an_upload_that_is_cut_off_leaves_the_old_file_and_nothing_else(
    served: Served, framing: bytes
) -> None:
    served.put("0/a", b"old")
    for path in ("0/a", "1/new"):
        request = f"PUT {PROXY}/artifacts/{path} HTTP/1.1\r\nHost: x\r\n".encode() + framing
        with served.raw(request + b"x" * 200_000):
            eventually(lambda: len(served.aside()) == 1)
            assert served.get("0/a").content == b"old"
        eventually(lambda: served.aside() == [])
    assert served.get("0/a").content == b"old"
    assert served.list() == {"files": [{"path": "0", "is_dir": True}]}


def test_of_concurrent_uploads_to_a_path_readers_see_one_whole(served: Served) -> None:
    contents = [bytes([n]) * (MB + n) for n in range(12)]
    served.put("a", contents[0])

    def slowly(content: bytes) -> Iterator[bytes]:
        for n in range(0, len(content), 100_000):
            yield content[n : n + 100_000]

    with ThreadPoolExecutor(6) as threads:
        sent = [threads.submit(served.put, "a", slowly(content)) for content in contents]
        while not all(each.done() for each in sent):
            assert served.get("a").content in contents
    assert {each.result().status_code for each in sent} == {200}
    assert served.get("a").content in contents
    assert served.aside() == []


def test_a_full_disk_is_unavailable_and_the_old_file_stays(tmp_path: Path) -> None:
    with serving(tmp_path / "artifacts", "100000") as served:
        assert served.put("a", b"old").status_code == 200
        reply = served.put("a", b"x" * 200_000)
        assert refusal(reply) == (503, "TEMPORARILY_UNAVAILABLE")
        assert "Free space" in reply.json()["message"]
        assert served.get("a").content == b"old"
        assert served.aside() == []


def test_memory_stays_flat_however_large_a_file_and_slow_its_reader(served: Served) -> None:
    size = 300 * MB
    before = served.peak()
    sent = (bytes([n % 251]) * MB for n in range(300))
    assert served.put("big", sent, headers={"Content-Length": str(size)}).status_code == 200
    with served.client.stream("GET", f"{PROXY}/artifacts/big") as reply:
        assert int(reply.headers["content-length"]) == size
        for n, piece in enumerate(reply.iter_bytes(MB)):
            assert piece == bytes([n % 251]) * MB
            time.sleep(0.2 if n == 5 else 0)
        assert n == 299
    with served.raw(f"GET {PROXY}/artifacts/big HTTP/1.1\r\nHost: x\r\n\r\n".encode()) as asleep:
        assert asleep.recv(10)
        time.sleep(0.5)
    assert served.peak() - before < 50 * MB


# --- uploads in parts -----------------------------------------------------------------------------------------------


def test_an_upload_in_parts_is_kept_when_it_is_completed(served: Served) -> None:
    folder = f"{PROXY}/mpu/{{}}/0/r1/artifacts/model dir"
    parts = [b"a" * 5 * MB, b"b" * 5 * MB, b"c"]
    made = served(
        "POST",
        folder.format("create"),
        json={"path": "C:\\Users\\ana\\big model.bin", "num_parts": "3"},
        headers={"Authorization": "Bearer token"},
    ).json()
    assert [each["part_number"] for each in made["credentials"]] == [1, 2, 3]
    assert all(each["headers"] == {"Authorization": "Bearer token"} for each in made["credentials"])
    tags = {}
    for credential, content in reversed([*zip(made["credentials"], parts, strict=True)]):
        tags[credential["part_number"]] = httpx.put(credential["url"], content=content).headers["etag"]
    assert served.list() == {}
    told = {
        "path": "C:\\Users\\ana\\big model.bin",
        "upload_id": made["upload_id"],
        "parts": [{"part_number": n, "etag": tags[n], "url": "http://x"} for n in (1, 2, 3)],
    }
    other = told | {"parts": told["parts"][::-1]}
    assert refusal(served("POST", folder.format("complete"), json=other)) == (400, "INVALID_PARAMETER_VALUE")
    for _ in range(2):
        reply = served("POST", folder.format("complete"), json=told)
        assert (reply.status_code, reply.json()) == (200, {})
    assert served.get("0/r1/artifacts/model dir/big model.bin").content == b"".join(parts)


def test_an_upload_in_parts_can_be_given_up(served: Served) -> None:
    folder = f"{PROXY}/mpu/{{}}/0/r1/artifacts"
    made = served("POST", folder.format("create"), json={"path": "/x/model.bin"}).json()
    [credential] = made["credentials"]
    assert httpx.put(credential["url"], content=b"x").status_code == 200
    with served.raw(
        f"PUT {credential['url'].partition(str(served.port))[2]} HTTP/1.1\r\nHost: x\r\n".encode()
        + LENGTH
        + b"x"
    ):
        eventually(lambda: len(list((served.root / ASIDE).glob(f"{made['upload_id']}-*/1-*"))) == 2)
    eventually(lambda: len(list((served.root / ASIDE).glob(f"{made['upload_id']}-*/1-*"))) == 1)
    told = {"path": "/x/model.bin", "upload_id": made["upload_id"]}
    for _ in range(2):
        assert served("POST", folder.format("abort"), json=told).json() == {}
    assert not list((served.root / ASIDE).glob(f"{made['upload_id']}-*"))
    gone = (404, "RESOURCE_DOES_NOT_EXIST")
    assert refusal(httpx.put(credential["url"], content=b"x")) == gone
    complete = told | {"parts": [{"part_number": 1, "etag": "x"}]}
    assert refusal(served("POST", folder.format("complete"), json=complete)) == gone
    for number in ("0", "-1", "x", "10001", "1" * 5000):
        url = credential["url"].replace("part_number=1", f"part_number={number}")
        assert refusal(httpx.put(url, content=b"x"))[0] in (400, 404)


def test_parts_go_where_the_client_found_us(served: Served) -> None:
    create = f"{PROXY}/mpu/create/0/r1/artifacts"
    forwarded = {
        "X-Forwarded-Proto": "https, http",
        "X-Forwarded-Host": "ml.example.org",
        "X-Forwarded-Prefix": "/mainspring/",
    }
    for headers, start in [
        ({}, f"http://127.0.0.1:{served.port}{PROXY}/mpu/part/0/r1/artifacts/a.bin?"),
        ({"Host": "spring:1"}, f"http://spring:1{PROXY}/mpu/part/"),
        (forwarded, f"https://ml.example.org/mainspring{PROXY}/mpu/part/"),
    ]:
        made = served("POST", create, json={"path": "a.bin", "num_parts": 1}, headers=headers).json()
        [credential] = made["credentials"]
        assert credential["url"].startswith(start)
        assert credential["headers"] == {}
