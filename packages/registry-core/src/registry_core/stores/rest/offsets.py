"""Pages of a server of MLflow's that begin at any row, by tokens as it makes them.

Strategy: MLflow's page token says how many rows come before a page (contract 4.7), so a reader can
make one of its own: it reads several pages at once, and looks again at rows that it has seen. A
server need not make its tokens so. What it answers shows whether it does: the token of the next
page is the number of the rows so far. It is another number where the server leaves out rows that
the caller may not see.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import TypeVar

import attrs

from registry_core.errors import UnsupportedBackendError
from registry_core.models import ModelVersion, RegisteredModel
from registry_core.search import Page, Query

EntityT = TypeVar("EntityT", RegisteredModel, ModelVersion)


def page_from(search: Callable[[Query], Page[EntityT]], query: Query, start: int) -> Page[EntityT]:
    """Return the page of a search that begins after so many rows.

    Raises:
        UnsupportedBackendError: The server's tokens do not say how many rows come before a page.
    """
    page = search(attrs.evolve(query, page_token=_token(start)))
    following = page.next_page_token
    if following is not None and _offset(following) != start + len(page.items):
        raise UnsupportedBackendError("The server's page tokens do not count rows")
    return page


def _token(start: int) -> str | None:
    """The token of the page that begins after so many rows."""
    if start == 0:
        return None  # MLflow takes no token that says 0
    return base64.b64encode(json.dumps({"offset": start}).encode()).decode()


def _offset(token: str) -> int | None:
    """How many rows come before the page of a token; None if it does not say."""
    try:
        fields = json.loads(base64.b64decode(token))
    except (ValueError, binascii.Error, RecursionError):
        return None
    offset = fields.get("offset") if isinstance(fields, dict) else None
    return offset if type(offset) is int else None
