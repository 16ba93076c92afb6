"""Stores that reach PostgreSQL through a connection pooler, which lends its connections by turns.

And through a proxy that has one for each of theirs, and ends those that are idle.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from functools import partial

import psycopg
import pytest

from registry_core import Registry, inloop, open_registry
from registry_core.errors import RegisteredModelNotFoundError
from registry_core.models import Stage
from registry_core.testing.racing import race
from services.haproxy import haproxy
from services.pgbouncer import pgbouncer
from services.selecting import Selecting

pytestmark = pytest.mark.usefixtures("checked_inloop")

THREADS = 2
"""Of each store."""

ROUNDS = 15
"""Pairs of models that each thread makes, with 30 calls for each."""

IDLE_MS = 4_000
"""Milliseconds without a byte after which the proxy ends a connection: more than a call takes."""

ENDED_SECONDS = 60
"""Seconds in which it has done so, on a busy machine."""


def opened(url: str, connections: int | None = None) -> Registry:
    return open_registry(url, artifacts="none", database_connections=connections)


def test_clients_of_a_pooler_do_not_run_each_others_statements(postgres_url: str) -> None:
    """One prepares a SELECT, another a DELETE, each on another connection of the pooler's two.

    Then each runs its own where the other one has prepared.
    """
    with opened(postgres_url) as direct:
        for name in ("kept", "a", "b", "c"):
            direct.create_registered_model(name)
    with (
        pgbouncer(postgres_url, pool_size=2) as url,
        opened(url) as reader,
        opened(url) as deleter,
        psycopg.connect(url, autocommit=True, prepare_threshold=None) as one,
        psycopg.connect(url, autocommit=True, prepare_threshold=None) as other,
    ):
        one.execute("BEGIN")
        other.execute("BEGIN")
        one.execute("ROLLBACK")
        for _ in range(3):
            assert reader.get_registered_model("kept").name == "kept"
        one.execute("BEGIN")
        other.execute("ROLLBACK")
        for name in ("a", "b"):
            deleter.delete_registered_model(name)
        for _ in range(3):
            assert reader.get_registered_model("kept").name == "kept"
        one.execute("ROLLBACK")
        other.execute("BEGIN")
        deleter.delete_registered_model("c")
        assert reader.get_registered_model("kept").name == "kept"


@pytest.mark.parametrize(
    ("mode", "admitted", "stores", "connections"),
    [
        pytest.param("transaction", 500, 4, None, id="transaction"),
        pytest.param("transaction", 6, 4, None, id="transaction, and few clients admitted"),
        pytest.param("session", 500, 2, 1, id="session"),
    ],
)
def test_nothing_fails_and_nothing_is_lost_behind_a_pooler(
    postgres_url: str, mode: str, admitted: int, stores: int, connections: int | None
) -> None:
    """Stores make, change, read and delete models over two connections to the server."""
    opened(postgres_url).close()
    with (
        pgbouncer(postgres_url, mode=mode, pool_size=2, clients=admitted) as url,
        contextlib.ExitStack() as stack,
    ):
        registries = [stack.enter_context(opened(url, connections)) for _ in range(stores)]
        journeys = [
            partial(travel, registry, f"{store}-{thread}")
            for store, registry in enumerate(registries)
            for thread in range(THREADS)
        ]
        outcomes = race(*journeys)
    assert [outcome.error for outcome in outcomes] == [None] * len(outcomes)
    made = [name for outcome in outcomes for name in outcome.value]
    assert kept(postgres_url) == {name: [1, 2] for name in made}
    assert len(made) == stores * THREADS * ROUNDS


def test_nothing_fails_behind_a_proxy_that_ends_idle_connections(postgres_url: str) -> None:
    """Clients travel, are idle until the proxy has ended all they had, and travel again."""
    opened(postgres_url).close()
    made: list[str] = []
    with haproxy(postgres_url, idle_ms=IDLE_MS) as url, opened(url) as one, opened(url) as other:
        for journey in ("before", "after"):
            await_nobody(postgres_url)
            outcomes = race(
                partial(travel, one, f"one-{journey}"), partial(travel, other, f"other-{journey}")
            )
            assert [outcome.error for outcome in outcomes] == [None, None]
            made += [name for outcome in outcomes for name in outcome.value]
    assert kept(postgres_url) == {name: [1, 2] for name in made}
    assert len(made) == 2 * 2 * ROUNDS


def await_nobody(url: str) -> None:
    """Returns when a database has no connection but the one that asks."""
    deadline = time.monotonic() + ENDED_SECONDS
    connected = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid()"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(connected).fetchone() != (0,):
            assert time.monotonic() < deadline, "the proxy ends no idle connection"
            time.sleep(0.05)


def kept(url: str) -> dict[str, list[int]]:
    """The models of a database, with the numbers of their latest versions."""
    with opened(url) as direct:
        return {
            model.name: sorted(version.version for version in model.latest_versions)
            for model in direct.iter_registered_models()
        }


def travel(registry: Registry, traveller: str) -> list[str]:
    """The models that one client has made and not deleted; every answer on the way is right."""
    made = []
    for number in range(ROUNDS):
        name, doomed, tags = f"{traveller}-{number}", f"{traveller}-doomed", {"n": str(number)}
        for one in (name, doomed):
            registry.create_registered_model(one, tags=tags)
            assert in_loop(partial(registry.get_registered_model, one)).tags == tags
        change_versions(registry, name, tags)
        registry.update_registered_model(name, description=name)
        registry.rename_registered_model(doomed, new_name=f"{doomed}-still")
        registry.set_registered_model_tag(f"{doomed}-still", "k", "v")
        registry.delete_registered_model(f"{doomed}-still")
        with pytest.raises(RegisteredModelNotFoundError):
            registry.get_registered_model(doomed)
        for text in (f"name = '{name}'", f"name LIKE '{name}' AND tags.n = '{number}'"):
            page = in_loop(partial(registry.search_registered_models, text))
            assert [model.description for model in page.items] == [name]
        made.append(name)
    return made


def change_versions(registry: Registry, name: str, tags: dict[str, str]) -> None:
    for version in (1, 2):
        source = f"s3://b/{name}/{version}"
        assert registry.create_model_version(name, source=source, tags=tags).version == version
        registry.set_model_version_tag(name, version, "k", "v")
        registry.delete_model_version_tag(name, version, "n")
        found = in_loop(partial(registry.get_model_version, name, version))
        assert (found.source, found.tags) == (source, {"k": "v"})
    registry.set_registered_model_alias(name, "champion", 2)
    champion = in_loop(partial(registry.get_model_version_by_alias, name, "champion"))
    assert champion.version == 2
    registry.delete_registered_model_alias(name, "champion")
    # Archives the other one, so that both are the latest of their stages.
    for version in (1, 2):
        moved = registry.transition_model_version_stage(
            name, version, stage="Production", archive_existing_versions=True
        )
        assert moved.current_stage is Stage.PRODUCTION


def in_loop(read: Callable[[], object]) -> object:
    """The result of a read as an event loop makes it, with a thread for what would hold it up."""
    inloop.calling(Selecting())
    try:
        return read()
    except inloop.WouldBlockError:
        inloop.calling(None)
        return read()
    finally:
        inloop.calling(None)
