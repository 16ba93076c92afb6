"""Deliveries: who is told what, how often it is tried, and what it costs when nobody listens."""

from __future__ import annotations

import itertools
import logging
import re
import socket
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from cryptography.fernet import Fernet

from registry_core import Registry
from registry_core.errors import RegisteredModelNotFoundError, StoreUnavailableError
from registry_core.models import WebhookAction, WebhookEntity, WebhookEvent, WebhookStatus
from registry_core.stores.memory import MemoryStore
from registry_core.webhook_delivery import delivery as module
from registry_core.webhook_delivery import outbox
from registry_core.webhook_delivery.attempts import Retries
from registry_core.webhook_delivery.delivery import Deliveries
from registry_core.webhook_delivery.sender import Sender
from registry_core.webhooks import SecretBox, UrlPolicy, Webhooks, events
from services.receivers import Receiver, Script, raw_receiver

LOCAL = UrlPolicy(schemes=("https", "http"), allow_private_addresses=True)
QUICK = Retries(backoff_seconds=0.01, jitter_seconds=0)
SOON = 10

CREATED = WebhookEvent(WebhookEntity.REGISTERED_MODEL, WebhookAction.CREATED)
TAG_SET = WebhookEvent(WebhookEntity.MODEL_VERSION_TAG, WebhookAction.SET)
PROMPT_TAG_SET = WebhookEvent(WebhookEntity.PROMPT_VERSION_TAG, WebhookAction.SET)
RM_TAG_SET = WebhookEvent(WebhookEntity.PROMPT_TAG, WebhookAction.SET)

TAGGED = events.model_version_tag_set("m", "1", "k", "v")


class CountingStore(MemoryStore):
    """A memory store that counts how often webhooks are listed, and fails when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.lists = 0
        self.down = False

    def list_webhooks(self):
        self.lists += 1
        if self.down:
            raise StoreUnavailableError("down")
        return super().list_webhooks()


@pytest.fixture
def store():
    return CountingStore()


@pytest.fixture
def webhooks(store):
    return Webhooks(store, urls=LOCAL, secrets=SecretBox(Fernet.generate_key().decode()))


@pytest.fixture
def deliver(webhooks):
    """A factory of deliveries that all end with the test."""
    made = []

    def make(*, prompts=(), retries=QUICK, cache_seconds=60.0, **settings):
        deliveries = Deliveries(
            webhooks,
            is_prompt=lambda name: name in prompts,
            retries=retries,
            cache_seconds=cache_seconds,
            **settings,
        )
        made.append(deliveries)
        return deliveries

    yield make
    for deliveries in made:
        deliveries.close(SOON)


def hook(webhooks, receiver, *events, **fields):
    return webhooks.create_webhook(
        "hook", url=getattr(receiver, "url", receiver), events=events or [TAG_SET], **fields
    )


def test_publish_tells_each_webhook_that_wants_the_event(webhooks, deliver):
    """Every subscriber is told once; others, and disabled ones, are not."""
    with Receiver() as one, Receiver() as two, Receiver() as other, Receiver() as off:
        hook(webhooks, one)
        hook(webhooks, two, CREATED, TAG_SET)
        hook(webhooks, other, CREATED)
        hook(webhooks, off, status=WebhookStatus.DISABLED)
        deliveries = deliver()
        deliveries.publish(TAGGED)
        first, second = one.next(), two.next()
        deliveries.close(SOON)
        assert all(receiver.got_nothing_more() for receiver in (one, two, other, off))
    assert first.told == second.told
    assert first.headers["x-mlflow-delivery-id"] != second.headers["x-mlflow-delivery-id"]


def test_delivery_has_the_contracts_form(webhooks, deliver):
    """Body and headers of contract 6.3, without a signature when there is no secret."""
    with Receiver() as receiver:
        hook(webhooks, receiver)
        before = time.time()
        deliver().publish(TAGGED)
        got = receiver.next()
    assert (got.method, got.path) == ("POST", "/hook?a=1")
    assert got.headers["content-type"] == "application/json"
    assert uuid.UUID(got.headers["x-mlflow-delivery-id"]).version == 4
    assert before - 1 <= int(got.headers["x-mlflow-timestamp"]) <= time.time()
    assert "x-mlflow-signature" not in got.headers
    timestamp = got.told.pop("timestamp")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", timestamp)
    assert abs(datetime.fromisoformat(timestamp).timestamp() - before) < SOON
    assert {key: got.told[key] for key in ("entity", "action", "data")} == {
        "entity": "model_version_tag",
        "action": "set",
        "data": {"name": "m", "version": "1", "key": "k", "value": "v"},
    }
    assert list(got.told) == ["entity", "action", "timestamp", "data"]


def test_delivery_is_signed_when_there_is_a_secret(webhooks, deliver):
    """The signature is over the very bytes that arrive, whatever is in them."""
    with Receiver() as receiver:
        hook(webhooks, receiver, secret="sécret")
        deliver().publish(events.model_version_tag_set("m", "1", "k", "ü \U0001f600 \ud800"))
        got = receiver.next()
    assert got.is_signed_with("sécret")
    assert not got.is_signed_with("secret")
    assert got.told["data"]["value"] == "ü \U0001f600 \ud800"


def test_webhook_whose_secret_cannot_be_read_is_told_nothing(webhooks, store, deliver, caplog):
    """An unsigned delivery would look forged; other webhooks are not affected (contract 6.5)."""
    other_key = Webhooks(store, urls=LOCAL, secrets=SecretBox(Fernet.generate_key().decode()))
    with Receiver() as broken, Receiver() as well:
        hook(other_key, broken, secret="s")
        hook(webhooks, well, secret="s")
        deliveries = deliver()
        with caplog.at_level(logging.WARNING):
            deliveries.publish(TAGGED)
            assert well.next().is_signed_with("s")
            deliveries.close(SOON)
        assert broken.got_nothing_more()
    assert "cannot be decrypted" in caplog.text


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_passing_failure_is_tried_again_with_the_same_delivery(webhooks, deliver, status):
    """Id, timestamp, signature and body are repeated, so that a receiver can tell."""
    with Receiver(Script(status), Script(status)) as receiver:
        hook(webhooks, receiver, secret="s")
        deliver().publish(TAGGED)
        attempts = [receiver.next() for _ in range(3)]
    assert len({attempt.body for attempt in attempts}) == 1
    for name in ("x-mlflow-delivery-id", "x-mlflow-timestamp", "x-mlflow-signature"):
        assert len({attempt.headers[name] for attempt in attempts}) == 1
    assert attempts[0].is_signed_with("s")


@pytest.mark.parametrize("status", [200, 201, 204, 302, 400, 401, 404, 410, 501])
def test_final_status_is_not_tried_again(webhooks, deliver, status):
    """A receiver that refuses has been told."""
    body = b"" if status == 204 else b"x"
    with Receiver(Script(status, {"Location": "http://127.0.0.1:9/"}, body)) as receiver:
        hook(webhooks, receiver)
        deliveries = deliver()
        deliveries.publish(TAGGED)
        receiver.next()
        deliveries.close(SOON)
        assert receiver.got_nothing_more()


def test_failure_that_lasts_is_given_up_and_logged_without_the_url(webhooks, deliver, caplog):
    """Four attempts in all; the URL may be a secret in itself."""
    with Receiver(*[Script(503)] * 9) as receiver:
        made = hook(webhooks, receiver)
        deliveries = deliver()
        with caplog.at_level(logging.WARNING):
            deliveries.publish(TAGGED)
            for _ in range(4):
                receiver.next()
            deliveries.close(SOON)
        assert receiver.got_nothing_more()
    (record,) = caplog.records
    assert made.webhook_id in record.getMessage()
    assert "model_version_tag" in record.getMessage()
    assert "status 503" in record.getMessage()
    assert receiver.url not in caplog.text


def test_connection_that_fails_is_tried_again(webhooks, deliver):
    """A receiver that hangs up twice and then answers has been told once."""
    hang_ups = iter([True, True, False])
    retried = threading.Event()

    def answer(connection: socket.socket) -> None:
        if not next(hang_ups):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            retried.set()

    with raw_receiver(answer) as url:
        hook(webhooks, url)
        deliver().publish(TAGGED)
        assert retried.wait(SOON)


def test_host_that_does_not_resolve_for_a_moment_is_tried_again(store, deliver):
    """A name server has its bad moments, too."""
    answers = itertools.chain([OSError("try again")], itertools.repeat(["127.0.0.1"]))

    def resolve(_host, _port):
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    policy = UrlPolicy(schemes=("http",), allow_private_addresses=True, resolve=resolve)
    with Receiver() as receiver:
        hook(Webhooks(store, urls=LOCAL), f"http://receiver.example:{receiver.port}/")
        deliver(sender=Sender(policy)).publish(TAGGED)
        assert receiver.next().headers["host"].startswith("receiver.example")


def test_host_that_became_private_is_told_nothing(store, deliver, caplog):
    """The URL is judged before each delivery, and a refusal is final."""
    lookups = []

    def resolve(host, _port):
        lookups.append(host)
        return ["127.0.0.1"]

    with Receiver() as receiver:
        hook(Webhooks(store, urls=LOCAL), f"http://rebound.example:{receiver.port}/")
        deliveries = deliver(sender=Sender(UrlPolicy(schemes=("http",), resolve=resolve)))
        with caplog.at_level(logging.WARNING):
            deliveries.publish(TAGGED)
            deliveries.close(SOON)
        assert receiver.got_nothing_more()
    assert lookups == ["rebound.example"]
    assert "non-public IP address" in caplog.text


@pytest.mark.parametrize("number", [1, 2, 3, 20])
def test_pause_doubles_up_to_a_bound_and_spreads(number):
    """1, 2, 4 seconds and so on, never above a minute, plus at most a second."""
    least = min(2 ** (number - 1), 60)
    pauses = [Retries().pause(number, None) for _ in range(50)]
    assert all(least <= pause <= least + 1 for pause in pauses)
    assert len(set(pauses)) > 1


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [("7", 7, 7), ("0", 0, 0), ("120", 120, 120), ("soon", 1, 2), ("-5", 1, 2), ("²", 1, 2),
     ("", 1, 2), ("1.5", 1, 2)],
)  # fmt: skip
def test_pause_is_the_receivers_if_it_asks_for_one(header, low, high):
    """In seconds; what is no number and no date is ignored."""
    assert low <= Retries().pause(1, header) <= high


def test_pause_may_be_asked_for_as_a_date():
    """The other form of Retry-After; a date in the past means now."""
    later = datetime.now(UTC) + timedelta(seconds=90)
    assert 80 < Retries().pause(1, format_datetime(later, usegmt=True)) <= 90
    past = datetime.now(UTC) - timedelta(days=1)
    assert Retries().pause(1, format_datetime(past, usegmt=True)) == 0
    assert 1 <= Retries().pause(1, "Wed, 21 Oct 2015 07:28:00 +9999") <= 2


def test_retry_after_is_honoured(webhooks, deliver):
    """The receiver's wish replaces the pause, which here would be an hour."""
    with Receiver(Script(429, {"Retry-After": "0"})) as receiver:
        hook(webhooks, receiver)
        deliver(retries=Retries(backoff_seconds=3600)).publish(TAGGED)
        receiver.next()
        receiver.next()


def test_receiver_that_asks_for_too_much_patience_loses_the_delivery(webhooks, deliver):
    """Deliveries are kept in memory, so not for ever."""
    with Receiver(Script(503, {"Retry-After": "86400"})) as receiver:
        hook(webhooks, receiver)
        deliveries = deliver()
        deliveries.publish(TAGGED)
        receiver.next()
        started = time.monotonic()
        deliveries.close(SOON)
        assert time.monotonic() - started < SOON / 2
        assert receiver.got_nothing_more()


@pytest.mark.parametrize("prompt", [False, True])
def test_tag_of_a_prompt_is_told_to_those_who_listen_for_prompts(webhooks, deliver, prompt):
    """The same change is another event for a prompt."""
    with Receiver() as models, Receiver() as prompts:
        hook(webhooks, models, TAG_SET)
        hook(webhooks, prompts, PROMPT_TAG_SET)
        deliveries = deliver(prompts=["m"] if prompt else [])
        deliveries.publish(TAGGED)
        listener, other = (prompts, models) if prompt else (models, prompts)
        got = listener.next()
        deliveries.close(SOON)
        assert other.got_nothing_more()
    assert got.event == ("prompt_version_tag.set" if prompt else "model_version_tag.set")
    assert got.told["data"] == dict(TAGGED.data)


def test_tag_of_a_registered_model_is_told_for_prompts_only(webhooks, deliver):
    """Contract 6.1 has no event for it."""
    with Receiver() as receiver:
        hook(webhooks, receiver, RM_TAG_SET)
        deliveries = deliver(prompts=["p"])
        deliveries.publish(events.registered_model_tag_set("m", "k", "v"))
        deliveries.publish(events.registered_model_tag_set("p", "k", "v"))
        assert receiver.next().told["data"]["name"] == "p"
        deliveries.close(SOON)
        assert receiver.got_nothing_more()


def test_tag_of_a_model_that_is_gone_already_is_told_as_a_models(webhooks):
    """What it was cannot be found out any more; most are models."""

    def is_prompt(name):
        raise RegisteredModelNotFoundError(name)

    with Receiver() as receiver:
        hook(webhooks, receiver, TAG_SET, PROMPT_TAG_SET)
        deliveries = Deliveries(webhooks, is_prompt=is_prompt)
        deliveries.publish(TAGGED)
        assert receiver.next().event == "model_version_tag.set"
        deliveries.close(SOON)


def test_receiver_that_is_too_slow_loses_events_and_others_do_not(
    webhooks, deliver, monkeypatch, caplog
):
    """What may wait for one webhook is bounded; the loss is logged."""
    monkeypatch.setattr(outbox, "PENDING_PER_KEY", 2)
    gate = threading.Event()
    with Receiver(*[Script(before=lambda: gate.wait(SOON))] * 2) as slow, Receiver() as quick:
        made = hook(webhooks, slow)
        other = hook(webhooks, quick)
        deliveries = deliver()
        with caplog.at_level(logging.WARNING):
            for _ in range(4):
                deliveries.publish(TAGGED)
                quick.next()
                # The request has come; its answer may be on the way, and counts until it is there.
                wait_until(lambda: not deliveries._outbox._pending[other.webhook_id])
        gate.set()
        deliveries.close(SOON)
        assert slow.requests.qsize() == 2
    assert caplog.text.count("is too slow and did not get") == 2
    assert made.webhook_id in caplog.text


def test_publish_without_listeners_reads_the_list_once_and_asks_nothing(store, webhooks, deliver):
    """Remembering that there is no webhook is what makes events free."""
    hook(webhooks, "http://127.0.0.1:9/", CREATED)
    asked = []
    deliveries = Deliveries(webhooks, is_prompt=asked.append, cache_seconds=60)
    deliveries.publish(TAGGED)
    wait_until(lambda: store.lists == 1)
    for _ in range(100):
        deliveries.publish(TAGGED)
    deliveries.close(SOON)
    assert store.lists == 1
    assert asked == []


def test_publish_asks_about_prompts_only_when_the_answer_matters(webhooks, deliver):
    """A created model says by itself what it is."""
    asked = []
    with Receiver() as receiver:
        hook(webhooks, receiver, CREATED)
        deliveries = Deliveries(webhooks, is_prompt=asked.append)
        store = MemoryStore()
        model = Registry(store).create_registered_model("m")
        deliveries.publish(events.registered_model_created(model))
        assert receiver.next().event == "registered_model.created"
        deliveries.close(SOON)
    assert asked == []


def test_publish_returns_at_once_whatever_the_store_does(webhooks, store, deliver):
    """The request that changed the registry waits for neither the list nor a receiver."""
    gate = threading.Event()
    hook(webhooks, "http://127.0.0.1:9/")
    deliveries = Deliveries(webhooks, is_prompt=lambda _: gate.wait(SOON))
    started = time.monotonic()
    for _ in range(100):
        deliveries.publish(TAGGED)
    assert time.monotonic() - started < SOON / 2
    gate.set()
    deliveries.close(SOON)


def test_publish_never_raises(webhooks, deliver, monkeypatch, caplog):
    """With no room left the event is lost, and said to be."""
    gate = threading.Event()
    monkeypatch.setattr(module, "NOTIFICATIONS_PENDING", 1)
    hook(webhooks, "http://127.0.0.1:9/")
    deliveries = Deliveries(webhooks, is_prompt=lambda _: gate.wait(SOON))
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            deliveries.publish(TAGGED)
    gate.set()
    deliveries.close(SOON)
    assert "Too many events: webhooks do not get one of 'm'" in caplog.text


def test_changed_webhooks_are_known_at_once(webhooks, store, deliver):
    """Of this process; what another one changes is known when the list is read again."""
    with Receiver() as receiver:
        deliveries = deliver(cache_seconds=3600)
        deliveries.publish(TAGGED)
        wait_until(lambda: store.lists == 1)
        made = hook(webhooks, receiver)
        deliveries.webhooks_changed()
        deliveries.publish(TAGGED)
        receiver.next()
        webhooks.delete_webhook(made.webhook_id)
        deliveries.webhooks_changed()
        deliveries.publish(TAGGED)
        deliveries.close(SOON)
        assert receiver.got_nothing_more()


def test_webhooks_changed_elsewhere_are_known_after_a_while(webhooks, store, deliver):
    """Without a word from the process that changed them."""
    with Receiver() as receiver:
        deliveries = deliver(cache_seconds=0)
        deliveries.publish(TAGGED)
        wait_until(lambda: store.lists == 1)
        hook(webhooks, receiver)
        deliveries.publish(TAGGED)
        receiver.next()


def test_list_that_cannot_be_read_is_replaced_by_the_last_one_known(webhooks, store, deliver):
    """A store that is away for a moment costs no event."""
    with Receiver() as receiver:
        hook(webhooks, receiver)
        deliveries = deliver(cache_seconds=0)
        deliveries.publish(TAGGED)
        receiver.next()
        store.down = True
        deliveries.publish(TAGGED)
        receiver.next()


def test_list_that_was_never_read_costs_the_event_and_nothing_else(
    webhooks, store, deliver, caplog
):
    """The loss is logged, and the next event is told."""
    with Receiver() as receiver:
        hook(webhooks, receiver)
        store.down = True
        deliveries = deliver()
        with caplog.at_level(logging.ERROR):
            deliveries.publish(TAGGED)
            wait_until(lambda: "Webhooks do not get" in caplog.text)
        store.down = False
        deliveries.publish(TAGGED)
        receiver.next()
        deliveries.close(SOON)
        assert receiver.got_nothing_more()


def test_slow_receiver_does_not_delay_the_others(webhooks, deliver):
    """Ten events for a receiver that does not answer leave threads for one that does."""
    gate = threading.Event()
    with Receiver(*[Script(before=lambda: gate.wait(SOON))] * 20) as slow, Receiver() as quick:
        hook(webhooks, slow)
        hook(webhooks, quick)
        deliveries = deliver()
        for _ in range(20):
            deliveries.publish(TAGGED)
        for _ in range(20):
            quick.next()
        assert slow.requests.qsize() <= 4
        gate.set()
        for _ in range(20):
            slow.next()


def test_close_delivers_what_was_announced(webhooks, deliver):
    """An orderly end loses nothing that a receiver takes in time."""
    with Receiver() as receiver:
        hook(webhooks, receiver)
        deliveries = deliver()
        for _ in range(50):
            deliveries.publish(TAGGED)
        deliveries.close(SOON)
        assert receiver.requests.qsize() == 50


def test_close_abandons_what_takes_too_long(webhooks, deliver, caplog):
    """The server ends on time, and says how many deliveries it cost."""
    gate = threading.Event()
    with Receiver(Script(before=lambda: gate.wait(SOON))) as receiver:
        hook(webhooks, receiver)
        deliveries = deliver()
        deliveries.publish(TAGGED)
        receiver.next()
        started = time.monotonic()
        with caplog.at_level(logging.WARNING):
            deliveries.close(0.05)
        assert time.monotonic() - started < SOON / 2
        gate.set()
    assert "1 webhook deliveries were abandoned" in caplog.text


def test_event_after_the_end_is_lost_and_said_to_be(webhooks, deliver, caplog):
    """Nobody would read it any more; the request that made it has succeeded all the same."""
    deliveries = deliver()
    deliveries.close(SOON)
    with caplog.at_level(logging.WARNING):
        deliveries.publish(TAGGED)
    assert "the server is ending" in caplog.text


def test_close_before_any_event_is_no_error(webhooks, deliver):
    """A server that never had an event has nothing to end."""
    before = threading.active_count()
    deliver().close(SOON)
    assert threading.active_count() == before


def test_test_sends_a_sample_now_and_gives_the_answer(webhooks, deliver):
    """Also to a disabled webhook and for an event it did not ask for (contract 6.4)."""
    with Receiver(Script(202, body=b"got it")) as receiver:
        made = hook(webhooks, receiver, secret="s", status=WebhookStatus.DISABLED)
        result = deliver().test(made, RM_TAG_SET)
        got = receiver.next()
    assert (result.success, result.response_status, result.response_body) == (True, 202, "got it")
    assert result.error_message is None
    assert got.event == "prompt_tag.set"
    assert got.told["data"] == {
        "name": "example_prompt",
        "key": "example_key",
        "value": "example_value",
    }
    assert got.is_signed_with("s")


@pytest.mark.parametrize(("status", "attempts"), [(404, 1), (500, 4)])
def test_test_reports_a_refusal(webhooks, deliver, status, attempts):
    """With status and body; what may pass is tried again first."""
    with Receiver(*[Script(status, body=b"no")] * attempts) as receiver:
        result = deliver().test(hook(webhooks, receiver), TAG_SET)
        assert receiver.requests.qsize() == attempts
    assert (result.success, result.response_status, result.response_body) == (False, status, "no")


def test_test_reports_a_redirect_as_a_failure(webhooks, deliver):
    """Real deliveries would not arrive, so the test says so."""
    with Receiver(Script(301, {"Location": "https://elsewhere.example/"})) as receiver:
        result = deliver().test(hook(webhooks, receiver), TAG_SET)
    assert (result.success, result.response_status) == (False, 301)
    assert result.error_message == "status 301: redirects are not followed"


def test_test_reports_that_nobody_answers(webhooks, deliver):
    """In MLflow's words, after the usual number of attempts."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
    result = deliver().test(hook(webhooks, url), TAG_SET)
    assert (result.success, result.response_status, result.response_body) == (False, None, None)
    assert result.error_message.startswith("Failed to test webhook: ConnectionRefusedError(")


def test_test_reports_an_url_that_is_no_longer_allowed(store, deliver):
    """As any other failure, and without an attempt."""
    made = hook(Webhooks(store, urls=LOCAL), "http://127.0.0.1:9/")
    result = deliver(sender=Sender(UrlPolicy())).test(made, TAG_SET)
    assert not result.success
    assert "Invalid webhook URL scheme: 'http'" in result.error_message


def test_test_reports_what_nobody_foresaw(webhooks, deliver, monkeypatch, caplog):
    """A bug in delivering is no server error, which clients would repeat for minutes."""
    monkeypatch.setattr(Sender, "post", lambda *_: 1 / 0)
    with caplog.at_level(logging.ERROR):
        result = deliver().test(hook(webhooks, "http://127.0.0.1:9/"), TAG_SET)
    assert "ZeroDivisionError" in result.error_message
    assert "ZeroDivisionError" in caplog.text


def test_test_is_not_waited_for_longer_than_a_client_waits(webhooks, deliver):
    """MLflow's client asks again after two minutes: no pause may get there."""
    with Receiver(Script(503, {"Retry-After": "61"})) as receiver:
        result = deliver().test(hook(webhooks, receiver), TAG_SET)
        assert receiver.requests.qsize() == 1
    assert result.response_status == 503


def test_test_ends_with_the_server(webhooks, deliver):
    """A pause between attempts does not keep a server from ending."""
    results = []
    with Receiver(*[Script(503, {"Retry-After": "30"})] * 2) as receiver:
        made, deliveries = hook(webhooks, receiver), deliver()
        thread = threading.Thread(target=lambda: results.append(deliveries.test(made, TAG_SET)))
        thread.start()
        receiver.next()
        deliveries.close(SOON)
        thread.join(SOON)
        assert not thread.is_alive()
    assert results[0].response_status == 503


def wait_until(condition) -> None:
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.002)
