"""The part of an application that has the pages.

Strategy: pages have few readers, and must keep nobody from the API. So they run in threads of their
own, of which there are few; their templates are loaded when the first page is asked for; and their
routes are mounts, which the router only tries when no route of the API fits.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from litestar.enums import ScopeType
from litestar.handlers import asgi
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from registry_core import Registry
from registry_server.http import declarations, responses
from registry_server.http.middleware import OPERATION
from registry_server.http.operations import SHORT_BODY_BYTES
from registry_server.http.parts import Part
from registry_server.http.responses import Response
from registry_server.http.serving import body_of
from registry_server.process.lanes import ClientGoneError, HangUp, Lane
from registry_server.process.settings import Settings
from registry_server.webhooks.operations import Handlers

if TYPE_CHECKING:
    from registry_server.pages.answers import PageStream
    from registry_server.pages.site import Site

READING_THREADS = 2
"""Pages of one worker that are made at a time."""

CHANGING_THREADS = 2
"""Forms of one worker that are carried out at a time: each may have to wait for others."""

WAITING_THREADS = 4
"""Forms of one worker that wait for others than the store: for a name to be resolved, for the
receiver of a webhook, of which two at most are tested at a time. So all other forms go on."""

_WAITING_FORMS = "/webhooks"

VERIFYING_THREADS = 1
"""Checks of files of one worker that go on at a time. Others take turns with it, step by step, so
that no number of them takes more than one core from the API."""

_VERIFYING_FORMS = "/verify"

MOUNTS = (
    "/models",
    "/prompts",
    "/activity",
    "/trash",
    "/webhooks",
    "/about",
    "/access",
    "/new",
    "/static",
)
"""Where pages are, beside the root."""

NAME = "pages"
"""What requests for pages are counted as."""


def page_part(settings: Settings, webhooks: Handlers) -> Part:
    """Return the pages of a registry and of its webhooks."""
    serving = _PageServing(settings, webhooks)
    declarations.check_all([NAME], [mount.removeprefix("/") for mount in MOUNTS])
    root = asgi("/", name=f"{NAME}0", copy_scope=False)(serving)
    mounts = (
        asgi(path, is_mount=True, name=f"{NAME}{number}", copy_scope=False)(serving)
        for number, path in enumerate(MOUNTS, 1)
    )
    return Part(
        routes=(root, *mounts),
        names=(NAME,),
        group=NAME,
        start=serving.start,
        on_exit=(serving.close,),
    )


def readable(scope: HTTPScope, failure: Response) -> Response:
    """Return a failure as the client reads it: a page for browsers, as it is for all others."""
    from registry_server.pages import failures  # noqa: PLC0415 loaded for the first browser

    return failures.readable(scope, failure)


class _Streaming:
    """An ASGI application that sends a page while it is made in a lane."""

    def __init__(self, page: PageStream, lane: Lane) -> None:
        self._page = page
        self._lane = lane

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 ASGI
        """Send the page, unless the client hangs up."""
        await send(
            {"type": "http.response.start", "status": HTTPStatus.OK, "headers": self._page.headers}
        )
        client = HangUp(receive)
        gone = client.watched()
        try:
            while not gone.done() and (piece := await self._lane.run(self._page.next)) is not None:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        finally:
            client.close()
            await self._lane.run(self._page.close)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class _PageServing:
    def __init__(self, settings: Settings, webhooks: Handlers) -> None:
        self._settings = settings
        self._webhooks = webhooks
        self._reading = Lane(READING_THREADS, name="pages")
        self._changing = Lane(CHANGING_THREADS, name="page-forms")
        self._waiting = Lane(WAITING_THREADS, name="page-waits")
        self._verifying = Lane(VERIFYING_THREADS, name="page-checks")
        self._loading = threading.Lock()
        self._site: Site | None = None

    def start(self, registry: Registry) -> None:
        self._registry = registry

    def close(self) -> None:
        self._reading.close()
        self._changing.close()
        self._waiting.close()
        self._verifying.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == ScopeType.HTTP, "the server speaks nothing else"
        scope["state"][OPERATION] = NAME
        try:
            answer: ASGIApp = await self._answer(scope, receive)
        except ClientGoneError:
            return
        except Exception as error:  # noqa: BLE001 the one place where errors become answers
            answer = readable(scope, responses.failure(error, scope))
        await answer(scope, receive, send)

    async def _answer(self, scope: HTTPScope, receive: Receive) -> ASGIApp:
        is_form = scope["method"] == "POST"
        body = b""
        if is_form:
            body = b"".join(await body_of(scope["headers"], receive, SHORT_BODY_BYTES))
        lane = self._lane(scope) if is_form else self._reading
        client = HangUp(receive)
        try:
            made = await lane.call(partial(self._made, scope, body), client=client, size=len(body))
        finally:
            client.close()
        return made if isinstance(made, Response) else _Streaming(made, lane)

    def _lane(self, scope: HTTPScope) -> Lane:
        """The threads for a form."""
        if scope["path"].startswith(_WAITING_FORMS):
            return self._waiting
        return self._verifying if scope["path"].endswith(_VERIFYING_FORMS) else self._changing

    def _made(self, scope: HTTPScope, body: bytes) -> Response | PageStream:
        return self._loaded().answer(scope, body, now=time.time_ns() // 1_000_000)

    def _loaded(self) -> Site:
        with self._loading:
            if self._site is None:
                from registry_server.pages.site import Site  # noqa: PLC0415 see above

                self._site = Site(self._registry, self._settings, self._webhooks)
            return self._site
