"""How long people wait before anything happens: imports, helps, and a server's first answer.

    PYTHONPATH=tests python -m bench.starting

Each line is the best of several runs, beside that of an empty Python, interleaved, so that a busy
machine shows as such. Modules are compiled before: as after an installation. Never a test.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

ROUNDS = 5
"""Runs of each, of which the best counts."""

BARS = {
    "import registry_core": 0.1,
    "regctl --help": 0.15,
    "regctl models create --help": 0.15,
    "server, first answer": 1.0,
}
"""Seconds that each may take on an idle machine."""

_ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}


def _command(*arguments: str) -> Callable[[], float]:
    def run() -> float:
        begun = time.perf_counter()
        subprocess.run(
            [sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=_ENVIRONMENT
        )
        return time.perf_counter() - begun

    return run


def _first_answer() -> float:
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{Path(folder) / 'registry.db'}"
        command = [sys.executable, "-m", "registry_server", "--port", "0", "--store", store]
        begun = time.perf_counter()
        with subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env=_ENVIRONMENT
        ) as process:
            assert process.stderr is not None
            announced = ""
            while "Serving a model registry at " not in announced:
                announced = process.stderr.readline()
                assert announced, "the server ended"
            url = announced.rpartition(" ")[2].strip()
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            opener.open(f"{url}/health", timeout=30).close()
            taken = time.perf_counter() - begun
            process.terminate()
            process.stderr.close()
        return taken


MEASURED: Mapping[str, Callable[[], float]] = {
    "python, empty": _command("-c", "pass"),
    "import click": _command("-c", "import click"),
    "import registry_core": _command("-c", "import registry_core"),
    "open_registry('memory:')": _command(
        "-c", "import registry_core; registry_core.open_registry('memory:')"
    ),
    "regctl --help": _command("-m", "registry_cli", "--help"),
    "regctl models create --help": _command("-m", "registry_cli", "models", "create", "--help"),
    "registry-server --help": _command("-m", "registry_server", "--help"),
    "server, first answer": _first_answer,
}


def _processor_seconds() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def main() -> None:
    """Measure and print; names as arguments choose some."""
    chosen = {name: MEASURED[name] for name in sys.argv[1:] or MEASURED}
    best = {name: (float("inf"), float("inf")) for name in chosen}
    for _ in range(ROUNDS):
        for name, measure in chosen.items():
            before = _processor_seconds()
            seconds = measure()
            spent = _processor_seconds() - before
            best[name] = min(best[name][0], seconds), min(best[name][1], spent)
    print(f"{'':32}{'seconds':>9}{'of them processor':>20}{'bar':>7}")
    for name, (seconds, spent) in best.items():
        bar = f"{BARS[name]:.2f}" if name in BARS else ""
        print(f"{name:32}{seconds:9.3f}{spent:20.3f}{bar:>7}")


if __name__ == "__main__":
    main()
