"""Deliveries as CloudEvents, in HTTP's binary mode: headers beside MLflow's, and the same body.

Source: CloudEvents 1.0.2, and its HTTP protocol binding 1.0.2, section 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from registry_core.models import WebhookEvent
from registry_core.wire.prefixes import OWN_API

SPEC_VERSION = "1.0"

TYPE_PREFIX = "registry."
"""What the type of every event begins with; then comes what the body calls it. Receivers route by
the whole."""

SOURCE = OWN_API
"""A registry does not know the address by which receivers would call it: a path, relative to it. An
id is never used twice, so that source and id together are unique, as they have to be."""

_UNESCAPED = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
"""The characters that a value of a header has as they are (section 3.1.3.2)."""


def attributes(event: WebhookEvent, time: str, data: Mapping[str, object]) -> Mapping[str, str]:
    """Return the headers of an event, but for its id, which is the delivery's.

    Args:
        event: What happened.
        time: When, as the body has it.
        data: What the body says of it; its name is the subject.
    """
    headers = {
        "ce-specversion": SPEC_VERSION,
        "ce-type": f"{TYPE_PREFIX}{event.entity.value}.{event.action.value}",
        "ce-source": SOURCE,
        "ce-time": time,
    }
    name = data.get("name")
    if isinstance(name, str):
        headers["ce-subject"] = quote(name, safe=_UNESCAPED)
    return headers
