"""Our server without a socket: requests go straight into the ASGI application, byte for byte.

Nothing between a test and the application tidies a request up, so malformed ones can be sent; and
there is no wire to wait for, so a table of hundreds takes a second.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import urllib.parse
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from registry_core import Registry
from registry_core.changes import DeleteModel
from registry_core.search import Entity, Query, parse_order_by
from registry_core.stores.memory import MemoryStore
from registry_core.testing.calls import TESTER
from registry_core.validation import REGISTERED_MODELS_MAX_RESULTS
from registry_server import Settings, create_app
from registry_server.http.app import Application
from registry_server.http.operations import Operation
from registry_server.http.own import ALL_OPERATIONS
from services.wire_client import API, Response

LOCAL_HOST = (b"host", b"127.0.0.1:8000")

_MODELS = Query(
    entity=Entity.REGISTERED_MODEL,
    order_by=parse_order_by((), Entity.REGISTERED_MODEL),
    max_results=REGISTERED_MODELS_MAX_RESULTS,
)
"""Every model, prompts too."""


class Ticks:
    """A clock that moves on by one millisecond whenever it is read."""

    def __init__(self) -> None:
        self._ticks = itertools.count(1_000)

    def __call__(self) -> int:
        return next(self._ticks)


def memory_registry() -> Registry:
    """An empty registry, as the server opens one."""
    return Registry(MemoryStore(clock=Ticks()), local_sources=False)


class InProcessServer:
    """Our application over a registry, with a loop of its own."""

    def __init__(
        self,
        registry: Registry | None = None,
        settings: Settings | None = None,
        *,
        app: Application | None = None,
        operations: Sequence[Operation[Any, Any]] = ALL_OPERATIONS,
    ) -> None:
        self.registry = registry or memory_registry()
        settings = settings or Settings(threads=2)
        self.app = app or create_app(self.registry, settings, operations=operations)
        self._runner = asyncio.Runner()
        self._lifespan_in: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._lifespan_out: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._lifespan: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._runner.run(self._event("startup"))
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._runner.run(self._event("shutdown"))
        self._runner.close()
        self.registry.close()

    def empty(self) -> None:
        """Forgets every model and webhook of the registry: cheaper than another server."""
        store = self.registry.store
        if isinstance(store, MemoryStore):
            store._content.models.clear()
            store._content.webhooks.clear()
            store._content.queued.clear()
            return
        for model in store.search_registered_models(_MODELS).items:
            store.apply(DeleteModel(name=model.name), by=TESTER)
        for webhook in store.list_webhooks():
            store.delete_webhook(webhook.webhook_id)

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """The answer to a request relative to the API; `body` is sent as JSON."""
        target = urllib.parse.quote(API + path)
        if query:
            target += "?" + urllib.parse.urlencode(query)
        sent = [(key.lower().encode(), value.encode()) for key, value in (headers or {}).items()]
        data = b""
        if body is not None:
            data = json.dumps(body).encode()
            sent.append((b"content-type", b"application/json"))
        return self.send(method, target.encode(), data, sent)

    def send(
        self,
        method: str,
        target: bytes,
        body: bytes = b"",
        headers: Sequence[tuple[bytes, bytes]] = (),
        *,
        hangs_up: bool = False,
    ) -> Response:
        """The answer to exactly this; `target` is the percent-encoded path and query.

        A client that hangs up sends only the first piece of its body.
        """
        pieces = [body[:1024], body[1024:]] if len(body) > 1024 or hangs_up else [body]
        return self._runner.run(self._send(method, target, pieces, headers, hangs_up=hangs_up))

    async def _send(
        self,
        method: str,
        target: bytes,
        pieces: list[bytes],
        headers: Sequence[tuple[bytes, bytes]],
        *,
        hangs_up: bool,
    ) -> Response:
        path, _, query = target.partition(b"?")
        named = [*headers]
        if not any(name == b"host" for name, _ in named):
            named.insert(0, LOCAL_HOST)
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": urllib.parse.unquote(path.decode("ascii")),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": named,
            "client": ("127.0.0.1", 40_000),
            "server": ("127.0.0.1", 8_000),
            "state": {},
        }
        received: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if not pieces:
                await asyncio.get_running_loop().create_future()  # it waits for its answer
            if len(pieces) == 1 and hangs_up:
                return {"type": "http.disconnect"}
            piece = pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

        async def send(message: dict[str, Any]) -> None:
            received.append(message)

        await self.app(scope, receive, send)
        start, *rest = received
        answered = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
        return Response(start["status"], answered, b"".join(part.get("body", b"") for part in rest))

    async def _event(self, name: str) -> None:
        if self._lifespan is None:
            self._lifespan = asyncio.create_task(
                self.app(
                    {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}},
                    self._lifespan_in.get,
                    self._lifespan_out.put,
                )
            )
        await self._lifespan_in.put({"type": f"lifespan.{name}"})
        message = await self._lifespan_out.get()
        assert message["type"] == f"lifespan.{name}.complete", message
        if name == "shutdown":
            await self._lifespan


def missing(parameter: str) -> str:
    """MLflow's message for a parameter that is not there."""
    return (
        f"Missing value for required parameter '{parameter}'. See the API docs for more "
        "information about request parameters."
    )


def wrong_type(parameter: str, value: object) -> str:
    """MLflow's message for a value of the wrong type."""
    return (
        f"Invalid value {json.dumps(value, separators=(',', ':'))} for parameter '{parameter}' "
        f"supplied:  Hint: Value was of type '{type(value).__name__}'. See the API docs for more "
        "information about request parameters."
    )


def not_a_path(value: str, normal: str, parameter: str = "name") -> str:
    """MLflow's message for a name that means another one as a path."""
    return (
        f"Invalid value \"{value}\" for parameter '{parameter}' supplied: Names may be treated as "
        "files in certain cases, and must not resolve to other names when treated as such. This "
        f"name would resolve to '{normal}'"
    )
