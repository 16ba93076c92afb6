"""Pages of a server of MLflow's that begin at any row, and how others' are told from them."""

from __future__ import annotations

import base64
import json
import urllib.parse
from contextlib import closing

import pytest

from registry_core.errors import UnsupportedBackendError
from registry_core.search import Entity, Query
from registry_core.search.ordering import parse_order_by
from registry_core.stores.rest import open_store
from services.scripted_server import Response, ScriptedServer

QUERY = Query(
    entity=Entity.MODEL_VERSION,
    order_by=parse_order_by(("name",), Entity.MODEL_VERSION),
    max_results=2,
    exclude_prompts=True,
)
ROWS = [
    {
        "name": "m",
        "version": str(number),
        "creation_timestamp": 1,
        "last_updated_timestamp": 1,
        "current_stage": "None",
        "source": "s3://b/1",
        "status": "READY",
    }
    for number in (1, 2)
]


def token(value: object) -> str:
    """A page token as MLflow makes it."""
    return base64.b64encode(json.dumps(value).encode()).decode()


def answer(following: str | None) -> Response:
    """A page of two versions."""
    body = {"model_versions": ROWS} | ({} if following is None else {"next_page_token": following})
    return Response(200, body, {"Content-Type": "application/json"})


@pytest.mark.parametrize("start", [0, 40])
@pytest.mark.parametrize("has_more", [True, False])
def test_a_page_begins_at_the_row_that_is_asked_for(start: int, has_more: bool) -> None:
    following = token({"offset": start + 2}) if has_more else None
    with ScriptedServer(answer(following)) as server, closing(open_store(server.url)) as store:
        page = store.versions_from(QUERY, start)
    assert [version.version for version in page.items] == [1, 2]
    (received,) = server.received
    asked = urllib.parse.parse_qs(urllib.parse.urlsplit(received.target).query)
    assert asked.get("page_token") == ([token({"offset": 40})] if start else None)


@pytest.mark.parametrize(
    "following",
    [
        token({"offset": 43}),  # a row was left out that the caller may not see
        token({"offset": "42"}),
        token([42]),
        token({}),
        "42",
        "kept by a stranger",
    ],
)
def test_a_server_whose_tokens_say_something_else_is_refused(following: str) -> None:
    with (
        ScriptedServer(answer(following)) as server,
        closing(open_store(server.url)) as store,
        pytest.raises(UnsupportedBackendError, match="do not count rows"),
    ):
        store.versions_from(QUERY, 40)
