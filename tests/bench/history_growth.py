"""Whether a model with many events is as fast as one with few: `python -m bench.history_growth`.

Two sizes of model in one store, of ten events and of 100,000; each call in turns on both. Small models
are exchanged before they have more than twice as many. The aim is that no call takes more than 1.2
times as much of the processor on the large one, nor another number of requests, and that a bucket's
document stays as small as its inline events allow.
"""

from __future__ import annotations

import contextlib
import sqlite3
import statistics
import sys
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import attrs
import psycopg

from bench import servers
from bench.buckets import _environment
from registry_core import Registry, open_registry
from registry_core.authors import Author
from registry_core.histories import query
from registry_core.history import Action, Effect, Event
from registry_core.stores.s3 import codec
from registry_core.stores.s3.event_format import line_of
from registry_core.stores.s3.record import Model, new_operation
from services import s3

KINDS = ("memory", "sqlite", "postgresql", "s3")
EVENTS = 100_000
CALLS = 60
FEW = 10
"""Events of a small model, as the registry makes them, and calls on each."""

FIRST = FEW + 1
"""The number of the first event that is added to the large one."""

CALLED: dict[str, Callable[[Registry, str, int], object]] = {
    "create version": lambda r, name, _: r.create_model_version(name, source="s3://b/2"),
    "set tag": lambda r, name, i: r.set_registered_model_tag(name, "k", f"w{i}"),
    "set alias": lambda r, name, i: r.set_registered_model_alias(name, "champion", 1 + i % 2),
    "newest page": lambda r, name, _: r.store.events(query(name, max_results=FEW)),
    "newest of an alias": lambda r, name, _: r.store.events(
        query(name, alias="champion", max_results=1)
    ),
    "get model": lambda r, name, _: r.get_registered_model(name),
}

_NUMBERS = {
    "sqlite": f"WITH RECURSIVE n(i) AS (SELECT {FIRST} UNION ALL SELECT i + 1 FROM n "
    f"WHERE i < {FIRST + EVENTS - 1})",
    "postgresql": f"WITH n(i) AS (SELECT * FROM generate_series({FIRST}, {FIRST + EVENTS - 1}))",
}
_LATER = f"UPDATE registered_models SET last_event = {FIRST + EVENTS - 1} WHERE name = 'large'"


def _rows(kind: str, model_id: str) -> str:
    return (
        "INSERT INTO model_events "
        "(model_id, sequence, name, time, actor, is_authenticated, origin, action, subject, key, "
        f"after) {_NUMBERS[kind]} SELECT '{model_id}', i, 'large', 1764340000000 + i, 'x', 0, "
        "'library', 'set_model_tag', 'tag:k' || (i % 50), 'k' || (i % 50), '\"v\"' FROM n"
    )


def _events(model_id: str) -> Iterator[Event]:
    by = Author(actor="x")
    for number in range(FIRST, FIRST + EVENTS):
        effect = Effect(action=Action.SET_MODEL_TAG, key=f"k{number % 50}", after="v")
        yield Event.of(
            effect,
            model_id=model_id,
            name="large",
            sequence=number,
            time=1764340000000 + number,
            by=by,
        )


def _grow(kind: str, url: str, store: Any, model_id: str) -> None:
    """Give the large model its events, as if it had been changed so often."""
    if kind == "memory":
        store._content.events[model_id].extend(_events(model_id))
    elif kind == "s3":
        _grow_document(store, model_id)
    elif kind == "sqlite":
        path = url.removeprefix("sqlite:///")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as file:
            for text in (_rows(kind, model_id), _LATER, "ANALYZE"):
                file.execute(text)
    else:
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            for text in (_rows(kind, model_id), _LATER, "ANALYZE"):
                connection.execute(text)


def _grow_document(store: Any, model_id: str) -> None:
    prefix = store._prefix
    entry = prefix.journal.read(prefix.layout.model("large"))
    log = prefix.chunks.spill(model_id, entry.content.log.then(map(line_of, _events(model_id))))
    content = Model(document=entry.content.document, log=log)
    record = entry.record.then(new_operation(prefix.clock), content)
    prefix.objects.put_always(entry.key, codec.encode(record), content_type=codec.CONTENT_TYPE)


@attrs.define
class Meter:
    """What calls cost: processor, time, requests to a bucket, and bytes to and from it."""

    store: Any
    requests: Counter[str] = attrs.field(factory=Counter)
    moved: int = 0

    def __attrs_post_init__(self) -> None:
        if not hasattr(self.store, "observe"):
            return
        self.store.observe(lambda operation, _: self.requests.update([operation]))
        objects = self.store._prefix.objects
        get, put = objects.get, objects._put

        def counted_get(*args: Any, **kwargs: Any) -> Any:
            found = get(*args, **kwargs)
            self.moved += 0 if found is None else len(found.body)
            return found

        def counted_put(key: str, body: bytes, *args: Any) -> Any:
            self.moved += len(body)
            return put(key, body, *args)

        objects.get, objects._put = counted_get, counted_put

    def measured(self, call: Callable[[], object]) -> dict[str, float]:
        """Make a call, and return what it has cost."""
        self.requests.clear()
        self.moved = 0
        cpu, began = time.process_time(), time.perf_counter()
        call()
        return {
            "seconds": time.perf_counter() - began,
            "cpu": time.process_time() - cpu,
            "requests": self.requests.total(),
            "bytes": self.moved,
        }


def measure(kind: str, url: str) -> dict[str, dict[str, dict[str, float]]]:
    """Return what each call costs on both sizes of model."""
    with open_registry(url) as registry:
        names = ["large", *(f"small-{number}" for number in range(CALLS // FEW))]
        for name in names:
            _furnish(registry, name)
        model_id = next(registry.history("large")).model_id
        _grow(kind, url, registry.store, model_id)
        meter, found = Meter(registry.store), {}
        for label, call in CALLED.items():
            costs: dict[str, list[dict[str, float]]] = defaultdict(list)
            for number in range(CALLS):
                turns = [("small", names[1 + number // FEW]), ("large", "large")]
                for size, name in turns if number % 2 else turns[::-1]:
                    registry.get_registered_model(name)  # Who changes a model has seen it.
                    act = partial(call, registry, name, number)
                    costs[size].append(meter.measured(act))
                    if label == "create version":  # Both keep as many as they have.
                        newest = registry.get_registered_model(name).latest_versions[0]
                        registry.delete_model_version(name, newest.version)
            found[label] = {size: _middle(measured) for size, measured in costs.items()}
            if not label.startswith(("get", "newest", "set alias")):
                _shrink(registry, names[1:])
        return found


def _furnish(registry: Registry, name: str) -> None:
    registry.create_registered_model(name)
    for number in range(2):
        registry.create_model_version(name, source=f"s3://b/{number}")
    registry.set_registered_model_alias(name, "champion", 1)
    for number in range(FEW - 4):
        registry.set_registered_model_tag(name, "k", str(number))


def _shrink(registry: Registry, names: list[str]) -> None:
    """Make the small models small again; the large one has as many versions as they get."""
    for name in names:
        registry.delete_registered_model(name)
        _furnish(registry, name)


def _middle(measured: list[dict[str, float]]) -> dict[str, float]:
    """Medians, of requests and bytes the mean: what is rare, such as a chunk, counts too."""
    middle = {
        each: statistics.median(cost[each] for cost in measured) for each in ("seconds", "cpu")
    }
    means = {
        each: statistics.mean(cost[each] for cost in measured) for each in ("requests", "bytes")
    }
    return {**middle, **means, "most_bytes": max(cost["bytes"] for cost in measured)}


def run(options: Any) -> dict[str, Any]:
    """For each kind of store: the costs of each call on both sizes of model."""
    kinds = [each for each in KINDS if each in ("memory", "s3", *options.stores)]
    return {kind: _of_kind(kind) for kind in kinds}


def _of_kind(kind: str) -> dict[str, Any]:
    with contextlib.ExitStack() as stack:
        if kind == "memory":
            return measure(kind, "memory:")
        if kind != "s3":
            return measure(kind, servers.Databases.temporary(stack, kind).new())
        server = s3.launch(stack)
        stack.enter_context(_environment(server.environment()))
        client = server.client()
        stack.callback(client.close)
        client.create_bucket(Bucket=s3.bucket_name())
        return measure(kind, s3.store_url(server.endpoint_url, f"h-{uuid.uuid4().hex[:8]}"))


def main() -> None:
    """Measure the kinds of store that the arguments name, or all of them."""
    for kind in sys.argv[1:] or KINDS:
        for label, found in _of_kind(kind).items():
            small, large = found["small"], found["large"]
            print(
                f"{kind:10} {label:18} CPU {small['cpu'] * 1e6:6.0f} {large['cpu'] * 1e6:6.0f} us "
                f"{large['cpu'] / small['cpu']:5.2f}x, time {small['seconds'] * 1e6:6.0f} "
                f"{large['seconds'] * 1e6:6.0f} us {large['seconds'] / small['seconds']:5.2f}x, "
                f"requests {small['requests']:.2f} {large['requests']:.2f}, "
                f"bytes {small['bytes']:6.0f} {large['bytes']:6.0f}, at most "
                f"{large['most_bytes']:6.0f}"
            )


if __name__ == "__main__":
    main()
