"""One flipped bit in what a store keeps of a history is named with the number of its event."""

from __future__ import annotations

import contextlib
import json
import random
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from registry_core import Registry, StoreCorruptedError, open_registry
from registry_core.authors import Author
from registry_core.changes import CreateVersion, FinalizeVersion
from registry_core.history import Event
from registry_core.models import NewModelVersion, Status
from registry_core.stores.sql.events import COLUMNS
from services.examples import one_of
from services.s3 import S3Server
from services.s3_keys import Keys

LARGE = "Grüße\n" * 1_000
"""A text that a bucket keeps beside its document."""

FLIPS = 150 // one_of(5)
"""Flips of a store whose bits are too many to flip all."""


def fill(registry: Registry) -> list[Event]:
    """Make a model with an event of every kind, most of them superseded by a later one."""
    ann = registry.acting_as("ann", reason="because: 'why' ü")
    ann.create_registered_model("m", tags={"k": "v"}, description="first")
    for number in range(1, 4):
        ann.create_model_version("m", source=f"s3://b/{number}", tags={"k": f"v{number}"})
    for text in ("second", "third"):
        ann.update_registered_model("m", description=text)
        ann.update_model_version("m", 1, description=text)
        ann.set_registered_model_tag("m", "k", text)
        ann.set_model_version_tag("m", "1", "k", text)
    ann.set_registered_model_tag("m", "large", LARGE)
    for number in (1, 2):
        ann.set_registered_model_alias("m", "champion", number)
        ann.transition_model_version_stage(
            "m", number, stage="Production", archive_existing_versions=True
        )
    ann.delete_registered_model_tag("m", "k")
    ann.delete_model_version_tag("m", "1", "k")
    ann.delete_registered_model_alias("m", "champion")
    ann.set_registered_model_alias("m", "old", 3)
    ann.delete_model_version("m", 3)
    pending = NewModelVersion(name="m", source="s3://b/4", status=Status.PENDING_REGISTRATION)
    registry.store.apply(CreateVersion(pending), by=Author(actor="ann"))
    ready = FinalizeVersion(name="m", version=4, status=Status.READY, source="s3://b/four")
    registry.store.apply(ready, by=Author(actor="ann"))
    ann.rename_registered_model("m", new_name="n")
    ann.rename_registered_model("n", new_name="m")
    ann.delete_registered_model_tag("m", "large")
    for number in range(10):
        ann.set_registered_model_tag("m", "k", str(number))
    return [*registry.history("m", newest_first=False)]


def named(problems: tuple[str, ...], sequence: int) -> bool:
    """Whether the problems name an event, by itself or among others."""
    text = "\n".join(problems)
    ranges = re.findall(r"events (\d+) to (\d+)", text)
    return bool(re.search(rf"\b[Ee]vent (\d+, )*{sequence}\b", text)) or any(
        int(first) <= sequence <= int(last) for first, last in ranges
    )


# Databases


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'registry.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def run(url: str) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
    """Runs a statement, each parameter of which is `?`."""
    if url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(url[10:], isolation_level=None)) as sqlite:
            yield lambda text, *values: sqlite.execute(text, values).fetchall()
        return
    with psycopg.connect(url, autocommit=True) as connection:

        def execute(text: str, *values: object) -> list[tuple[Any, ...]]:
            cursor = connection.execute(text.replace("?", "%s"), values)
            return cursor.fetchall() if cursor.description else []

        yield execute


def flipped(value: str | int | None, chance: random.Random) -> str | int | None:
    """The value with one bit flipped; of nothing, something."""
    if value is None:
        return '"x"'
    if isinstance(value, int):
        return value ^ 1 << chance.randrange(40)
    place, bit = chance.randrange(len(value)), 1 << chance.randrange(7)
    other = chr(ord(value[place]) ^ bit)
    # PostgreSQL keeps no NUL.
    return value[:place] + (other if other != "\0" else "?") + value[place + 1 :]


@pytest.mark.scaled
def test_a_flipped_bit_in_any_column_is_named(
    url: str, run: Callable[..., list[tuple[Any, ...]]]
) -> None:
    """Each column of each event: of SQLite all of them in the long form, of PostgreSQL some."""
    with open_registry(url) as registry:
        events = fill(registry)
        assert registry.verify_history("m").is_true
        chance = random.Random(7)
        cells = [(event, column) for event in events for column in COLUMNS]
        is_sqlite = url.startswith("sqlite")
        cells = cells[:: one_of(7)] if is_sqlite else chance.sample(cells, FLIPS)
        for event, column in cells:
            flip(run, event, column, chance)
            found = registry.verify_history("m").problems
            assert named(found, event.sequence), (event, column, found)
            undo(run, event)
        assert registry.verify_history("m").is_true


def flip(run: Callable[..., Any], event: Event, column: str, chance: random.Random) -> None:
    """Flip a bit of one column in the row of an event, and keep the row as it was."""
    run("DROP TABLE IF EXISTS kept")
    run(f"CREATE TABLE kept AS SELECT * FROM model_events WHERE sequence = {event.sequence}")
    ((value,),) = run(f'SELECT "{column}" FROM kept')
    other: Any = 1 if column == "version" and value is None else flipped(value, chance)
    while column == "sequence" and 0 < other <= 100:
        other = flipped(value, chance)  # It was another's, which the key does not allow.
    place = (event.model_id, event.sequence)
    run(f'UPDATE model_events SET "{column}" = ? WHERE {_PLACE}', other, *place)


def undo(run: Callable[..., Any], event: Event) -> None:
    """Put the row back that was kept."""
    run("DELETE FROM model_events WHERE model_id <> ?", event.model_id)
    run("DELETE FROM model_events WHERE sequence NOT BETWEEN 1 AND 100")
    run(f"DELETE FROM model_events WHERE {_PLACE}", event.model_id, event.sequence)
    run("INSERT INTO model_events SELECT * FROM kept")


_PLACE = "model_id = ? AND sequence = ?"


# Buckets


@pytest.fixture
def keys(s3_server: S3Server, s3_prefix: str) -> Iterator[Keys]:
    client = s3_server.client()
    yield Keys(client, s3_prefix)
    client.close()


def places_of(key: str, body: bytes) -> Iterator[tuple[int, int, int]]:
    """The places of an object that are of events: each with the first and last that it may be of."""
    before, begin, _ = body.partition(b'"events": [\n')
    place, lines = len(before + begin), []
    for line in body[place:].splitlines(keepends=True):
        if not line.startswith(b"{"):
            break
        sequence = json.loads(line.rstrip(b",\n"))["sequence"]
        # What stands between two lines is of both.
        lines += [(place + i, sequence, sequence + (i >= len(line) - 2)) for i in range(len(line))]
        place += len(line)
    yield from lines[:-1]  # The last line ends with what ends the list.
    if key.startswith("events/"):
        beside = {*range(len(body))} - {each for each, _, _ in lines}
        yield from ((each, lines[0][1], lines[-1][1]) for each in beside)


@pytest.mark.scaled
def test_a_flipped_bit_anywhere_in_a_bucket_is_named(s3_url: str, keys: Keys) -> None:
    """Of the events in a document, of the chunks beside it, and of the texts that are too large."""
    with open_registry(s3_url) as registry:
        events = fill(registry)
        for number in range(64 - len(events)):
            registry.set_registered_model_tag("m", "k", f"again {number}")
        registry.set_registered_model_tag("m", "k", "moves the first events out")
        (large,) = (each.sequence for each in events if each.after == LARGE)
        assert registry.verify_history("m").is_true
    chunks = [key for key in keys.all() if key.startswith("events/")]
    assert len(chunks) == 1
    bodies = {key: keys.get(key) for key in ("models/m.json", *chunks, *keys.texts())}
    chance, flips = random.Random(7), []
    for key, body in bodies.items():
        if key.startswith("values/"):
            found = [(place, large, large) for place in range(len(body))]
        else:
            found = [*places_of(key, body)]
        flips += [(key, place) for place in chance.sample(found, FLIPS // len(bodies))]
    for key, (place, first, last) in flips:
        body = bytearray(bodies[key])
        body[place] ^= 1 << chance.randrange(8)
        keys.put(key, bytes(body))
        problems = problems_of(s3_url)
        assert any(named(problems, each) for each in range(first, last + 1)), (key, place, problems)
        keys.put(key, bodies[key])
    assert problems_of(s3_url) == ()


def problems_of(url: str) -> tuple[str, ...]:
    """What a process finds that has read nothing yet."""
    with open_registry(url) as registry:
        try:
            return registry.verify_history("m").problems
        except StoreCorruptedError as error:
            return (str(error),)


@pytest.mark.parametrize("kind", ["sqlite", "s3"])
def test_what_was_damaged_stays_so_in_a_copy(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A copy is written anew, with checksums of its own; those of a copy's copy, too."""
    with open_registry(f"sqlite:///{tmp_path / 'registry.db'}") as registry:
        fill(registry)
        with contextlib.closing(sqlite3.connect(tmp_path / "registry.db")) as run, run:
            run.execute("UPDATE model_events SET actor = 'eve' WHERE sequence = 5")
        snapshot = registry.snapshot("m")
    target = f"sqlite:///{tmp_path / 'copy.db'}"
    if kind == "s3":
        target = str(request.getfixturevalue("s3_url"))
    with open_registry(target) as copy, open_registry(f"sqlite:///{tmp_path / 'b.db'}") as second:
        copy.restore(snapshot)
        second.restore(copy.snapshot("m"))
        for each in copy, second:
            problems = each.verify_history("m").problems
            assert problems == ("event 5 is damaged: its checksum does not fit",)
