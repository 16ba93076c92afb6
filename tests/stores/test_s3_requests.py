"""What each operation costs, in requests: the price list of docs/reference/s3-store.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from registry_core.history import EventQuery
from registry_core.models import NewModelVersion, NewRegisteredModel
from registry_core.stores.s3 import S3Store
from registry_core.testing.observing import model_names, models_query, version_keys, versions_query
from services.opened import open_s3_store as open_store
from services.s3_mutations import LARGE, MUTATIONS, Mutation, furnish


class Requests:
    """Counts the requests of a store."""

    def __init__(self, store: S3Store) -> None:
        self.sent: list[tuple[str, str]] = []
        store.observe(self)

    def __call__(self, operation: str, key: str) -> None:
        self.sent.append((operation, key))

    def take(self) -> Counter[str]:
        """How many of each kind were sent since the last call."""
        counted = Counter(operation for operation, _ in self.sent)
        self.sent.clear()
        return counted


@pytest.fixture
def store(s3_url: str) -> Iterator[S3Store]:
    store = open_store(s3_url)
    yield store
    store.close()


@pytest.fixture
def other(s3_url: str) -> Iterator[S3Store]:
    """Another process, as far as caches go."""
    store = open_store(s3_url)
    store.list_webhooks()
    yield store
    store.close()


@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=list(MUTATIONS))
def test_a_mutation_costs_what_the_price_list_says(store: S3Store, mutation: Mutation) -> None:
    """By a process that saw the document a moment ago, nobody else writing."""
    mutation.prepare(store, "m")
    store.list_webhooks()
    requests = Requests(store)
    mutation.act(store, "m")
    assert requests.take() == Counter(
        get=mutation.gets, put=mutation.puts, list=mutation.lists, delete=mutation.deletes
    )


SINGLE = {name: m for name, m in MUTATIONS.items() if (m.puts, m.lists) == (1, 0)}
SINGLE.pop("create model where one left")


@pytest.mark.parametrize("mutation", SINGLE.values(), ids=list(SINGLE))
def test_a_mutation_by_a_stranger_costs_at_most_a_get_and_a_put(
    store: S3Store, other: S3Store, mutation: Mutation
) -> None:
    """Who has not seen the document reads it first, and large texts only if they are its result."""
    mutation.prepare(store, "m")
    other._bucket.ready_to_write()
    requests = Requests(other)
    mutation.act(other, "m")
    operations = [operation for operation, key in requests.sent if "/values/" not in key]
    assert operations in (["put"], ["get", "put"])


def test_creating_where_a_model_was_deleted_is_found_out_by_trying(
    store: S3Store, other: S3Store
) -> None:
    """The first PUT is refused, since a tombstone is there; the second replaces it."""
    store.create_registered_model(NewRegisteredModel(name="m"))
    store.delete_registered_model("m")
    other._bucket.ready_to_write()
    requests = Requests(other)
    other.create_registered_model(NewRegisteredModel(name="m"))
    assert [operation for operation, _ in requests.sent] == ["put", "get", "put", "put"]


def test_reading_costs_one_get(store: S3Store, other: S3Store) -> None:
    """The first time and every time, whoever wrote meanwhile."""
    store.create_registered_model(NewRegisteredModel(name="m"))
    store.create_model_version(NewModelVersion(name="m", source="s3://b/1"))
    store.set_registered_model_alias("m", "a", version=1)
    requests = Requests(other)
    for read in (
        lambda: other.get_registered_model("m"),
        lambda: other.get_model_version("m", 1),
        lambda: other.get_model_version_by_alias("m", "a"),
    ):
        for _ in range(2):
            read()
            assert requests.take() == {"get": 1}
        store.set_registered_model_tag("m", "k", f"{read}")
        read()
        assert requests.take() == {"get": 1}


def test_a_large_text_costs_one_get_once(store: S3Store, other: S3Store) -> None:
    """It never changes, so that a process asks for it once."""
    furnish(store, "m")
    requests = Requests(other)
    assert other.get_model_version("m", 2).tags == {"prompt": f"{LARGE}2"}
    assert requests.take() == {"get": 2}
    assert other.get_model_version("m", 2).tags == {"prompt": f"{LARGE}2"}
    assert requests.take() == {"get": 1}


def test_a_page_of_history_costs_what_it_shows(store: S3Store, other: S3Store) -> None:
    """The document has the newest events; older ones cost a LIST, and a GET per chunk, once."""
    store.create_registered_model(NewRegisteredModel(name="m"))
    for number in range(199):  # 64 to 200: 5 chunks, and 40 events in the document
        store.set_registered_model_tag("m", "k", str(number))
    requests = Requests(other)

    def costs(**query: Any) -> Counter[str]:
        assert other.events(EventQuery(name="m", **query))
        return requests.take()

    assert costs(max_results=30) == {"get": 1}
    assert costs(max_results=42) == {"get": 2, "list": 1}
    assert costs(max_results=42) == {"get": 1, "list": 1}
    assert costs(max_results=20, after=(0, "", 100)) == {"get": 3, "list": 1}
    assert costs(max_results=20, newest_first=False) == {"get": 2, "list": 1}
    assert costs(max_results=20, after=(0, "", 100)) == {"get": 1, "list": 1}
    assert costs(max_results=1000) == {"get": 2, "list": 1}


def test_the_newest_events_of_all_models_cost_their_listing(store: S3Store, other: S3Store) -> None:
    """Where documents have them. Older ones of a model are looked at only if they may be wanted.

    One LIST looks for the last events of deleted models.
    """
    for name in ("a", "b", "c"):
        store.create_registered_model(NewRegisteredModel(name=name))
    for number in range(70):
        store.set_registered_model_tag("a", "k", str(number))
    requests = Requests(other)
    assert len(other.events(EventQuery(max_results=20))) == 20
    assert requests.take() == {"list": 2, "get": 3}
    assert len(other.events(EventQuery(max_results=20))) == 20
    assert requests.take() == {"list": 2}
    assert len(other.events(EventQuery(max_results=1_000))) == 73
    assert requests.take() == {"list": 3, "get": 1}


def test_what_was_deleted_is_read_once(store: S3Store, other: S3Store) -> None:
    """For the activity; from then on it costs its listing."""
    for name in ("a", "b"):
        store.create_registered_model(NewRegisteredModel(name=name))
        store.delete_registered_model(name)
        store.create_registered_model(NewRegisteredModel(name=name))  # moves its tombstone's events
    requests = Requests(other)
    assert len(other.events(EventQuery())) == 6
    assert requests.take() == {"list": 2, "get": 4}
    assert len(other.events(EventQuery())) == 6
    assert requests.take() == {"list": 2}


def test_a_tag_is_written_without_moving_large_texts(store: S3Store, other: S3Store) -> None:
    """Not even by a process that has to read the document first."""
    furnish(store, "m")
    other._bucket.ready_to_write()
    requests = Requests(other)
    other.set_model_version_tag("m", 2, "k", "v")
    assert [operation for operation, key in requests.sent if "/values/" in key] == []


def test_a_warm_search_costs_its_listing(store: S3Store, other: S3Store) -> None:
    """One LIST per page of keys, the pages side by side, and a GET per changed document."""
    for number in range(7):
        store.create_registered_model(NewRegisteredModel(name=f"m{number}"))
        store.create_model_version(NewModelVersion(name=f"m{number}", source="s3://b/1"))
    other._prefix.objects.page_keys = 3
    requests = Requests(other)
    names = [f"m{number}" for number in range(7)]
    assert model_names(other, models_query()) == names
    assert requests.take() == {"list": 3, "get": 7}
    assert model_names(other, models_query()) == names
    assert requests.take() == {"list": 3}
    assert len(version_keys(other, versions_query())) == 7
    assert requests.take() == {"list": 3}
    store.set_registered_model_tag("m3", "k", "v")
    assert model_names(other, models_query("tags.k = 'v'")) == ["m3"]
    assert requests.take() == {"list": 3, "get": 1}


def test_a_search_by_name_costs_one_get_a_name(store: S3Store, other: S3Store) -> None:
    """What MLflow's clients ask most needs no listing."""
    for name in ("a", "b", "c"):
        store.create_registered_model(NewRegisteredModel(name=name))
    requests = Requests(other)
    assert model_names(other, models_query("name = 'b'")) == ["b"]
    assert requests.take() == {"get": 1}
    assert model_names(other, models_query("name IN ('a', 'c', 'none')")) == ["a", "c"]
    assert requests.take() == {"get": 3}
    assert model_names(other, models_query("name IN ('a', 'b') AND name = 'b'")) == ["b"]
    assert requests.take() == {"get": 1}
    assert model_names(other, models_query("name IN ('/', 'b') AND name != 'b'")) == []
    assert requests.take() == {"get": 1}
    many = ", ".join(f"'{number}'" for number in range(40))
    assert model_names(other, models_query(f"name IN ({many}, 'c')")) == ["c"]
    assert requests.take()["list"] == 1


@pytest.mark.parametrize("size", [1, 2, 3, 4, 6, 7])
def test_listing_in_ranges_finds_what_came_and_went(
    store: S3Store, other: S3Store, size: int
) -> None:
    """Ranges remembered from the listing before may have more keys by now, or fewer."""
    other._prefix.objects.page_keys = 3
    names = [f"m{number}" for number in range(size)]
    for name in names:
        store.create_registered_model(NewRegisteredModel(name=name))
    assert model_names(other, models_query()) == names
    for number in range(5):
        store.create_registered_model(NewRegisteredModel(name=f"m0{number}"))
    store.delete_registered_model(names.pop())
    expected = sorted([*names, *(f"m0{number}" for number in range(5))])
    assert model_names(other, models_query()) == expected
    assert model_names(other, models_query()) == expected
