"""How fast models are copied from store to store: `python -m bench.moves`.

500 models of 10 versions each, with tags, an alias and their histories, go from SQLite to PostgreSQL
as `regctl copy` does it, in a process of its own, so that its memory can be told from what made the
source. `--models 1` makes one large model instead. `--models` and `--versions` set other sizes.
`--profile FILE` has one thread copy, and writes what cProfile saw of it.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from registry_core import Registry, open_registry
from registry_core.moves import copying, sources
from services import postgres
from services.large_models import large_model

BAR = 2_000
"""Versions a second."""

WITHIN_MIB = 64
"""The most that a copy may need over what the process needs at its start."""


def fill(registry: Registry, models: int, versions: int) -> None:
    """Models as teams have them."""
    ann = registry.acting_as("ann", reason="training")
    for number in range(models):
        name = f"model-{number:05}"
        ann.create_registered_model(name, tags={"team": "vision", "n": str(number)})
        for version in range(1, versions + 1):
            tags = {"auc": "0.91", "git": f"{version:040x}"}
            ann.create_model_version(
                name, source=f"s3://bucket/{name}/{version}", run_id="0" * 32, tags=tags
            )
        ann.set_registered_model_alias(name, "champion", versions)


def fill_one(registry: Registry, versions: int) -> None:
    """One large model, written as a whole."""
    registry.restore(large_model(versions))


class Meter:
    """How long something took, and how much of the processors' time it and a server had."""

    def __init__(self, server: int | None) -> None:
        self._server = server
        self._began = self._now()
        self.seconds = self.own = self.database = 0.0

    def stop(self) -> Meter:
        """Nothing more is counted."""
        now = self._now()
        figures = (end - begin for begin, end in zip(self._began, now, strict=True))
        self.seconds, self.own, self.database = figures
        return self

    def _now(self) -> tuple[float, float, float]:
        database = 0.0 if self._server is None else cpu_seconds(self._server)
        return time.perf_counter(), time.process_time(), database


def cpu_seconds(server: int) -> float:
    """What a process and those that it started have had of the processors."""
    ticks = 0
    children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    for pid in (str(server), *children):
        with contextlib.suppress(OSError):  # it has ended, and its parent has its time
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15] if pid == str(server) else fields[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def peak_memory() -> float:
    """The most MiB that this process has had; what `getrusage` says, its parent may have had."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) / 1024


def copy(source_url: str, target_url: str, server: int, profile: str | None) -> None:
    """Copy, and say how long it took and what memory it needed."""
    source, close = sources.open_source(source_url)
    with open_registry(target_url, artifacts="none") as target:
        target.ping()
        before = peak_memory()
        profiler = cProfile.Profile() if profile else None
        if profiler is not None:
            # What is profiled is one thread.
            copying.in_parallel = lambda work, items, **_: map(work, items)
            profiler.enable()
        meter = Meter(server)
        done = [*copying.copy(source, target)]
        meter.stop()
        if profiler is not None:
            profiler.disable()
            profiler.dump_stats(str(profile))
        grown = peak_memory() - before
        second = Meter(server)
        again = [*copying.copy(source, target)]
        second.stop()
    close()
    assert {each.outcome.value for each in done} == {"copied"}, done[0]
    assert {each.outcome.value for each in again} == {"unchanged"}, again[0]
    versions = sum(each.versions for each in done)
    print(
        f"{len(done)} models, {versions} versions: {versions / meter.seconds:.0f} versions/s (bar "
        f"{BAR}); for each {1e6 * meter.own / versions:.0f} us of a processor here and "
        f"{1e6 * meter.database / versions:.0f} us in PostgreSQL, so that two idle processors may "
        f"do {versions / max(meter.own, meter.database):.0f}/s; {grown:.1f} MiB over the start "
        f"(bar {WITHIN_MIB}); a second run wrote 0 at {versions / second.seconds:.0f} versions/s",
        flush=True,
    )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=500)
    parser.add_argument("--versions", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", metavar="FILE")
    parser.add_argument("--copy", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.copy:
        source, target, server = options.copy
        copy(source, target, int(server), options.profile)
        return
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        source = f"sqlite:///{directory / 'source.db'}"
        with open_registry(source) as registry:
            if options.models == 1:
                fill_one(registry, options.versions)
            else:
                fill(registry, options.models, options.versions)
        database = stack.enter_context(postgres.PostgresServer(durable=True))
        for number in range(options.rounds):
            with psycopg.connect(database.url(), autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE copy{number}")
            command = [sys.executable, "-m", "bench.moves", "--copy", source]
            command += [database.url(f"copy{number}"), str(database.pid)]
            if options.profile:
                command += ["--profile", options.profile]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
