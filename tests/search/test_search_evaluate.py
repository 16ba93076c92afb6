"""A search over entities in memory."""

from __future__ import annotations

import functools

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry_core.errors import InvalidArgumentError
from registry_core.models import ModelVersion, RegisteredModel
from registry_core.search import (
    Entity,
    Query,
    parse_filter,
    parse_order_by,
)
from registry_core.search.evaluate import names, predicate, search
from services.examples import examples

RM = Entity.REGISTERED_MODEL
MV = Entity.MODEL_VERSION


def a_model(name="m", *, updated=0, **tags):
    return RegisteredModel(
        name=name, creation_timestamp=0, last_updated_timestamp=updated, tags=tags
    )


def a_version(name="m", version=1, *, updated=0, **fields):
    return ModelVersion(
        name=name,
        version=version,
        creation_timestamp=version,
        last_updated_timestamp=updated,
        **({"source": "s3://b/p"} | fields),
    )


def a_query(entity=MV, text="", order=(), size=100, **rest):
    return Query(
        entity=entity,
        filter=parse_filter(text, entity),
        order_by=parse_order_by(order, entity),
        max_results=size,
        **rest,
    )


def nothing(_name):
    return False


VERSION = a_version("Modèle", 7, run_id="run1", tags={"a": "x", "empty": "", "Ünï": "ÄÖ\nü"})


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("name = 'Modèle'", True),
        ("name = 'modèle'", False),
        ("name != 'modèle'", True),
        ("name LIKE 'Mod%'", True),
        ("name LIKE 'mod%'", False),
        ("name ILIKE 'mod%'", True),
        ("name ILIKE 'MODÈLE'", True),
        ("name IN ('a', 'Modèle')", True),
        ("name IN ('Mod')", False),
        ("name NOT IN ('Mod')", True),
        ("name NOT IN ('Modèle')", False),
        ("run_id = 'run1'", True),
        ("source_path LIKE 's3://%/p'", True),
        ("version_number = 7", True),
        ("version_number != 7", False),
        ("version_number < 7", False),
        ("version_number <= 7", True),
        ("version_number > 6", True),
        ("version_number >= 8", False),
        ("version_number < 99999999999", True),
        ("version_number > -99999999999", True),
        ("version_number = 99999999999", False),
        ("tags.a = 'x'", True),
        ("tags.a != 'x'", False),
        ("tags.a != 'y' AND tags.a != 'z'", True),
        ("tags.a != 'y' AND tags.a != 'x'", False),
        ("tags.a = 'x' AND name = 'other'", False),
        ("tags.A = 'x'", False),
        ("tags.empty = ''", True),
        ("tags.empty LIKE '%'", True),
        ("tags.empty != 'x'", True),
        ("tags.`Ünï` ILIKE 'äö_Ü'", True),
        ("tags.absent != 'x'", False),
        ("tags.absent LIKE '%'", False),
        ("tags.absent = ''", False),
        ("", True),
    ],
)
def test_predicate_means_what_nodes_says(text, matches):
    """Case, absence, wildcards and several clauses on one tag, as written in `nodes`."""
    assert predicate(parse_filter(text, MV))(VERSION) is matches


@pytest.mark.parametrize(
    "text", ["= ''", "!= 'x'", "LIKE '%'", "ILIKE '%'", "IN ('')", "NOT IN ('x')"]
)
def test_predicate_never_matches_an_absent_attribute(text):
    """A version without a run matches no question about its run; an empty run id does."""
    matches = predicate(parse_filter(f"run_id {text}", MV))
    assert not matches(a_version(run_id=None))
    assert matches(a_version(run_id=""))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", None),
        ("name = 'a'", {"a"}),
        ("name IN ('a', 'b') AND tags.k = 'v'", {"a", "b"}),
        ("name IN ('a', 'b') AND name IN ('b', 'c')", {"b"}),
        ("name = 'a' AND name = 'b'", set()),
        ("name != 'a'", None),
        ("name LIKE 'a'", None),
        ("run_id = 'a'", None),
        ("tags.name = 'a'", None),
    ],
)
def test_names_lists_the_models_worth_a_look(text, found):
    """Only equality and lists of names bound them; None means any name."""
    assert names(parse_filter(text, MV)) == found


def test_search_excludes_prompts_by_model():
    """Prompts, and all their versions, are left out only if the query says so."""
    rows = [a_version("model"), a_version("prompt"), a_version("prompt", 2)]
    asked = search(a_query(exclude_prompts=True), rows, is_prompt="prompt".__eq__)
    assert [row.name for row in asked.items] == ["model"]
    everything = search(a_query(), rows, is_prompt="prompt".__eq__)
    assert len(everything.items) == 3


def test_search_sorts_names_by_code_point():
    """Upper case before lower case before accents, whatever the locale."""
    rows = [a_model(name) for name in ["é", "b", "Z", "a", "A", "_", "1", "日", "😀", "\uffff"]]
    page = search(a_query(RM), rows, is_prompt=nothing)
    assert [row.name for row in page.items] == [
        "1",
        "A",
        "Z",
        "_",
        "a",
        "b",
        "é",
        "日",
        "\uffff",
        "😀",
    ]


ORDERS = {
    RM: [["name"], ["name DESC"], ["timestamp"], ["timestamp DESC", "name DESC"]],
    MV: [
        [],
        ["name DESC"],
        ["version_number"],
        ["name DESC", "version_number"],
        ["version_number DESC", "name DESC"],
        ["creation_timestamp DESC", "last_updated_timestamp", "name"],
        ["last_updated_timestamp DESC", "name DESC", "version_number DESC"],
    ],
}
KEYS = st.tuples(st.sampled_from(["a", "b", "B", "é", "aa"]), st.integers(1, 9), st.integers(0, 2))


@st.composite
def searches(draw):
    """Rows of one entity, and a query for a page of them."""
    entity = draw(st.sampled_from(Entity))
    unique = (lambda key: key[:2]) if entity is MV else (lambda key: key[0])
    keys = draw(st.lists(KEYS, unique_by=unique, max_size=15))
    make = {
        MV: lambda key: a_version(key[0], key[1], updated=key[2]),
        RM: lambda key: a_model(key[0], updated=key[2]),
    }[entity]
    order = draw(st.sampled_from(ORDERS[entity]))
    return [make(key) for key in keys], a_query(entity, "", order, draw(st.integers(1, 5)))


def sorted_by(query, rows):
    """The rows in the order of the query, by plain comparison."""

    def compare(left, right):
        for key in query.order_by:
            a, b = getattr(left, key.field), getattr(right, key.field)
            if a != b:
                return -1 if (a < b) is key.ascending else 1
        return 0

    return sorted(rows, key=functools.cmp_to_key(compare))


def pages(query, rows):
    while True:
        page = search(query, rows, is_prompt=nothing)
        yield page
        if page.next_page_token is None:
            return
        query = attrs.evolve(query, page_token=page.next_page_token)


@given(searches())
@settings(max_examples=examples(200))
def test_search_pages_visit_each_row_once_in_order(rows_and_query):
    """All pages together are the sorted rows, every page but the last is full."""
    rows, query = rows_and_query
    visited = list(pages(query, rows))
    assert [row for page in visited for row in page.items] == sorted_by(query, rows)
    assert all(len(page.items) == query.max_results for page in visited[:-1])
    assert len(visited) == max(1, -(-len(rows) // query.max_results))


@given(searches(), st.data())
@settings(max_examples=examples(100))
def test_search_pages_survive_writes_between_them(rows_and_query, data):
    """Rows that come and go between pages neither hide nor repeat those that stay."""
    rows, query = rows_and_query
    staying = data.draw(st.lists(st.sampled_from(rows), unique_by=id) if rows else st.just([]))
    first = search(query, rows, is_prompt=nothing)
    rest = []
    if first.next_page_token is not None:
        later = attrs.evolve(query, page_token=first.next_page_token)
        rest = [row for page in pages(later, staying) for row in page.items]
    visited = [*first.items, *rest]
    assert len(visited) == len({id(row) for row in visited})
    assert {id(row) for row in staying} <= {id(row) for row in visited}


def test_search_applies_the_filter_before_the_page():
    """Rows that do not match take no room on a page."""
    rows = [a_version("m", number, tags={"odd": str(number % 2)}) for number in range(1, 10)]
    query = a_query(MV, "tags.odd = '1'", ["version_number"], 3)
    found = [[row.version for row in page.items] for page in pages(query, rows)]
    assert found == [[1, 3, 5], [7, 9]]


def test_search_refuses_the_token_of_another_search():
    """A token is bound to the filter, the order and the prompts' exclusion, not to the size."""
    rows = [a_version("m", number) for number in range(1, 5)]
    token = search(a_query(size=2), rows, is_prompt=nothing).next_page_token
    assert search(a_query(size=1, page_token=token), rows, is_prompt=nothing).items
    for other in (
        a_query(MV, "name = 'm'", page_token=token),
        a_query(MV, "", ["name DESC"], page_token=token),
        a_query(exclude_prompts=True, page_token=token),
    ):
        with pytest.raises(InvalidArgumentError, match="Invalid page token, "):
            search(other, rows, is_prompt=nothing)


def test_search_of_nothing_is_an_empty_page():
    """No rows, no token."""
    page = search(a_query(), [], is_prompt=nothing)
    assert (list(page.items), page.next_page_token) == ([], None)
