"""The kit's own parts: what it asks of a backend, and that its instruments measure."""

import subprocess
import sys
import threading
import time
from collections import OrderedDict

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry_core import testing, validation
from registry_core.errors import ConflictError, RegisteredModelNotFoundError, RegistryError
from registry_core.models import NewRegisteredModel, Stage
from registry_core.search import Entity, Page
from registry_core.search.language import parse_filter
from registry_core.search.ordering import parse_order_by
from registry_core.stores.memory import MemoryStore
from registry_core.testing import ManualClock, ages, durability, samples, strategies
from registry_core.testing.calls import Calls
from registry_core.testing.clocks import moving_wall_clock
from registry_core.testing.observing import (
    assert_same,
    dump,
    model_names,
    models_query,
    plain,
    refused,
    walk,
)
from registry_core.testing.racing import attempt, errors, race, the_winner, values
from services.opened import memory_store

pytest_plugins = ["pytester"]

MEMORY = """
    import pytest
    from registry_core.stores.memory import MemoryStore
    from registry_core.testing.durability import DurabilityTests

    class TestStore(DurabilityTests):
        {declared}

        @pytest.fixture
        def backend(self, clock):
            return MemoryStore(clock)
"""


def test_the_kit_says_which_fixture_is_missing(pytester):
    """A backend that forgets one is told, not skipped."""
    pytester.makepyfile(MEMORY.format(declared=""))
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, errors=4)
    result.stdout.fnmatch_lines(["*TestStore must override the fixture `reopen`: *"])
    result.stdout.fnmatch_lines(["*TestStore must override the fixture `opener`: *"])


def test_the_kit_skips_what_is_declared_and_says_so(pytester):
    """A declared difference is seen in the report."""
    pytester.makepyfile(MEMORY.format(declared="durable = False"))
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-rs")
    result.assert_outcomes(passed=2, skipped=4)
    result.stdout.fnmatch_lines(["*declared: what this store keeps does not outlive its handle"])
    result.stdout.fnmatch_lines(["*declared: other processes cannot see what this store keeps"])


def test_the_kit_loads_quickly_in_other_processes():
    """Its works need neither pytest nor hypothesis there."""
    code = (
        "import sys, registry_core.testing.processes; "
        "print(sorted({'pytest', 'hypothesis'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def test_the_kit_has_the_names_that_it_lists():
    """And no others."""
    assert [getattr(testing, name).__name__ for name in testing.__all__] == testing.__all__
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = testing.Nothing


# Clocks


def test_the_clocks_are_moved_together_and_put_back():
    """What a store goes by, and what one that does not would look at."""
    began, machine = time.time(), (time.time, time.time_ns)
    with moving_wall_clock() as clock:
        clock.advance(3 * ages.DAY)
        clock.advance(-ages.HOUR)
        assert 71 * 3600 <= time.time() - began < 72 * 3600
        assert time.time_ns() / 1e9 - time.time() < 60
    assert (time.time, time.time_ns) == machine


def test_a_store_that_looks_at_the_machines_clock_is_moved_too(pytester):
    """Also where a test class has overridden nothing."""
    pytester.makepyfile("""
        import time
        from registry_core.testing.cases import StoreCase

        class TestClocks(StoreCase):
            def test_moved(self, clock, move_clocks):
                before = clock(), time.time()
                move_clocks(86_400_000)
                assert clock() == before[0] + 86_400_000
                assert time.time() >= before[1] + 86_400
    """)
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


# Observing


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (Stage.NONE, "None"),
        (1, True),
        ("1", 1),
        ((1, 2), (2, 1)),
        (NewRegisteredModel(name="m"), NewRegisteredModel(name="m", description="")),
    ],
)
def test_plain_tells_apart_what_python_may_not(one, other):
    """Order of mappings, types, and every field."""
    assert plain(one) != plain(other)
    with pytest.raises(AssertionError):
        assert_same(one, other)


def test_plain_minds_no_kind_of_mapping_or_sequence():
    """A store may choose its own."""
    assert_same({"a": [1]}, OrderedDict(a=(1,)))


def test_dump_sees_secrets():
    """Which a representation hides."""
    one, other = (testing.cases.new_webhook(webhook_id="i", secret=secret) for secret in ("a", "b"))
    assert plain(one) != plain(other)


def filled(count: int) -> Calls:
    """A store with so many models."""
    store = memory_store(ManualClock())
    for number in range(count):
        store.create_registered_model(NewRegisteredModel(name=f"m{number}"))
    return store


def test_walk_fetches_pages_when_they_are_needed():
    """So that a test can change the store between two of them."""
    store, names = filled(3), []
    for model in walk(store.search_registered_models, models_query(max_results=1)):
        names.append(model.name)
        store.create_registered_model(NewRegisteredModel(name=f"{model.name}+"))
        if len(names) == 4:
            break
    assert names == ["m0", "m0+", "m0++", "m0+++"]


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (lambda rows: Page(rows[:1], "again"), "the walk did not end"),
        (lambda _: Page([], "again"), "an empty page names a next one"),
        (Page, "a page holds more than max_results"),
    ],
)
def test_walk_notices_wrong_pages(page, message):
    """Pages that go in circles, that are empty, and that are too long."""
    rows = filled(3).search_registered_models(models_query()).items
    with pytest.raises((AssertionError, pytest.fail.Exception), match=message):
        list(walk(lambda _: page(rows), models_query(max_results=1)))


def test_refused_notices_other_errors_and_changes():
    """The class, the sentence, and what is left behind all count."""
    store = filled(1)

    def fail(error: RegistryError, name: str | None = None) -> None:
        if name:
            store.create_registered_model(NewRegisteredModel(name=name))
        raise error

    message = "Registered Model with name=x not found"
    with refused(store, RegisteredModelNotFoundError, message):
        fail(RegisteredModelNotFoundError("x"))
    for error, name in (
        (RegisteredModelNotFoundError("y"), None),
        (type("Other", (RegisteredModelNotFoundError,), {})("x"), None),
        (RegisteredModelNotFoundError("x"), "left behind"),
    ):
        with pytest.raises(AssertionError), refused(store, RegisteredModelNotFoundError, message):
            fail(error, name)


def test_dump_sees_every_model():
    """Also beyond a page."""
    assert len(dump(filled(1_001))["models"]) == 1_001
    assert len(model_names(filled(1_001), models_query())) == 1_001


# Racing


def test_the_last_call_of_a_killed_process_is_awaited(monkeypatch):
    """What it has sent may arrive after its death."""
    monkeypatch.setattr(durability, "QUIET_SECONDS", 2.0)
    store = filled(1)
    late = threading.Timer(0.3, store.create_registered_model, [NewRegisteredModel(name="late")])
    late.start()
    durability.await_quiet(store)
    assert store.get_registered_model("late").name == "late"
    late.join()


def test_race_gives_outcomes_in_the_order_of_the_calls():
    """Whoever finishes first."""
    done = threading.Event()

    def late() -> str:
        assert done.wait(10)
        return "late"

    def early() -> str:
        done.set()
        return "early"

    def failing() -> str:
        raise ConflictError("lost")

    outcomes = race(late, failing, early)
    assert values(outcomes) == ["late", "early"]
    assert [str(error) for error in errors(outcomes)] == ["lost"]


def test_race_starts_its_calls_together():
    """None runs before all are there."""
    together = threading.Barrier(3, timeout=60)
    assert len(values(race(*[together.wait] * 3))) == 3


def test_race_raises_what_is_no_error_of_the_registry():
    """A bug is not an outcome."""
    with pytest.raises(ZeroDivisionError):
        race(lambda: 1 // 0)


def test_the_winner_is_one_and_the_losers_are_as_said():
    """Two winners, none, or another error fail."""
    won = attempt(lambda: 1)
    lost = attempt(lambda: MemoryStore().get_registered_model("m"))
    assert the_winner([lost, won, lost], losers=RegisteredModelNotFoundError) == 1
    for outcomes in ([won, won], [lost, lost]):
        with pytest.raises(AssertionError, match="calls won"):
            the_winner(outcomes, losers=RegisteredModelNotFoundError)
    with pytest.raises(AssertionError):
        the_winner([won, lost], losers=ConflictError)


# Samples and strategies


@pytest.mark.parametrize(
    ("values", "check"),
    [
        (samples.NAMES, validation.model_name),
        (samples.TAG_KEYS, validation.tag_key),
        (samples.TAG_VALUES, validation.tag_value),
        (samples.ALIASES, validation.new_alias),
    ],
)
def test_samples_are_legal_and_distinct(values, check):
    """The kit may give every one of them to a store."""
    assert [check(value) for value in values] == list(values)
    assert len(set(values)) == len(values)


@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(strategies.names(), strategies.tag_keys(), strategies.aliases(), strategies.texts())
def test_strategies_draw_what_is_legal(name, key, alias, text):
    """Nothing that a registry would refuse."""
    validation.model_name(name)
    validation.tag_key(key)
    validation.new_alias(alias)
    validation.tag_value(text)


@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(st.data(), st.sampled_from(list(Entity)))
def test_strategies_draw_filters_and_orders_of_the_language(data, entity):
    """Every drawn text parses."""
    names = data.draw(st.lists(strategies.names(), min_size=1, max_size=3))
    keys = data.draw(st.lists(strategies.tag_keys(), min_size=1, max_size=3))
    texts = data.draw(st.lists(strategies.texts(), min_size=1, max_size=3))
    drawn = data.draw(strategies.filters(entity, names=names, keys=keys, values=texts))
    parsed = parse_filter(drawn, entity)
    assert len(parsed) <= 3
    order = parse_order_by(data.draw(strategies.orders(entity)), entity)
    assert {"name"} <= {attrs.asdict(item)["field"] for item in order}
