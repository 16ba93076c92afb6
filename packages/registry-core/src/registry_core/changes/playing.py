"""What an event says, where its action promises that it says so.

What is not as promised raises `AssertionError`: such an event cannot be played back; see `replay`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry_core.documents import ModelDocument
from registry_core.history import VERSION_TEXTS, VERSION_WORDS, Event
from registry_core.models import ModelVersion


def key_of(event: Event) -> str:
    """Return the alias, the key of a tag, or the actor that it is about."""
    assert event.key is not None, "the event is about a key"
    return event.key


def number_of(event: Event) -> int:
    """Return the number of the version that it is about."""
    assert event.version is not None, "the event is about a version"
    return event.version


def version_before(document: ModelDocument, event: Event) -> ModelVersion:
    """Return the version that it is about, as it is before the event."""
    return document.versions[number_of(event)]


def text_of(event: Event) -> str:
    """Return the text that it leaves."""
    assert isinstance(event.after, str), "the event leaves a text"
    return event.after


def text_if_any(event: Event) -> str | None:
    """Return the text that it leaves, if any."""
    assert event.after is None or isinstance(event.after, str), "the event leaves a text or none"
    return event.after


def fields_of(event: Event) -> Mapping[str, Any]:
    """Return the fields that it leaves."""
    assert isinstance(event.after, Mapping), "the event leaves fields"
    return event.after


def times_of(event: Event) -> dict[str, Any]:
    """Return the times of what it makes: those that a beginning says, or the time of the event."""
    fields = fields_of(event)
    names = ("creation_timestamp", "last_updated_timestamp")
    return {name: fields.get(name, event.time) for name in names}


def version_of(event: Event, name: str) -> ModelVersion:
    """Return the version, of the model of that name, that it creates or brings back."""
    fields = fields_of(event)
    said: dict[str, Any] = {each: fields.get(each) for each in VERSION_TEXTS}
    said["source"] = fields.get("source", "")
    for each, default in VERSION_WORDS.items():
        said[each] = type(default)(fields.get(each, default))
    return ModelVersion(
        name=name,
        version=number_of(event),
        tags=dict(sorted(fields.get("tags", {}).items())),
        **said,
        **times_of(event),
    )
