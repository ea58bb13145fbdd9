"""What many rows, many models and many versions cost the gateway: each beside what it cannot be faster than.

    python benchmarks/gateway_protocols.py [--only rows,models,variants] [--seconds 2] [--json]

- rows: 100 rows a request as binary tensors, in rows a second, beside ONNX Runtime alone in one process and thread.
- models: requests to 100 models in turn, beside a gateway with one.
- variants: requests to one model of which 100 versions share the traffic, beside a gateway with one version.

Rounds are in turns, ratios are medians over them, and every answer is checked. What the gateway has no door for is
named and skipped.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import load
import numpy as np
import scoring
import servers
from numpy.typing import NDArray

from mainspring.formats.onnx import OnnxModel
from mainspring.rollouts.route import Route

ROUNDS = 5
ROWS = 100
MANY = 100


class Skipped(Exception):
    """A figure that cannot be taken here; its text says why."""


# --- many rows in one request --------------------------------------------------------------------------------------


def many_rows(seconds: float, folder: Path) -> dict[str, Any]:
    """Rows a second in binary tensors, and from the runtime alone."""
    content = scoring.model()
    server = scoring.start_alone("gateway", content, folder)
    server.wait(scoring.START_S)
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/v2", timeout=10) as about:
        if "binary_tensor_data" not in json.load(about)["extensions"]:
            raise Skipped("this gateway does not say that it takes binary tensors")
    asked = scoring.rows(ROWS)
    truth = scoring.scores(content, asked)

    def first(body: bytes) -> float:
        found = np.frombuffer(body[-8 * ROWS :], "<f8")
        if not np.allclose(found, truth, atol=1e-5):
            raise ValueError("not all of its scores are right")
        return float(found[0])

    server = replace(server, questions=[load.Question(in_bytes(asked), truth[0])], read=first)
    server.measure(seconds)  # the first of this kind
    ours, bare, measured, bare_us = [], [], [], []
    for _ in range(ROUNDS):
        rate, cpu_us = bare_rows_per_s(content, asked, seconds)
        bare.append(rate)
        bare_us.append(cpu_us)
        measured.append(server.measure(seconds))
        ours.append(ROWS * measured[-1].requests_per_s)
    return {
        "unit": "rows/s",
        "rate": round(statistics.median(ours)),
        "beside": round(statistics.median(bare)),
        "ratio": round(statistics.median(our / its for our, its in zip(ours, bare, strict=True)), 3),
        "bar": 0.85,
        "request_cpu_us": [round(load.median(measured).cpu_us), round(statistics.median(bare_us))],
    }


def in_bytes(asked: NDArray[np.float64]) -> bytes:
    """A request in binary tensors, for the scores in bytes as well."""
    tensors = [
        {
            "name": name,
            "shape": [len(asked)],
            "datatype": "FP64",
            "parameters": {"binary_data_size": 8 * len(asked)},
        }
        for name in scoring.FEATURES
    ]
    wanted = [{"name": "probability", "parameters": {"binary_data": True}}]
    head = json.dumps({"inputs": tensors, "outputs": wanted}).encode()
    data = np.ascontiguousarray(asked.T, "<f8").tobytes()
    sizes = {"inference_header_content_length": str(len(head))}
    return scoring.post("/v2/models/bench/infer", head + data, "application/octet-stream", **sizes)


def bare_rows_per_s(content: bytes, asked: NDArray[np.float64], seconds: float) -> tuple[float, float]:
    """Rows that ONNX Runtime answers in one thread when nothing else is to do, and the CPU of a call in µs.

    A call in other company takes longer: between two of them the processor's caches are used for something else.
    """
    model, count = OnnxModel.load(content), 0
    columns = {name: asked[:, n].astype(np.float32) for n, name in enumerate(scoring.FEATURES)}
    end, began = time.perf_counter() + seconds, time.process_time()
    while time.perf_counter() < end:
        model.predict(columns)
        count += 1
    return count * len(asked) / seconds, 1e6 * (time.process_time() - began) / count


# --- many models ---------------------------------------------------------------------------------------------------


def many_models(seconds: float, folder: Path) -> dict[str, Any]:
    """Requests a second to many models in turn, and to one."""
    contents = scoring.copies(scoring.model(), MANY)
    routes = [scoring.route(f"bench-{n:03}", (1, content)) for n, content in enumerate(contents)]
    return beside_one(seconds, folder, routes, contents)


def many_variants(seconds: float, folder: Path) -> dict[str, Any]:
    """Requests a second to many versions of a model, and to one."""
    contents = scoring.copies(scoring.model(), MANY)
    champion, *challengers = enumerate(contents, 1)
    return beside_one(
        seconds, folder, [scoring.route("bench", champion, *challengers, share=1 / MANY)], contents
    )


def beside_one(
    seconds: float, folder: Path, routes: Sequence[Route], contents: Sequence[bytes]
) -> dict[str, Any]:
    scoring.publish(folder, routes, contents)
    products = [route.product for route in routes]
    started = [
        scoring.start_alone("gateway", contents[0], folder.with_name(f"{folder.name}-one")),
        scoring.start("gateway", folder, scoring.questions(contents[0], products)),
    ]
    for server in started:
        server.wait(scoring.START_S)
    one, many = zip(*([server.measure(seconds) for server in started] for _ in range(ROUNDS)), strict=True)
    return {
        "unit": "req/s",
        "rate": round(load.median(many).requests_per_s),
        "beside": round(load.median(one).requests_per_s),
        "ratio": round(load.ratio(many, one), 3),
        "bar": 0.9,
        "cpu_us": [round(load.median(rounds).cpu_us) for rounds in (many, one)],
        "runtime_cpu_us": [bare_cpu_us(contents), bare_cpu_us(contents[:1])],
    }


def bare_cpu_us(contents: Sequence[bytes]) -> int:
    """CPU that ONNX Runtime takes for a row when it is asked of these models in turn, in µs.

    Many models do not fit into the processor's caches together, so each call costs more before a gateway has a part.
    """
    models = [OnnxModel.load(content) for content in contents]
    rows = scoring.rows(MANY).astype(np.float32)
    columns = [dict(zip(scoring.FEATURES, np.split(row, len(row)), strict=True)) for row in rows]
    turns = range(20 * MANY)
    began = time.process_time()
    for n in turns:
        models[n % len(models)].predict(columns[n % MANY])
    return round(1e6 * (time.process_time() - began) / len(turns))


FIGURES: dict[str, Callable[[float, Path], dict[str, Any]]] = {
    "rows": many_rows,
    "models": many_models,
    "variants": many_variants,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(FIGURES), help=f"some of {','.join(FIGURES)}")
    parser.add_argument("--seconds", type=float, default=2.0, help="the length of a round")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    chosen = arguments.only.split(",")
    if unknown := sorted(set(chosen) - set(FIGURES)):
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(FIGURES)}")
    measured: dict[str, Any] = {}
    for name in chosen:
        with tempfile.TemporaryDirectory() as temporary, servers.all_ended():
            try:
                measured[name] = FIGURES[name](arguments.seconds, Path(temporary) / "gateway")
            except Skipped as why:
                measured[name] = {"skipped": str(why)}
    if arguments.json:
        print(json.dumps(measured))
        return
    for name, each in measured.items():
        if "skipped" in each:
            print(f"{name:10}skipped: {each['skipped']}")
            continue
        told = ""
        if "cpu_us" in each:
            (many, one), (its_many, its_one) = each["cpu_us"], each["runtime_cpu_us"]
            told = f"; CPU {many} us beside {one}, of it the runtime alone {its_many} beside {its_one}"
        if "request_cpu_us" in each:
            ours, bare = each["request_cpu_us"]
            told = f"; CPU {ours} us a request beside {bare}"
        verdict = "met" if each["ratio"] >= each["bar"] else "missed"
        print(
            f"{name:10}{each['rate']:9} {each['unit']:7}beside{each['beside']:9}   {each['ratio']:.0%}, "
            f"the bar is {each['bar']:.0%}: {verdict}{told}"
        )


if __name__ == "__main__":
    main()
