"""Pages and entities that are large: what is read of them, and where."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from registry_core import inloop, validation
from registry_core.inloop import TooLargeError, WouldBlockError
from registry_core.models import NewModelVersion, NewRegisteredModel
from registry_core.name_scope import NameScope
from registry_core.search import Entity, Query, paging, parse_order_by
from registry_core.store import count_of
from registry_core.stores.sql import SqlStore, prepared_session, searches, slow_statements
from registry_core.stores.sql.compiling import Statement
from registry_core.stores.sql.results import CutRows, PageOfRows
from services.opened import open_sql_store as open_store
from services.selecting import Selecting

pytestmark = pytest.mark.usefixtures("checked_inloop")

LONG = "x" * 100_000


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path) -> Iterator[SqlStore]:
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    store = open_store(url)
    yield store
    inloop.calling(None)
    store.close()


def versions(token: str | None = None, size: int = 1_000) -> Query:
    return Query(
        entity=Entity.MODEL_VERSION,
        order_by=parse_order_by(("version_number ASC",), Entity.MODEL_VERSION),
        max_results=size,
        page_token=token,
    )


def walk(store: SqlStore, size: int = 1_000) -> list[list[int]]:
    """The numbers of the versions on each page."""
    pages, token = [], None
    while True:
        page = store.search_model_versions(versions(token, size))
        pages.append([version.version for version in page.items])
        token = page.next_page_token
        if token is None:
            return pages


def test_a_page_ends_before_it_is_too_large(store: SqlStore) -> None:
    """With a token; the pages together have every version once."""
    store.create_registered_model(NewRegisteredModel(name="m"))
    for _ in range(30):
        store.create_model_version(
            NewModelVersion(name="m", source="s", tags={str(n): LONG for n in range(5)})
        )
    pages = walk(store)
    assert [number for page in pages for number in page] == list(range(1, 31))
    most = paging.PAGE_MAX_BYTES // (5 * len(LONG))
    assert [len(page) for page in pages[:-1]] == [most] * (len(pages) - 1)
    assert walk(store, 10) == [list(range(start, start + 10)) for start in (1, 11, 21)]
    # The connection is good for the next one.
    assert store._database._pool._free._slots == store._database.driver.max_connections


def test_a_page_is_measured_as_it_is_sent(store: SqlStore) -> None:
    """A character that an answer escapes takes up to twelve bytes in it."""
    store.create_registered_model(NewRegisteredModel(name="m"))
    for _ in range(10):
        store.create_model_version(
            NewModelVersion(name="m", source="s", description="\U0001f600" * 100_000)
        )
    assert [len(page) for page in walk(store)] == [6, 4]


def test_an_entity_that_is_larger_than_a_page_is_one(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given all the same; and the last page has no token."""
    import registry_core.stores.sql.results

    monkeypatch.setattr(registry_core.stores.sql.results, "PAGE_MAX_BYTES", 1_000)
    store.create_registered_model(NewRegisteredModel(name="m"))
    for _ in range(3):
        store.create_model_version(NewModelVersion(name="m", source="s", description=LONG))
    assert walk(store) == [[1], [2], [3]]


def test_a_search_does_not_read_more_rows_than_fit(store: SqlStore) -> None:
    """However many are asked for, since each takes some bytes."""
    query = versions(size=200_000)
    assert paging.most_entities(query) == paging.PAGE_MAX_BYTES // paging.ENTITY_BYTES < 20_000
    assert paging.most_entities(versions(size=10_000)) == 10_000


def test_rows_are_cut_where_the_page_is_full() -> None:
    """Between two of them, wherever they come from; what came before stays."""
    page = PageOfRows(Statement("", (), long_columns=(0, 1)))
    quarter = "x" * (paging.PAGE_MAX_BYTES // 4 - paging.ENTITY_BYTES)
    assert not page.is_full_with([(quarter, None), (None, quarter)])
    assert not page.is_full_with([("", quarter)])
    assert page.is_full_with([(quarter, None), (quarter + "x", ""), (None, None)])
    assert isinstance(page.rows, CutRows)
    assert len(page.rows) == 4


@pytest.mark.parametrize("kind", ["model", "version", "alias", "search"])
def test_large_entities_are_not_read_in_a_loop(store: SqlStore, kind: str) -> None:
    """They are left to threads, and for a while at once; small ones are read as before."""
    for name, tags in (("large", {str(n): LONG for n in range(10)}), ("small", {})):
        store.create_registered_model(NewRegisteredModel(name=name, tags=tags))
        for _ in range(2):
            store.create_model_version(NewModelVersion(name=name, source="s", tags=tags))
        store.set_registered_model_alias(name, "a", version=1)

    def read(name: str) -> object:
        match kind:
            case "model":
                return store.get_registered_model(name).name
            case "version":
                return store.get_model_version(name, 1).name
            case "alias":
                return store.get_model_version_by_alias(name, "a").name
        query = versions(size=10 if name == "large" else 1)
        return store.search_model_versions(query).items[-1].name

    inloop.calling(Selecting())
    for is_known in (False, True):
        with pytest.raises(TooLargeError) as error:
            read("large")
        assert ("moment ago" in str(error.value)) is is_known
    if kind != "search":
        assert read("small") == "small"
    inloop.calling(None)
    assert read("large") in ("large", "small")
    assert store._database._pool._free._slots == store._database.driver.max_connections


def test_what_was_too_large_is_tried_again(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while it may be small."""
    monkeypatch.setattr(slow_statements, "PATIENT_SECONDS", 0.0)
    store.create_registered_model(NewRegisteredModel(name="m"))
    for key in range(10):
        store.set_registered_model_tag("m", str(key), LONG)
    inloop.calling(Selecting())
    with pytest.raises(WouldBlockError):
        store.get_registered_model("m")
    inloop.calling(None)
    for key in range(10):
        store.delete_registered_model_tag("m", str(key))
    inloop.calling(Selecting())
    assert store.get_registered_model("m").tags == {}


def test_rows_come_one_by_one_where_libpq_knows_no_chunks(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its release 17."""
    import psycopg

    singles = []

    class Old:
        def __init__(self, pgconn):
            self._pgconn = pgconn

        def set_chunked_rows_mode(self, size):
            raise psycopg.NotSupportedError

        def set_single_row_mode(self):
            singles.append(True)
            self._pgconn.set_single_row_mode()

    apart = prepared_session._have_rows_come_apart
    monkeypatch.setattr(
        prepared_session, "_have_rows_come_apart", lambda pgconn: apart(Old(pgconn))
    )
    store = open_store(postgres_url)
    store.create_registered_model(NewRegisteredModel(name="m"))
    for _ in range(30):
        store.create_model_version(
            NewModelVersion(name="m", source="s", tags={str(n): LONG for n in range(5)})
        )
    assert [number for page in walk(store) for number in page] == list(range(1, 31))
    assert len(singles) == 2
    store.close()


def models(size: int, *, prompts: bool = False, scope: NameScope | None = None) -> Query:
    return Query(
        entity=Entity.REGISTERED_MODEL,
        order_by=parse_order_by(("name ASC",), Entity.REGISTERED_MODEL),
        max_results=size,
        exclude_prompts=not prompts,
        scope=scope,
    )


@pytest.mark.parametrize(
    "scope",
    [None, NameScope(names=("a1", "b2")), NameScope(prefixes=("a",)), NameScope(globs=("*1",))],
    ids=["all", "names", "prefix", "glob"],
)
def test_models_are_counted_as_they_are_found(store: SqlStore, scope: NameScope | None) -> None:
    """Without reading them: their versions are in no statement for it."""
    for name in ("a1", "a2", "a3", "b1", "b2"):
        store.create_registered_model(NewRegisteredModel(name=name))
    prompt = {validation.PROMPT_TAG: "true"}
    store.create_registered_model(NewRegisteredModel(name="a-prompt", tags=prompt))
    for size in (1, 2, 3, 5, 6):
        for query in (models(size, scope=scope), models(size, prompts=True, scope=scope)):
            page = store.search_registered_models(query)
            found = len(page.items), page.next_page_token is not None
            assert count_of(store, query) == found
            dialect = store._database.driver.dialect
            assert "model_versions" not in searches.names_statement(query, dialect).text
