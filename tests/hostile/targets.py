"""What clients know of a server that is flooded. Light to import: every client process does."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import attrs

STORES = ("sqlite", "postgresql")

CALM_MODELS = 50
"""Models of the well-behaved clients."""

LOCKED = "locked"
"""The model whose row somebody keeps locked."""

LARGE_MODELS = 300
"""Models with a tag of `LARGE_TAG`: all of them are an answer of 28 MiB, and slow to search."""

LARGE_TAG = "lorem ipsum dolor " * 5_400

CALM_FILE = "calm/file"
"""An artifact that well-behaved clients read."""

CALM_USER, CALM_SECRET = "calm", "the secret of calm"
"""Whose credentials well-behaved clients and most floods present; to check them costs nothing."""

GUESSED = "carol"
"""The name whose password is guessed."""


def basic(name: str, secret: str) -> Mapping[str, str]:
    """The header of a name and its secret."""
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{secret}'.encode()).decode()}"}


def login(number: int) -> tuple[str, str]:
    """The name and the password of somebody who logs in for the first time."""
    return f"dave{number}", f"password of {number}"


@attrs.frozen(kw_only=True)
class Target:
    """What clients know of a server."""

    port: int
    store: str
    """The URL of its store, for those who have access to that as well."""
    logins: int = 0
    """Of `login`, how many there are."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of a legal caller."""
        return basic(CALM_USER, CALM_SECRET)


def calm_model(number: int) -> str:
    """The name of a model of the well-behaved clients."""
    return f"calm-{number % CALM_MODELS}"
