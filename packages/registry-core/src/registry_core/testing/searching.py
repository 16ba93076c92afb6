"""What a store promises about filters and orders (contract 4.2 to 4.6, and `search.nodes`).

The tables say for each filter what it finds. They are written out rather than computed, so that
they hold the evaluator of `registry_core.search` to the meaning as well.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from registry_core import validation
from registry_core.models import Stage
from registry_core.search import AttributeRef, Comparison, Filter, Op, Query, TagRef
from registry_core.testing.calls import Calls
from registry_core.testing.cases import (
    StoreCase,
    create_model,
    create_version,
    create_versions,
    transition,
)
from registry_core.testing.clocks import ManualClock
from registry_core.testing.observing import (
    EntityT,
    assert_same,
    model_names,
    models_query,
    version_keys,
    versions_query,
)
from registry_core.testing.samples import EMOJI, NAMES

Cases: TypeAlias = Mapping[str, str]
"""Filters, and what each of them finds, as words in a row."""

LONG = "x" * (validation.TAG_VALUE_MAX_LENGTH - 1)
"""One character short of the longest tag value."""

# A text per letter, so that tables stay readable.
TEXTS = {
    "a": "abc",
    "b": "ABC",
    "c": "aBc",
    "d": "a%c",
    "e": "a_c",
    "f": "a\\c",
    "g": "a\\%c",
    "h": "a\nc",
    "i": f"a{EMOJI}c",
    "j": "abcd",
    "k": "xabc",
    "l": "a.c",
    "m": "a*c",
    "n": "[a]c",
    "o": "abc ",
    "p": "abc\\",
    "q": "\u00e9t\u00e9",
    "r": "\u00c9T\u00c9",
    "s": "e\u0301te\u0301",
    "t": "stra\u00dfe",
    "u": "STRASSE",
    "v": "\u0130x",
    "w": "\u03a3\u03b1\u03c3",
    "x": "it's",
    "y": 'say "x"',
    "z": "100%",
}

TEXT_CASES: Cases = {
    # Equality: code point by code point.
    "{} = 'abc'": "a",
    "{} = 'ABC'": "b",
    "{} = 'abc '": "o",
    "{} = 'a%c'": "d",
    "{} = 'a_c'": "e",
    r"{} = 'a\c'": "f",
    r"{} = 'a\%c'": "g",
    "{} = 'a\nc'": "h",
    "{} = '\u00e9t\u00e9'": "q",
    "{} = 'e\u0301te\u0301'": "s",
    "{} = 'strasse'": "",
    '{} = "it\'s"': "x",
    "{} = 'say \"x\"'": "y",
    "{} = 'zzz'": "",
    "{} != 'abc'": "b c d e f g h i j k l m n o p q r s t u v w x y z",
    "{} != 'zzz'": "a b c d e f g h i j k l m n o p q r s t u v w x y z",
    # LIKE: case counts, anchored at both ends.
    "{} LIKE 'abc'": "a",
    "{} LIKE 'ABC'": "b",
    "{} LIKE 'abc%'": "a j o p",
    "{} LIKE '%abc'": "a k",
    "{} LIKE '%abc%'": "a j k o p",
    "{} LIKE '%b%'": "a j k o p",
    "{} LIKE 'A%'": "b",
    "{} LIKE ''": "",
    "{} LIKE '%'": "a b c d e f g h i j k l m n o p q r s t u v w x y z",
    "{} LIKE '%%%'": "a b c d e f g h i j k l m n o p q r s t u v w x y z",
    "{} LIKE 'a%c%d'": "j",
    "{} LIKE 'a%b%c%'": "a j o p",
    "{} LIKE '%c%b%'": "",
    "{} LIKE 'ab%bc'": "",
    # LIKE: an underscore is one character, whatever its bytes, a newline too.
    "{} LIKE 'a_c'": "a c d e f h i l m",
    "{} LIKE '___'": "a b c d e f h i l m q r w",
    "{} LIKE '_'": "",
    "{} LIKE '__'": "v",
    "{} LIKE 'a__c'": "g",
    "{} LIKE '_bc_'": "j o p",
    "{} LIKE 'a%c'": "a c d e f g h i l m",
    # LIKE: a backslash escapes a wildcard or itself, and is itself before anything else.
    r"{} LIKE 'a\%c'": "d",
    r"{} LIKE 'a\_c'": "e",
    r"{} LIKE 'a\c'": "f",
    r"{} LIKE 'a\\c'": "f",
    r"{} LIKE 'a\\\%c'": "g",
    r"{} LIKE 'a\\%c'": "f g",
    r"{} LIKE 'a\\_c'": "g",
    r"{} LIKE '%\%%'": "d g z",
    r"{} LIKE '%\%'": "z",
    r"{} LIKE '%\_%'": "e",
    r"{} LIKE '%\\%'": "f g p",
    "{} LIKE 'abc\\'": "p",
    "{} LIKE '%\\'": "p",
    r"{} LIKE 'a\bc'": "",
    r"{} LIKE '100\%'": "z",
    # LIKE: characters that mean something elsewhere mean nothing here.
    "{} LIKE 'a.c'": "l",
    "{} LIKE 'a*c'": "m",
    "{} LIKE 'a?c'": "",
    "{} LIKE '[a]c'": "n",
    "{} LIKE '[a%'": "n",
    "{} LIKE 'a*'": "",
    "{} LIKE '.*'": "",
    "{} LIKE '^a%'": "",
    '{} LIKE "%\'%"': "x",
    "{} LIKE '%\"x\"'": "y",
    "{} LIKE '\u00e9%'": "q",
    "{} LIKE 'e%'": "s",
    # ILIKE: folds case in all scripts, as `str.lower` does, and nothing else.
    "{} ILIKE 'abc'": "a b c",
    "{} ILIKE 'ABC'": "a b c",
    "{} ILIKE 'ABC%'": "a b c j o p",
    "{} ILIKE '%BC'": "a b c k",
    "{} ILIKE '\u00e9t\u00e9'": "q r",
    "{} ILIKE '\u00c9T\u00c9'": "q r",
    "{} ILIKE '\u00c9%'": "q r",
    "{} ILIKE 'E\u0301TE\u0301'": "s",
    "{} ILIKE 'STRASSE'": "u",
    "{} ILIKE 'stra\u00dfe'": "t",
    "{} ILIKE 'stra%'": "t u",
    "{} ILIKE 'i\u0307X'": "v",
    "{} ILIKE '\u03c3%'": "w",
    "{} ILIKE '\u03a3\u0391%'": "w",
    '{} ILIKE "IT\'S"': "x",
    r"{} ILIKE 'A\%C'": "d",
    r"{} ILIKE 'A\_C'": "e",
    r"{} ILIKE 'A\\C'": "f",
    "{} ILIKE 'ABC\\'": "p",
    "{} ILIKE 'A_C'": "a b c d e f h i l m",
    # Several clauses about one text.
    "{} LIKE 'a%' AND {} LIKE '%d'": "j",
    "{} LIKE 'a_c' AND {} != 'abc' AND {} != 'aBc'": "d e f h i l m",
    "{} = 'abc' AND {} = 'ABC'": "",
    "{} ILIKE 'abc' AND {} LIKE 'a%'": "a c",
}
"""What comparisons with a text mean, wherever the text is; `{}` is the identifier."""

LIST_CASES: Cases = {
    "{} IN ('abc')": "a",
    "{} IN ('abc', 'ABC', 'zzz')": "a b",
    "{} IN ('abc', 'abc')": "a",
    "{} IN ('a%c', 'a_c')": "d e",
    "{} IN ('it\\'s', \"abc \")": "o x",
    "{} IN ('zzz')": "",
    "{} NOT IN ('zzz')": "a b c d e f g h i j k l m n o p q r s t u v w x y z",
    "{} NOT IN ('abc', 'ABC', 'aBc')": "d e f g h i j k l m n o p q r s t u v w x y z",
    "{} IN ('abc', 'aBc') AND {} NOT IN ('abc')": "c",
    "{} IN ('abc', 'abcd') AND {} LIKE '%d'": "j",
}
"""As `TEXT_CASES`, for the attributes that take lists."""

ABSENCE_CASES: Cases = {
    "{} = ''": "empty",
    "{} != ''": "full",
    "{} != 'x'": "empty full",
    "{} LIKE '%'": "empty full",
    "{} LIKE ''": "empty",
    "{} ILIKE '%'": "empty full",
    "{} LIKE '_%'": "full",
}
"""Of an absent, an empty and a full text: the absent one matches nothing at all."""

NUMBER_CASES: Cases = {
    "version_number = 2": "2",
    "version_number = '2'": "2",
    "version_number != 2": "1 3 10 11",
    "version_number < 3": "1 2",
    "version_number <= 3": "1 2 3",
    "version_number > 3": "10 11",
    "version_number >= 10": "10 11",
    "version_number > 1 AND version_number < 11": "2 3 10",
    "version_number > 1 AND version_number != 2 AND version_number <= 10": "3 10",
    "version_number = 4": "",
    "version_number = 0": "",
    "version_number = -1": "",
    "version_number > -1": "1 2 3 10 11",
    "version_number != -1": "1 2 3 10 11",
    "version_number < 1": "",
    "version_number <= 2147483647": "1 2 3 10 11",
    "version_number > 2147483646": "",
    "version_number < 2147483648": "1 2 3 10 11",
    "version_number = 2147483648": "",
    "version_number != 9223372036854775808": "1 2 3 10 11",
    "version_number >= 9223372036854775808": "",
    "version_number < 1000000000000000000000000000000": "1 2 3 10 11",
    "version_number > -1000000000000000000000000000000": "1 2 3 10 11",
}
"""Of the versions 1, 2, 3, 10 and 11."""

TAG_CASES: Cases = {
    "tags.team = 'red'": "one two",
    "tag.team = 'red'": "one two",
    "tags.team = 'blue'": "three",
    "tags.team != 'red'": "three",
    "tags.team != 'none'": "one two three",
    "tags.team = 'red' AND tags.size = '1'": "one",
    "tags.team = 'red' AND tags.size != '1'": "two",
    "tags.team LIKE 'r%' AND tags.team != 'red'": "",
    "tags.team ILIKE 'R%' AND tags.team LIKE '%d'": "one two",
    "tags.team = 'red' AND tags.team = 'blue'": "",
    "tags.Team = 'red'": "four",
    "tags.TEAM = 'red'": "",
    "tags.absent != 'x'": "",
    "tags.absent LIKE '%'": "",
    "tags.team != 'x' AND tags.absent != 'x'": "",
    "tags.`a/b` = 'slash'": "one",
    "tags.`a:b` = 'colon'": "one",
    "tags.a.b = 'dot'": "one",
    "tags.`a b` = 'space'": "one",
    "tags.\"a-b\" = 'dash'": "one",
    "tags.\u00e9 = 'accent'": "one",
    "tags.name = 'no attribute'": "one",
    "tags.empty = ''": "two",
    "tags.empty != 'x'": "two",
    "name != 'one' AND tags.team = 'red'": "two",
    "name LIKE 't%' AND tags.team LIKE '%'": "two three",
    "tags.`mlflow.prompt.is_prompt` = 'true'": "prompt",
    "tags.`mlflow.prompt.is_prompt` != 'false'": "prompt",
}
"""Of `TAGGED`."""

TAGGED: Mapping[str, Mapping[str, str]] = {
    "one": {
        "team": "red",
        "size": "1",
        "a/b": "slash",
        "a:b": "colon",
        "a.b": "dot",
        "a b": "space",
        "a-b": "dash",
        "\u00e9": "accent",
        "name": "no attribute",
    },
    "two": {"team": "red", "size": "2", "empty": ""},
    "three": {"team": "blue", "size": "1"},
    "four": {"Team": "red"},
    "five": {},
    "prompt": {"mlflow.prompt.is_prompt": "true"},
}


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
