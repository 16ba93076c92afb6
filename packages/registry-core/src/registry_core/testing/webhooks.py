"""What a store promises about webhooks (contract 6.1, 6.2)."""

from __future__ import annotations

from functools import partial

import pytest

from registry_core.errors import AlreadyExistsError, WebhookNotFoundError
from registry_core.models import (
    Webhook,
    WebhookAction,
    WebhookChanges,
    WebhookEntity,
    WebhookEvent,
    WebhookStatus,
)
from registry_core.testing.calls import Calls
from registry_core.testing.cases import CREATED, StoreCase, create_model, new_webhook
from registry_core.testing.clocks import START, ManualClock
from registry_core.testing.observing import assert_same, dump, refused
from registry_core.testing.racing import race

TAGGED = WebhookEvent(WebhookEntity.MODEL_VERSION_TAG, WebhookAction.SET)
UNTAGGED = WebhookEvent(WebhookEntity.MODEL_VERSION_TAG, WebhookAction.DELETED)


def not_found(webhook_id: str) -> str:
    """The message about a webhook that does not exist."""
    return f"Webhook with ID {webhook_id} not found."


class WebhookTests(StoreCase):
    """Everything about webhooks."""

    def test_create_webhook_returns_it_as_stored(self, store: Calls, clock: ManualClock) -> None:
        """All that was given is kept, under the id given; both timestamps are now."""
        clock.advance(7)
        created = store.create_webhook(
            new_webhook(
                webhook_id="id 1",
                name="name",
                url="https://example.com/x?y=%20#z",
                events=(UNTAGGED, TAGGED, CREATED),
                description="\u00e9 'x'",
                status=WebhookStatus.DISABLED,
                secret="gAAAA=",  # noqa: S106 the text of a secret, not one
            )
        )
        expected = Webhook(
            webhook_id="id 1",
            name="name",
            url="https://example.com/x?y=%20#z",
            events=(UNTAGGED, TAGGED, CREATED),
            description="\u00e9 'x'",
            status=WebhookStatus.DISABLED,
            secret="gAAAA=",  # noqa: S106 as above
            creation_timestamp=START + 7,
            last_updated_timestamp=START + 7,
        )
        assert_same(created, expected)
        assert_same(store.get_webhook("id 1"), expected)
        assert_same(store.list_webhooks(), [expected])

    def test_an_id_of_a_webhook_is_taken_once(self, handles: tuple[Calls, Calls]) -> None:
        """Of many who create one at once, one does; who asks for it again is refused."""
        made = new_webhook(webhook_id="w")
        outcomes = race(*(partial(handle.create_webhook, made) for handle in handles * 4))
        (winner,) = (each.value for each in outcomes if each.error is None)
        assert {type(each.error) for each in outcomes} == {type(None), AlreadyExistsError}
        assert_same(handles[0].list_webhooks(), [winner])

    @pytest.mark.parametrize("given", [None, ""])
    def test_create_webhook_tells_none_from_empty(self, store: Calls, given: str | None) -> None:
        """A description or secret that was never given is not an empty one."""
        created = store.create_webhook(new_webhook(description=given, secret=given))
        found = store.get_webhook(created.webhook_id)
        assert (found.description, found.secret) == (given, given)
        assert found.status is WebhookStatus.ACTIVE

    def test_every_kind_of_event_is_kept(self, store: Calls) -> None:
        """Any entity with any action, in the order given."""
        events = tuple(
            WebhookEvent(entity, action)
            for entity in reversed(WebhookEntity)
            for action in WebhookAction
        )
        created = store.create_webhook(new_webhook(events=events))
        assert_same(store.get_webhook(created.webhook_id).events, events)

    def test_webhooks_may_share_a_name_and_an_address(self, store: Calls) -> None:
        """Only the id tells them apart."""
        first, second = (store.create_webhook(new_webhook()) for _ in range(2))
        store.delete_webhook(first.webhook_id)
        assert_same(store.list_webhooks(), [second])

    def test_list_webhooks_is_newest_first_then_by_id(
        self, store: Calls, clock: ManualClock
    ) -> None:
        """Updating one does not move it."""
        assert store.list_webhooks() == []
        for webhook_id in ("b", "c", "a"):
            store.create_webhook(new_webhook(webhook_id=webhook_id))
        clock.advance()
        store.create_webhook(new_webhook(webhook_id="z"))
        clock.advance()
        store.update_webhook("c", WebhookChanges(name="changed"))
        assert [hook.webhook_id for hook in store.list_webhooks()] == ["z", "a", "b", "c"]

    @pytest.mark.parametrize(
        "change",
        [
            {"name": "other"},
            {"url": "https://example.com/other"},
            {"events": (TAGGED,)},
            {"description": "other"},
            {"description": ""},
            {"description": None},
            {"status": WebhookStatus.DISABLED},
            {"secret": "other"},
            {"secret": None},
            {"name": "other", "events": (TAGGED, CREATED), "secret": None},
            {},
        ],
        ids=str,
    )
    def test_update_webhook_changes_what_is_set(
        self, store: Calls, clock: ManualClock, change: dict[str, object]
    ) -> None:
        """Everything else stays, None erases, and the webhook is updated now in any case."""
        untouched = store.create_webhook(new_webhook())
        before = store.create_webhook(
            new_webhook(description="d", secret="s")  # noqa: S106 as above
        )
        clock.advance()
        updated = store.update_webhook(before.webhook_id, WebhookChanges(**change))  # type: ignore[arg-type] # a table of cases
        expected = Webhook(
            **{
                "webhook_id": before.webhook_id,
                "name": before.name,
                "url": before.url,
                "events": before.events,
                "description": "d",
                "status": WebhookStatus.ACTIVE,
                "secret": "s",
                "creation_timestamp": START,
                "last_updated_timestamp": clock.now,
                **change,
            }  # type: ignore[arg-type] # as above
        )
        assert_same(updated, expected)
        assert_same(store.get_webhook(before.webhook_id), expected)
        assert_same(store.get_webhook(untouched.webhook_id), untouched)

    def test_delete_webhook_removes_it(self, store: Calls) -> None:
        """It is got, listed, updated and deleted no more."""
        created = store.create_webhook(new_webhook())
        store.delete_webhook(created.webhook_id)
        assert store.list_webhooks() == []
        self.assert_missing(store, created.webhook_id)

    def test_a_missing_webhook_is_not_found(self, store: Calls) -> None:
        """Every method says so in the same words, and changes nothing."""
        store.create_webhook(new_webhook(webhook_id="A"))
        self.assert_missing(store, "a")

    def assert_missing(self, store: Calls, webhook_id: str) -> None:
        """Fails unless no method knows the webhook."""
        message = not_found(webhook_id)
        with refused(store, WebhookNotFoundError, message):
            store.get_webhook(webhook_id)
        with refused(store, WebhookNotFoundError, message):
            store.update_webhook(webhook_id, WebhookChanges(name="x"))
        with refused(store, WebhookNotFoundError, message):
            store.delete_webhook(webhook_id)

    def test_webhooks_are_no_part_of_a_model(self, store: Calls) -> None:
        """Models are created and deleted without touching them."""
        created = store.create_webhook(new_webhook())
        before = dump(store)
        create_model(store)
        store.delete_registered_model("m")
        assert dump(store) == before
        assert_same(store.list_webhooks(), [created])
