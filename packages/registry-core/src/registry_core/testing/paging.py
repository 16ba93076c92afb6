"""What a store promises about pages (contract 4.7)."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from registry_core.errors import InvalidArgumentError
from registry_core.search import Entity, Query
from registry_core.testing.calls import Calls
from registry_core.testing.cases import StoreCase, create_model, create_version, create_versions
from registry_core.testing.clocks import ManualClock
from registry_core.testing.observing import (
    EntityT,
    Search,
    assert_same,
    model_names,
    models_query,
    refused,
    version_keys,
    versions_query,
    walk,
)
from registry_core.testing.racing import race, values
from registry_core.testing.samples import NAMES
from registry_core.testing.searching import MODEL_ORDERS, VERSION_ORDERS, a_spread_of_rows


class PageTests(StoreCase):
    """What pages hold."""

    def test_pages_of_models_add_up_to_the_whole(self, store: Calls, clock: ManualClock) -> None:
        """In every order, pages of any size hold each row once, in order."""
        a_spread_of_rows(store, clock)
        for order_by in MODEL_ORDERS:
            assert_adding_up(store.search_registered_models, models_query("", order_by), rows=6)

    def test_pages_of_versions_add_up_to_the_whole(self, store: Calls, clock: ManualClock) -> None:
        """In every order, pages of any size hold each row once, in order."""
        a_spread_of_rows(store, clock)
        for order_by in VERSION_ORDERS:
            assert_adding_up(store.search_model_versions, versions_query("", order_by), rows=15)

    @pytest.mark.parametrize("order_by", ["name ASC", "name DESC"])
    def test_pages_continue_after_any_legal_name(self, store: Calls, order_by: str) -> None:
        """A name of any characters and length can end a page."""
        for name in NAMES:
            create_model(store, name)
            create_version(store, name)
        names = sorted(NAMES, reverse=order_by.endswith("DESC"))
        assert model_names(store, models_query("", [order_by], max_results=1)) == names
        versions = version_keys(store, versions_query("", [order_by], max_results=1))
        assert [name for name, _ in versions] == names

    def test_pages_keep_to_the_filter(self, store: Calls) -> None:
        """Rows that do not match take no room, on the first page and on later ones."""
        create_model(store)
        for number in range(1, 13):
            create_version(store, tags={"even": str(number % 2 == 0)}, run_id=f"r{number % 3}")
            create_model(store, f"m{number:02}", tags={"even": str(number % 2 == 0)})
        query = versions_query("tags.even = 'True'", ["version_number"])
        pages = pages_of(store.search_model_versions, query, 2)
        assert [[v.version for v in page] for page in pages] == [[2, 4], [6, 8], [10, 12]]
        query = versions_query("tags.even = 'True' AND run_id IN ('r0', 'r1')")
        pages = pages_of(store.search_model_versions, query, 3)
        assert [[v.version for v in page] for page in pages] == [[12, 10, 6], [4]]
        query = models_query("tags.even = 'True' AND name LIKE 'm_%'")
        model_pages = pages_of(store.search_registered_models, query, 4)
        assert [[model.name for model in page] for page in model_pages] == [
            ["m02", "m04", "m06", "m08"],
            ["m10", "m12"],
        ]

    def test_the_page_size_may_change_on_the_way(self, store: Calls) -> None:
        """A token says where to go on, not how far."""
        for number in range(6):
            create_model(store, str(number))
        first = store.search_registered_models(models_query(max_results=1))
        rest = store.search_registered_models(
            models_query(max_results=5, page_token=first.next_page_token)
        )
        assert [model.name for model in rest.items] == ["1", "2", "3", "4", "5"]
        assert rest.next_page_token is None

    def test_a_page_can_be_asked_for_again(self, store: Calls) -> None:
        """A token is not used up."""
        for number in range(3):
            create_model(store, str(number))
        token = store.search_registered_models(models_query(max_results=1)).next_page_token
        query = models_query(max_results=1, page_token=token)
        assert_same(store.search_registered_models(query), store.search_registered_models(query))

    def test_an_empty_token_asks_for_the_first_page(self, store: Calls) -> None:
        """As clients send it that have none."""
        create_model(store)
        assert model_names(store, models_query(page_token="")) == ["m"]


class PageTokenTests(StoreCase):
    """Which tokens are refused."""

    @pytest.fixture
    def token(self, store: Calls) -> str:
        """The token of the second page of all versions, one on each."""
        create_model(store)
        create_model(store, "other")
        create_versions(store, 2)
        token = store.search_model_versions(versions_query(max_results=1)).next_page_token
        assert token is not None
        return token

    @pytest.mark.parametrize(
        "other",
        [
            versions_query("name = 'm'"),
            versions_query("", ["name"]),
            versions_query("", ["last_updated_timestamp"]),
            versions_query(exclude_prompts=True),
            models_query(),
        ],
        ids=["filter", "order", "direction", "prompts", "entity"],
    )
    def test_a_token_of_another_search_is_refused(
        self, store: Calls, token: str, other: Query
    ) -> None:
        """It says where another list went on, which means nothing here."""
        other = attrs.evolve(other, page_token=token)
        search: Callable[[Query], object] = store.search_model_versions
        if other.entity is Entity.REGISTERED_MODEL:
            search = store.search_registered_models
        with pytest.raises(InvalidArgumentError, match="Invalid page token"):
            search(other)

    def test_a_token_that_is_no_token_is_refused(self, store: Calls, token: str) -> None:
        """In MLflow's words; no search is run."""
        message = "Invalid page token, could not base64-decode"
        for text in ("!", "\u00e9", "a", token[:-1] + "!"):
            with refused(store, InvalidArgumentError, message):
                store.search_model_versions(versions_query(page_token=text))
            with refused(store, InvalidArgumentError, message):
                store.search_registered_models(models_query(page_token=text))


class ChangingPagesTests(StoreCase):
    """Pages while rows are created and deleted: what existed throughout is visited exactly once."""

    def test_models_by_name_survive_creations_and_deletions(self, store: Calls) -> None:
        """New names before and behind the page, and the page's last row itself deleted."""
        stable = [f"m{number:02}" for number in range(0, 20, 2)]
        doomed = [f"m{number:02}" for number in range(1, 20, 4)]
        for name in (*stable, *doomed):
            create_model(store, name)
        seen = []
        for model in walk(store.search_registered_models, models_query(max_results=2)):
            seen.append(model.name)
            if model.name in doomed:
                store.delete_registered_model(model.name)
            if len(seen) < 9:
                create_model(store, f"a{len(seen):02}")
                create_model(store, f"z{len(seen):02}")
        assert [name for name in seen if name in stable] == stable
        assert not [name for name in seen if name.startswith("a")]
        assert len(seen) == len(set(seen))

    def test_models_by_last_update_survive_updates(self, store: Calls, clock: ManualClock) -> None:
        """Rows that move to the front meanwhile hide and repeat none of the others."""
        names = [f"m{number}" for number in range(10)]
        for number, name in enumerate(names):
            create_model(store, name)
            clock.advance(number % 2)
        seen = []
        query = models_query("", ["last_updated_timestamp DESC"], max_results=3)
        for model in walk(store.search_registered_models, query):
            seen.append(model.name)
            clock.advance()
            store.update_registered_model("m0", description=str(len(seen)))
            create_model(store, f"new{len(seen)}")
        assert sorted(name for name in seen if name in names[1:]) == names[1:]

    def test_versions_survive_creations_and_deletions(
        self, store: Calls, clock: ManualClock
    ) -> None:
        """In the default order, while a training job goes on registering."""
        create_model(store)
        for number in range(1, 21):
            create_version(store)
            clock.advance(number % 2)
        seen = []
        for version in walk(store.search_model_versions, versions_query(max_results=4)):
            seen.append(version.version)
            create_version(store)
            if version.version % 3 == 0:
                store.delete_model_version("m", version.version)
            if version.version == 12:
                store.delete_model_version("m", 5)
        assert seen == [number for number in sorted(seen, reverse=True) if number <= 20]
        assert set(range(1, 21)) - set(seen) == {5}

    def test_versions_of_many_models_survive_deleted_models(self, store: Calls) -> None:
        """A walk goes on when the model that its page ended in is deleted or renamed."""
        for name in "abcdefgh":
            create_model(store, name)
            create_versions(store, 2, name)
        seen = []
        query = versions_query("", ["name", "version_number"], max_results=3)
        for version in walk(store.search_model_versions, query):
            seen.append((version.name, version.version))
            if seen[-1] in {("b", 1), ("d", 2)}:
                store.delete_registered_model(version.name)
            if seen[-1] == ("f", 1):
                store.rename_registered_model("f", new_name="0")
        stable = [(name, number) for name in "aceg" for number in (1, 2)]
        assert [key for key in seen if key[0] in "aceg"] == stable
        assert len(seen) == len(set(seen))

    def test_walks_in_several_threads_see_every_stable_row_once(
        self, handles: tuple[Calls, Calls]
    ) -> None:
        """While another handle creates, updates and deletes rows all the time."""
        reader, writer = handles
        stable = [f"m{number:02}" for number in range(24)]
        for name in stable:
            create_model(writer, name)

        def write() -> None:
            for number in range(24):
                create_model(writer, f"m{number:02} new")
                create_version(writer, f"m{number:02}")
                writer.delete_registered_model(f"m{number:02} new")

        def read() -> list[list[str]]:
            query = models_query(max_results=5)
            return [model_names(reader, query) for _ in range(3)]

        calls: list[Callable[[], list[list[str]] | None]] = [write, read, read]
        outcomes = race(*calls)
        assert len(values(outcomes)) == 3, outcomes
        for outcome in outcomes[1:]:
            for seen in outcome.value or []:
                assert [name for name in seen if name in stable] == stable


def pages_of(search: Search[EntityT], query: Query, size: int) -> list[list[EntityT]]:
    """The items of each page."""
    pages = []
    query = attrs.evolve(query, max_results=size)
    while True:
        page = search(query)
        pages.append(list(page.items))
        if page.next_page_token is None:
            return pages
        query = attrs.evolve(query, page_token=page.next_page_token)


def assert_adding_up(search: Search[EntityT], query: Query, *, rows: int) -> None:
    """Fails unless pages of any size hold what one page holds, and are as full as they can be."""
    whole = list(search(query).items)
    for size in (1, rows // 3, rows - 1, rows, rows + 1):
        pages = pages_of(search, query, size)
        assert_same([row for page in pages for row in page], whole)
        sizes = [len(page) for page in pages]
        assert sizes == [size] * ((rows - 1) // size) + [(rows - 1) % size + 1]


class PagingTests(PageTests, PageTokenTests, ChangingPagesTests):
    """Everything about pages."""
