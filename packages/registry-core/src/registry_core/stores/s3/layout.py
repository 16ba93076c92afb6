"""Which key holds what: the only place that knows the names of objects.

    {prefix}/registry.json                         the marker: this prefix is a registry
    {prefix}/models/{name}.json                    one registered model with all its versions
    {prefix}/values/{model id}/{sha256}-{id}.txt   one large text of a model
    {prefix}/events/{model id}/{number}-{earliest}-{latest}.json
                                                   events of a model from that number on, and their
                                                   earliest and latest time
    {prefix}/events/{model id}/beginning-{number}-{id}.json
                                                   the oldest events of a history that was pruned,
                                                   from that number on
    {prefix}/events/{model id}/deleted-{number}.json
                                                   the last events of a deleted model, up to that
                                                   number, whose name is in use again
    {prefix}/webhooks/{id}.json                    one webhook
    {prefix}/outbox/{webhook id}/{model id}/{number}-{operation}.json
                                                   an event that waits for delivery to the webhook,
                                                   if the operation has made it
    {prefix}/dead-letters/{webhook id}/{model id}/{number}-{operation}.json
                                                   one whose delivery was given up
    {prefix}/probe/{id}                            gone again once the bucket has been tried

Names are written in keys as `registry_core.key_names` says; the document holds the true name.
"""

from __future__ import annotations

import re

import attrs

from registry_core.errors import InvalidArgumentError
from registry_core.key_names import DOCUMENT_NAMES

KEY_MAX_BYTES = 1024
"""Bytes of a key in UTF-8; S3's limit."""

PREFIX_MAX_BYTES = 700
"""Bytes of a store's prefix; what is left of a key holds the longest name of an object."""

_SUFFIX = ".json"
_NUMBER_DIGITS = 10
_DELETED = re.compile(r"([^/]+)/deleted-\d{10,}\.json")
_BEGINNING = re.compile(r"([^/]+)/beginning-(\d{10,})-([^/]+)\.json")
_CHUNK = re.compile(r"([^/]+)/(\d{10,})-(-?\d+)-(-?\d+)\.json")


@attrs.frozen
class Layout:
    """The keys of one registry; `prefix` is empty or ends in a slash."""

    prefix: str

    @classmethod
    def under(cls, prefix: str) -> Layout:
        """Return the layout under a prefix as a user writes it, with or without slashes around it.

        Raises:
            InvalidArgumentError: the prefix leaves no room for the names of objects.
        """
        trimmed = prefix.strip("/")
        if len(trimmed.encode()) > PREFIX_MAX_BYTES:
            raise InvalidArgumentError(
                f"The prefix of an s3: store is at most {PREFIX_MAX_BYTES} bytes long"
            )
        if any(part in ("", ".", "..") for part in trimmed.split("/")) and trimmed:
            raise InvalidArgumentError(
                f"Invalid prefix '{trimmed}' of an s3: store: it has an empty, '.' or '..' part"
            )
        return cls(f"{trimmed}/" if trimmed else "")

    @property
    def marker(self) -> str:
        """The object that makes the prefix a registry."""
        return f"{self.prefix}registry.json"

    @property
    def models(self) -> str:
        """What the keys of all registered models begin with."""
        return f"{self.prefix}models/"

    @property
    def values(self) -> str:
        """What the keys of all large texts begin with."""
        return f"{self.prefix}values/"

    @property
    def events(self) -> str:
        """What the keys of all objects with events begin with."""
        return f"{self.prefix}events/"

    @property
    def webhooks(self) -> str:
        """What the keys of all webhooks begin with."""
        return f"{self.prefix}webhooks/"

    def outbox_of(self, webhook_id: str) -> str:
        """Return what the keys of all deliveries begin with that are to be made to a webhook."""
        return f"{self.prefix}outbox/{DOCUMENT_NAMES.encode(webhook_id)}/"

    def dead_letters_of(self, webhook_id: str) -> str:
        """Return what the keys of all deliveries begin with that a webhook did not get."""
        return f"{self.prefix}dead-letters/{DOCUMENT_NAMES.encode(webhook_id)}/"

    @staticmethod
    def delivery(model_id: str, sequence: int, operation: str) -> str:
        """Return what the key of a delivery ends in."""
        return f"{model_id}/{sequence:0{_NUMBER_DIGITS}}-{operation}{_SUFFIX}"

    @property
    def probes(self) -> str:
        """What the keys of the objects that try the bucket begin with."""
        return f"{self.prefix}probe/"

    def model(self, name: str) -> str:
        """Return the key of the registered model `name`."""
        return f"{self.models}{DOCUMENT_NAMES.encode(name)}{_SUFFIX}"

    def webhook(self, webhook_id: str) -> str:
        """Return the key of a webhook."""
        return f"{self.webhooks}{DOCUMENT_NAMES.encode(webhook_id)}{_SUFFIX}"

    def values_of(self, model_id: str) -> str:
        """Return what the keys of a model's large texts begin with."""
        return f"{self.values}{model_id}/"

    def value(self, model_id: str, value_id: str) -> str:
        """Return the key of one large text."""
        return f"{self.values_of(model_id)}{value_id}.txt"

    def parse_value(self, key: str) -> tuple[str, str] | None:
        """Return model id and value id in a key, or None if it is not the key of a large text."""
        match key.removeprefix(self.values).split("/"):
            case [model_id, name] if name.endswith(".txt"):
                return model_id, name.removesuffix(".txt")
        return None

    def events_of(self, model_id: str) -> str:
        """Return what the keys of a model's older events begin with."""
        return f"{self.events}{model_id}/"

    def events_from(self, model_id: str, first: int) -> str:
        """Return what the key of the chunk begins with whose first event has this number."""
        return f"{self.events_of(model_id)}{first:0{_NUMBER_DIGITS}}"

    def chunk(self, model_id: str, first: int, earliest: int, latest: int) -> str:
        """Return the key of a chunk of events."""
        return f"{self.events_from(model_id, first)}-{earliest}-{latest}{_SUFFIX}"

    def beginnings_of(self, model_id: str) -> str:
        """Return what the keys begin with of the objects that a model's history begins with."""
        return f"{self.events_of(model_id)}beginning-"

    def beginning(self, model_id: str, first: int, object_id: str) -> str:
        """Return the key of the oldest events of a history that was pruned."""
        return f"{self.beginnings_of(model_id)}{first:0{_NUMBER_DIGITS}}-{object_id}{_SUFFIX}"

    def parse_beginning(self, key: str) -> tuple[str, int, str] | None:
        """Return the model id, first number and id in the key of a beginning, or None."""
        match = _BEGINNING.fullmatch(key.removeprefix(self.events))
        return None if match is None else (match[1], int(match[2]), match[3])

    def deleted_from(self, model_id: str) -> str:
        """Return what the keys of the last events of a deleted model begin with."""
        return f"{self.events_of(model_id)}deleted-"

    def deleted_events(self, model_id: str, last: int) -> str:
        """Return the key of the last events of a deleted model.

        `last` is the number of the deletion.

        A model may be restored and deleted again, so that each deletion has a key of its own.
        """
        return f"{self.deleted_from(model_id)}{last:0{_NUMBER_DIGITS}}{_SUFFIX}"

    def parse_chunk(self, key: str) -> tuple[str, int, int, int] | None:
        """Return id, first number, earliest and latest time in the key of a chunk, or None."""
        match = _CHUNK.fullmatch(key.removeprefix(self.events))
        if match is None:
            return None
        model_id, *numbers = match.groups()
        first, earliest, latest = map(int, numbers)
        return model_id, first, earliest, latest

    def parse_deleted_events(self, key: str) -> str | None:
        """Return the model id in the key of the last events of a deleted model, or None."""
        match = _DELETED.fullmatch(key.removeprefix(self.events))
        return None if match is None else match[1]
