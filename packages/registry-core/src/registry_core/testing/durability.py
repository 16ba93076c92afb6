"""What a store promises about handles that close and processes that die."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection

from registry_core.models import Stage, Status
from registry_core.testing.calls import Calls
from registry_core.testing.cases import (
    StoreCase,
    create_model,
    create_version,
    create_versions,
    new_webhook,
    transition,
)
from registry_core.testing.clocks import ManualClock
from registry_core.testing.observing import dump, model_names, models_query, numbers
from registry_core.testing.processes import ENDLESS, TAGS, write_until_killed
from registry_core.testing.racing import Opener, process_context
from registry_core.testing.samples import EMOJI, NAMES

ACKNOWLEDGED = 5
"""Writes of each kind after which a process is killed in the midst of the next ones."""

SILENCE_SECONDS = 60.0
"""Seconds after which a process that sent nothing is taken to be stuck."""

QUIET_SECONDS = 1.0
"""Seconds without a change after which the last call of a killed process is taken to be over. The
process may have sent the request before it died, and a backend carries out what it has received."""


class DurabilityTests(StoreCase):
    """Opening, closing, and dying."""

    def test_a_store_is_a_store(self, store: Calls) -> None:
        """It has every method of the protocol, and answers."""
        assert isinstance(store, Calls)
        store.ping()

    def test_closing_twice_is_no_error(self, store: Calls) -> None:
        """Each of those that share a store may close it."""
        create_model(store)
        store.close()
        store.close()

    def test_everything_outlives_the_handle(
        self, store: Calls, clock: ManualClock, another: Callable[[], Calls]
    ) -> None:
        """Reopened after it was closed, a store holds what it held, to the last detail."""
        furnish(store, clock)
        before = dump(store)
        store.close()
        assert dump(another()) == before

    def test_counters_outlive_the_handle(self, store: Calls, another: Callable[[], Calls]) -> None:
        """A number is not reused because nobody was there to remember it."""
        create_model(store)
        create_versions(store, 2)
        store.delete_model_version("m", 2)
        store.rename_registered_model("m", new_name="new")
        store.close()
        reopened = another()
        assert create_version(reopened, "new").version == 3
        assert numbers(reopened, "new") == [1, 3]

    def test_a_reopened_store_goes_by_its_clock(
        self, store: Calls, clock: ManualClock, another: Callable[[], Calls]
    ) -> None:
        """What `reopen` gives is not another kind of store."""
        create_model(store)
        clock.advance(5)
        assert create_version(another()).creation_timestamp == clock.now

    def test_a_killed_process_leaves_all_or_nothing_of_each_write(
        self, store: Calls, opener: Opener
    ) -> None:
        """Every acknowledged write is there, nothing is torn, and nothing stays locked."""
        for name in ENDLESS:
            create_model(store, name, tags=TAGS)
            for number in (1, 2):
                create_version(store, name, tags=TAGS)
                store.set_registered_model_alias(name, f"a{number}", version=number)
        transition(store, 1, Stage.PRODUCTION, name="staged")
        acknowledged = kill_a_writer(opener)
        await_quiet(store)
        self.assert_created(store, acknowledged["created"])
        self.assert_staged(store)
        self.assert_renamed(store)

    def assert_created(self, store: Calls, acknowledged: int) -> None:
        """Fails unless the acknowledged versions are there, and at most one more."""
        ours = create_version(store, "created").version
        kept = numbers(store, "created")
        assert kept == list(range(1, len(kept) + 1))
        # The last call may have been carried out without anybody hearing of it, and as late as
        # now: a server goes on with what it was asked for before the process was killed.
        theirs = [number for number in kept if number != ours]
        assert len(theirs) - 2 - acknowledged in (0, 1)
        assert ours in kept[-2:]
        assert [store.get_model_version("created", n).tags for n in theirs] == [TAGS] * len(theirs)

    def assert_staged(self, store: Calls) -> None:
        """Fails unless one of the two versions is in the stage."""
        stages = [store.get_model_version("staged", n).current_stage for n in (1, 2)]
        assert stages.count(Stage.PRODUCTION) == 1
        transition(store, 1, Stage.PRODUCTION, name="staged", archive=True)
        assert store.get_model_version("staged", 2).current_stage is Stage.ARCHIVED

    def assert_renamed(self, store: Calls) -> None:
        """Fails unless the model has one of its names and all its parts."""
        (name,) = model_names(store, models_query("name LIKE 'renamed%'"))
        model = store.get_registered_model(name)
        assert (model.tags, model.aliases) == (TAGS, {"a1": 1, "a2": 2})
        assert numbers(store, name) == [1, 2]
        assert store.get_model_version(name, 1).tags == TAGS
        store.rename_registered_model(name, new_name="moved")
        assert create_version(store, "moved").version == 3
        for free in ("renamed", "renamed away"):
            create_model(store, free)


def kill_a_writer(opener: Opener) -> Counter[str]:
    """How many writes of each kind were acknowledged to a process that was killed meanwhile."""
    context = process_context()
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=write_until_killed, args=(opener, sending, dict(os.environ)))
    process.start()
    sending.close()
    acknowledged: Counter[str] = Counter()
    try:
        while min(acknowledged[name] for name in ENDLESS) < ACKNOWLEDGED:
            assert receiving.poll(SILENCE_SECONDS), "the other process does not write"
            acknowledged[receiving.recv()] += 1
    finally:
        process.kill()
        process.join()
        process.close()
    acknowledged.update(_remaining(receiving))
    receiving.close()
    return acknowledged


def await_quiet(store: Calls) -> None:
    """Returns when nothing in a store has changed for `QUIET_SECONDS`."""
    deadline = time.monotonic() + SILENCE_SECONDS
    before, since = dump(store), time.monotonic()
    while time.monotonic() - since < QUIET_SECONDS:
        assert time.monotonic() < deadline, "something still writes"
        time.sleep(QUIET_SECONDS / 10)
        now = dump(store)
        if now != before:
            before, since = now, time.monotonic()


def furnish(store: Calls, clock: ManualClock) -> None:
    """Writes something of every kind."""
    for name in NAMES:
        create_model(store, name)
    create_model(store, "m", description=EMOJI, tags={"k": "", "long": "x" * 100_000})
    for status in (Status.READY, Status.PENDING_REGISTRATION, Status.PENDING_REGISTRATION):
        clock.advance()
        create_version(store, status=status, tags={"k": EMOJI * 50_000}, run_id="", model_id="m-1")
    store.finalize_model_version(
        "m", 2, status=Status.FAILED_REGISTRATION, status_message="why", storage_location="there"
    )
    transition(store, 1, Stage.PRODUCTION)
    store.set_registered_model_alias("m", "champion", version=1)
    store.set_registered_model_alias("m", "challenger", version=3)
    store.create_webhook(new_webhook(description="", secret="text"))  # noqa: S106 not a secret
    store.rename_registered_model("plain", new_name="renamed")
    store.delete_registered_model("Plain")


def _remaining(receiving: Connection) -> list[str]:
    """What a killed process had still sent."""
    received = []
    try:
        while receiving.poll(0):
            received.append(receiving.recv())
    except (EOFError, OSError):  # also in the midst of a message
        pass
    return received
