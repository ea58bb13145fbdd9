"""An answer that was given is on disk, whatever happens to the process or the disk."""

from __future__ import annotations

import http.client
import json
import resource
import shutil
import signal
import socket
import subprocess
import threading
from contextlib import closing, suppress
from itertools import count
from pathlib import Path

from tests.gateway.conftest import Process, Workspace, body, column, running, wait_until

from mainspring.monitoring.record import LabelRecord


def load(gateway: Process, callers: int) -> tuple[list[str], list[threading.Thread]]:
    """Ask from many threads until the gateway is gone; the list of answered ids grows."""
    answered: list[str] = []
    content = json.dumps(body())

    def call() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
        with closing(connection), suppress(OSError, http.client.HTTPException, ValueError):
            while True:
                connection.request("POST", "/v2/models/late/infer", content)
                with connection.getresponse() as reply:
                    answered.append(json.load(reply)["outputs"][1]["data"][0])

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for each in threads:
        each.start()
    return answered, threads


def logged(workspace: Workspace) -> list[str]:
    return [an_id for record in workspace.predictions for an_id in record.ids]


def test_kill_9_under_load_loses_no_answer(workspace: Workspace) -> None:
    answered: list[str] = []
    for enough in (200, 400):  # and the next process goes on behind what it finds
        with running(workspace) as gateway:
            now, threads = load(gateway, callers=8)
            wait_until(lambda now=now, enough=enough: len(now) >= enough)
            assert gateway.end(signal.SIGKILL)[0] == -signal.SIGKILL
            for each in threads:
                each.join(20)
        answered += now
    kept = logged(workspace)
    assert set(answered) <= set(kept)
    assert len(kept) == len(set(kept))


def test_sigterm_answers_what_was_asked_and_ends_cleanly(workspace: Workspace) -> None:
    with running(workspace) as gateway:
        answered, threads = load(gateway, callers=8)
        wait_until(lambda: len(answered) >= 100)
        assert gateway.end(signal.SIGTERM) == (0, "")
        for each in threads:
            each.join(20)
    assert sorted(answered) == sorted(logged(workspace))


def test_a_killed_gateway_frees_its_port_and_its_log(workspace: Workspace) -> None:
    with running(workspace) as first:
        first.infer(body())
        first.end(signal.SIGKILL)
        with running(workspace, port=first.port) as second:
            assert second.infer(body()).status_code == 200
    assert len(logged(workspace)) == 2


def test_what_a_crash_has_left_of_a_line_is_cut_off(workspace: Workspace) -> None:
    with running(workspace) as gateway:
        first = column(gateway.infer(body()), "prediction_id")
        gateway.end(signal.SIGKILL)
    with (workspace.log / "00000001.log").open("ab") as segment:
        segment.write(b'0badcafe {"type":"predic')
    with running(workspace) as gateway:
        second = column(gateway.infer(body()), "prediction_id")
    assert logged(workspace) == first + second


def test_on_a_full_disk_nothing_is_acknowledged_and_it_goes_on_when_there_is_room(
    workspace: Workspace,
) -> None:
    def let_files_grow_to(size: int) -> None:
        resource.prlimit(gateway.inner.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    with running(workspace) as gateway:
        answered = column(gateway.infer(body()), "prediction_id")
        let_files_grow_to(100)
        for _ in range(3):
            reply = gateway.infer(body())
            assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
            assert "cannot be written (File too large)" in reply.json()["error"]
        labels = {"labels": [{"prediction_id": answered[0], "value": True}]}
        assert gateway.client.post("/v1/labels", json=labels).status_code == 503
        assert logged(workspace) == answered
        ready = gateway.client.get("/v2/health/ready")
        assert (ready.status_code, ready.json()) == (503, {"ready": False, "log": "File too large"})
        metrics = gateway.client.get("/metrics").text.splitlines()
        assert {"mainspring_log_trouble 1", "mainspring_log_refused_total 4"} <= set(metrics)
        let_files_grow_to(resource.RLIM_INFINITY)
        answered += column(gateway.infer(body()), "prediction_id")
        assert gateway.client.post("/v1/labels", json=labels).json() == {"accepted": 1}
        assert logged(workspace) == answered
        assert isinstance(workspace.records[-1], LabelRecord)
        assert gateway.client.get("/v2/health/ready").json() == {"ready": True}


def test_within_a_window_answers_leave_first_and_all_are_on_disk_in_the_end(workspace: Workspace) -> None:
    with running(workspace, "--window=60") as gateway:
        answered = column(gateway.infer(body(20)), "prediction_id")
        label = {"prediction_id": answered[0], "value": True}
        assert gateway.client.post("/v1/labels", json=label).json() == {"accepted": 1}
        metrics = gateway.client.get("/metrics").text.splitlines()
        assert {"mainspring_log_queue 2", "mainspring_log_window_seconds 60.0"} <= set(metrics)
        assert not workspace.log.exists() or logged(workspace) == []
        assert gateway.end(signal.SIGTERM) == (0, "")
    assert logged(workspace) == answered
    assert isinstance(workspace.records[-1], LabelRecord)


def test_within_a_window_a_full_disk_is_told_and_loses_nothing(workspace: Workspace) -> None:
    with running(workspace, "--window=0.01") as gateway:
        resource.prlimit(gateway.inner.pid, resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
        answered: list[str] = []
        while gateway.client.get("/v2/health/ready").status_code == 200:
            answered += column(gateway.infer(body()), "prediction_id")
        assert logged(workspace) == []
        resource.prlimit(gateway.inner.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        wait_until(lambda: logged(workspace) == answered)
        # They are there to be read a moment before the disk has them.
        wait_until(lambda: gateway.client.get("/v2/health/ready").status_code == 200)


def test_a_log_that_was_deleted_refuses_once_and_goes_on_in_a_new_one(workspace: Workspace) -> None:
    with running(workspace) as gateway:
        gateway.infer(body())
        shutil.rmtree(workspace.log)
        reply = gateway.infer(body())
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
        assert "deleted" in reply.json()["error"]
        kept = column(gateway.infer(body()), "prediction_id")
        lines = (workspace.log / "00000002.log").read_text().rstrip("\0").splitlines()
    assert len(lines) == 1
    assert kept[0] in lines[0]


def test_a_segment_that_cannot_grow_is_followed_by_another(workspace: Workspace) -> None:
    with running(workspace) as gateway:
        answered: list[str] = []
        resource.prlimit(gateway.inner.pid, resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
        for n in count():
            reply = gateway.infer({**body(), "id": str(n)})
            if reply.status_code == 200:
                answered += column(reply, "prediction_id")
            if len(answered) == 20:
                break
        assert n > 20
    assert logged(workspace) == answered


def test_two_gateways_cannot_share_a_log_or_a_port(workspace: Workspace, tmp_path: Path) -> None:
    other = Workspace(tmp_path / "other")
    other.folder.mkdir()
    other.put_routes()
    with running(workspace) as gateway, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        elsewhere = free.getsockname()[1]
        free.close()
        for second, port, told in (
            (workspace, elsewhere, "Another process writes the prediction log"),
            (other, gateway.port, f"cannot listen at 127.0.0.1:{gateway.port} (Address already in use)"),
        ):
            ended = subprocess.run(gateway.command(second, port), capture_output=True, text=True, timeout=20)
            assert ended.returncode != 0
            assert told in ended.stderr
