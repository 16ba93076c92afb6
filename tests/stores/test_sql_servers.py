"""A registry works on every kind of PostgreSQL that is supported: the short form of `nox -s postgresql`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg
import pytest

from registry_core.models import NewModelVersion, NewRegisteredModel, Stage
from registry_core.search import Entity, OrderBy, Query, parse_filter
from registry_core.stores.sql import SqlStore, checks, current, head, upgrade
from registry_core.testing.racing import race
from services.opened import open_sql_store as open_store
from services.postgres import Postgres, fresh_database
from services.postgres_kinds import BY_NPM, KINDS, Unavailable, running

OLDEST, NEWEST = f"PostgreSQL {min(BY_NPM)}", f"PostgreSQL {max(BY_NPM)}"

IN_THE_GATE = [kind for kind in KINDS if not kind.startswith("PostgreSQL ") or kind == OLDEST]
"""The other tests run on the newest."""

NEWEST_FIRST = (
    OrderBy("last_updated_timestamp", ascending=False),
    OrderBy("name"),
    OrderBy("version", ascending=False),
)

NAMES = ["B", "Z", "_", "a10", "a9", "b", "ä"]
"""In the order of code points, which is that of no language."""


@pytest.fixture(scope="module", params=IN_THE_GATE)
def server(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    try:
        with running(request.param) as server:
            yield server
    except Unavailable as missing:
        pytest.skip(f"{request.param}: {missing}")


@pytest.fixture
def store(server: Postgres) -> Iterator[SqlStore]:
    with fresh_database(server) as url:
        upgrade(url)
        assert current(url) == head()
        with contextlib.closing(open_store(url)) as store:
            yield store


def search(entity: Entity, text: str, order_by: tuple[OrderBy, ...]) -> Query:
    bound = parse_filter(text, entity) if text else ()
    return Query(
        entity=entity, filter=bound, order_by=order_by, max_results=100, exclude_prompts=True
    )


def test_a_registry_works(store: SqlStore) -> None:
    """Every kind of statement runs, and names are in the order of code points."""
    for name in reversed(NAMES):
        store.create_registered_model(NewRegisteredModel(name=name, tags={"k": name}))
        for source in ("s", "t"):
            store.create_model_version(
                NewModelVersion(name=name, source=source, run_id="r", tags={"kind": "x"})
            )
    by_name = search(Entity.REGISTERED_MODEL, "name ILIKE '%'", (OrderBy("name"),))
    assert [model.name for model in store.search_registered_models(by_name).items] == NAMES
    store.set_registered_model_alias("a9", "champion", version=2)
    store.set_model_version_tag("a9", 1, "kind", "y")
    store.transition_model_version_stage(
        "a9", 2, stage=Stage.PRODUCTION, archive_existing_versions=True
    )
    store.rename_registered_model("a9", new_name="a11")
    assert store.get_model_version_by_alias("a11", "champion").version == 2
    store.delete_model_version("a11", 1)
    store.delete_registered_model("b")
    for text, found in (
        ("run_id = 'r'", 11),
        ("run_id IN ('r', 'q') AND name LIKE 'a%'", 3),
        ("tags.kind = 'x'", 11),
        ("tags.kind LIKE 'x%' AND name = 'Z'", 2),
        ("name = 'Z' AND run_id = 'r' AND source_path = 't'", 1),
    ):
        query = search(Entity.MODEL_VERSION, text, NEWEST_FIRST)
        assert len(store.search_model_versions(query).items) == found, text


def test_writers_that_race_all_succeed(store: SqlStore) -> None:
    """Their numbers have no gap; who lost a race has repeated it."""
    store.create_registered_model(NewRegisteredModel(name="m"))
    new = NewModelVersion(name="m", source="s", tags={"k": "v"})
    made = race(*[lambda: store.create_model_version(new).version] * 8)
    assert [outcome.error for outcome in made] == [None] * 8
    assert sorted(outcome.value for outcome in made) == list(range(1, 9))


def test_tls_is_required_and_used(server: Postgres) -> None:
    """Where the URL asks for it."""
    asks_for_tls = "sslmode" in server.url()
    with contextlib.closing(open_store(server.url())) as store:
        raw = store._database.driver.connect().raw
        assert bool(raw.pgconn.ssl_in_use) == asks_for_tls
        raw.close()
    if asks_for_tls:
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(f"{server.url().partition('?')[0]}?sslmode=disable")


def test_the_versions_that_are_named_are_those_that_are_run() -> None:
    """By the refusal of others, which repeats them, too."""
    assert (min(BY_NPM), max(BY_NPM)) == (checks.OLDEST_POSTGRESQL, checks.NEWEST_POSTGRESQL)
