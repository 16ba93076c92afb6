"""In a bucket, what is old is told from what is lost, whatever happens to the reply of a write."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator

import attrs
import pytest

from registry_core.errors import AlreadyExistsError, ConflictError, StoreUnavailableError
from registry_core.models import NewModelVersion, NewRegisteredModel
from registry_core.store import Store
from registry_core.stores.s3 import S3Store, retry
from registry_core.stores.s3.record import JOURNAL_MIN_ENTRIES
from registry_core.testing import ManualClock
from registry_core.testing.ages import DAY, HOUR
from registry_core.testing.observing import model_names, models_query, plain
from registry_core.testing.racing import attempt
from services.opened import memory_store
from services.opened import open_s3_store as open_store
from services.s3 import S3Server, store_url
from services.s3_mutations import observe
from services.s3_proxy import CONDITIONAL_ONLY, Fault, Request, S3Proxy

MANY = JOURNAL_MIN_ENTRIES + 1
"""Changes of a model, more than a journal keeps of what is old."""


def _create(store: Store, name: str = "m") -> object:
    return store.create_registered_model(NewRegisteredModel(name=name))


def _use(store: Store, clock: ManualClock, name: str = "m") -> None:
    """A model with a history."""
    _create(store, name)
    for number in range(MANY):
        clock.advance(HOUR)
        store.set_registered_model_tag(name, "k", str(number))


@attrs.frozen
class Case:
    """A write onto a key that has a history, by a process that has not seen it."""

    prepare: Callable[[Store, ManualClock, str], object]
    act: Callable[[Store, str], object]


def _used_and_deleted(store: Store, clock: ManualClock, name: str) -> None:
    _use(store, clock, name)
    store.delete_registered_model(name)


def _used_and_renamed(store: Store, clock: ManualClock, name: str) -> None:
    _use(store, clock, name)
    store.rename_registered_model(name, new_name=f"{name}-new")


def _both_used(store: Store, clock: ManualClock, name: str) -> None:
    _create(store, name)
    _use(store, clock, f"{name}-new")


def _other_deleted(store: Store, clock: ManualClock, name: str) -> None:
    _both_used(store, clock, name)
    store.delete_registered_model(f"{name}-new")


CASES = {
    "create what exists": Case(_use, _create),
    "create what was deleted": Case(_used_and_deleted, _create),
    "create what was renamed away": Case(_used_and_renamed, _create),
    "rename onto what exists": Case(
        _both_used, lambda s, n: s.rename_registered_model(n, new_name=f"{n}-new")
    ),
    "rename onto what was deleted": Case(
        _other_deleted, lambda s, n: s.rename_registered_model(n, new_name=f"{n}-new")
    ),
    "rename back": Case(
        _used_and_renamed, lambda s, n: s.rename_registered_model(f"{n}-new", new_name=n)
    ),
    "change": Case(
        _use, lambda s, n: s.create_model_version(NewModelVersion(name=n, source="s3://b/1"))
    ),
}


class Plan:
    """The nth request from `arm` on meets a fault."""

    def __init__(self, number: int = -1, fault: Fault | None = None) -> None:
        self._number = number
        self._fault = fault
        self.over = False

    def __call__(self, request: Request) -> Fault | None:
        self._number -= 1
        if self._number != -1:
            return None
        self.over = True
        unfit = self._fault in CONDITIONAL_ONLY and not request.is_conditional_write
        return None if unfit else self._fault


@pytest.fixture(scope="module")
def proxy(s3_server: S3Server) -> Iterator[S3Proxy]:
    with S3Proxy(s3_server.endpoint_url).running() as proxy:
        yield proxy


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def opened(
    proxy: S3Proxy, s3_server: S3Server, s3_prefix: str, clock: ManualClock
) -> Iterator[Callable[..., S3Store]]:
    """Opens a process of its own, behind the proxy or not."""
    proxy.plan = lambda _: None
    stores = []

    def opened(*, behind: bool = False, clock: ManualClock = clock) -> S3Store:
        endpoint = proxy.endpoint_url if behind else s3_server.endpoint_url
        store = open_store(store_url(endpoint, s3_prefix), clock=clock)
        store._bucket.ready_to_write()
        stores.append(store)
        return store

    yield opened
    for store in stores:
        store.close()


@pytest.mark.parametrize("fault", [Fault.DROP_REPLY, Fault.FAILED_CONDITION_DONE])
@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_a_fault_on_an_old_document_changes_nothing_for_the_caller(
    proxy: S3Proxy, opened: Callable[..., S3Store], clock: ManualClock, case: Case, fault: Fault
) -> None:
    """At each request of a process that sees the key for the first time."""
    other = opened()
    for number in itertools.count():
        name, now, reference = f"m{number:02}", clock.now, memory_store(clock)
        case.prepare(reference, clock, name)
        clock.now = now
        case.prepare(other, clock, name)
        clock.advance(DAY)
        expected = attempt(functools.partial(case.act, reference, name))
        store = opened(behind=True)
        plan = proxy.plan = Plan(number, fault)
        outcome = attempt(functools.partial(case.act, store, name))
        proxy.plan = lambda _: None
        assert str(outcome.error) == str(expected.error)
        assert plain(outcome.value) == plain(expected.value)
        assert observe(other, name) == observe(reference, name)
        if not plan.over:
            break
    assert number > 0


@pytest.fixture
def used_ahead(opened: Callable[..., S3Store], clock: ManualClock) -> None:
    """A model that a machine has changed whose clock is wrong by hours."""
    ahead = ManualClock(clock.now)
    _use(opened(clock=ahead), ahead)


def test_a_refused_write_is_no_lost_one_though_another_clock_is_ahead(
    used_ahead: None, opened: Callable[..., S3Store]
) -> None:
    """The journal cannot tell, but the answer does."""
    with pytest.raises(AlreadyExistsError):
        _create(opened())


def test_only_a_write_without_an_answer_can_be_unknown(
    used_ahead: None, proxy: S3Proxy, opened: Callable[..., S3Store]
) -> None:
    """Where another clock is ahead, so that the journal cannot tell either: nothing is guessed."""
    store = opened(behind=True)
    proxy.plan = lambda request: Fault.DROP_REPLY if request.is_write else None
    with pytest.raises(StoreUnavailableError, match="was not answered, and too many others"):
        _create(store)


def test_what_was_not_made_does_not_stay_in_doubt(
    proxy: S3Proxy,
    opened: Callable[..., S3Store],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once the key has changed, a copy that got lost on the way is void: nothing was written."""
    monkeypatch.setattr(retry, "REQUEST_SECONDS", 0.3)
    store, other = opened(behind=True), opened()
    _create(store)
    writes = []

    def plan(request: Request) -> Fault | None:
        if request.is_write:
            writes.append(request)
            return Fault.DROP_REQUEST if len(writes) == 1 else Fault.FAILED_CONDITION
        if len(writes) == 1:
            other.set_registered_model_tag("m", "k", "other")
            return None
        return Fault.DROP_REQUEST

    proxy.plan = plan
    with pytest.raises(StoreUnavailableError, match="does not answer"):
        store.set_registered_model_tag("m", "k", "mine")
    proxy.plan = lambda _: None
    assert other.get_registered_model("m").tags == {"k": "other"}


def test_a_trail_of_renames_is_followed_though_clocks_differ(
    opened: Callable[..., S3Store], clock: ManualClock
) -> None:
    """The journals say where a model went next; the times in ids are those of two machines."""
    behind = opened(clock=ManualClock(clock.now - DAY))
    ahead = opened()
    _create(ahead, "a")
    ahead.rename_registered_model("a", new_name="b")
    behind.rename_registered_model("b", new_name="c")
    ahead.delete_registered_model("c")
    _create(behind, "other")
    reader, sent = opened(), []
    reader.observe(lambda operation, key: sent.append(operation))
    assert model_names(reader, models_query()) == ["other"]
    assert sent.count("list") == 1


def test_a_conflict_is_no_sign_of_age(
    proxy: S3Proxy, opened: Callable[..., S3Store], clock: ManualClock
) -> None:
    """A race that is always lost stays a conflict, with nothing written, on an old document too."""
    store = opened(behind=True)
    _use(store, clock)
    clock.advance(DAY)
    late = opened(behind=True)
    proxy.plan = lambda request: Fault.CONFLICT if request.is_conditional_write else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("registry_core.stores.s3.journal.RACE_SECONDS", 0.2)
        with pytest.raises(ConflictError, match="nothing was written"):
            late.set_registered_model_tag("m", "k", "v")
