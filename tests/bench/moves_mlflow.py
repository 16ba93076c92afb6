"""How fast a registry of MLflow's is copied over REST: `python -m bench.moves_mlflow`.

A server of MLflow's on SQLite has 1,000 models of 10 versions each. They are read page by page by its own
client, first the models, then the versions, as who wrote a script would do it, and copied into SQLite
by `copying.copy`; by turns, each with the server's memory warm. What counts is the median of the rates of
versions, and the bar is 0.8 of what is read. `--workers` are those of MLflow's server, which has 4 where
nobody says another number; `--python` is the interpreter of another release.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path

from registry_core import open_registry
from registry_core.moves import copying, sources
from services.registry_server import QUIET, MlflowServer

PAGE = 1_000
"""Models, or versions, of a page that is read: what a copy asks for."""

BAR = 0.8
"""Of the rate at which the pages are read."""


def fill(path: Path, models: int, versions: int) -> None:
    """Rows as MLflow's client would make them, which takes it a hundred times as long."""
    now = int(time.time() * 1000)
    names = [f"model-{number:05}" for number in range(models)]
    numbers = range(1, versions + 1)
    source = "s3://bucket/experiments/1/artifacts/model"
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.executemany(
            "INSERT INTO registered_models (name, creation_time, last_updated_time, description) "
            "VALUES (?, ?, ?, 'As teams have them')",
            ((name, now, now) for name in names),
        )
        database.executemany(
            "INSERT INTO registered_model_tags (name, key, value) VALUES (?, 'team', 'vision')",
            ((name,) for name in names),
        )
        database.executemany(
            "INSERT INTO model_versions (name, version, creation_time, last_updated_time, "
            "description, current_stage, source, run_id, status, storage_location) "
            "VALUES (?, ?, ?, ?, '', 'None', ?, ?, 'READY', ?)",
            (
                (name, number, now, now, source, f"{number:032x}", source)
                for name in names
                for number in numbers
            ),
        )
        database.executemany(
            "INSERT INTO model_version_tags (name, version, key, value) VALUES (?, ?, ?, '0.91')",
            ((name, number, key) for name in names for number in numbers for key in ("auc", "git")),
        )
        database.executemany(
            "INSERT INTO registered_model_aliases (name, alias, version) VALUES (?, 'champion', ?)",
            ((name, versions) for name in names),
        )


def read(url: str) -> tuple[float, int]:
    """Seconds for all pages of models and versions, and how many versions these have."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=url, registry_uri=url)
    began = time.perf_counter()
    counts = []
    for search in (client.search_registered_models, client.search_model_versions):
        count, token = 0, None
        while token != "":
            page = search(max_results=PAGE, order_by=["name"], page_token=token)
            count, token = count + len(page), page.token or ""
        counts.append(count)
    return time.perf_counter() - began, counts[1]


def copy(url: str, target_url: str) -> tuple[float, int]:
    """Seconds for a copy of everything, and how many versions it has."""
    source, close = sources.open_source(url)
    with contextlib.closing(open_registry(target_url, artifacts="none")) as target:
        target.ping()
        began = time.perf_counter()
        done = [*copying.copy(source, target)]
        seconds = time.perf_counter() - began
    close()
    assert {each.outcome.value for each in done} == {"copied"}, done[0]
    return seconds, sum(each.versions for each in done)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=1_000)
    parser.add_argument("--versions", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--python", default=sys.executable)
    options = parser.parse_args()
    os.environ.update(QUIET)
    rates: dict[str, list[float]] = {"read": [], "copied": []}
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        workers = ("--workers", str(options.workers))
        server = MlflowServer(directory, python=options.python, options=workers)
        stack.enter_context(server)
        fill(server.database, options.models, options.versions)
        for turn in range(options.rounds):
            target = f"sqlite:///{directory}/copy{turn}.db"
            acts = {"read": lambda: read(server.url), "copied": lambda: copy(server.url, target)}  # noqa: B023 called at once
            for what in ("read", "copied") if turn % 2 else ("copied", "read"):
                seconds, versions = acts[what]()
                assert versions == options.models * options.versions
                rates[what].append(versions / seconds)
                print(f"{what}: {versions / seconds:.0f} versions/s", flush=True)
    median = {what: statistics.median(each) for what, each in rates.items()}
    ratio = median["copied"] / median["read"]
    print(
        f"{options.models * options.versions} versions of {options.models} models, MLflow with "
        f"{options.workers} workers: copied at {median['copied']:.0f} versions/s, read page by page "
        f"at {median['read']:.0f}: {ratio:.2f} of it (bar {BAR}){'' if ratio >= BAR else ' MISSED'}"
    )


if __name__ == "__main__":
    main()
