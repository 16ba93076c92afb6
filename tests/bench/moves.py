"""How fast models are copied from store to store: `python -m bench.moves`.

500 models of 10 versions each, with tags, an alias and their histories, go from SQLite to PostgreSQL
through `regctl copy` in a process of its own, so that its memory can be told from what made the
source. `--models 1` makes one large model instead. `--models` and `--versions` set other sizes; `--profile FILE` writes what cProfile saw.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import resource
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


def copy(source_url: str, target_url: str, profile: str | None) -> None:
    """Copy, and say how long it took and what memory it needed."""
    source, close = sources.open_source(source_url)
    with open_registry(target_url, artifacts="none") as target:
        target.ping()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        profiler = cProfile.Profile() if profile else None
        began = time.perf_counter()
        if profiler is not None:
            profiler.enable()
        done = [*copying.copy(source, target)]
        if profiler is not None:
            profiler.disable()
            profiler.dump_stats(str(profile))
        seconds = time.perf_counter() - began
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        began = time.perf_counter()
        again = [*copying.copy(source, target)]
        second = time.perf_counter() - began
    close()
    assert {each.outcome.value for each in done} == {"copied"}, done[0]
    assert {each.outcome.value for each in again} == {"unchanged"}, again[0]
    cpu = resource.getrusage(resource.RUSAGE_SELF)
    versions = sum(each.versions for each in done)
    print(
        f"{len(done)} models, {versions} versions: {versions / seconds:.0f} versions/s, "
        f"{grown:.1f} MiB over the start (bar {WITHIN_MIB}), a second run "
        f"{versions / second:.0f} versions/s; {cpu.ru_utime + cpu.ru_stime:.1f} s of CPU in all"
    )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=500)
    parser.add_argument("--versions", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", metavar="FILE")
    parser.add_argument("--copy", nargs=2, metavar=("SRC", "DST"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.copy:
        copy(*options.copy, options.profile)
        return
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        source = f"sqlite:///{directory / 'source.db'}"
        with open_registry(source) as registry:
            if options.models == 1:
                fill_one(registry, options.versions)
            else:
                fill(registry, options.models, options.versions)
        server = stack.enter_context(postgres.PostgresServer(durable=True))
        for number in range(options.rounds):
            with psycopg.connect(server.url(), autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE copy{number}")
            command = [sys.executable, "-m", "bench.moves", "--copy", source]
            command += [server.url(f"copy{number}")]
            if options.profile:
                command += ["--profile", options.profile]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
