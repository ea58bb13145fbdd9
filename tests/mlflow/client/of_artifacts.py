"""Files that a client logs, lists, reads back and deletes, and how its proxy answers without a client."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import requests
from ask import NEWEST, NO_RUN, OWN, Asking

PROXY = "/api/2.0/mlflow-artifacts"
NAMES = [
    *("a.txt", "two words.txt", "100%.txt", "a%20b.txt", "x%2fy", "naïve-日本.txt", "empty", ".hidden"),
    *(
        "semi;colon",
        "amp&x=1",
        "q'uote",
        "plus+x",
        "tilde~",
        "br[0]",
        "comma,x",
        "at@x",
        "dollar$",
        "star*",
        "excl!",
    ),
]


def artifacts(ask: Asking) -> None:
    home = ask.client.create_experiment(OWN + "artifacts")
    run_id = ask.client.create_run(home).info.run_id
    logged = Path("logged")
    (logged / "deep%" / "deeper").mkdir(parents=True)
    for name in NAMES:
        (logged / name).write_text("" if name == "empty" else name)
    (logged / "deep%" / "deeper" / "file").write_text("deep")

    ask.note("list before anything", ask.client.list_artifacts, run_id)
    ask.note("log a file", ask.client.log_artifact, run_id, "logged/a.txt")
    ask.note("log a file into a folder", ask.client.log_artifact, run_id, "logged/a.txt", "folder/below")
    ask.note("log a folder", ask.client.log_artifacts, run_id, "logged", "all")
    ask.note("log a text", ask.client.log_text, run_id, "<b>", "page.html")
    ask.note("log it again", ask.client.log_text, run_id, "<i>", "page.html")
    ask.note("log JSON", ask.client.log_dict, run_id, {"a": [1]}, "a.json")
    ask.note("log a path that climbs", ask.client.log_artifact, run_id, "logged/a.txt", "../up")
    for step in (7, 20, 31):
        image = [[[0, 128, 255]] * 4] * 4
        ask.note(f"log an image at {step}", log_image, ask, run_id, image, step)
    ask.note("list the images", lambda: len(ask.client.list_artifacts(run_id, "images")))
    ask.note("read the images", lambda: len(os.listdir(ask.client.download_artifacts(run_id, "images", "."))))
    for path in ("", "all", "all/deep%", "nothing", "../up"):
        ask.get(f"list the run's {path!r}", "artifacts/list", run_id=run_id, path=path)
    ask.get("list no run's", "artifacts/list", run_id=NO_RUN)
    for folder in (None, "all", "all/deep%", "all/deep%/deeper/", "a.txt", "nothing", "a%20b", "../up"):
        ask.note(f"list {folder}", ask.client.list_artifacts, run_id, folder)
    ask.note("read a folder", lambda: contents(ask.client.download_artifacts(run_id, "all", ".")))
    for name in NAMES:
        ask.note(
            f"read {name}",
            lambda name=name: contents(ask.client.download_artifacts(run_id, f"all/{name}", ".")),
        )
    ask.note("read what is not there", ask.client.download_artifacts, run_id, "nothing", ".")

    ask.note("log in parts", log_in_parts, ask, run_id, logged / "large", 12 * 2**20)
    ask.note(
        "read what came in parts", lambda: len(contents(ask.client.download_artifacts(run_id, "large", ".")))
    )

    root = f"{PROXY}/artifacts/{home}/{run_id}/artifacts"
    ask.note("put", status, ask, "PUT", f"{root}/raw/b.bin", data=b"12345")
    ask.note("put nothing", status, ask, "PUT", f"{root}/raw/c.bin", data=b"")
    ask.raw("list", "GET", f"{PROXY}/artifacts", params={"path": f"{home}/{run_id}/artifacts/raw"})
    ask.raw(
        "list for browsers",
        "GET",
        f"/ajax-api/2.0/mlflow-artifacts/artifacts?path={home}/{run_id}/artifacts/raw",
    )
    ask.raw("list no folder", "GET", f"{PROXY}/artifacts", params={"path": f"{home}/nothing"})
    ask.raw(
        "list a file", "GET", f"{PROXY}/artifacts", params={"path": f"{home}/{run_id}/artifacts/raw/b.bin"}
    )
    ask.raw("get what is not there", "GET", f"{root}/nothing")
    ask.note("get a folder", status, ask, "GET", f"{root}/raw")
    for name in ("a.txt", "a.json", "page.html"):
        ask.note(f"headers of {name}", headers, ask, f"{root}/{name}")
    ask.note("a part of a file", headers, ask, f"{root}/raw/b.bin", Range="bytes=1-3")
    ask.note("a part that is none", headers, ask, f"{root}/raw/b.bin", Range="bytes=7-9")
    ask.raw("of a run", "GET", "/get-artifact", params={"run_id": run_id, "path": "page.html"})
    ask.raw(
        "of a run by its old name", "GET", "/get-artifact", params={"run_uuid": run_id, "path": "page.html"}
    )
    ask.raw("of no run", "GET", "/get-artifact", params={"run_id": "0" * 32, "path": "page.html"})
    for path in ("..", "%2e%2e/x", "%252e%252e/x", "x/../y", "/etc/x", "C:/x", "a#b", "file:///x"):
        ask.raw(f"list {path} without a client", "GET", f"{PROXY}/artifacts", params={"path": path})
        ask.raw(f"get {path} of a run", "GET", "/get-artifact", params={"run_id": run_id, "path": path})
    for encoded in ("%2e%2e/x", "%252e%252e/x", "x/%252e%252e/y", "%252fetc/x", "a%23b"):
        ask.raw(f"put {encoded}", "PUT", f"{PROXY}/artifacts/{encoded}", data=b"x")
        ask.raw(f"get {encoded}", "GET", f"{PROXY}/artifacts/{encoded}")
        ask.raw(f"delete {encoded}", "DELETE", f"{PROXY}/artifacts/{encoded}")
    if NEWEST:
        ask.raw("presigned", "GET", f"{PROXY}/presigned/{home}/{run_id}/artifacts/a.txt")
    ask.raw("delete a file", "DELETE", f"{root}/raw/b.bin")
    ask.raw("delete it again", "DELETE", f"{root}/raw/b.bin")
    ask.raw("delete a folder", "DELETE", f"{root}/all")
    ask.note("list what is left", ask.client.list_artifacts, run_id)


def contents(path: str) -> Any:
    file = Path(path)
    if file.is_file():
        return file.read_text()
    return {
        str(each.relative_to(file)): each.read_text() for each in sorted(file.rglob("*")) if each.is_file()
    }


def status(ask: Asking, verb: str, path: str, **sent: Any) -> int:
    return requests.request(verb, ask.uri + path, timeout=30, **sent).status_code


def headers(ask: Asking, path: str, **sent: str) -> dict[str, Any]:
    answer = requests.get(ask.uri + path, headers=sent, timeout=30)
    told = [
        "Content-Type",
        "Content-Disposition",
        "X-Content-Type-Options",
        "Content-Length",
        "Content-Range",
    ]
    return {"status": answer.status_code} | {name: answer.headers.get(name) for name in told if answer.ok}


def log_in_parts(ask: Asking, run_id: str, file: Path, size: int) -> None:
    """Log a file in parts of 5 MB, where the server takes any; clients send it whole where it does not."""
    wanted = {
        "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true",
        "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": "1",
        "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": str(5 * 2**20),
    }
    file.write_text("x" * size)
    os.environ |= wanted
    try:
        ask.client.log_artifact(run_id, str(file))
    finally:
        for name in wanted:
            del os.environ[name]


def log_image(ask: Asking, run_id: str, image: list[Any], step: int) -> None:
    import numpy

    ask.client.log_image(run_id, numpy.array(image, dtype="uint8"), key="dog", step=step, synchronous=True)
