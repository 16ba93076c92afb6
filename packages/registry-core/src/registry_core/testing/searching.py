"""What a store promises about filters and orders (contract 4.2 to 4.6, and `search.nodes`).

The tables say for each filter what it finds. They are written out rather than computed, so that
they hold the evaluator of `registry_core.search` to the meaning as well.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

from registry_core import validation
from registry_core.models import Stage
from registry_core.search import Query
from registry_core.testing.calls import Calls
from registry_core.testing.cases import (
    StoreCase,
    create_model,
    create_version,
    create_versions,
    transition,
)
from registry_core.testing.clocks import ManualClock
from registry_core.testing.filtering import FilterTests
from registry_core.testing.observing import (
    EntityT,
    assert_same,
    model_names,
    models_query,
    version_keys,
    versions_query,
)
from registry_core.testing.samples import EMOJI


class SearchedRowsTests(StoreCase):
    """Which rows searches go over, and that these come complete."""

    def test_searching_an_empty_store_finds_nothing(self, store: Calls) -> None:
        """Nothing, and no next page."""
        for page in (
            store.search_registered_models(models_query()),
            store.search_model_versions(versions_query()),
        ):
            assert (list(page.items), page.next_page_token) == ([], None)

    def test_found_models_are_complete(self, store: Calls, clock: ManualClock) -> None:
        """They are what reading them by name gives: tags, aliases and latest versions."""
        for name in ("a", "b", "c"):
            create_model(store, name, description=name, tags={"z": name, "y": ""})
            clock.advance()
            for _ in range(4 if name != "c" else 0):
                create_version(store, name, tags={"b": "1", "a": name}, run_id=name)
        transition(store, 1, Stage.STAGING, name="a")
        transition(store, 4, Stage.PRODUCTION, name="b")
        store.set_registered_model_alias("a", "second", version=1)
        store.set_registered_model_alias("a", "first", version=1)
        store.set_registered_model_alias("b", "first", version=2)
        found = store.search_registered_models(models_query()).items
        assert_same(found, [store.get_registered_model(name) for name in ("a", "b", "c")])
        assert found[0].latest_versions[1].aliases == ("first", "second")

    def test_found_versions_are_complete(self, store: Calls) -> None:
        """They are what reading them by number gives: tags, aliases and every field."""
        for name in ("a", "b"):
            create_model(store, name)
            for number in (1, 2):
                create_version(
                    store,
                    name,
                    tags={"z": str(number), "y": ""},
                    run_id=None if number == 1 else "",
                    storage_location=name,
                    user_id="user",
                    model_id="m-1",
                    description=name,
                )
        store.set_registered_model_alias("a", "second", version=2)
        store.set_registered_model_alias("a", "first", version=2)
        transition(store, 1, Stage.PRODUCTION, name="b")
        found = store.search_model_versions(versions_query("", ["name", "version_number"])).items
        keys = [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
        assert_same(found, [store.get_model_version(*key) for key in keys])
        assert found[1].aliases == ("first", "second")

    def test_searches_see_every_acknowledged_write(self, store: Calls) -> None:
        """Created, renamed, moved and deleted rows, at once."""
        create_model(store)
        assert model_names(store, models_query()) == ["m"]
        create_versions(store, 2)
        assert version_keys(store, versions_query("", ["version_number"])) == [("m", 1), ("m", 2)]
        transition(store, 1, Stage.PRODUCTION)
        (found,) = store.search_model_versions(versions_query("version_number = 1")).items
        assert found.current_stage is Stage.PRODUCTION
        store.rename_registered_model("m", new_name="new")
        assert model_names(store, models_query("name = 'm'")) == []
        assert model_names(store, models_query("name = 'new'")) == ["new"]
        assert version_keys(store, versions_query("name = 'm'")) == []
        assert len(version_keys(store, versions_query("name LIKE 'new'"))) == 2
        store.delete_model_version("new", 1)
        assert version_keys(store, versions_query()) == [("new", 2)]
        store.delete_registered_model("new")
        assert version_keys(store, versions_query()) == []
        assert model_names(store, models_query()) == []

    def test_searches_leave_prompts_out_when_asked(self, store: Calls) -> None:
        """A prompt is a model whose own tag is exactly `true`; its versions go with it."""
        marker = validation.PROMPT_TAG
        for name, tags in {
            "prompt": {marker: "true"},
            "upper": {marker: "True"},
            "false": {marker: "false"},
            "empty": {marker: ""},
            "model": {},
        }.items():
            create_model(store, name, tags=tags)
            create_version(store, name, tags={marker: "true"} if name == "model" else {})
        models = models_query(exclude_prompts=True)
        versions = versions_query("", ["name"], exclude_prompts=True)
        expected = ["empty", "false", "model", "upper"]
        assert model_names(store, models) == expected
        assert [name for name, _ in version_keys(store, versions)] == expected
        assert model_names(store, models_query()) == sorted([*expected, "prompt"])
        assert len(version_keys(store, versions_query())) == 5
        store.delete_registered_model_tag("prompt", marker)
        store.set_registered_model_tag("false", marker, "true")
        expected = ["empty", "model", "prompt", "upper"]
        assert model_names(store, models) == expected
        assert [name for name, _ in version_keys(store, versions)] == expected

    def test_prompts_left_out_take_no_room_on_a_page(self, store: Calls) -> None:
        """Pages are full of what is not left out."""
        for number in range(6):
            tags = {validation.PROMPT_TAG: "true"} if number % 2 else {}
            create_model(store, str(number), tags=tags)
            create_version(store, str(number))
        models = store.search_registered_models(models_query(exclude_prompts=True, max_results=3))
        assert [model.name for model in models.items] == ["0", "2", "4"]
        assert models.next_page_token is None
        versions = store.search_model_versions(
            versions_query("", ["name"], exclude_prompts=True, max_results=2)
        )
        assert [version.name for version in versions.items] == ["0", "2"]
        assert versions.next_page_token is not None


MODEL_ORDERS = (
    (),
    ("name",),
    ("name DESC",),
    ("timestamp",),
    ("last_updated_timestamp DESC",),
    ("timestamp ASC", "name DESC"),
    ("timestamp DESC", "name DESC"),
    ("name DESC", "timestamp ASC"),
)

VERSION_ORDERS = (
    (),
    ("name",),
    ("name DESC",),
    ("version_number",),
    ("version_number DESC",),
    ("creation_timestamp",),
    ("creation_timestamp DESC",),
    ("last_updated_timestamp",),
    ("last_updated_timestamp DESC", "version_number ASC"),
    ("version_number ASC", "name DESC"),
    ("version_number DESC", "name DESC"),
    ("creation_timestamp ASC", "last_updated_timestamp DESC", "name DESC", "version_number"),
    ("last_updated_timestamp ASC", "creation_timestamp DESC", "version_number DESC"),
)

SORTED_NAMES = (
    " a",
    "-",
    "A",
    "B",
    "Z",
    "_",
    "a",
    "a b",
    "a-b",
    "aB",
    "a_b",
    "ab",
    "b",
    "z",
    "\u00c9",
    "\u00e9",
    "\uff61",
    EMOJI,
)
"""By code point: a collation, and an order by UTF-16 units, would both sort otherwise."""


def a_spread_of_rows(store: Calls, clock: ManualClock) -> None:
    """Six models with a few versions each, and many ties in every timestamp."""
    names = ("b", "a", "C", "d", "\u00e9", "B")
    for name in names:
        create_model(store, name)
    for number in range(3):
        for name in names[number:]:
            create_version(store, name)
        clock.advance()
    for name in ("a", "d"):
        store.update_model_version(name, 1, description="later")
        store.update_registered_model(name, description="later")
    clock.advance()
    transition(store, 2, Stage.STAGING, name="B")


def assert_sorted(rows: Sequence[EntityT], query: Query) -> None:
    """Fails unless the rows are in the query's order; sorts once per key, plain and slow."""
    ordered = list(rows)
    for order in reversed(query.order_by):
        ordered.sort(key=operator.attrgetter(order.field), reverse=not order.ascending)
    assert list(rows) == ordered


class OrderTests(StoreCase):
    """In which order searches give their rows."""

    def test_names_sort_by_code_point(self, store: Calls) -> None:
        """Upper case before lower case, accents after z, and no locale anywhere."""
        for name in reversed(SORTED_NAMES):
            create_model(store, name)
            create_version(store, name)
        assert model_names(store, models_query()) == list(SORTED_NAMES)
        descending = model_names(store, models_query("", ["name DESC"]))
        assert descending == list(reversed(SORTED_NAMES))
        versions = version_keys(store, versions_query("", ["name"]))
        assert [name for name, _ in versions] == list(SORTED_NAMES)

    def test_versions_sort_by_last_update_then_name_then_number(
        self, store: Calls, clock: ManualClock
    ) -> None:
        """The default: latest first, then by name, then newest first."""
        for name in ("b", "a"):
            create_model(store, name)
            create_versions(store, 2, name)
        clock.advance()
        store.update_model_version("b", 1, description="later")
        assert version_keys(store, versions_query()) == [("b", 1), ("a", 2), ("a", 1), ("b", 2)]

    def test_version_numbers_sort_as_numbers(self, store: Calls) -> None:
        """Version 10 comes after version 9."""
        create_model(store)
        create_versions(store, 11)
        found = version_keys(store, versions_query("", ["version_number"]))
        assert [number for _, number in found] == list(range(1, 12))

    def test_ties_end_in_name_and_number(self, store: Calls) -> None:
        """Rows that an order does not tell apart sort by name, then by number from the newest."""
        for name in ("b", "a"):
            create_model(store, name)
            create_versions(store, 2, name)
        tied = [("a", 2), ("a", 1), ("b", 2), ("b", 1)]
        assert version_keys(store, versions_query("", ["creation_timestamp"])) == tied
        assert version_keys(store, versions_query("", ["creation_timestamp DESC"])) == tied
        assert version_keys(store, versions_query("", ["name"])) == tied
        by_number = version_keys(store, versions_query("", ["version_number DESC"]))
        assert by_number == [("a", 2), ("b", 2), ("a", 1), ("b", 1)]
        assert model_names(store, models_query("", ["timestamp DESC"])) == ["a", "b"]

    def test_models_sort_by_any_keys_in_any_direction(
        self, store: Calls, clock: ManualClock
    ) -> None:
        """Each key ascending or descending for itself."""
        a_spread_of_rows(store, clock)
        for order_by in MODEL_ORDERS:
            query = models_query("", order_by)
            rows = store.search_registered_models(query).items
            assert len(rows) == 6
            assert_sorted(rows, query)

    def test_versions_sort_by_any_keys_in_any_direction(
        self, store: Calls, clock: ManualClock
    ) -> None:
        """Each key ascending or descending for itself."""
        a_spread_of_rows(store, clock)
        for order_by in VERSION_ORDERS:
            query = versions_query("", order_by)
            rows = store.search_model_versions(query).items
            assert len(rows) == 15
            assert_sorted(rows, query)


class SearchTests(FilterTests, SearchedRowsTests, OrderTests):
    """Everything about filters and orders."""
