"""Webhooks: one object each, few enough to be read all at once."""

from __future__ import annotations

from registry_core import webhook_records
from registry_core.errors import AlreadyExistsError, WebhookNotFoundError
from registry_core.models import NewWebhook, Webhook, WebhookChanges
from registry_core.stores.s3.damage import DamageLog
from registry_core.stores.s3.journal import Entry
from registry_core.stores.s3.listing import list_keys
from registry_core.stores.s3.prefix import Prefix
from registry_core.stores.s3.record import Content, Tombstone


class Webhooks:
    """The webhooks of one registry."""

    def __init__(self, prefix: Prefix, damage: DamageLog) -> None:
        self._objects = prefix.objects
        self._records = prefix.journal
        self._layout = prefix.layout
        self._pool = prefix.pool
        self._clock = prefix.clock
        self._damage = damage

    def create(self, new: NewWebhook) -> Webhook:
        """Return the new webhook. One PUT."""

        def change(entry: Entry) -> Content:
            if isinstance(entry.content, Webhook):
                raise AlreadyExistsError(new.name)
            return webhook_records.create_webhook(new, self._clock())

        key = self._layout.webhook(new.webhook_id)
        written = self._records.commit(key, change, settle=_as_it_is, first=Entry(key=key))
        return _webhook(written, new.webhook_id)

    def get(self, webhook_id: str) -> Webhook:
        """Return the webhook. One GET."""
        return _webhook(self._records.read(self._layout.webhook(webhook_id)), webhook_id)

    def all(self) -> list[Webhook]:
        """Return every webhook that can be read.

        One LIST per thousand, and one GET per changed one.
        """
        known = self._records.cached()
        listed = list_keys(self._objects, self._layout.webhooks, (), self._pool)
        changed = [
            each.key
            for each in listed
            if each.key not in known or known[each.key].etag != each.etag
        ]
        read = {entry.key: entry for entry in self._pool.map(self._records.look, changed)}
        entries = [read.get(each.key) or known[each.key] for each in listed]
        for entry in entries:
            if entry.damage is not None:
                self._damage.note(entry.key, str(entry.etag), entry.damage)
        return webhook_records.newest_first(
            entry.content for entry in entries if isinstance(entry.content, Webhook)
        )

    def update(self, webhook_id: str, changes: WebhookChanges) -> Webhook:
        """Return the webhook afterwards. One GET and one PUT."""

        def change(entry: Entry) -> Content:
            return webhook_records.apply_changes(
                _webhook(entry, webhook_id), changes, self._clock()
            )

        key = self._layout.webhook(webhook_id)
        return _webhook(self._records.commit(key, change, settle=_as_it_is), webhook_id)

    def delete(self, webhook_id: str) -> None:
        """Make the webhook's key a tombstone. One GET and one PUT."""

        def change(entry: Entry) -> Content:
            _webhook(entry, webhook_id)
            return Tombstone(name=webhook_id)

        self._records.commit(self._layout.webhook(webhook_id), change, settle=_as_it_is)


def _webhook(entry: Entry, webhook_id: str) -> Webhook:
    if not isinstance(entry.content, Webhook):
        raise WebhookNotFoundError(webhook_id)
    return entry.content


def _as_it_is(entry: Entry) -> Entry:
    return entry
