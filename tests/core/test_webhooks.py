"""Keeping webhooks: what is accepted, in which order they are listed, what becomes of secrets."""

from __future__ import annotations

import itertools

import pytest
from cryptography.fernet import Fernet

from registry_core.errors import (
    InvalidArgumentError,
    StoreCorruptedError,
    WebhookNotFoundError,
)
from registry_core.models import (
    WebhookAction,
    WebhookChanges,
    WebhookEntity,
    WebhookEvent,
    WebhookStatus,
)
from registry_core.search import paging
from registry_core.stores.memory import MemoryStore
from registry_core.webhooks import SecretBox, UrlPolicy, Webhooks

CREATED = WebhookEvent(WebhookEntity.REGISTERED_MODEL, WebhookAction.CREATED)
TAGGED = WebhookEvent(WebhookEntity.MODEL_VERSION_TAG, WebhookAction.SET)
URL = "https://example.com/hook"


def anywhere(_host: str, _port: int) -> list[str]:
    return ["8.8.8.8"]


@pytest.fixture
def store():
    ticks = itertools.count(1_000)
    return MemoryStore(clock=lambda: next(ticks))


@pytest.fixture
def webhooks(store):
    return Webhooks(
        store,
        urls=UrlPolicy(resolve=anywhere),
        secrets=SecretBox(Fernet.generate_key().decode()),
    )


def create(webhooks, name="hook", **fields):
    return webhooks.create_webhook(name, **{"url": URL, "events": [CREATED], **fields})


def test_create_gives_what_get_gives(webhooks):
    """A webhook is active unless told otherwise, and has an id of its own."""
    created = create(webhooks, description="d", events=[CREATED, TAGGED, CREATED])
    assert webhooks.get_webhook(created.webhook_id) == created
    assert created.events == (TAGGED, CREATED)
    assert (created.name, created.url, created.description) == ("hook", URL, "d")
    assert created.status is WebhookStatus.ACTIVE
    assert created.creation_timestamp == created.last_updated_timestamp
    assert create(webhooks).webhook_id != created.webhook_id


@pytest.mark.parametrize("name", ["a", "A1", "a.b-c_d", "0", "x" * 63])
def test_name_that_is_legal_is_accepted(webhooks, name):
    """Letters and digits at both ends; dots, dashes and underscores between."""
    assert create(webhooks, name).name == name


@pytest.mark.parametrize(
    "name", ["", " ", "-a", "a-", "a b", "a/b", "x" * 64, "ü", "a\n", "_a", "\u212a"]
)
def test_name_that_is_illegal_is_refused(webhooks, name):
    """MLflow's wording, which clients match; no trailing newline or foreign letter slips past."""
    with pytest.raises(InvalidArgumentError) as caught:
        create(webhooks, name)
    assert str(caught.value).startswith(
        f"Webhook name {name!r} is invalid. It must start and end with a letter or digit, "
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"url": "http://example.com"}, "Invalid webhook URL scheme"),
        ({"events": []}, "non-empty list"),
        (
            {"events": [WebhookEvent(WebhookEntity.PROMPT_TAG, WebhookAction.UPDATED)]},
            "Invalid action 'updated' for entity 'prompt_tag'",
        ),
        ({"description": "x" * 100_001}, "'description' exceeds"),
        ({"description": "\x00"}, "U\\+0000"),
        ({"secret": "x" * 1_001}, "'secret' exceeds the maximum length of 1000"),
    ],
)
def test_create_and_update_check_every_field(webhooks, fields, message):
    """What is illegal in a new webhook is illegal in a change, and nothing is stored."""
    with pytest.raises(InvalidArgumentError, match=message):
        create(webhooks, **fields)
    assert webhooks.list_webhooks().items == []
    kept = create(webhooks)
    changes = {key: tuple(v) if key == "events" else v for key, v in fields.items()}
    with pytest.raises(InvalidArgumentError, match=message):
        webhooks.update_webhook(kept.webhook_id, WebhookChanges(**changes))
    assert webhooks.get_webhook(kept.webhook_id) == kept


def test_update_changes_only_what_is_given(webhooks):
    """An unset field stays; the time of the last update moves even without a change."""
    before = create(webhooks, description="d", secret="s")
    after = webhooks.update_webhook(before.webhook_id, WebhookChanges(events=(TAGGED, TAGGED)))
    assert after.events == (TAGGED,)
    assert (after.name, after.url, after.description) == (before.name, before.url, "d")
    assert webhooks.signing_secret(after) == "s"
    assert after.last_updated_timestamp > before.last_updated_timestamp
    again = webhooks.update_webhook(before.webhook_id, WebhookChanges())
    assert again.last_updated_timestamp > after.last_updated_timestamp
    assert again.creation_timestamp == before.creation_timestamp


def test_update_with_empty_texts_erases_description_and_secret(webhooks):
    """An erased secret stops the signing (contract 6.2)."""
    before = create(webhooks, description="d", secret="s")
    after = webhooks.update_webhook(before.webhook_id, WebhookChanges(description="", secret=""))
    assert after.description is None
    assert webhooks.signing_secret(after) is None


def test_secret_is_kept_encrypted(webhooks, store):
    """A store, and whoever reads its backups, never sees a secret."""
    created = create(webhooks, secret="hunter2")
    kept = store.get_webhook(created.webhook_id).secret
    assert kept
    assert "hunter2" not in kept
    assert "hunter2" not in repr(created)
    assert webhooks.signing_secret(created) == "hunter2"


def test_secret_without_a_key_is_refused(store):
    """Kept in clear, or under a key that dies with the process, it would be worse than none."""
    keyless = Webhooks(store, urls=UrlPolicy(resolve=anywhere))
    with pytest.raises(InvalidArgumentError, match="Set REGISTRY_WEBHOOK_SECRET_KEY on the server"):
        create(keyless, secret="s")
    kept = create(keyless, secret="")
    assert kept.secret is None
    with pytest.raises(InvalidArgumentError, match="secrets are not available"):
        keyless.update_webhook(kept.webhook_id, WebhookChanges(secret="s"))
    assert keyless.update_webhook(kept.webhook_id, WebhookChanges(secret="")).secret is None


def test_secret_of_another_key_is_unreadable_and_the_webhook_is_not(webhooks, store):
    """Losing the key stops that webhook's deliveries, not the listing of all of them."""
    created = create(webhooks, secret="s")
    other = Webhooks(store, secrets=SecretBox(Fernet.generate_key().decode()))
    assert other.get_webhook(created.webhook_id) == created
    assert other.list_webhooks().items == [created]
    with pytest.raises(StoreCorruptedError):
        other.signing_secret(created)


def test_list_is_newest_first_in_pages(webhooks):
    """Pages neither skip nor repeat, also when webhooks come and go between them."""
    hooks = [create(webhooks, f"h{number}") for number in range(5)]
    first = webhooks.list_webhooks(max_results=2)
    assert first.items == [hooks[4], hooks[3]]
    webhooks.delete_webhook(hooks[3].webhook_id)
    create(webhooks, "newer")
    second = webhooks.list_webhooks(max_results=2, page_token=first.next_page_token)
    assert second.items == [hooks[2], hooks[1]]
    third = webhooks.list_webhooks(max_results=2, page_token=second.next_page_token)
    assert third.items == [hooks[0]]
    assert third.next_page_token is None


def test_list_of_a_full_last_page_has_no_next():
    """No empty page is promised."""
    frozen = Webhooks(MemoryStore(clock=lambda: 7), urls=UrlPolicy(resolve=anywhere))
    made = {create(frozen).webhook_id for _ in range(4)}
    one = frozen.list_webhooks(max_results=2)
    two = frozen.list_webhooks(max_results=2, page_token=one.next_page_token)
    assert {hook.webhook_id for hook in (*one.items, *two.items)} == made
    assert two.next_page_token is None


@pytest.mark.parametrize("max_results", [-1, 0, 1001])
def test_list_refuses_a_page_size_out_of_range(webhooks, max_results):
    """Zero means the default on the wire only."""
    with pytest.raises(InvalidArgumentError) as caught:
        webhooks.list_webhooks(max_results=max_results)
    assert str(caught.value) == "max_results must be between 1 and 1000."


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("!", "Invalid page token, could not base64-decode"),
        ("AAAA", "Invalid page token, decoded value="),
        (paging.encode([1, "digest", ["a"]]), "Invalid page token, parsed value="),
        (paging.encode(["webhooks", "1", "id"]), "Invalid page token, parsed value="),
        (paging.encode({"offset": 3}), "Invalid page token, parsed value="),
    ],
)
def test_list_refuses_a_token_that_is_not_its_own(webhooks, token, message):
    """A search's token, or nonsense, is a mistake and not the first page."""
    with pytest.raises(InvalidArgumentError, match=message):
        webhooks.list_webhooks(page_token=token)


@pytest.mark.parametrize("webhook_id", ["absent", "", "\x00", "\ud800", "x" * 300])
def test_absent_webhook_is_not_found_by_any_call(webhooks, webhook_id):
    """An id that no store could hold is not found like any other."""
    for call in (
        webhooks.get_webhook,
        webhooks.delete_webhook,
        lambda wanted: webhooks.update_webhook(wanted, WebhookChanges(name="x")),
    ):
        with pytest.raises(WebhookNotFoundError) as caught:
            call(webhook_id)
        assert str(caught.value) == f"Webhook with ID {webhook_id} not found."


def test_delete_is_final(webhooks):
    """A deleted webhook is gone from every call."""
    created = create(webhooks)
    webhooks.delete_webhook(created.webhook_id)
    assert webhooks.list_webhooks().items == []
    with pytest.raises(WebhookNotFoundError):
        webhooks.delete_webhook(created.webhook_id)


def test_active_webhooks_leave_out_disabled_ones(webhooks):
    """Disabling is how deliveries are paused."""
    active = create(webhooks)
    create(webhooks, status=WebhookStatus.DISABLED)
    assert webhooks.active_webhooks() == [active]


def test_test_event_is_the_first_one_unless_given(webhooks):
    """It need not be one that the webhook asked for, but it must exist."""
    created = create(webhooks, events=[CREATED, TAGGED])
    assert webhooks.test_event(created) == TAGGED
    alias = WebhookEvent(WebhookEntity.PROMPT_ALIAS, WebhookAction.DELETED)
    assert webhooks.test_event(created, alias) == alias
    with pytest.raises(InvalidArgumentError, match="Invalid action"):
        webhooks.test_event(created, WebhookEvent(WebhookEntity.PROMPT, WebhookAction.SET))
