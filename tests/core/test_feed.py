"""The feed of events: each once, in order, also what is committed late."""

from __future__ import annotations

import attrs
import pytest

from registry_core import Registry, feed
from registry_core.errors import InvalidArgumentError
from registry_core.feed import LATE_SECONDS, Feed
from registry_core.stores.memory import MemoryStore
from registry_core.testing import ManualClock


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def store(clock):
    return MemoryStore(clock)


@pytest.fixture
def registry(store):
    return Registry(store)


def places(events):
    return [(each.name, each.sequence) for each in events]


def test_feed_gives_each_event_once_from_now_on(registry, store, clock):
    """What was before is not new."""
    registry.create_registered_model("old")
    follower = Feed(store, clock=clock)
    registry.update_registered_model("old", description="d")
    registry.create_registered_model("a")
    assert sorted(places(follower.poll())) == [("a", 1), ("old", 2)]
    assert follower.poll() == []
    clock.advance(1)
    registry.update_registered_model("a", description="d")
    assert places(follower.poll()) == [("a", 2)]


def test_feed_begins_where_it_is_told_to(registry, store, clock):
    """At a moment, or where another one has ended; nothing is repeated and nothing left out."""
    registry.create_registered_model("a")
    moment = clock.advance(1000)
    registry.create_registered_model("b")
    first = Feed(store, since=moment, clock=clock)
    assert places(first.poll()) == [("b", 1)]
    registry.update_registered_model("a", description="d")
    second = Feed(store, cursor=first.cursor, clock=clock)
    assert places(second.poll()) == [("a", 2)]
    assert Feed(store, cursor=second.cursor, clock=clock).poll() == []


def test_feed_finds_what_is_committed_late(registry, store, clock, monkeypatch):
    """With a time before those of events that have been given already."""
    registry.create_registered_model("late")
    registry.create_registered_model("other")
    follower = Feed(store, clock=clock)
    before = clock()
    clock.advance(LATE_SECONDS * 1000 - 1)
    registry.update_registered_model("other", description="d")
    assert places(follower.poll()) == [("other", 2)]
    commit_with_time(registry, store, "late", before)
    assert follower.poll() == []  # Most looks do not go back so far.
    monkeypatch.setattr(feed, "THOROUGH_SECONDS", 0)
    assert places(follower.poll()) == [("late", 2)]
    assert follower.poll() == []


def test_feed_finds_what_is_too_late_with_the_next_event_of_its_model(registry, store, clock):
    """A number that is missing says that there is something."""
    registry.create_registered_model("late")
    registry.create_registered_model("other")
    follower = Feed(store, clock=clock)
    before = clock()
    clock.advance(10 * LATE_SECONDS * 1000)
    registry.update_registered_model("other", description="d")
    assert places(follower.poll()) == [("other", 2)]
    commit_with_time(registry, store, "late", before)
    assert follower.poll() == []
    registry.update_registered_model("late", description="e")
    assert places(follower.poll()) == [("late", 2), ("late", 3)]


def test_events_of_a_model_come_by_number_whatever_their_times(registry, store, clock):
    """A clock may have been set back between them."""
    registry.create_registered_model("m")
    follower = Feed(store, clock=clock)
    clock.advance(5000)
    registry.update_registered_model("m", description="d")
    commit_with_time(registry, store, "m", clock() - 3000)
    assert places(follower.poll()) == [("m", 2), ("m", 3)]


@pytest.mark.parametrize("cursor", ["x", "[1]", '["feed", 0, 1, [1]]'])
def test_what_is_no_cursor_is_refused(store, cursor):
    with pytest.raises(InvalidArgumentError):
        Feed(store, cursor=cursor)


def commit_with_time(registry, store, name, moment):
    """An event whose time was taken long before it was committed."""
    registry.update_registered_model(name, description=f"at {moment}")
    events = store._content.events[store._content.models[name].model_id]
    events[-1] = attrs.evolve(events[-1], time=moment)
