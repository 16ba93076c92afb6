"""What a store promises about filters (contract 4.2 to 4.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from registry_core.search import AttributeRef, Comparison, Filter, Op, TagRef
from registry_core.testing.calls import Calls
from registry_core.testing.cases import (
    StoreCase,
    create_model,
    create_version,
    create_versions,
)
from registry_core.testing.filter_cases import (
    ABSENCE_CASES,
    LIST_CASES,
    LONG,
    NUMBER_CASES,
    TAG_CASES,
    TAGGED,
    TEXT_CASES,
    TEXTS,
    Cases,
)
from registry_core.testing.observing import (
    model_names,
    models_query,
    version_keys,
    versions_query,
)
from registry_core.testing.samples import EMOJI, NAMES


def assert_cases(cases: Cases, identifier: str, find: Callable[[str], Iterable[str]]) -> None:
    """Fails with every filter of the table that finds something else than it should."""
    wrong = {}
    for template, expected in cases.items():
        text = template.replace("{}", identifier)
        found = sorted(find(text))
        if found != sorted(expected.split()):
            wrong[text] = f"found {found}, not {expected.split()}"
    assert not wrong


class FilterTests(StoreCase):
    """What filters find."""

    def test_filters_on_model_names_mean_what_they_say(self, store: Calls) -> None:
        """Every operator on a registered model's name."""
        letters = {text: letter for letter, text in TEXTS.items()}
        for text in letters:
            create_model(store, text)

        def find(text: str) -> list[str]:
            return [letters[name] for name in model_names(store, models_query(text))]

        assert_cases(TEXT_CASES, "name", find)
        assert_cases(LIST_CASES, "name", find)

    def test_filters_on_model_tags_mean_what_they_say(self, store: Calls) -> None:
        """Every operator on a registered model's tag."""
        for letter, text in TEXTS.items():
            create_model(store, letter, tags={"k": text, "other": "abc"})
        create_model(store, "absent", tags={"K": "abc"})
        assert_cases(TEXT_CASES, "tags.k", lambda text: model_names(store, models_query(text)))

    def test_filters_on_version_names_mean_what_they_say(self, store: Calls) -> None:
        """Every operator on the name that a model version has from its model."""
        letters = {text: letter for letter, text in TEXTS.items()}
        for text in letters:
            create_model(store, text)
            create_version(store, text)

        def find(text: str) -> list[str]:
            return [letters[name] for name, _ in version_keys(store, versions_query(text))]

        assert_cases(TEXT_CASES, "name", find)
        assert_cases(LIST_CASES, "name", find)

    def test_filters_on_version_texts_mean_what_they_say(self, store: Calls) -> None:
        """Every operator on run ids, sources and version tags."""
        create_model(store)
        for text in TEXTS.values():
            create_version(
                store, run_id=text, source=text, tags={"k": text}, storage_location="abc"
            )
        letters = dict(enumerate(TEXTS, start=1))

        def find(text: str) -> list[str]:
            return [letters[number] for _, number in version_keys(store, versions_query(text))]

        for identifier in ("run_id", "source_path", "tags.k"):
            assert_cases(TEXT_CASES, identifier, find)
        assert_cases(LIST_CASES, "run_id", find)

    def test_a_text_that_is_absent_matches_nothing(self, store: Calls) -> None:
        """An absent run id or tag matches no operator; an empty one is a text like others."""
        for name, text in (("absent", None), ("empty", ""), ("full", "abc")):
            create_model(store, name, tags={} if text is None else {"k": text})
            create_version(store, name, run_id=text, tags={} if text is None else {"k": text})

        def of_versions(text: str) -> list[str]:
            return [name for name, _ in version_keys(store, versions_query(text))]

        assert_cases(ABSENCE_CASES, "tags.k", lambda text: model_names(store, models_query(text)))
        assert_cases(ABSENCE_CASES, "tags.k", of_versions)
        assert_cases(ABSENCE_CASES, "run_id", of_versions)
        lists = {"{} NOT IN ('x')": "empty full", "{} IN ('', 'x')": "empty"}
        assert_cases(lists, "run_id", of_versions)

    def test_filters_on_numbers_compare_as_numbers(self, store: Calls) -> None:
        """Also negative numbers, and such as no version can have."""
        create_model(store)
        create_versions(store, 11)
        for number in range(4, 10):
            store.delete_model_version("m", number)

        def find(text: str) -> list[str]:
            return [str(number) for _, number in version_keys(store, versions_query(text))]

        assert_cases(NUMBER_CASES, "", find)

    def test_filters_on_tags_of_models_are_about_their_own_tags(self, store: Calls) -> None:
        """Clauses on one key hold for its value; tags of versions do not count."""
        for name, tags in TAGGED.items():
            create_model(store, name, tags=tags)
            create_version(store, name, tags=TAGGED["three"])
        assert_cases(TAG_CASES, "", lambda text: model_names(store, models_query(text)))

    def test_filters_on_tags_of_versions_are_about_their_own_tags(self, store: Calls) -> None:
        """Clauses on one key hold for its value; tags of models and siblings do not count."""
        for name, tags in TAGGED.items():
            create_model(store, name, tags=TAGGED["three"])
            create_version(store, name)
            create_version(store, name, tags=tags)
            create_version(store, name)

        def find(text: str) -> list[str]:
            return [name for name, _ in version_keys(store, versions_query(text))]

        assert_cases(TAG_CASES, "", find)

    def test_filters_on_tags_of_siblings_do_not_add_up(self, store: Calls) -> None:
        """Two clauses must hold for one version, not for two versions of one model."""
        create_model(store)
        create_version(store, tags={"a": "1"})
        create_version(store, tags={"b": "1"})
        create_version(store, tags={"a": "1", "b": "1"})
        found = version_keys(store, versions_query("tags.a = '1' AND tags.b = '1'"))
        assert found == [("m", 3)]

    def test_filters_tell_long_tag_values_apart(self, store: Calls) -> None:
        """Values of 100,000 characters that differ in the last one are different values."""
        values = {"one": LONG + "1", "two": LONG + "2", "short": LONG, "emoji": EMOJI * 100_000}
        for name, value in values.items():
            create_model(store, name, tags={"k": value})
            create_version(store, name, tags={"k": value})

        def found(op: Op, value: str) -> set[str]:
            clause: Filter = (Comparison(TagRef("k"), op, value),)
            models = model_names(store, models_query(clause))
            versions = [name for name, _ in version_keys(store, versions_query(clause))]
            assert sorted(models) == sorted(versions)
            return set(models)

        assert found(Op.EQ, LONG + "1") == {"one"}
        assert found(Op.EQ, LONG + "3") == set()
        assert found(Op.EQ, EMOJI * 100_000) == {"emoji"}
        assert found(Op.NE, LONG + "1") == {"two", "short", "emoji"}
        assert found(Op.LIKE, "x%2") == {"two"}
        assert found(Op.LIKE, "%x") == {"short"}
        assert found(Op.ILIKE, "X%1") == {"one"}
        assert found(Op.LIKE, "x" * 5_000) == set()
        assert found(Op.LIKE, "x" * 4_999 + "%") == {"one", "two", "short"}

    def test_filters_take_long_lists(self, store: Calls) -> None:
        """Ten thousand values are searched for in one filter."""
        create_model(store)
        for run_id in ("run 7", "run 9999", "other"):
            create_version(store, run_id=run_id)
        listed = tuple(f"run {number}" for number in range(10_000))
        for op, expected in ((Op.IN, [1, 2]), (Op.NOT_IN, [3])):
            clause = (Comparison(AttributeRef("run_id"), op, listed),)
            found = version_keys(store, versions_query(clause, ["version_number"]))
            assert [number for _, number in found] == expected

    def test_filters_take_many_clauses(self, store: Calls) -> None:
        """A hundred clauses on a hundred tags, and on one."""
        tags = {f"k{number}": str(number) for number in range(100)}
        create_model(store, tags=tags)
        create_model(store, "other", tags={**tags, "k99": "x"})
        every = " AND ".join(f"tags.{key} = '{value}'" for key, value in tags.items())
        assert model_names(store, models_query(every)) == ["m"]
        one = " AND ".join(f"tags.k99 != '{number}'" for number in range(100))
        assert model_names(store, models_query(one)) == ["other"]

    def test_filters_combine_all_kinds_of_clauses(self, store: Calls) -> None:
        """Attributes, numbers and tags in one filter must all hold."""
        for name in ("m", "other"):
            create_model(store, name)
            for number in range(1, 5):
                create_version(
                    store, name, run_id=f"r{number % 2}", tags={"k": str(number)}, source="S3://B"
                )
        found = version_keys(
            store,
            versions_query(
                "name = 'm' AND version_number > 1 AND run_id IN ('r1', 'r2') "
                "AND tags.k ILIKE '3' AND source_path ILIKE 's3%'"
            ),
        )
        assert found == [("m", 3)]

    def test_any_legal_name_can_be_searched_for(self, store: Calls) -> None:
        """Exactly one model has each name, and its version likewise."""
        for name in NAMES:
            create_model(store, name)
            create_version(store, name)
        for name in NAMES:
            clause = (Comparison(AttributeRef("name"), Op.EQ, name),)
            assert model_names(store, models_query(clause)) == [name]
            assert version_keys(store, versions_query(clause)) == [(name, 1)]

    def test_filters_do_not_become_statements(self, store: Calls) -> None:
        """Quotes and comment marks in values stay inside them."""
        create_model(store, tags={"k": "x' OR '1'='1"})
        create_model(store, "other", tags={"k": "v"})
        create_version(store, run_id='"; DROP TABLE model_versions; --')
        found = model_names(store, models_query("tags.k = \"x' OR '1'='1\""))
        assert found == ["m"]
        query = versions_query("run_id = '\"; DROP TABLE model_versions; --'")
        assert version_keys(store, query) == [("m", 1)]
        assert model_names(store, models_query('name = "\' OR 1=1 --"')) == []
