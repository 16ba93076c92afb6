"""Addresses of pages, relative to wherever the server's root is.

Strategy: a server behind a proxy may be anything below any host, and need not know. So every link
leads up to the root first, by as many steps as the page that it is on is deep.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote, urlencode


def root_of(path: str) -> str:
    """Return the way from a page to the root: `./`, `../` and so on. `path` is as it was sent."""
    return "../" * (path.count("/") - 1) or "./"


def path(*segments: str | int) -> str:
    """Return the address of a page, relative to the root; each segment is quoted as a whole."""
    return "/".join(quote(str(segment), safe="") for segment in segments)


def with_query(address: str, pairs: Iterable[tuple[str, str | int | None]]) -> str:
    """Return the address with those of the pairs that have a value."""
    query = [(key, value) for key, value in pairs if value not in (None, "")]
    return f"{address}?{urlencode(query)}" if query else address


def model(name: str, *rest: str | int) -> str:
    """Return the page of a registered model, or one below it."""
    return path("models", name, *rest)


def version(name: str, number: int | str, *rest: str | int) -> str:
    """Return the page of a model version, or one below it."""
    return path("models", name, "versions", number, *rest)


def alias(name: str, key: str, *rest: str) -> str:
    """Return the page of an alias, or one below it."""
    return path("models", name, "aliases", key, *rest)


def by_id(model_id: str) -> str:
    """Return the page that leads to a model by its id: under any name, or what is left of it."""
    return path("activity", "models", model_id)


def webhook(webhook_id: str, *rest: str) -> str:
    """Return the page of a webhook, or one below it."""
    return path("webhooks", webhook_id, *rest)
