"""What reaches into psycopg and the SDK has a plain twin: some of the kit's tests on each.

All of them run on the twins with `nox -s twins`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import pytest

from registry_core.errors import InvalidArgumentError
from registry_core.inloop import WouldBlockError, calling
from registry_core.models import NewModelVersion, NewRegisteredModel
from registry_core.search import Entity, Query, paging, parse_order_by
from registry_core.store import Store
from registry_core.stores import s3, sql
from registry_core.stores.s3 import sdk_reads
from registry_core.stores.s3.sdk_reads import SdkReader
from registry_core.stores.sql import plain_session
from registry_core.stores.sql.plain_session import PlainSession
from registry_core.testing import ManualClock
from registry_core.testing.aliases import AliasTests
from registry_core.testing.paging import PageTests
from registry_core.testing.tags import TagSearchTests
from services.opened import open_sql_store
from services.selecting import Selecting


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores that are opened in a test use the twins."""
    monkeypatch.setenv(plain_session.SESSION_VARIABLE, "plain")
    monkeypatch.setenv(sdk_reads.READS_VARIABLE, "sdk")


class TestPlainPostgresqlStore(AliasTests, PageTests, TagSearchTests):
    @pytest.fixture
    def backend(self, plain: None, postgres_url: str, clock: ManualClock) -> Iterator[Store]:
        store = sql.open_store(postgres_url, clock=clock)
        with store._database.driver.connect().raw as raw:
            assert isinstance(store._database.driver._session(raw), PlainSession)
        yield store
        store.close()

    @pytest.fixture
    def reopen(self, postgres_url: str, clock: ManualClock) -> Callable[[], Store]:
        return functools.partial(sql.open_store, postgres_url, clock=clock)


class TestPlainS3Store(AliasTests, TagSearchTests):
    @pytest.fixture
    def backend(self, plain: None, s3_url: str, clock: ManualClock) -> Iterator[Store]:
        store = s3.open_store(s3_url, clock=clock)
        yield store
        store.close()

    @pytest.fixture
    def reopen(self, s3_url: str, clock: ManualClock) -> Callable[[], Store]:
        return functools.partial(s3.open_store, s3_url, clock=clock)


def test_a_page_ends_before_it_is_too_large(
    plain: None, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of its rows is not read, and the connection goes on."""
    monkeypatch.setattr(sql.results, "PAGE_MAX_BYTES", 100_000)
    store = open_sql_store(postgres_url, connections=1)
    store.create_registered_model(NewRegisteredModel(name="m"))
    for _ in range(50):
        store.create_model_version(NewModelVersion(name="m", source="s", description="x" * 9_000))
    query = Query(
        entity=Entity.MODEL_VERSION,
        order_by=parse_order_by(("version_number ASC",), Entity.MODEL_VERSION),
        max_results=paging.PAGE_MAX_BYTES,
    )
    for _ in range(3):
        assert 1 <= len(store.search_model_versions(query).items) < 20
        assert store.get_registered_model("m").name == "m"
    assert store._database._pool._open == 1
    store.close()


def test_an_event_loop_leaves_a_plain_session_to_threads(plain: None, postgres_url: str) -> None:
    """Psycopg's cursor waits with a lock; the store says so beforehand."""
    store = sql.open_store(postgres_url)
    assert store.loop_reads() is None
    calling(Selecting())
    try:
        with pytest.raises(WouldBlockError):
            store.ping()
        with pytest.raises(WouldBlockError):
            store.get_registered_model("m")
    finally:
        calling(None)
    store.close()


def test_the_environment_chooses(plain: None, s3_url: str) -> None:
    store = s3.open_store(s3_url)
    assert isinstance(store._prefix.objects._reader, SdkReader)
    store.close()


@pytest.mark.parametrize("choice", [plain_session, sdk_reads])
def test_what_there_is_not_cannot_be_chosen(choice) -> None:
    """A typing error is no reason to use either."""
    name = getattr(choice, "SESSION_VARIABLE", None) or choice.READS_VARIABLE
    assert not choice.is_chosen({})
    assert not choice.is_chosen({name: ""})
    with pytest.raises(InvalidArgumentError, match=name):
        choice.is_chosen({name: "fast"})
