"""What a store promises about what is old: nothing changes because time passes, or is set back.

Other tests do all they do within a second. Here minutes, hours and days lie between two calls, as
they do between the runs of a pipeline, each of which is a process that has seen nothing yet.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs
import pytest

from registry_core.errors import (
    AlreadyExistsError,
    ConflictError,
    RegisteredModelNotFoundError,
    RegistryError,
)
from registry_core.models import Stage, Status, WebhookChanges
from registry_core.testing.calls import Calls
from registry_core.testing.cases import (
    StoreCase,
    create_model,
    create_version,
    new_webhook,
    transition,
)
from registry_core.testing.clocks import ManualClock
from registry_core.testing.observing import (
    assert_same,
    dump,
    model_names,
    models_query,
    numbers,
    versions_query,
)

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

GAPS = {
    "minutes": MINUTE + SECOND,
    "hours": HOUR + SECOND,
    "days": DAY + SECOND,
    "months": 40 * DAY,
    "clock set back": -HOUR,
}
"""Milliseconds between two calls: past the round numbers that leases and caches like to end at."""

ROUNDS = 4
"""Runs of a pipeline that a test makes. A store that keeps some of a model's past may have room for
the first ones."""


class Runs:
    """The runs of a pipeline: the clocks jump before each one, which is a process of its own."""

    def __init__(
        self,
        store: Calls,
        clock: ManualClock,
        jump: Callable[[], None],
        another: Callable[[], Calls],
    ) -> None:
        self._store = store
        self._clock = clock
        self._jump = jump
        self._another = another
        self._turns = itertools.cycle((store,))

    def next(self) -> int:
        """Begins another run, and gives the present."""
        self._jump()
        # What has just been opened knows nothing of the store, and what is old may know too much.
        self._turns = itertools.cycle((self._another(), self._store))
        return self._clock.now

    @property
    def store(self) -> Calls:
        """A handle: that of the run and one that is as old as the store take turns."""
        return next(self._turns)


gaps = pytest.mark.parametrize("gap", GAPS.values(), ids=list(GAPS))


class AgeTests(StoreCase):
    """Everything about things that are old."""

    @pytest.fixture
    def runs(
        self,
        request: pytest.FixtureRequest,
        store: Calls,
        clock: ManualClock,
        gap: int,
        move_clocks: Callable[[int], None],
    ) -> Runs:
        """Runs with the gap of the test between them."""
        independent = self.durable and self.shared
        another = request.getfixturevalue("another") if independent else lambda: store
        return Runs(store, clock, lambda: move_clocks(gap), another)

    @gaps
    def test_nothing_changes_because_time_passes(
        self, store: Calls, clock: ManualClock, runs: Runs
    ) -> None:
        """Models, pending versions, aliases, tags and webhooks are what they were."""
        furnish(store)
        before = dump(store)
        for _ in range(2):
            runs.next()
            for _ in range(2):
                assert dump(runs.store) == before
        create_model(store, "new")
        assert store.get_registered_model("new").creation_timestamp == clock.now

    @gaps
    def test_a_name_stays_taken(self, runs: Runs) -> None:
        """To create a model that exists is refused as on the first day, however often it was
        changed: a pipeline creates its model each time it runs.
        """  # noqa: D205 one sentence
        create_model(runs.store)
        for number in range(1, ROUNDS + 1):
            now = runs.next()
            with raises(AlreadyExistsError, "Registered Model (name=m) already exists."):
                create_model(runs.store)
            assert numbers(runs.store, "m") == list(range(1, number))
            version = create_version(runs.store)
            assert (version.version, version.creation_timestamp) == (number, now)
            runs.store.set_registered_model_alias("m", "newest", version=number)
            runs.store.set_registered_model_tag("m", "k", str(number))
            assert runs.store.get_model_version_by_alias("m", "newest").version == number

    @gaps
    def test_a_model_is_renamed_to_and_fro(self, runs: Runs) -> None:
        """Each name is free while the model has the other, and its numbers go on."""
        create_model(runs.store, "a")
        for number in range(1, ROUNDS + 1):
            for name, new_name in (("a", "b"), ("b", "a")):
                now, store = runs.next(), runs.store
                renamed = store.rename_registered_model(name, new_name=new_name)
                assert (renamed.name, renamed.last_updated_timestamp) == (new_name, now)
                assert model_names(runs.store, models_query()) == [new_name]
            assert create_version(runs.store, "a").version == number
        assert numbers(runs.store, "a") == list(range(1, ROUNDS + 1))

    @gaps
    def test_a_name_that_was_renamed_away_is_taken_again(self, runs: Runs) -> None:
        """By another model each time; those that had it before keep all they had."""
        for number in range(ROUNDS):
            create_model(runs.store, "a", tags={"k": str(number)})
            runs.next()
            runs.store.rename_registered_model("a", new_name=f"old {number}")
            runs.next()
        for number in range(ROUNDS):
            assert runs.store.get_registered_model(f"old {number}").tags == {"k": str(number)}
        names = [f"old {number}" for number in range(ROUNDS)]
        assert model_names(runs.store, models_query()) == names

    @gaps
    def test_a_rename_onto_an_old_model_is_refused(self, runs: Runs) -> None:
        """Until that is deleted; its past does not matter then."""
        for name in ("a", "b"):
            create_model(runs.store, name)
            for number in range(2 * ROUNDS):
                runs.store.set_registered_model_tag(name, "k", str(number))
        runs.next()
        with raises(AlreadyExistsError, "Registered Model (name=b) already exists."):
            runs.store.rename_registered_model("a", new_name="b")
        assert model_names(runs.store, models_query()) == ["a", "b"]
        runs.next()
        runs.store.delete_registered_model("b")
        runs.next()
        runs.store.rename_registered_model("a", new_name="b")
        assert model_names(runs.store, models_query()) == ["b"]

    @gaps
    def test_a_deleted_name_is_free(self, runs: Runs) -> None:
        """For a new model, which has nothing of the old one, however that was deleted."""
        for number in range(ROUNDS):
            runs.next()
            created = create_model(runs.store, tags={"k": str(number)})
            assert created.tags == {"k": str(number)}
            assert create_version(runs.store).version == 1
            runs.next()
            runs.store.delete_registered_model("m")
            with raises(RegisteredModelNotFoundError, "Registered Model with name=m not found"):
                runs.store.delete_registered_model("m")

    @gaps
    def test_a_pending_version_waits(self, runs: Runs) -> None:
        """An upload may take its time; when it has ended, it has."""
        create_model(runs.store)
        create_version(runs.store, status=Status.PENDING_REGISTRATION)
        create_version(runs.store)
        now = runs.next()
        ready = runs.store.finalize_model_version("m", 1, status=Status.READY)
        assert (ready.status, ready.last_updated_timestamp) == (Status.READY, now)
        runs.next()
        with pytest.raises(ConflictError):
            runs.store.finalize_model_version("m", 1, status=Status.FAILED_REGISTRATION)
        assert_same(runs.store.get_model_version("m", 1), ready)

    @gaps
    def test_the_last_write_counts(self, runs: Runs) -> None:
        """Also when the clock of its writer is behind that of the one before."""
        create_model(runs.store)
        create_version(runs.store)
        for number in range(2):
            text, stage = str(number), (Stage.STAGING, Stage.PRODUCTION)[number % 2]
            now = runs.next()
            runs.store.update_registered_model("m", description=text)
            runs.store.set_registered_model_tag("m", "k", text)
            runs.store.set_model_version_tag("m", 1, "k", text)
            runs.store.update_model_version("m", 1, description=text)
            transition(runs.store, 1, stage)
            model = runs.store.get_registered_model("m")
            version = runs.store.get_model_version("m", 1)
            assert (model.description, model.tags, model.last_updated_timestamp) == (
                text,
                {"k": text},
                now,
            )
            assert (version.description, version.tags) == (text, {"k": text})
            assert (version.current_stage, version.last_updated_timestamp) == (stage, now)

    @gaps
    def test_a_page_token_does_not_expire(self, runs: Runs) -> None:
        """The next page comes whenever it is asked for, from whomever."""
        for name in ("a", "b", "c"):
            create_model(runs.store, name)
            create_version(runs.store, name)
        models, versions = models_query(max_results=1), versions_query(max_results=1)
        seen = []
        for _ in range(3):
            page = runs.store.search_registered_models(models)
            beside = runs.store.search_model_versions(versions)
            seen.append((page.items[0].name, beside.items[0].name))
            models = attrs.evolve(models, page_token=page.next_page_token)
            versions = attrs.evolve(versions, page_token=beside.next_page_token)
            runs.next()
        # Versions begin with the newest, unless they are of one moment.
        assert seen == [("a", "a"), ("b", "b"), ("c", "c")]
        assert (models.page_token, versions.page_token) == (None, None)

    @gaps
    def test_a_webhook_stays(self, runs: Runs) -> None:
        """It can be changed and deleted whenever somebody wants to."""
        created = runs.store.create_webhook(new_webhook())
        for number in range(ROUNDS):
            now = runs.next()
            changed = runs.store.update_webhook(
                created.webhook_id, WebhookChanges(name=str(number))
            )
            assert (changed.name, changed.last_updated_timestamp) == (str(number), now)
            assert_same(runs.store.list_webhooks(), [changed])
        runs.store.delete_webhook(created.webhook_id)
        assert runs.store.list_webhooks() == []


def furnish(store: Calls) -> None:
    """Writes a little of every kind."""
    create_model(store, description="d", tags={"k": "x" * 10_000})
    create_version(store, status=Status.PENDING_REGISTRATION)
    create_version(store, tags={"k": "v"})
    transition(store, 2, Stage.PRODUCTION)
    store.set_registered_model_alias("m", "champion", version=2)
    for name in ("a", "deleted"):
        create_model(store, name)
    store.delete_registered_model("deleted")
    store.rename_registered_model("a", new_name="renamed")
    store.create_webhook(new_webhook())


@contextmanager
def raises(error: type[RegistryError], message: str) -> Iterator[None]:
    """Fails unless the block raises exactly this.

    Nothing is read before, as `refused` does: a process that has seen nothing shall begin with it.
    """
    with pytest.raises(error) as raised:
        yield
    assert (type(raised.value), str(raised.value)) == (error, message)
