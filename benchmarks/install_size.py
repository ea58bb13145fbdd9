"""What an installation weighs: a fresh environment from a lock, measured per distribution.

    make dev
    .venv/bin/python benchmarks/install_size.py [--lock demo] [--json]

Sizes are those of the files as they are read (`du --apparent-size`), before Python writes its bytecode.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
UV = ROOT / ".tools" / "bin" / "uv"
BAR_MB = 450


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """One distribution, or what no distribution owns; `megabytes` are 1024² bytes, as `du -m` counts."""

    name: str
    version: str
    megabytes: float


def install(lock: str, into: Path) -> None:
    """Make an environment as `make demo` does, but with mainspring as a wheel and not as a link."""

    def uv(*arguments: str | Path) -> None:
        subprocess.run([UV, *arguments, "--quiet"], cwd=ROOT, check=True)

    here = ["--python", into / "bin" / "python", "--build-constraints", "locks/build.txt"]
    uv("venv", "--python", sys.executable, into)
    uv("pip", "sync", *here, "--require-hashes", f"locks/{lock}.txt", "locks/demo-data.txt")
    uv("pip", "install", *here, "--no-deps", "--no-cache", ".")


def weigh(environment: Path) -> list[Weight]:
    """Every distribution of `environment`, the heaviest first, and the environment's own files last."""
    [site] = environment.glob("lib/python3.*/site-packages")
    found = [
        Weight(name=dist.name, version=dist.version, megabytes=size(dist))
        for dist in distributions(path=[str(site)])
    ]
    found.sort(key=lambda weight: weight.megabytes, reverse=True)
    # A link leads to the interpreter, which is not part of the installation.
    total = sum(path.lstat().st_size for path in environment.rglob("*") if not path.is_symlink()) / 2**20
    rest = total - sum(weight.megabytes for weight in found)
    return [*found, Weight(name="(the environment itself)", version="", megabytes=rest)]


def size(dist: Distribution) -> float:
    files = [Path(str(file.locate())) for file in dist.files or []]
    return sum(file.stat().st_size for file in files if file.is_file()) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lock", default="demo", help="which of locks/*.txt (default: demo)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder) / "environment"
        started = time.perf_counter()
        install(arguments.lock, environment)
        seconds = time.perf_counter() - started
        weights = weigh(environment)
    total = sum(weight.megabytes for weight in weights)
    if arguments.json:
        answer = {
            "lock": arguments.lock,
            "total_mb": round(total, 1),
            "bar_mb": BAR_MB,
            "install_s": round(seconds, 1),
            "distributions": [asdict(weight) for weight in weights],
        }
        print(json.dumps(answer, indent=2))
        return
    print("| distribution | version | MB |\n|---|---|---:|")
    print(f"| **all of locks/{arguments.lock}.txt** | | **{total:.1f}** |")
    light = [weight for weight in weights if weight.megabytes < 1]
    for weight in weights:
        if weight.megabytes >= 1:
            print(f"| {weight.name} | {weight.version} | {weight.megabytes:.1f} |")
    print(f"| {len(light)} of less than 1 MB each | | {sum(weight.megabytes for weight in light):.1f} |")
    print(f"\n{len(weights) - 1} distributions, installed in {seconds:.1f} s; the bar is {BAR_MB} MB.")


if __name__ == "__main__":
    main()
