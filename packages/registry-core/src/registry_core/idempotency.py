"""Creations that may be asked for again: an idempotency key, and what is kept under it.

Who does not know whether a creation was made asks for it again with the same key, and gets what the
first one made. The store keeps the key in the same atomic step as it makes the creation.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from typing import Any

import attrs

from registry_core.authors import Author
from registry_core.errors import IdempotencyKeyReusedError, InvalidArgumentError

IDEMPOTENCY_HEADER = "Idempotency-Key"
"""The HTTP header that carries a key. Servers that do not know it ignore it."""

KEY_MAX_LENGTH = 255
"""Characters of a key. A UUID has 36; whatever a client makes of its build and step fits."""

KEEP_SECONDS = 24 * 3600.0
"""Seconds for which a key is kept at least, so that a pipeline can be run again on the same day."""

_KEY = re.compile(r"[!-~]+\Z")


def _checked_key(_: object, __: object, value: str) -> None:
    if not _KEY.match(value) or len(value) > KEY_MAX_LENGTH:
        raise InvalidArgumentError(
            f"An idempotency key has 1 to {KEY_MAX_LENGTH} visible ASCII characters, and no spaces."
        )


@attrs.frozen(kw_only=True)
class Idempotency:
    """By what a store recognises a creation that it has made already.

    Raises:
        InvalidArgumentError: The key is malformed.
    """

    key: str = attrs.field(validator=_checked_key)
    """What its caller calls it."""
    request: str
    """A digest of what the caller has asked for."""

    @classmethod
    def of(cls, key: str, *, what: str, asked: Mapping[str, Any]) -> Idempotency:
        """Return what recognises a request to do `what`, with the arguments `asked`."""
        written = json.dumps([what, asked], sort_keys=True, default=dict)
        return cls(key=key, request=hashlib.sha256(written.encode()).hexdigest()[:32])

    def id(self, *, model: str, by: Author) -> str:
        """Return the id under which a store keeps the key: 32 hexadecimal digits.

        A key belongs to the registered model that it is about, and to the caller whom a server has
        authenticated: others cannot meet it, nor learn what was made under it.
        """
        whose = by.actor if by.is_authenticated else None
        return hashlib.sha256(json.dumps([whose, model, self.key]).encode()).hexdigest()[:32]

    def check(self, kept: KeptKey) -> None:
        """Accept that the key was used for the same request.

        Raises:
            IdempotencyKeyReusedError: It was used for another one.
        """
        if kept.request != self.request:
            raise IdempotencyKeyReusedError(self.key)


def keeps_idempotency_keys(store: object) -> bool:
    """Return whether a store keeps keys by itself: it says so in an attribute of this name."""
    return getattr(store, "keeps_idempotency_keys", False) is True


def new_key() -> str:
    """Return a key that nobody has used."""
    return secrets.token_hex(16)


@attrs.frozen(kw_only=True)
class KeptKey:
    """What a store keeps of a creation that it has made under a key."""

    id: str
    """See `Idempotency.id`."""
    request: str
    time: int
    """When the creation happened, in milliseconds since the epoch."""
    version: int | None = None
    """The number of the model version; None for a registered model."""
