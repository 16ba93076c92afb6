"""Every store queues what webhooks want with the change itself, and gives it out in order, once."""

from __future__ import annotations

import contextlib
import uuid

import attrs
import pytest

from registry_core import Registry
from registry_core.authors import Author
from registry_core.changes import (
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
)
from registry_core.errors import RegistryError
from registry_core.models import (
    NewModelVersion,
    NewRegisteredModel,
    NewWebhook,
    Stage,
    Status,
    WebhookChanges,
    WebhookStatus,
)
from registry_core.outbox import OWN_EVENTS, listed, outbox_of
from registry_core.stores import s3, sql
from registry_core.stores.memory import MemoryStore
from registry_core.testing import ManualClock
from registry_core.validation import PROMPT_TAG, PROMPT_TEXT_TAG
from registry_core.webhooks import SAMPLES, notification_of
from registry_core.webhooks.events import payload_of
from services.stores import store_url

ANN = Author(actor="ann")
LARGE = "Grüße\n" * 1_000
LEASE = 60.0

KINDS = ["memory", "sqlite", "postgresql", "s3"]


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture(params=KINDS)
def open_store(request, clock):
    """Opens the same store, as another process would; in memory there is only one."""
    with store_url(request.param, request) as url, contextlib.ExitStack() as stack:
        in_memory = MemoryStore(clock)

        def open_another():
            if request.param == "memory":
                return in_memory
            return stack.enter_context(contextlib.closing(_OPEN[request.param](url, clock=clock)))

        yield open_another


_OPEN = {"sqlite": sql.open_store, "postgresql": sql.open_store, "s3": s3.open_store}


@pytest.fixture
def store(open_store):
    return open_store()


@pytest.fixture
def outbox(store):
    return outbox_of(store)


def hook(store, *events, status=WebhookStatus.ACTIVE):
    """The id of a webhook that wants these events, or all."""
    new = NewWebhook(
        webhook_id=str(uuid.uuid4()),
        name="hook",
        url="https://receiver.example/",
        events=tuple(sorted(events or SAMPLES)),
        status=status,
    )
    return store.create_webhook(new).webhook_id


def create(store, name="m", **fields):
    store.apply(CreateModel(NewRegisteredModel(name=name, **fields)), by=ANN)


def with_version(store, name="m"):
    create(store, name)
    store.apply(CreateVersion(NewModelVersion(name=name, source="s3://b/p")), by=ANN)
    clock_of(store).advance(1)  # what is older is given out first


def clock_of(store):
    return store._prefix.clock if isinstance(store, s3.S3Store) else store._clock


def tag(store, value, name="m"):
    store.apply(SetVersionTag(name=name, version=1, key="k", value=value), by=ANN)


def take(outbox, webhook_id, limit=10):
    return outbox.take(webhook_id, limit=limit, lease_seconds=LEASE)


def drained(outbox, webhook_id):
    """Everything that is queued, in the order in which it is given out."""
    everything = []
    while taken := take(outbox, webhook_id):
        everything += taken
        for delivery in taken:
            outbox.done(delivery)
    return everything


CHANGES = [
    CreateModel(NewRegisteredModel(name="m", description="d", tags={"b": "1", "a": LARGE})),
    CreateModel(NewRegisteredModel(name="m")),  # refused
    CreateModel(NewRegisteredModel(name="p", tags={PROMPT_TAG: "True", "x": "y"})),
    CreateVersion(NewModelVersion(name="m", source="s3://b/p", run_id="r", tags={"t": LARGE})),
    CreateVersion(NewModelVersion(name="m", source="", status=Status.PENDING_REGISTRATION,
                                  tags={"u": LARGE}, description="later")),
    SetVersionTag(name="m", version=2, key="v", value="w"),
    FinalizeVersion(name="m", version=2, status=Status.READY, source="s3://b/q"),
    CreateVersion(NewModelVersion(name="m", source="", status=Status.PENDING_REGISTRATION)),
    FinalizeVersion(name="m", version=3, status=Status.FAILED_REGISTRATION),
    RelocateVersion(name="m", version=2, source="s3://b/r", tags={"d": "1"}),
    CreateVersion(NewModelVersion(name="p", source="x", tags={PROMPT_TAG: "true",
                                                              PROMPT_TEXT_TAG: LARGE})),
    SetModelTag(name="m", key="k", value="v"),
    SetModelTag(name="p", key="k", value=LARGE),
    SetModelTag(name="p", key="k", value=LARGE),  # changes nothing
    DeleteModelTag(name="p", key="k"),
    DeleteModelTag(name="p", key="k"),  # changes nothing
    SetVersionTag(name="m", version=1, key="k", value=LARGE),
    DeleteVersionTag(name="m", version=1, key="k"),
    DeleteVersionTag(name="m", version=1, key="k"),  # changes nothing
    SetAlias(name="m", alias="a", version=1),
    SetAlias(name="m", alias="a", version=2),
    SetAlias(name="m", alias="a", version=2),  # changes nothing
    SetAlias(name="p", alias="a", version=1),
    DeleteAlias(name="p", alias="a"),
    DeleteAlias(name="p", alias="a"),  # changes nothing
    SetAlias(name="m", alias="gone", version=1),
    DeleteVersion(name="m", version=1),  # and its alias: MLflow tells of neither
    SetModelTag(name="m", key=PROMPT_TAG, value="true"),
    SetAlias(name="m", alias="b", version=2),
    DeleteModelTag(name="m", key=PROMPT_TAG),
    SetAlias(name="m", alias="b", version=3),
    UpdateModel(name="m", description="e"),
    TransitionVersion(name="m", version=2, stage=Stage.STAGING),
    RenameModel(name="m", new_name="n"),
    SetAlias(name="n", alias="c", version=2),
    DeleteModel(name="p"),
    CreateModel(NewRegisteredModel(name="p")),
]  # fmt: skip


def test_webhooks_are_told_what_mlflow_tells_them(store, outbox):
    """From the queue, or, of what changed nothing, at once: with the same data either way."""
    webhook_id = hook(store)
    expected, actual = [], []
    outbox.watch(lambda change: actual.append(shown(notification_of(change, None), store)))
    for change in CHANGES:
        with contextlib.suppress(RegistryError):
            notification = notification_of(change, store.apply(change, by=ANN))
            if notification is not None:
                expected.append(shown(notification, store))
            for delivery in drained(outbox, webhook_id):
                found = payload_of(
                    delivery.event,
                    is_prompt=delivery.is_prompt,
                    details=delivery.details,
                    subscribed=SAMPLES.keys() - OWN_EVENTS,
                )
                if found is not None:
                    actual.append((found[0], dict(found[1])))
    assert actual == [each for each in expected if each[0] is not None]
    assert len(actual) > 20


def shown(notification, store):
    """The event that it is, as MLflow finds it out, and its data."""
    is_prompt = notification.is_prompt
    if is_prompt is None:
        is_prompt = store.get_registered_model(notification.name).is_prompt
    return notification.event(is_prompt=is_prompt), dict(notification.data)


def test_only_active_webhooks_that_want_the_event_are_queued_for(store, outbox):
    """One that is disabled, deleted, or wants other events has nothing queued."""
    alias = notification_of(SetAlias(name="m", alias="a", version=1), None).topics.of_model
    wanting, other = hook(store), hook(store, alias)
    disabled = hook(store, status=WebhookStatus.DISABLED)
    create(store)
    assert [len(outbox.queued(each)) for each in (wanting, other, disabled)] == [1, 0, 0]


def test_webhook_that_is_disabled_or_deleted_has_nothing_queued_any_more(store, outbox):
    """So that it is not told long afterwards, when it is enabled again."""
    one, two = hook(store), hook(store)
    create(store)
    for delivery in take(outbox, one):
        outbox.dead(delivery, problem="status 500")
    create(store, "other")
    store.update_webhook(one, WebhookChanges(status=WebhookStatus.DISABLED))
    store.delete_webhook(two)
    assert (outbox.queued(one), outbox.queued(two)) == ([], [])
    assert len(outbox.dead_letters(one)) == 1
    store.delete_webhook(one)
    assert outbox.dead_letters(one) == []


def test_next_event_of_a_model_waits_for_the_one_before(store, outbox):
    """Whatever becomes of it; other models and other webhooks do not wait."""
    webhook_id, other = hook(store), hook(store)
    with_version(store, "a")
    with_version(store, "b")
    first = take(outbox, webhook_id)
    assert [each.event.name for each in first] == ["a", "b"]
    assert {each.event.sequence for each in first} == {1}
    assert take(outbox, webhook_id) == []
    assert len(take(outbox, other)) == 2
    outbox.done(first[0])
    (second,) = take(outbox, webhook_id)
    assert (second.event.name, second.event.sequence) == ("a", 2)
    outbox.dead(first[1], problem="status 404")
    (last,) = take(outbox, webhook_id)
    assert (last.event.name, last.event.sequence) == ("b", 2)


def test_no_more_is_taken_than_asked_for(store, outbox):
    """The oldest first."""
    webhook_id = hook(store)
    for name in "edcba":
        with_version(store, name)
    assert [each.event.name for each in take(outbox, webhook_id, limit=2)] == ["e", "d"]
    assert [each.event.name for each in take(outbox, webhook_id, limit=9)] == ["c", "b", "a"]


def test_lease_that_runs_out_gives_the_delivery_to_another(open_store, clock):
    """Under the same id; whoever had it before can change nothing any more."""
    one, two = open_store(), open_store()
    webhook_id = hook(one)
    create(one)
    (lost,) = take(outbox_of(one), webhook_id)
    clock.advance(round(LEASE * 1000) - 1)
    assert take(outbox_of(two), webhook_id) == []
    clock.advance(1)
    (again,) = take(outbox_of(two), webhook_id)
    assert again.delivery_id == lost.delivery_id
    outbox_of(one).done(lost)
    outbox_of(one).retry(lost, due=0)
    outbox_of(one).dead(lost, problem="late")
    assert take(outbox_of(one), webhook_id) == []
    assert outbox_of(one).dead_letters(webhook_id) == []
    outbox_of(two).done(again)
    assert outbox_of(one).queued(webhook_id) == []


def test_delivery_to_be_repeated_comes_back_when_it_is_due(store, outbox, clock):
    """With what is known of the attempts, to any server; later events of its model wait."""
    webhook_id = hook(store)
    with_version(store)
    (taken,) = take(outbox, webhook_id)
    assert (taken.failures, taken.first_attempt) == (0, None)
    tried = attrs.evolve(taken, failures=1, first_attempt=clock())
    outbox.retry(tried, due=clock() + 500)
    assert take(outbox, webhook_id) == []
    clock.advance(500)
    (again,) = take(outbox, webhook_id)
    assert (again.failures, again.first_attempt) == (1, clock() - 500)
    assert (again.delivery_id, again.event) == (taken.delivery_id, taken.event)


def test_dead_letter_can_be_delivered_again(store, outbox, clock):
    """Until a month has passed; then the next one pushes it out."""
    webhook_id = hook(store)
    create(store)
    (taken,) = take(outbox, webhook_id)
    outbox.dead(attrs.evolve(taken, failures=4), problem="status 503")
    (dead,) = outbox.dead_letters(webhook_id)
    assert (dead.problem, dead.failures, dead.due) == ("status 503", 4, clock())
    assert outbox.redeliver(webhook_id, ["another"]) == 0
    assert outbox.redeliver(webhook_id, [dead.delivery_id]) == 1
    assert outbox.dead_letters(webhook_id) == []
    (again,) = take(outbox, webhook_id)
    assert (again.delivery_id, again.failures, again.problem) == (taken.delivery_id, 0, None)
    outbox.dead(again, problem="status 503")
    clock.advance(31 * 24 * 60 * 60 * 1000)
    create(store, "other")
    (taken,) = take(outbox, webhook_id)
    outbox.dead(taken, problem="status 410")
    assert [each.problem for each in outbox.dead_letters(webhook_id)] == ["status 410"]


def test_what_was_queued_outlives_its_model(store, outbox):
    """A receiver hears of what was done to a model that is gone or has another name by now."""
    webhook_id = hook(store)
    with_version(store)
    store.apply(RenameModel(name="m", new_name="n"), by=ANN)
    tag(store, "v", "n")
    store.apply(DeleteModel(name="n"), by=ANN)
    create(store, "m")
    delivered = drained(outbox, webhook_id)
    old = delivered[0].event.model_id
    names = [each.event.name for each in delivered if each.event.model_id == old]
    assert names == ["m", "m", "m", "n", "n"]
    assert [each.event.name for each in delivered if each.event.model_id != old] == ["m"]


def test_what_a_snapshot_undoes_is_neither_delivered_nor_in_the_way(store, outbox):
    """What is done afterwards has the numbers of what was undone, and is delivered in order."""
    webhook_id, registry = hook(store), Registry(store)
    with_version(store)
    tag(store, "kept")
    backup = registry.snapshot("m")
    for value in ("undone", "undone, and dead"):
        tag(store, value)
    while True:
        (taken,) = take(outbox, webhook_id)
        if taken.event.sequence == 5:
            outbox.dead(taken, problem="status 410")
            break
        outbox.done(taken)
        if taken.event.sequence == 2:
            tag(store, "undone as well")
    registry.restore(backup, on_conflict="replace")
    dead = [each.delivery_id for each in outbox.dead_letters(webhook_id)]
    outbox.redeliver(webhook_id, dead)
    for value in ("new", "newer", "newest"):
        tag(store, value)
    delivered = [(each.event.sequence, each.event.after) for each in drained(outbox, webhook_id)]
    assert delivered == [(4, "new"), (5, "newer"), (6, "newest")]


def test_without_a_webhook_nothing_is_queued(store, outbox):
    """Nor is anything told later to a webhook of which there was none."""
    with_version(store)
    assert drained(outbox, hook(store)) == []


def test_each_creation_is_queued_for_the_webhooks_that_there_are_then(store, outbox):
    """A store may know from the creation before whether there was one."""
    create(store, "before")
    webhook = hook(store)
    create(store, "between")
    store.delete_webhook(webhook)
    create(store, "after")
    webhook = hook(store)
    create(store, "last")

    assert [each.event.name for each in take(outbox, webhook)] == ["last"]


def test_a_delivery_that_is_given_up_while_it_is_listed_is_listed_once(store, outbox):
    """A store reads what is queued, and what was given up, one after the other."""
    webhook_id = hook(store)
    create(store)
    (taken,) = outbox.take(webhook_id, limit=1, lease_seconds=LEASE)

    class GivenUpInBetween:
        """The log of the store, with somebody who gives up a delivery between its calls."""

        def queued(self, webhook_id):
            found = outbox.queued(webhook_id)
            outbox.dead(taken, problem="nobody answers")
            return found

        def dead_letters(self, webhook_id):
            return outbox.dead_letters(webhook_id)

    queued, dead = listed(GivenUpInBetween(), webhook_id)
    assert (queued, [each.delivery_id for each in dead]) == ([], [taken.delivery_id])
