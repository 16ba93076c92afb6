"""Writers in several processes, with many threads each, on one model."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
from pathlib import Path

import attrs
import pytest

from registry_core.errors import ModelVersionNotFoundError, RegistryError
from registry_core.models import NewModelVersion, NewRegisteredModel, Stage
from registry_core.search import Entity, OrderBy, Query, parse_filter
from registry_core.stores.sql import SqlStore
from registry_core.testing.racing import race
from services import forking
from services.opened import open_sql_store as open_store

PROCESSES = 2
WRITERS = 32
"""Threads of each process."""

CREATE_VERSIONS = """
import json, sys
from registry_core.models import NewModelVersion
from registry_core.stores.sql import open_store
from registry_core.testing.calls import Calls
from registry_core.testing.racing import race

store = Calls(open_store(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
new = NewModelVersion(name="m", source="s", tags={"process": sys.argv[2]})
outcomes = race(*[lambda: store.create_model_version(new).version] * int(sys.argv[3]))
store.close()
print(json.dumps([outcome.value for outcome in outcomes]))
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with a model `m`."""
    postgresql = request.param == "postgresql"
    url = (
        request.getfixturevalue("postgres_url")
        if postgresql
        else f"sqlite:///{tmp_path / 'registry.db'}"
    )
    store = open_store(url)
    store.create_registered_model(NewRegisteredModel(name="m"))
    store.close()
    return url


@pytest.fixture
def store(url: str):
    store = open_store(url)
    yield store
    store.close()


def all_versions(store: SqlStore) -> list:
    order = (OrderBy("name"), OrderBy("version"))
    query = Query(entity=Entity.MODEL_VERSION, order_by=order, max_results=1000)
    return list(store.search_model_versions(query).items)


def succeed(outcomes) -> list:
    assert [outcome.error for outcome in outcomes] == [None] * len(outcomes)
    return [outcome.value for outcome in outcomes]


def test_two_processes_of_many_threads_number_versions_without_gaps(
    url: str, store: SqlStore
) -> None:
    """Each of 64 writers gets a number of its own, and together they get 1 to 64."""
    with contextlib.ExitStack() as stack:
        talks = [
            stack.enter_context(
                forking.talking(forking.CODE, CREATE_VERSIONS, url, str(number), str(WRITERS))
            )
            for number in range(PROCESSES)
        ]
        assert [talk.stdout.readline() for talk in talks] == ["ready\n"] * PROCESSES
        for talk in talks:
            print("go", file=talk.stdin)
        created = [json.loads(talk.stdout.readline()) for talk in talks]
    assert sorted(itertools.chain.from_iterable(created)) == list(range(1, PROCESSES * WRITERS + 1))
    stored = all_versions(store)
    for number, versions in enumerate(created):
        by_process = [v.version for v in stored if v.tags == {"process": str(number)}]
        assert by_process == sorted(versions)


def test_racing_transitions_leave_one_version_in_production(store: SqlStore) -> None:
    """16 that archive what was there before: whoever comes last stays."""
    for _ in range(16):
        store.create_model_version(NewModelVersion(name="m", source="s"))
    succeed(
        race(
            *(
                functools.partial(
                    store.transition_model_version_stage,
                    "m",
                    number,
                    stage=Stage.PRODUCTION,
                    archive_existing_versions=True,
                )
                for number in range(1, 17)
            )
        )
    )
    stages = [version.current_stage for version in all_versions(store)]
    assert sorted(stages) == [Stage.ARCHIVED] * 15 + [Stage.PRODUCTION]


def test_racing_deletes_and_tags_leave_nothing_on_missing_versions(store: SqlStore) -> None:
    """A tag or alias is set before its version goes, and goes with it, or is refused."""
    for _ in range(12):
        store.create_model_version(NewModelVersion(name="m", source="s"))

    def attempt(call) -> None:
        with contextlib.suppress(ModelVersionNotFoundError):
            call()

    calls = []
    for number in range(1, 13):
        calls += [
            lambda n=number: store.delete_model_version("m", n),
            lambda n=number: store.set_model_version_tag("m", n, "k", "v"),
            lambda n=number: store.set_registered_model_alias("m", f"a{n % 3}", version=n),
        ]
    succeed(race(*(functools.partial(attempt, call) for call in calls)))
    assert all_versions(store) == []
    model = store.get_registered_model("m")
    assert (model.aliases, model.latest_versions) == ({}, ())
    store.create_model_version(NewModelVersion(name="m", source="s"))
    (version,) = all_versions(store)
    assert (version.version, version.tags, version.aliases) == (13, {}, ())


def test_racing_renames_that_cross_end_with_every_model_once(store: SqlStore) -> None:
    """Two names swap back and forth over each other; deadlocks are repeated, never seen."""
    store.create_registered_model(NewRegisteredModel(name="n"))
    for name in ("m", "n"):
        store.create_model_version(NewModelVersion(name=name, source=name))

    def rename(source: str, target: str) -> None:
        with contextlib.suppress(RegistryError):
            store.rename_registered_model(source, new_name=target)

    pairs = [("m", "n"), ("n", "m"), ("m", "o"), ("o", "m"), ("n", "o"), ("o", "n")] * 2
    succeed(race(*(functools.partial(rename, *pair) for pair in pairs)))
    versions = all_versions(store)
    assert sorted(version.source for version in versions) == ["m", "n"]
    assert len({version.name for version in versions}) == 2
    for version in versions:
        assert store.get_registered_model(version.name).latest_versions == (version,)


def test_racing_changes_and_tags_leave_tags_in_the_order_of_their_versions(
    store: SqlStore,
) -> None:
    """A tag repeats when its version was last updated: also when both change at the same time."""
    for _ in range(12):
        store.create_model_version(NewModelVersion(name="m", source="s", tags={"k": "v"}))
    calls = []
    for number in range(1, 13):
        version = ("m", number)
        calls += [
            functools.partial(store.update_model_version, *version, description="new"),
            functools.partial(store.set_model_version_tag, *version, "k", "w"),
            functools.partial(store.set_model_version_tag, *version, "other", "w"),
            functools.partial(
                store.transition_model_version_stage,
                *version,
                stage=Stage.STAGING,
                archive_existing_versions=number % 2 == 0,
            ),
        ]
    succeed(race(*calls))
    store.rename_registered_model("m", new_name="renamed")
    found = {name: by_tag(store, name) for name in ("k", "other")}
    updated = [(-v.last_updated_timestamp, v.name, -v.version) for v in all_versions(store)]
    assert found == {"k": sorted(updated), "other": sorted(updated)}


def by_tag(store: SqlStore, key: str) -> list[tuple[int, str, int]]:
    """The default order of the versions of which the tag is `w`, read in many pages."""
    order = (
        OrderBy("last_updated_timestamp", ascending=False),
        OrderBy("name"),
        OrderBy("version", ascending=False),
    )
    query = Query(
        entity=Entity.MODEL_VERSION,
        filter=parse_filter(f"tags.{key} = 'w'", Entity.MODEL_VERSION),
        order_by=order,
        max_results=5,
    )
    found = []
    while True:
        page = store.search_model_versions(query)
        found += [(-v.last_updated_timestamp, v.name, -v.version) for v in page.items]
        if not page.next_page_token:
            return found
        query = attrs.evolve(query, page_token=page.next_page_token)
