"""Whether a model with many events is as fast as one with few: `python -m bench.history_growth`.

Two models in one database, one with 100,000 events more than the other; each call in turns on both.
The aim is that no call takes more than 1.2 times as long on the large one.
"""

from __future__ import annotations

import contextlib
import sqlite3
import statistics
import time
from collections.abc import Callable
from itertools import islice

import psycopg

from bench import servers
from registry_core import Registry, open_registry

EVENTS = 100_000
CALLS = 300
FIRST = 11
"""The number of the first event that is added: those before it are made by the registry."""

CALLED: dict[str, Callable[[Registry, str, int], object]] = {
    "set tag": lambda r, name, i: r.set_registered_model_tag(name, "k", f"w{i}"),
    "create version": lambda r, name, _: r.create_model_version(name, source="s3://b/2"),
    "newest page": lambda r, name, _: list(islice(r.history(name), 100)),
    "page of an alias": lambda r, name, _: list(islice(r.history(name, alias="none"), 100)),
    "page of a version": lambda r, name, _: list(islice(r.history(name, version=1), 100)),
}

_NUMBERS = {
    "sqlite": f"WITH RECURSIVE n(i) AS (SELECT {FIRST} UNION ALL SELECT i + 1 FROM n "
    f"WHERE i < {FIRST + EVENTS - 1})",
    "postgresql": f"WITH n(i) AS (SELECT * FROM generate_series({FIRST}, {FIRST + EVENTS - 1}))",
}
_LATER = f"UPDATE registered_models SET last_event = {FIRST + EVENTS - 1} WHERE name = 'large'"


def _events(kind: str, model_id: str) -> str:
    return (
        "INSERT INTO model_events "
        "(model_id, sequence, name, time, actor, is_authenticated, origin, action, subject, key, "
        f"after) {_NUMBERS[kind]} SELECT '{model_id}', i, 'large', 1764340000000 + i, 'x', 0, "
        "'library', 'set_model_tag', 'tag:k' || (i % 50), 'k' || (i % 50), '\"v\"' FROM n"
    )


def _grow(kind: str, url: str, model_id: str) -> None:
    texts = (_events(kind, model_id), _LATER, "ANALYZE")
    if kind == "sqlite":
        path = url.removeprefix("sqlite:///")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as file:
            for text in texts:
                file.execute(text)
        return
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        for text in texts:
            connection.execute(text)


def measure(kind: str, url: str) -> None:
    """Print how long each call takes on both models, as medians."""
    with open_registry(url) as registry:
        for name in ("small", "large"):
            registry.create_registered_model(name)
            registry.create_model_version(name, source="s3://b/1")
            for number in range(FIRST - 3):
                registry.set_registered_model_tag(name, "k", str(number))
        _grow(kind, url, next(registry.history("large")).model_id)
        for label, call in CALLED.items():
            times: dict[str, list[float]] = {"small": [], "large": []}
            for number in range(CALLS):
                for name, taken in times.items():
                    began = time.perf_counter()
                    call(registry, name, number)
                    taken.append(time.perf_counter() - began)
            small, large = (statistics.median(taken) * 1e6 for taken in times.values())
            print(f"{kind:10} {label:18} {small:7.0f} {large:7.0f} us {large / small:.2f}x")


def main() -> None:
    """Measure both databases."""
    for kind in ("sqlite", "postgresql"):
        with contextlib.ExitStack() as stack:
            measure(kind, servers.Databases.temporary(stack, kind).new())


if __name__ == "__main__":
    main()
