"""Ray Serve: one replica.

With HAProxy in front and the other settings of its page on high throughput; or, with the argument `own-proxy`, behind
its own proxy, which is what it starts when nothing is set.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from typing import Any

model, port, folder, *mode = sys.argv[1:]


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "120"}
if mode != ["own-proxy"]:
    os.environ |= {
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": f"{folder}/haproxy.cfg",
        "RAY_SERVE_HAPROXY_SOCKET_PATH": f"{folder}/admin.sock",
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": folder,
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": f"{folder}/server-state",
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_METRICS_PORT": free_port(),
        "RAY_SERVE_HAPROXY_STATS_PORT": free_port(),
    }

import ray  # noqa: E402 - it reads its settings when it is imported
from ray import serve  # noqa: E402
from scorer import Scorer  # noqa: E402


@serve.deployment(num_replicas=1, max_ongoing_requests=100)
class Bench:
    def __init__(self, path: str) -> None:
        self._scorer = Scorer(path)

    async def __call__(self, request: Any) -> Any:
        return {"scores": self._scorer((await request.json())["rows"]).tolist()}


ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, _temp_dir=folder)
serve.start(
    http_options={"host": "127.0.0.1", "port": int(port)},
    logging_config={"enable_access_log": False, "log_level": "WARNING"},
)
serve.run(Bench.bind(model), route_prefix="/")
signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # Ray has set its own, and ends what it started at exit
signal.pause()
