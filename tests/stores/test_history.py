"""Every store keeps the same history: generated changes, and every way to ask for their events."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry_core import histories, trash
from registry_core.authors import Author, Origin
from registry_core.changes import (
    Change,
    CreateModel,
    CreateVersion,
    DeleteAlias,
    DeleteModel,
    DeleteModelTag,
    DeleteVersion,
    DeleteVersionTag,
    FinalizeVersion,
    RelocateVersion,
    RenameModel,
    SetAlias,
    SetModelTag,
    SetVersionTag,
    TransitionVersion,
    UpdateModel,
    UpdateVersion,
)
from registry_core.documents import ModelDocument
from registry_core.errors import (
    InvalidArgumentError,
    RegistryError,
    StaleValueError,
)
from registry_core.history import Action, Event, EventQuery, new_model_id, place_of
from registry_core.models import (
    NewModelVersion,
    NewRegisteredModel,
    RegisteredModel,
    Stage,
    Status,
)
from registry_core.replay import Player, differences, replay
from registry_core.requirements import AliasIs, FilesAreAt, StageIs, TagIs
from registry_core.store import Store
from registry_core.stores import s3, sql
from registry_core.stores.memory import MemoryStore
from registry_core.stores.s3 import S3Store, event_log, event_pages
from registry_core.stores.sql.compiling import Statement
from registry_core.stores.sql.tables import metadata
from registry_core.testing import ManualClock
from registry_core.testing.clocks import START
from services.examples import examples
from services.stores import store_url

LARGE = "Grüße\n" * 1_000
"""A text that a bucket keeps beside its document."""

NAMES, KEYS, ALIASES = ("a", "b", "c"), ("k", "l"), ("champion", "x")
TEXTS = ("", "v", "w", LARGE, f"{LARGE}2")
AUTHORS = (
    Author(actor="ann"),
    Author(actor="bob", origin=Origin.HTTP, is_authenticated=True, reason="better recall"),
)

names, keys, aliases = map(st.sampled_from, (NAMES, KEYS, ALIASES))
texts, optional_texts = st.sampled_from(TEXTS), st.sampled_from((None, *TEXTS))
numbers = st.integers(1, 3)
versions_of_tags = st.dictionaries(keys, texts, max_size=2)


class Pair:
    """A store and the reference, which are given the same calls at the same moment."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store, self.clock = store, clock
        self.reference = MemoryStore(clock)
        self.recorded: dict[tuple[str, int], ModelDocument] = {}

    def apply(self, change: Change[Any], by: Author = AUTHORS[0]) -> None:
        """Make the change on both; their outcomes are the same."""
        expected, found = (
            outcome(lambda store=store: store.apply(change, by=by))
            for store in (self.reference, self.store)
        )
        assert found == expected
        content = self.reference._content
        for document in content.models.values():
            key = (document.model_id, len(content.events[document.model_id]))
            self.recorded.setdefault(key, document)

    def restore(self) -> None:
        """Bring back what was deleted last, of the reference, under a name that may be taken."""
        for gone in trash.deleted_models(self.reference)[:1]:
            self.apply(trash.restoring_model(self.reference, gone.name, clock=self.clock))
        for name in self.reference._content.models:
            for version in trash.deleted_versions(self.reference, name)[:1]:
                change = trash.restoring_version(
                    self.reference, name, version.version, clock=self.clock
                )
                self.apply(change)
                return

    def check(self, query: EventQuery) -> None:
        """Go through all pages of a query on both; the events are the same."""
        expected, found = (
            outcome(lambda store=store: walk(store, query))
            for store in (self.reference, self.store)
        )
        assert found == expected

    def verify(self, name: str) -> None:
        """Play the events of a model back, if there is one; they lead to what both stores have."""
        if name in self.reference._content.models:
            verified = histories.verify(self.store, name)
            assert (verified.problems, verified.unchecked) == ((), 0)
            events = walk(self.store, EventQuery(name=name, newest_first=False, max_results=1_000))
            document, replayed = self.reference._content.models[name], replay(events)
            assert [*differences(replayed, document)] == []
            assert replayed is not None
            assert replayed.next_version == document.next_version
            self.play_to_every_number(events)

    def play_to_every_number(self, events: Sequence[Event]) -> None:
        """Whatever was there after an event is what the events up to it lead to."""
        player = Player()
        for event in events:
            player.play(event)
            then = self.recorded.get((event.model_id, event.sequence))
            if then is not None:  # The last event of a change.
                assert [*differences(player.document, then)] == []

    def clear(self) -> None:
        """Empty both behind their backs, so that one store serves many examples, each as fast."""
        self.reference = MemoryStore(self.clock)
        self.recorded.clear()
        if isinstance(self.store, S3Store):
            empty_bucket(self.store)
        else:
            assert isinstance(self.store, sql.SqlStore)
            for table in reversed(metadata.sorted_tables):
                self.store._database.write(Statement(f"DELETE FROM {table.name}", ()), {})


def empty_bucket(store: S3Store) -> None:
    """Remove all that a store has in a bucket but its mark."""
    prefix = store._prefix
    for part in (prefix.layout.models, prefix.layout.events, prefix.layout.values):
        keys = [each.key for each in prefix.objects.list_all(part)]
        list(prefix.pool.map(prefix.objects.delete, keys))
        for key in keys:
            prefix.journal.forget(key)


def outcome(call: Callable[[], Any]) -> Any:
    """What a call gives or raises, to be compared."""
    try:
        return call()
    except StaleValueError as error:
        return type(error), str(error), error.current
    except RegistryError as error:
        return type(error), str(error)


def walk(store: Store, query: EventQuery) -> list[Event]:
    """All events of a query, page by page; no page but the last is short."""
    walked: list[Event] = []
    while True:
        page = store.events(query)
        walked.extend(page)
        if len(page) < query.max_results:
            return walked
        query = _after(query, page[-1])


def _after(query: EventQuery, event: Event) -> EventQuery:
    return EventQuery(
        name=query.name,
        alias=query.alias,
        version=query.version,
        actions=query.actions,
        since=query.since,
        until=query.until,
        newest_first=query.newest_first,
        max_results=query.max_results,
        after=place_of(event),
    )


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "s3"])
def kind(request: pytest.FixtureRequest) -> str:
    """Of the store."""
    return request.param


@pytest.fixture(scope="module")
def opened(kind: str, request: pytest.FixtureRequest) -> Iterator[tuple[Store, ManualClock]]:
    clock = ManualClock()
    with store_url(kind, request) as url:
        open_store = s3.open_store if kind == "s3" else sql.open_store
        store = open_store(url, clock=clock)
        yield store, clock
        store.close()


@pytest.fixture
def pair(opened: tuple[Store, ManualClock]) -> Pair:
    made = Pair(*opened)
    made.clear()
    return made


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket moves events out early, so that short histories have chunks."""
    monkeypatch.setattr(event_log, "INLINE_MAX_EVENTS", 6)
    monkeypatch.setattr(event_pages, "LISTED_CHUNKS", 2)
    for module in (event_log, event_pages):
        monkeypatch.setattr(module, "CHUNK_EVENTS", 3)


@st.composite
def changes(draw: st.DrawFn) -> Change[Any]:
    """A change of a model that is there, or is not."""
    # The kind first: what the others would be is not drawn.
    return draw(st.sampled_from(KINDS))(draw, draw(names))


def _relocation(draw: st.DrawFn, name: str) -> Change[Any]:
    number = draw(numbers)
    here = FilesAreAt(name=name, version=number, uri="s3://b/1")
    return RelocateVersion(
        name=name,
        version=number,
        source=draw(st.sampled_from(["s3://b/1", "s3://b/2"])),
        storage_location=draw(st.none() | st.just("s3://b/3")),
        tags=draw(versions_of_tags),
        requires=draw(st.sampled_from([(), (here,)])),
    )


def _promotion(draw: st.DrawFn, name: str) -> Change[Any]:
    number = draw(numbers)
    return TransitionVersion(
        name=name,
        version=number,
        stage=Stage.PRODUCTION,
        archive_existing_versions=True,
        requires=(StageIs(name=name, version=number, stage="None"),),
    )


def _expected_tag(draw: st.DrawFn, name: str) -> Change[Any]:
    key = draw(keys)
    requires = (TagIs(name=name, key=key, value=draw(optional_texts)),)
    return SetModelTag(name=name, key=key, value=draw(texts), requires=requires)


def _new_version(draw: st.DrawFn, name: str) -> Change[Any]:
    return CreateVersion(
        NewModelVersion(
            name=name,
            source=draw(st.sampled_from(["s3://b/1", ""])),
            run_id=draw(st.none() | st.just("run")),
            status=draw(st.sampled_from([Status.READY, Status.PENDING_REGISTRATION])),
            description=draw(optional_texts),
            tags=draw(versions_of_tags),
        )
    )


KINDS: Sequence[Callable[[st.DrawFn, str], Change[Any]]] = (
    lambda draw, name: CreateModel(
        NewRegisteredModel(name=name, description=draw(texts), tags=draw(versions_of_tags)),
        model_id=new_model_id(),
    ),
    lambda draw, name: UpdateModel(name=name, description=draw(optional_texts)),
    lambda draw, name: RenameModel(name=name, new_name=draw(names)),
    lambda _, name: DeleteModel(name=name),
    _new_version,
    _new_version,
    lambda draw, name: UpdateVersion(
        name=name, version=draw(numbers), description=draw(optional_texts)
    ),
    lambda draw, name: FinalizeVersion(
        name=name,
        version=draw(numbers),
        status=draw(st.sampled_from([Status.READY, Status.FAILED_REGISTRATION])),
        status_message=draw(optional_texts),
    ),
    _relocation,
    lambda draw, name: TransitionVersion(
        name=name,
        version=draw(numbers),
        stage=draw(st.sampled_from(Stage)),
        archive_existing_versions=draw(st.booleans()),
    ),
    _promotion,
    lambda draw, name: DeleteVersion(name=name, version=draw(numbers)),
    lambda draw, name: SetAlias(name=name, alias=draw(aliases), version=draw(numbers)),
    lambda draw, name: SetAlias(
        name=name,
        alias="champion",
        version=draw(numbers),
        requires=(AliasIs(name=name, alias="champion", version=draw(numbers)),),
    ),
    lambda draw, name: DeleteAlias(name=name, alias=draw(aliases)),
    lambda draw, name: SetModelTag(name=name, key=draw(keys), value=draw(texts)),
    _expected_tag,
    lambda draw, name: DeleteModelTag(name=name, key=draw(keys)),
    lambda draw, name: SetVersionTag(
        name=name, version=draw(numbers), key=draw(keys), value=draw(texts)
    ),
    lambda draw, name: DeleteVersionTag(name=name, version=draw(numbers), key=draw(keys)),
)
"""Every kind of change, of a model of that name."""


@st.composite
def queries(draw: st.DrawFn, start: int, end: int) -> EventQuery:
    """Any events of a time."""
    times = st.none() | st.integers(start - 1, end + 1)
    return EventQuery(
        name=draw(st.none() | names),
        alias=draw(st.none() | aliases),
        version=draw(st.none() | numbers | st.sampled_from([0, 2**64])),
        actions=draw(st.frozensets(st.sampled_from(Action), max_size=4)),
        since=draw(times),
        until=draw(times),
        newest_first=draw(st.booleans()),
        max_results=draw(st.integers(1, 8)),
    )


HISTORIES = int(os.environ.get("REGISTRY_TEST_HISTORIES", "10000"))
"""Histories that the long form compares on each store: 10,000, unless somebody has less time."""

CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


IN_THE_GATE = {"sqlite": 20, "postgresql": 8, "s3": 4}
"""How many histories the gate generates, by the kind of store: in a bucket one takes a second."""


@pytest.mark.hypothesis
@pytest.mark.usefixtures("small_chunks")
def test_generated_changes_leave_the_same_events(kind: str, pair: Pair) -> None:
    """Renames, deletions, archived stages, sets that change nothing, a clock that is set back."""

    @given(data=st.data())
    @settings(max_examples=examples(25, gate=IN_THE_GATE[kind]), suppress_health_check=CHECKS)
    def check(data: st.DataObject) -> None:
        generated(pair, data)

    check()


@pytest.mark.long
@pytest.mark.usefixtures("small_chunks")
@given(data=st.data())
@settings(max_examples=HISTORIES, suppress_health_check=CHECKS)
def test_ten_thousand_generated_histories_are_the_same(pair: Pair, data: st.DataObject) -> None:
    """As above, of each store."""
    generated(pair, data)


def generated(pair: Pair, data: st.DataObject) -> None:
    """Generate a history, and compare it with the reference in every way."""
    pair.clear()
    pair.clock.now = START
    start = end = pair.clock()
    for name in NAMES[:2]:
        pair.apply(CreateModel(NewRegisteredModel(name=name)))
        pair.apply(CreateVersion(NewModelVersion(name=name, source="s3://b/1")))
    for change in data.draw(st.lists(changes(), min_size=5, max_size=40)):
        pair.clock.advance(data.draw(st.sampled_from([0, 1, 2, 5, -3])))
        start, end = min(start, pair.clock()), max(end, pair.clock())
        pair.apply(change, data.draw(st.sampled_from(AUTHORS)))
        if data.draw(st.integers(0, 3)) == 0:
            pair.restore()
    for name, newest_first in itertools.product((None, *NAMES), (True, False)):
        pair.check(EventQuery(name=name, newest_first=newest_first, max_results=7))
    for query in data.draw(st.lists(queries(start, end), min_size=4, max_size=8)):
        pair.check(query)
    for name in NAMES:
        pair.verify(name)


def test_tags_of_files_that_move_have_events_of_their_own(pair: Pair) -> None:
    """Also where they were so already, and are too large for a document."""
    pair.apply(CreateModel(NewRegisteredModel(name="a")))
    pair.apply(CreateVersion(NewModelVersion(name="a", source="s3://b/1")))
    for source in ("s3://b/2", "s3://b/3", "s3://b/3"):
        tags = {"small": "s", "large": LARGE}
        pair.apply(RelocateVersion(name="a", version=1, source=source, tags=tags))
    pair.check(EventQuery(name="a"))
    pair.verify("a")


def test_things_that_are_called_much_alike_have_pasts_of_their_own(pair: Pair) -> None:
    """Keys with what separates kind, key and version where a database keeps all three as one text."""
    alike = ("k", "k 1", "k 1 1", "k/l", "k/tag:k 1", "/tag:k 1", "tag:k", "version:1/tag:k")
    pair.apply(CreateModel(NewRegisteredModel(name="a")))
    for _ in range(11):
        pair.apply(CreateVersion(NewModelVersion(name="a", source="s3://b/1")))
    for value in ("old", "new"):
        for key in alike:
            pair.apply(SetModelTag(name="a", key=key, value=f"{value} {key}"))
            for version in (1, 11):
                tag = SetVersionTag(
                    name="a", version=version, key=key, value=f"{value} {version} {key}"
                )
                pair.apply(tag)
    for actions in (set(), {Action.SET_MODEL_TAG}, {Action.SET_VERSION_TAG, Action.SET_MODEL_TAG}):
        query = EventQuery(name="a", actions=frozenset(actions))
        pair.check(query)
        changed = [each for each in walk(pair.store, query) if str(each.after).startswith("new ")]
        assert changed
        for event in changed:
            assert event.before == str(event.after).replace("new", "old"), event
    pair.verify("a")


def test_a_long_history_is_read_from_anywhere(pair: Pair) -> None:
    """More events than a bucket keeps in a document, by every kind of page."""
    start = pair.clock()
    for name in NAMES[:2]:
        pair.apply(CreateModel(NewRegisteredModel(name=name)))
        for _ in range(2):
            pair.apply(CreateVersion(NewModelVersion(name=name, source="s3://b/1")))
    for number in range(120):
        pair.clock.advance(1)
        pair.apply(SetAlias(name="a", alias="champion", version=1 + number % 2))
        if number % 5 == 0:
            pair.apply(SetModelTag(name="a", key="k", value=f"{LARGE}{number}"))
        if number % 10 == 0:
            pair.apply(SetModelTag(name="b", key="k", value=str(number)))
    everything = dict.fromkeys(("alias", "version", "since", "until"))
    filters: Sequence[dict[str, Any]] = [
        {},
        {"alias": "champion"},
        {"version": 2},
        {"actions": frozenset({Action.SET_MODEL_TAG})},
        {"since": start + 40, "until": start + 60},
        {"until": start + 10},
        {"since": start + 115},
    ]
    for name, conditions, newest_first in itertools.product(("a", None), filters, (True, False)):
        query = {**everything, **conditions, "name": name, "newest_first": newest_first}
        pair.check(EventQuery(**query, max_results=50))
    events = pair.store.events(EventQuery(name="a", max_results=1_000, newest_first=False))
    assert [event.sequence for event in events] == list(range(1, 148))


def test_one_change_may_have_more_events_than_a_chunk(pair: Pair) -> None:
    """All of them in its write; the next one moves them out."""
    pair.apply(CreateModel(NewRegisteredModel(name="a")))
    for _ in range(80):
        pair.apply(CreateVersion(NewModelVersion(name="a", source="s3://b/1")))
    for number in range(1, 81):
        stage = TransitionVersion(name="a", version=number, stage=Stage.STAGING)
        pair.apply(stage)
    archive = TransitionVersion(
        name="a", version=1, stage=Stage.STAGING, archive_existing_versions=True
    )
    pair.apply(archive)
    pair.check(EventQuery(name="a", max_results=100))
    pair.apply(RenameModel(name="a", new_name="b"))
    pair.apply(CreateModel(NewRegisteredModel(name="a")))
    for name in ("a", "b", None):
        pair.check(EventQuery(name=name, max_results=100))


def test_a_namesake_begins_anew(pair: Pair) -> None:
    """With an id of its own, whether the first model was deleted or renamed."""
    for change in (
        CreateModel(NewRegisteredModel(name="a", tags={"k": "first"})),
        DeleteModel(name="a"),
        CreateModel(NewRegisteredModel(name="a", tags={"k": "second"})),
        RenameModel(name="a", new_name="b"),
        CreateModel(NewRegisteredModel(name="a", tags={"k": "third"})),
        SetModelTag(name="b", key="k", value="moved"),
    ):
        pair.clock.advance(1)
        pair.apply(change)
    first, second = (pair.store.events(EventQuery(name=name)) for name in ("a", "b"))
    assert [event.sequence for event in first] == [1]
    assert [(event.sequence, event.name) for event in second] == [(3, "b"), (2, "a"), (1, "a")]
    assert first[0].model_id != second[0].model_id
    pair.check(EventQuery(name=None))


def test_a_model_as_of_a_moment_is_what_it_was_then(pair: Pair) -> None:
    """By each of its events; a clock that is set back changes nothing about their order."""
    changes_: list[Change[Any]] = [
        CreateModel(NewRegisteredModel(name="a", tags={"k": LARGE}, description="d")),
        CreateVersion(NewModelVersion(name="a", source="s3://b/1", tags={"k": LARGE})),
        SetAlias(name="a", alias="x", version=1),
        SetModelTag(name="a", key="k", value=f"{LARGE}2"),
        DeleteVersionTag(name="a", version=1, key="k"),
        UpdateModel(name="a", description=None),
        RenameModel(name="a", new_name="b"),
        TransitionVersion(name="b", version=1, stage=Stage.PRODUCTION),
        DeleteVersion(name="b", version=1),
    ]
    then: list[tuple[int, RegisteredModel]] = []
    for change in changes_:
        pair.clock.advance(10)
        pair.apply(change)
        name = "b" if len(then) >= 6 else "a"
        then.append((pair.clock(), pair.reference.get_registered_model(name)))
    for moment, model in then:
        for later in (0, 9):
            assert histories.as_of(pair.store, "b", moment + later).entity == model
    with pytest.raises(InvalidArgumentError, match="begins at 20"):
        histories.as_of(pair.store, "b", then[0][0] - 1)


def test_what_was_removed_was_not_there_before(pair: Pair) -> None:
    """Though the model was created with it."""
    pair.apply(CreateModel(NewRegisteredModel(name="a", tags={"k": "v"}, description="d")))
    pair.apply(CreateVersion(NewModelVersion(name="a", source="s3://b/1", tags={"k": "v"})))
    pair.apply(DeleteModelTag(name="a", key="k"))
    pair.apply(DeleteVersionTag(name="a", version=1, key="k"))
    pair.apply(UpdateModel(name="a", description=None))
    pair.apply(SetModelTag(name="a", key="k", value="w"))
    pair.apply(SetVersionTag(name="a", version=1, key="k", value="w"))
    pair.apply(UpdateModel(name="a", description="e"))
    pair.check(EventQuery(name="a"))
    assert [event.before for event in pair.store.events(EventQuery(name="a"))[:3]] == [None] * 3
    pair.verify("a")


def test_what_the_history_does_not_say_is_found(pair: Pair) -> None:
    """Whatever wrote it: somebody with the keys of the store, or a fault."""
    pair.apply(CreateModel(NewRegisteredModel(name="a", tags={"k": "v"})))
    pair.apply(CreateVersion(NewModelVersion(name="a", source="s3://b/1")))
    pair.apply(SetAlias(name="a", alias="x", version=1))
    assert histories.verify(pair.store, "a").is_true
    model = pair.store.get_registered_model("a")
    forged = attrs.evolve(model, tags={"k": "w"}, aliases={})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair.store, "get_registered_model", lambda _: forged, raising=True)
        found = histories.verify(pair.store, "a")
    assert [*found.problems] == [
        "the model: tags is {'k': 'w'}, and {'k': 'v'} by the history",
        "the model: aliases is {}, and {'x': 1} by the history",
        "version 1: aliases is (), and ('x',) by the history",
        "event 4 may be missing, or the model was changed without one",
    ]
    whole = pair.store.events
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            pair.store, "events", lambda query: [e for e in whole(query) if e.sequence != 2]
        )
        missing, follows = histories.verify(pair.store, "a").problems
    assert missing == "event 2 is missing"
    assert follows.startswith("Event 3 of model 'a' (set_alias) does not follow")
