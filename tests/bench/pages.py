"""How fast people see a page, on a large registry and of a large model; and what pages cost others.

    PYTHONPATH=tests python -m bench.pages first-row breadth cost --stores sqlite,postgresql

`first-row`: every page of a registry of 100,000 models and 1,000,000 versions, each with the event of
its registration; one page after the other, each time all of it, as a server sends it. With
`--chromium` the browser tells when it has painted it. The bar is 100 ms for 95 of 100 on an idle
machine. The figure beside it is what the empty answer of `/health` takes: it says how busy it is.

`breadth`: the pages of a model of 100,000 versions and as many events, and the same of one of ten, and
of one of sixty, in turns. The bar is 1.3 times the time of the one of sixty, whose pages are full, too:
what more rows on a page cost is no matter of the model's size. Of the large one, its aliases were moved
before all else.

`cost`: the API of a server with pages and of one without, in turns; seconds to their first answer, and
their memory when nobody has asked anything. The bars are 1 %, 50 ms and 5 MiB.

Never a test: it fails when a page does, and not when one is slow.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from bench import data, load, servers
from bench.operations import operations
from services.chromium import FLAGS, executable
from services.registry_server import RegistryServer

ROW_MILLISECONDS, BREADTH, THROUGHPUT, START_MILLISECONDS, MEMORY_MIB = 100, 1.3, 0.99, 50, 5
"""The bars."""

SMALL = 7
"""The number of the model of ten versions."""

FULL = 800_000
"""The number of the model of whose versions and events a page shows some, whatever it filters."""

FULL_VERSIONS = 60

STARTS = 9
"""Starts with pages, and as many without, in turns."""

_EVENTS = """
    INSERT INTO model_events (model_id, sequence, name, time, actor, is_authenticated, origin, action,
        subject, version, key, after)
    SELECT m.model_id, {sequence}, m.name, {time}, 'ci-train', 0, 'http', {rest}
"""
_ALIASES = _EVENTS.format(
    sequence=1,
    time="m.creation_time",
    rest="'set_alias', 'alias:champion', 1, 'champion', '1' FROM registered_models AS m",
)
_VERSIONS = _EVENTS.format(
    sequence="v.version + 1",
    time="v.creation_time",
    rest="'create_version', 'version:' || cast(v.version AS text), v.version, NULL, "
    '\'{"source": "s3://bucket/x"}\' FROM model_versions AS v '
    "JOIN registered_models AS m ON m.name = v.name",
)
_NUMBERS = "UPDATE registered_models SET last_event = next_version"

BROWSED = {
    "models": "",
    "models by name": "?sort=name",
    "models, part of a name": f"?q={data.name_of(777, 3)[2:]}",
    "models, no such name": "?q=nothing-is-called-so",
    "models by tag": "?q=" + quote("tags.team = 'risk'"),
    "prompts": "prompts",
    "activity": "activity",
    "activity, a rare kind": "activity?about=model",
    "activity, nobody's": "activity?by=nobody",
    "trash": "trash",
    "webhooks": "webhooks",
    "about": "about",
}
"""Pages of the registry."""

OF_MODEL = {
    "model": "",
    "model, oldest versions": "?sort=oldest",
    "model, one run": "?q=" + quote("run_id = 'run-shared'"),
    "history": "/history",
    "history, a kind": "/history?about=aliases",
    "history, a kind of none": "/history?about=tags",
    "history of an alias": "/history?alias=champion",
    "aliases": "/aliases",
    "alias": "/aliases/champion",
    "version": "/versions/3",
    "compare": "/compare?a=1&b=3",
    "settings": "/settings",
}
"""Pages of a model."""


def fill(url: str, *, models: int, versions: int) -> None:
    """The registry of the benchmark, with the event of each alias and of each version."""
    data.fill_registry(url, data.OURS, models=models, versions=versions)
    data.fill(url, data.OURS, models=1, versions=FULL_VERSIONS, first=FULL)
    with contextlib.closing(data.connect(url)) as connection:
        for text in (_ALIASES, _VERSIONS, _NUMBERS):
            connection.execute(text)
        connection.commit()
        if url.startswith("postgresql"):
            connection.autocommit = True
            connection.execute("VACUUM ANALYZE")
        else:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class Reader:
    """A connection that stays open, as a browser's does."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)

    def milliseconds(self, path: str) -> float:
        """How long a page takes to its last byte.

        Raises:
            SystemExit: there is no such page.
        """
        headers = {"Accept": "text/html", "Accept-Encoding": "gzip"}
        began = time.perf_counter()
        self._connection.request("GET", path, headers=headers)
        response = self._connection.getresponse()
        response.read()
        taken = (time.perf_counter() - began) * 1000
        if response.status != http.HTTPStatus.OK:
            raise SystemExit(f"{path}: {response.status}")
        return taken


@contextlib.contextmanager
def browser(url: str) -> Iterator[Callable[[str], float]]:
    """What tells how long Chromium takes from going to a page until it has painted it."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory(prefix="chromium-") as home, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=executable(), args=[*FLAGS], env={**os.environ, "HOME": home}
        )
        page = chromium.new_context(base_url=url).new_page()

        def milliseconds(path: str) -> float:
            page.goto(path)
            painted = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
            page.wait_for_function(painted)
            return float(page.evaluate(painted))

        yield milliseconds
        chromium.close()


def first_row(url: str, options: Any) -> None:
    """Print how long each page takes."""
    paths = {label: f"/{path}" for label, path in BROWSED.items()}
    paths |= {label: f"/models/{data.name_of(SMALL, 1)}{path}" for label, path in OF_MODEL.items()}
    with contextlib.ExitStack() as stack:
        read = Reader(url).milliseconds
        if options.chromium:
            read = stack.enter_context(browser(url))
        busy = Reader(url)
        print(f"{'first row, ms':28}{'p50':>8}{'p95':>8}{'bar':>6}{'/health p95':>14}")
        for label, path in paths.items():
            read(path)
            taken, empty = [], []
            for _ in range(options.loads):
                taken.append(read(path))
                empty.append(busy.milliseconds("/health"))
            print(
                f"{label:28}{statistics.median(taken):8.1f}{_p95(taken):8.1f}"
                f"{ROW_MILLISECONDS:6}{_p95(empty):14.1f}{_late(_p95(taken) > ROW_MILLISECONDS)}",
                flush=True,
            )


def breadth(url: str, options: Any) -> None:
    """Print how much longer each page of the large model takes than of the others."""
    reader = Reader(url)
    names = {
        "ten": data.name_of(SMALL, 1),
        "sixty": data.name_of(FULL),
        "large": data.name_of(data.LARGE),
    }
    print(
        f"{'of a large model, ms':28}{'ten':>8}{'sixty':>8}{'large':>8}{'of ten':>8}"
        f"{'ratio':>8}{'bar':>6}"
    )
    for label, path in OF_MODEL.items():
        taken: dict[str, list[float]] = {size: [] for size in names}
        for number in range(-2, options.loads):
            for size in list(names)[:: -1 if number % 2 else 1]:
                one = reader.milliseconds(f"/models/{names[size]}{path}")
                if number >= 0:
                    taken[size].append(one)
        ten, sixty, large = (statistics.median(each) for each in taken.values())
        ratio = large / sixty
        print(
            f"{label:28}{ten:8.1f}{sixty:8.1f}{large:8.1f}{large / ten:8.2f}"
            f"{ratio:8.2f}{BREADTH:6}{_late(ratio > BREADTH)}",
            flush=True,
        )


def cost(databases: servers.Databases, options: Any) -> None:
    """Print what pages cost those who use none."""
    with contextlib.ExitStack() as stack:
        targets = {}
        for label, arguments in _KINDS.items():
            url = databases.new()
            server = stack.enter_context(RegistryServer(url, arguments=arguments))
            data.fill_registry(url, data.OURS, models=100, versions=10)
            pid = databases.pid
            targets[label] = load.Target(
                name="ours", url=server.url, pid=server.pid, database_pid=pid
            )
        print(f"{'requests per second':28}{'without':>10}{'with':>10}{'kept':>8}{'bar':>6}")
        for operation in operations(100, 10):
            if operation.name in ("get model", "models by tag", "set tag"):
                _kept(targets, operation, options)
    seconds, memory = _started(databases)
    for what, found, bar in (
        ("first answer, ms", seconds, START_MILLISECONDS),
        ("idle memory, MiB", memory, MEMORY_MIB),
    ):
        without, with_pages = (statistics.median(found[label]) for label in _KINDS)
        more = with_pages - without
        print(f"{what:28}{without:10.1f}{with_pages:10.1f}{more:+8.1f}{bar:6}{_late(more > bar)}")


_KINDS: Mapping[str, tuple[str, ...]] = {"without": ("--no-pages",), "with": ()}


def _kept(targets: Mapping[str, Any], operation: Any, options: Any) -> None:
    rates: dict[str, list[float]] = {label: [] for label in targets}
    for number in range(-1, options.rounds):
        for label in list(targets)[:: -1 if number % 2 else 1]:
            one = load.run(targets[label], operation, connections=8, seconds=1)
            if number >= 0:
                rates[label].append(one.requests_per_second)
    pairs = zip(rates["without"], rates["with"], strict=True)
    kept = statistics.median(with_pages / without for without, with_pages in pairs)
    without, with_pages = (statistics.median(each) for each in rates.values())
    late = _late(kept < THROUGHPUT)
    print(f"{operation.name:28}{without:10.0f}{with_pages:10.0f}{kept:8.3f}{THROUGHPUT:6}{late}")


def _started(databases: servers.Databases) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Milliseconds to the first answer, and MiB of servers that nobody has asked anything."""
    url = databases.new()
    seconds: dict[str, list[float]] = {label: [] for label in _KINDS}
    memory: dict[str, list[float]] = {label: [] for label in _KINDS}
    for number in range(-1, STARTS):
        for label, arguments in _KINDS.items():
            # An interpreter of its own, which shares nothing with another.
            fresh = {"PYTHONUNBUFFERED": "1"}
            server = RegistryServer(url, arguments=arguments, environment=fresh)
            began = time.perf_counter()
            with server:
                taken = (time.perf_counter() - began) * 1000
                time.sleep(1)
                if number >= 0:
                    seconds[label].append(taken)
                    memory[label].append(load.pss_mib(server.pid))
    return seconds, memory


def _p95(found: list[float]) -> float:
    return statistics.quantiles(found, n=20)[-1]


def _late(is_late: bool) -> str:
    return "  OVER" if is_late else ""


def main() -> None:
    """Measure what the arguments name."""
    parser = argparse.ArgumentParser(prog="bench.pages", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="+", choices=("first-row", "breadth", "cost"))
    parser.add_argument("--stores", default="sqlite,postgresql")
    parser.add_argument("--models", type=int, default=100_000)
    parser.add_argument("--versions", type=int, default=10, help="of each model")
    parser.add_argument("--loads", type=int, default=100, help="of each page")
    parser.add_argument("--rounds", type=int, default=15, help="of each operation, for cost")
    parser.add_argument("--chromium", action="store_true", help="first-row as a browser paints it")
    options = parser.parse_args()
    for kind in options.stores.split(","):
        with contextlib.ExitStack() as stack:
            databases = servers.Databases.temporary(stack, kind)
            print(f"== {kind}", flush=True)
            if "cost" in options.parts:
                cost(databases, options)
            if {"first-row", "breadth"} & {*options.parts}:
                target, url = servers.ours(stack, databases)
                began = time.monotonic()
                fill(url, models=options.models, versions=options.versions)
                print(f"{options.models} models in {time.monotonic() - began:.0f} s", flush=True)
                for part, measure in (("first-row", first_row), ("breadth", breadth)):
                    if part in options.parts:
                        measure(target.url, options)


if __name__ == "__main__":
    sys.exit(main())
