"""A process may die before or after any request of any mutation: nothing is ever half done.

Enumerated, not sampled: a mutation of n requests is stopped at each of them, which is also just
after the one before, so that every state a crash can leave in the bucket is looked at.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from registry_core.models import NewRegisteredModel
from registry_core.stores.s3 import S3Store
from registry_core.testing import ManualClock
from registry_core.testing.calls import Calls
from registry_core.testing.observing import model_names, models_query
from services.forwarding import forward
from services.opened import memory_store
from services.opened import open_s3_store as open_store
from services.s3_crash import Crash, CrashError
from services.s3_mutations import MUTATIONS, Mutation, observe


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def reader(s3_url: str, clock: ManualClock) -> Iterator[S3Store]:
    """Another process, which goes on."""
    store = open_store(s3_url, clock=clock)
    yield store
    store.close()


@pytest.mark.usefixtures("found_out")
@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=list(MUTATIONS))
def test_a_crash_leaves_the_state_before_or_after(
    s3_url: str, reader: S3Store, clock: ManualClock, mutation: Mutation
) -> None:
    """At each request; seen by gets and by searches, before and after a repair."""
    for number in itertools.count():
        name = f"m{number:02}"
        before, after = _expected(mutation, name, clock)
        victim = open_store(s3_url, clock=clock)
        mutation.prepare(victim, name)
        victim._bucket.ready_to_write()
        victim.list_webhooks()
        Crash(victim, number)
        try:
            mutation.act(victim, name)
        except CrashError:
            pass
        else:
            break
        finally:
            victim.close()
        state = observe(reader, name)
        assert state in (before, after)
        _assert_repairable(reader, name, state)
    assert number == mutation.gets + mutation.puts + mutation.lists + mutation.deletes


def test_no_change_of_a_store_is_left_out(clock: ManualClock) -> None:
    """Whatever `Store` can do is in the table of mutations, or changes nothing."""
    called = set()

    class Watched:
        def __init__(self, inner: Calls) -> None:
            forward(self, inner, self._noting)

        def _noting(self, name: str, value: Callable[..., object]) -> Callable[..., object]:
            def call(*args: object, **kwargs: object) -> object:
                called.add(name)
                return value(*args, **kwargs)

            return call

    for mutation in MUTATIONS.values():
        store = memory_store(clock)
        mutation.prepare(store, "m")
        mutation.act(Watched(store), "m")
    methods = {name for name in dir(Calls) if not name.startswith("_")}
    harmless = {name for name in methods if name.startswith(("get_", "search_", "list_", "events"))}
    # A large model comes as one document, as a small one does: by the same requests.
    assert called - harmless == methods - harmless - {"apply", "ping", "close", "restore_large"}


def _expected(mutation: Mutation, name: str, clock: ManualClock) -> tuple[object, object]:
    reference = memory_store(clock)
    mutation.prepare(reference, name)
    before = observe(reference, name)
    mutation.act(reference, name)
    return before, observe(reference, name)


def _assert_repairable(reader: S3Store, name: str, state: object) -> None:
    listed = model_names(reader, models_query())
    reader.fsck(repair=True, grace_seconds=0)
    assert observe(reader, name) == state
    assert model_names(reader, models_query()) == listed
    assert reader.fsck(grace_seconds=0).findings == ()
    # And the names can be used as if nothing had happened.
    for missing in {name, f"{name}-new"}.difference(listed):
        reader.create_registered_model(NewRegisteredModel(name=missing))


@pytest.mark.usefixtures("found_out")
def test_a_crash_in_a_rename_leaves_every_name_usable(s3_url: str, reader: S3Store) -> None:
    """Without a repair: creating takes over what a dead renamer left, on either side."""
    for number in range(4):
        old, new = f"old{number}", f"new{number}"
        victim = open_store(s3_url)
        victim.create_registered_model(NewRegisteredModel(name=old, tags={"k": "first"}))
        Crash(victim, number)
        with pytest.raises(CrashError):
            victim.rename_registered_model(old, new_name=new)
        victim.close()
        survivor = {name for name in (old, new) if name in model_names(reader, models_query())}
        assert len(survivor) == 1
        (free,) = {old, new} - survivor
        created = reader.create_registered_model(
            NewRegisteredModel(name=free, tags={"k": "second"})
        )
        assert created.tags == {"k": "second"}
        assert reader.get_registered_model(*survivor).tags == {"k": "first"}
        assert {*survivor, free} <= set(model_names(reader, models_query()))
        assert reader.fsck(grace_seconds=0).findings == ()


def test_a_crash_while_a_bucket_is_tried_leaves_it_usable(s3_url: str) -> None:
    """The first use of a prefix, stopped at each of its requests; the next process goes on."""
    for number in itertools.count():
        victim = open_store(s3_url)
        Crash(victim, number)
        try:
            victim.create_registered_model(NewRegisteredModel(name="m"))
        except CrashError:
            pass
        else:
            break
        finally:
            victim.close()
    assert number >= 10, "trying a bucket takes about ten requests"
    survivor = open_store(s3_url)
    assert model_names(survivor, models_query()) == ["m"]
    survivor.fsck(repair=True, grace_seconds=0)
    assert survivor.fsck(grace_seconds=0).findings == ()
    survivor.close()
