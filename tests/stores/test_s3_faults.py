"""Whatever happens to one request or its reply, an operation is carried out exactly once.

Each fault is injected, by a proxy in front of the real server, at each request of the mutations
that differ in how they commit; the others differ only in the pure function in between.
"""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterator

import pytest

from registry_core.errors import (
    AlreadyExistsError,
    ContentionError,
    RegisteredModelNotFoundError,
    StoreBusyError,
    StoreUnavailableError,
)
from registry_core.models import NewModelVersion, NewRegisteredModel, NewWebhook
from registry_core.store import Store
from registry_core.stores.s3 import S3Store, blobs, journal, retry
from registry_core.testing import ManualClock
from registry_core.testing.observing import model_names, models_query
from services.opened import memory_store
from services.opened import open_s3_store as open_store
from services.s3 import S3Server, store_url
from services.s3_mutations import Mutation, observe
from services.s3_proxy import CONDITIONAL_ONLY, PASSING, Fault, Request, S3Proxy

LARGE = "large" * 1_000
"""A text that lies beside its document."""


def _model(store: Store, name: str) -> None:
    store.create_registered_model(NewRegisteredModel(name=name))


def _gone(store: Store, name: str) -> None:
    # The name that will be created was renamed away, so that creating it finishes that first.
    _model(store, f"{name}-new")
    store.rename_registered_model(f"{name}-new", new_name=f"{name}-old")


def _both(store: Store, name: str) -> None:
    _gone(store, name)
    _model(store, name)


def _webhook(store: Store, name: str) -> None:
    store.create_webhook(NewWebhook(webhook_id=name, name="h", url="u", events=()))


COMMITS: dict[str, Mutation] = {
    "create": Mutation(
        lambda s, n: s.create_registered_model(NewRegisteredModel(name=n, description=LARGE)),
        gets=0,
        puts=2,
        prepare=lambda s, n: None,
    ),
    "create where one left": Mutation(
        lambda s, n: s.create_registered_model(NewRegisteredModel(name=f"{n}-new")),
        gets=1,
        puts=1,
        prepare=_gone,
    ),
    "change": Mutation(
        lambda s, n: s.create_model_version(NewModelVersion(name=n, source="s3://b/1")),
        gets=0,
        puts=1,
        prepare=_model,
    ),
    "rename": Mutation(
        lambda s, n: s.rename_registered_model(n, new_name=f"{n}-new"),
        gets=2,
        puts=3,
        prepare=_both,
    ),
    "delete": Mutation(lambda s, n: s.delete_registered_model(n), gets=0, puts=1, prepare=_model),
    "delete webhook": Mutation(lambda s, n: s.delete_webhook(n), gets=1, puts=1, prepare=_webhook),
}
"""A mutation for each way of committing, on as little as it needs."""


class OneFault:
    """A plan: the nth request from `arm` on meets a fault."""

    def __init__(self) -> None:
        self._fault: Fault | None = None
        self._left = -1
        self.met: Request | None = None

    def arm(self, number: int, fault: Fault) -> None:
        self._fault, self._left, self.met = fault, number, None

    def __call__(self, request: Request) -> Fault | None:
        self._left -= 1
        if self._left != -1:
            return None
        self.met = request
        if self._fault in CONDITIONAL_ONLY and not request.is_conditional_write:
            return None
        return self._fault


@pytest.fixture(scope="module")
def proxy(s3_server: S3Server) -> Iterator[S3Proxy]:
    with S3Proxy(s3_server.endpoint_url, OneFault()).running() as proxy:
        yield proxy


@pytest.fixture
def plan(proxy: S3Proxy) -> OneFault:
    proxy.plan = OneFault()
    return proxy.plan


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(proxy: S3Proxy, plan: OneFault, s3_prefix: str, clock: ManualClock) -> Iterator[S3Store]:
    """A store behind the proxy, which has been used already."""
    store = open_store(store_url(proxy.endpoint_url, s3_prefix), clock=clock)
    store._bucket.ready_to_write()
    yield store
    store.close()


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("mutation", COMMITS.values(), ids=list(COMMITS))
def test_a_fault_at_any_request_changes_nothing_for_the_caller(
    proxy: S3Proxy, store: S3Store, clock: ManualClock, mutation: Mutation, fault: Fault
) -> None:
    """The call succeeds, has happened once, and gives what it gives without the fault."""
    plan = proxy.plan
    for number in itertools.count():
        model = f"m{number:02}"
        reference = memory_store(clock)
        mutation.prepare(reference, model)
        expected = mutation.act(reference, model)
        mutation.prepare(store, model)
        plan.arm(number, fault)
        assert mutation.act(store, model) == expected
        if plan.met is None:
            break
        proxy.await_late()
        assert observe(store, model) == observe(reference, model)
    assert number >= mutation.puts + mutation.gets


@pytest.mark.parametrize("fault", [f for f in PASSING if f not in CONDITIONAL_ONLY])
def test_a_fault_while_reading_changes_nothing_for_the_caller(
    proxy: S3Proxy, plan: OneFault, store: S3Store, s3_prefix: str, fault: Fault
) -> None:
    """A process that has seen nothing yet, so that every reply has a body: get, list and text."""
    expected = store.create_registered_model(NewRegisteredModel(name="m", description=LARGE))
    for number in range(2):
        reader = open_store(store_url(proxy.endpoint_url, s3_prefix))
        reader.list_webhooks()
        plan.arm(number, fault)
        assert reader.get_registered_model("m") == expected
        assert plan.met is not None
        reader.close()
    for number in range(3):
        reader = open_store(store_url(proxy.endpoint_url, s3_prefix))
        reader.list_webhooks()
        plan.arm(number, fault)
        assert reader.search_registered_models(models_query()).items == [expected]
        assert plan.met is not None
        reader.close()


@pytest.mark.parametrize("fault", [Fault.DROP_REPLY, Fault.FAILED_CONDITION])
def test_a_fault_while_the_bucket_is_tried_does_not_condemn_it(
    proxy: S3Proxy, plan: OneFault, s3_prefix: str, fault: Fault
) -> None:
    """A trial whose reply was lost seems to fail; it is made again."""
    for number in itertools.count():
        store = open_store(store_url(proxy.endpoint_url, f"{s3_prefix}/{number}"))
        plan.arm(number, fault)
        assert store.create_registered_model(NewRegisteredModel(name="m")).name == "m"
        store.close()
        if plan.met is None:
            break
    assert number >= 10


@pytest.mark.parametrize("fault", [Fault.DROP_REPLY, Fault.ERROR_500_DONE, Fault.LATE])
def test_a_write_is_recognised_although_others_wrote_since(
    *,
    s3_server: S3Server,
    proxy: S3Proxy,
    store: S3Store,
    s3_prefix: str,
    clock: ManualClock,
    fault: Fault,
) -> None:
    """The journal tells a version created once from one to be created again."""
    store.create_registered_model(NewRegisteredModel(name="m"))
    # Not behind the proxy.
    other = open_store(store_url(s3_server.endpoint_url, s3_prefix), clock=clock)
    lost = []

    def others_write_before_the_look_back(request: Request) -> Fault | None:
        if not lost:
            lost.append(request)
            return fault
        proxy.plan = lambda _: None
        proxy.await_late()
        for number in range(10):
            other.set_registered_model_tag("m", "k", str(number))
        return None

    proxy.plan = others_write_before_the_look_back
    created = store.create_model_version(NewModelVersion(name="m", source="s3://b/1"))
    assert created.version == 1
    assert [v.version for v in store.get_registered_model("m").latest_versions] == [1]
    assert store.get_registered_model("m").tags == {"k": "9"}
    assert store.create_model_version(NewModelVersion(name="m", source="s3://b/2")).version == 2
    other.close()


def test_a_server_that_is_away_is_unavailable_and_then_back(
    proxy: S3Proxy, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error comes soon, and the same store works again by itself."""
    monkeypatch.setattr(retry, "REQUEST_SECONDS", 0.3)
    store.create_registered_model(NewRegisteredModel(name="m"))
    proxy.plan = lambda _: Fault.DROP_REQUEST
    started = time.monotonic()
    for call in (
        lambda: store.get_registered_model("m"),
        store.ping,
        lambda: model_names(store, models_query()),
        # It has to look first, and so has done nothing.
        lambda: store.rename_registered_model("m", new_name="n"),
    ):
        with pytest.raises(StoreBusyError, match="does not answer"):
            call()
    assert time.monotonic() - started < 60
    proxy.plan = lambda _: None
    assert model_names(store, models_query()) == ["m"]
    store.ping()


def test_asking_again_whether_the_store_is_ready_moves_no_bytes(
    proxy: S3Proxy, store: S3Store
) -> None:
    """So that it is answered while a server that has the marker's bytes hangs."""
    store.create_registered_model(NewRegisteredModel(name="m"))
    store.ping()
    conditions: list[str | None] = []

    def note(request: Request) -> None:
        conditions.append(request.headers.get("if-none-match"))

    proxy.plan = note
    store.ping()
    assert len(conditions) == 1
    assert conditions[0] is not None


def test_a_port_that_nobody_listens_at_is_unavailable_within_seconds(
    s3_server: S3Server,
) -> None:
    """With the limits as they are."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and never listens
        port = taken.getsockname()[1]
        store = open_store(store_url(f"http://127.0.0.1:{port}", "p"))
        _assert_unavailable_soon(store)
    store.close()


def _assert_unavailable_soon(store: S3Store) -> None:
    for call in (
        lambda: store.get_registered_model("m"),
        lambda: store.create_registered_model(NewRegisteredModel(name="m")),
    ):
        started = time.monotonic()
        with pytest.raises(StoreBusyError):
            call()
        assert time.monotonic() - started < 30


def test_a_write_whose_outcome_stays_unknown_says_so(
    proxy: S3Proxy, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have happened: the error must not claim that it did not."""
    monkeypatch.setattr(retry, "REQUEST_SECONDS", 0.2)
    store.create_registered_model(NewRegisteredModel(name="m"))
    lost = []

    def away_after_the_put(request: Request) -> Fault | None:
        if request.method == "PUT" and not lost:
            lost.append(request)
            return Fault.DROP_REPLY
        return Fault.DROP_REQUEST if lost else None

    proxy.plan = away_after_the_put
    with pytest.raises(StoreUnavailableError, match="whether it was made is unknown") as raised:
        store.set_registered_model_tag("m", "k", "v")
    assert not isinstance(raised.value, StoreBusyError)
    proxy.plan = lambda _: None
    assert store.get_registered_model("m").tags == {"k": "v"}


def test_a_write_that_was_made_and_cannot_be_read_again_does_not_deny_it(
    proxy: S3Proxy, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer needs a large text from the bucket, which is away by then."""
    monkeypatch.setattr(retry, "REQUEST_SECONDS", 0.2)
    store.create_registered_model(NewRegisteredModel(name="m", tags={"long": LARGE}))
    # As another process, which does not remember the text.
    monkeypatch.setattr(store._values, "_cache", blobs._Cache(0))
    proxy.plan = lambda request: Fault.DROP_REQUEST if "/values/" in request.target else None
    with pytest.raises(StoreUnavailableError, match="The change was made") as raised:
        store.update_registered_model("m", description="d")
    assert not isinstance(raised.value, StoreBusyError)
    proxy.plan = lambda _: None
    assert store.get_registered_model("m").description == "d"


def test_a_race_that_is_always_lost_is_contention(
    proxy: S3Proxy, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while, with nothing written."""
    monkeypatch.setattr(journal, "RACE_SECONDS", 0.2)
    store.create_registered_model(NewRegisteredModel(name="m"))
    proxy.plan = lambda request: Fault.FAILED_CONDITION if request.is_conditional_write else None
    with pytest.raises(ContentionError, match="nothing was written"):
        store.set_registered_model_tag("m", "k", "v")
    proxy.plan = lambda _: None
    assert store.get_registered_model("m").tags == {}


def test_a_create_whose_reply_was_lost_does_not_find_itself(
    proxy: S3Proxy, plan: OneFault, store: S3Store
) -> None:
    """The model is there because this very call made it; a second call is refused."""
    plan.arm(0, Fault.DROP_REPLY)
    assert store.create_registered_model(NewRegisteredModel(name="m")).name == "m"
    with pytest.raises(AlreadyExistsError):
        store.create_registered_model(NewRegisteredModel(name="m"))


@pytest.mark.parametrize("fault", [Fault.DROP_REPLY, Fault.ERROR_500_DONE])
def test_of_two_deleters_one_deletes(
    proxy: S3Proxy, plan: OneFault, store: S3Store, s3_prefix: str, fault: Fault
) -> None:
    """Even if the one who did it was not told, and the other one came right after."""
    store.create_registered_model(NewRegisteredModel(name="m"))
    plan.arm(0, fault)
    store.delete_registered_model("m")
    other = open_store(store_url(proxy.endpoint_url, s3_prefix))
    with pytest.raises(RegisteredModelNotFoundError):
        other.delete_registered_model("m")
    other.close()
