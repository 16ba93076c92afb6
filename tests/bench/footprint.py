"""What it costs to be there: start-up, memory, imports."""

import contextlib
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench import servers
from services.registry_server import RegistryServer

RUNS = 7
"""Runs of a command of which the median is told."""

_BESIDE = Path(sys.executable).parent


def run(options):
    """Seconds and MiB of servers that nobody asks anything, and of the commands."""
    found = {"commands": _commands()}
    with contextlib.ExitStack() as stack:
        databases = {
            kind: servers.Databases.temporary(stack, kind) for kind in ("sqlite", "postgresql")
        }
        found["servers"] = {
            f"ours, {kind}, {workers} worker(s)": servers.start_up(
                lambda kind=kind, workers=workers: RegistryServer(
                    databases[kind].new(), workers=workers
                )
            )
            for kind in databases
            for workers in (1, 2, 3)
        }
        if options.mlflow:
            url = servers.mlflow_url(databases["sqlite"])
            found["servers"]["mlflow, sqlite, 1 worker(s)"] = servers.start_up(
                lambda: servers.Mlflow(url)
            )
    return found


def _commands():
    python = [sys.executable, "-c"]
    bare = _seconds([*python, "pass"])
    core = _seconds([*python, "import registry_core"])
    return {
        "python -c pass": bare,
        "import registry_core": round(core - bare, 3),
        "regctl --help": _seconds([str(_BESIDE / "regctl"), "--help"]),
    }


def _seconds(command):
    found = []
    for _ in range(RUNS):
        began = time.monotonic()
        subprocess.run(command, check=True, capture_output=True)
        found.append(time.monotonic() - began)
    return round(statistics.median(found), 3)
