"""`nox -s releases`: every registry call of many releases of MLflow's client, on every store.

    python -m releases --write docs/evidence/releases.md PYTHON...

Each PYTHON is the interpreter of an environment with a release of MLflow.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs

from releases.table import STORES, render
from services import postgres, s3
from services.registry_server import QUIET, WEBHOOKS_ON_LOOPBACK, RegistryServer

CALLS = Path(__file__).with_name("client_calls.py")

CALL_SECONDS = 1_200
"""Seconds that all calls of a release on all stores may take; they take one minute."""


@attrs.frozen
class Release:
    """How the calls of a release went, in the order of the stores; None is a success."""

    name: str
    outcomes: tuple[dict[str, str | None], ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Makes the calls and writes the table; 1 if any has failed."""
    parser = argparse.ArgumentParser(prog="python -m releases", description=__doc__)
    parser.add_argument("--write", type=Path, help="the page to write")
    parser.add_argument("--jobs", type=int, default=2, help="releases at a time (2)")
    parser.add_argument("pythons", nargs="+", metavar="PYTHON")
    options = parser.parse_args(arguments)
    with servers() as urls, ThreadPoolExecutor(options.jobs) as threads:
        found = [*threads.map(lambda python: release_of(python, urls), options.pythons)]
    for release in found:
        for store, outcomes in zip(STORES, release.outcomes, strict=True):
            failed = {call: problem for call, problem in outcomes.items() if problem is not None}
            print(f"{release.name} on {store}: {len(outcomes)} calls, {len(failed)} failed")
            for call, problem in failed.items():
                print(f"    {call}: {problem}")
    if options.write is not None:
        options.write.write_text(render({each.name: each.outcomes for each in found}))
    return any(problem for each in found for one in each.outcomes for problem in one.values())


def release_of(python: str, urls: Sequence[str]) -> Release:
    """How the calls of the release that an interpreter has went."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    with tempfile.TemporaryDirectory(prefix="releases-") as directory:
        done = subprocess.run(
            [python, os.fspath(CALLS), *urls],
            env={**environment, **QUIET},
            cwd=directory,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=CALL_SECONDS,
        )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return Release(answer["release"], tuple(answer["outcomes"]))


@contextlib.contextmanager
def servers() -> Iterator[list[str]]:
    """The URLs of servers with a store of each kind, in the order of `STORES`."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="releases-")))
        database = stack.enter_context(postgres.PostgresServer())
        bucket = s3.launch(stack)
        client = bucket.client()
        client.create_bucket(Bucket=s3.BUCKET)
        client.close()
        kept = {
            "SQLite": (f"sqlite:///{directory / 'registry.db'}", ()),
            "PostgreSQL": (database.url(), ("--artifacts", os.fspath(directory / "artifacts"))),
            "bucket": (s3.store_url(bucket.endpoint_url, "releases", bucket=s3.BUCKET), ()),
        }
        yield [
            stack.enter_context(
                RegistryServer(
                    kept[store][0],
                    arguments=kept[store][1],
                    environment={**WEBHOOKS_ON_LOOPBACK, **bucket.environment()},
                )
            ).url
            for store in STORES
        ]


if __name__ == "__main__":
    sys.exit(main())
