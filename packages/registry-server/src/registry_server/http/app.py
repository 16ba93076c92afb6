"""The application: `create_app` puts the table of operations on HTTP.

Litestar routes, and sees neither requests nor entities: it would encode and coerce them in its own
way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import attrs
from litestar import Litestar, Request
from litestar.enums import HttpMethod, ScopeType
from litestar.exceptions import HTTPException, MethodNotAllowedException
from litestar.handlers import HTTPRouteHandler, asgi
from litestar.handlers.asgi_handlers import ASGIRouteHandler
from litestar.response import Response as LitestarResponse
from litestar.types import ASGIApp, Receive, Scope, Send

from registry_core import Registry
from registry_core.inloop import LoopReads
from registry_core.webhooks import Webhooks
from registry_server.access.users import Users
from registry_server.artifacts import SCHEMAS as ARTIFACT_SCHEMAS
from registry_server.artifacts import ArtifactService, supports_multipart
from registry_server.http import openapi, probes, responses
from registry_server.http.metrics import Metrics
from registry_server.http.middleware import OPERATION, Middleware
from registry_server.http.operations import OWN_OPERATIONS, REGISTRY_OPERATIONS, Operation
from registry_server.http.responses import RequestRefusedError, Response
from registry_server.http.serving import Lanes, Runner, Served
from registry_server.process.limits import Limits
from registry_server.process.loop_runner import LoopRunner
from registry_server.process.settings import Settings
from registry_server.process.threads import Threads
from registry_server.webhooks import SCHEMAS as WEBHOOK_SCHEMAS
from registry_server.webhooks import WebhookServing


def create_app(
    registry: Registry,
    settings: Settings | None = None,
    *,
    operations: Sequence[Operation[Any, Any]] = (*REGISTRY_OPERATIONS, *OWN_OPERATIONS),
) -> Application:
    """An ASGI application that serves the registry. The caller closes the registry.

    Raises:
        SettingsError: the auth file cannot be used, or this process may open too few files.
        InvalidArgumentError: the key for secrets of webhooks is not one.
    """
    settings = settings or Settings()
    lanes = Lanes(settings.threads)
    ready = Threads(1, name="ready")
    inloop = None
    if isinstance(registry.store, LoopReads):
        inloop = LoopRunner(settings.threads, pauses=registry.store.reads_pause)
    webhooks = WebhookServing.of(registry, settings)
    operations = (*operations, *webhooks.operations)
    files = ArtifactService(registry, transfers=Limits.of(settings).transfers)
    document = openapi.document(
        operations,
        schemas={**WEBHOOK_SCHEMAS, **ARTIFACT_SCHEMAS},
        others=files.described(),
    )
    names = [operation.id for operation in operations]
    metrics = Metrics([*names, *probes.NAMES])
    app = Application(
        route_handlers=[
            *probes.routes(
                registry, ready, metrics, document, multipart=supports_multipart(registry)
            ),
            *files.routes(),
            *_routes(
                [
                    Served(
                        operation,
                        Runner(operation, registry, metrics.observe),
                        lanes,
                        inloop if operation.may_run_in_loop else None,
                        settings,
                    )
                    for operation in operations
                ]
            ),
        ],
        exception_handlers={HTTPException: _http_failure, Exception: _failure},
        openapi_config=None,
        logging_config=None,
        # Webhooks after the last event, and before the caller closes the registry.
        # A lambda, because Litestar passes itself to a hook that takes an argument.
        on_shutdown=[
            lanes.close,
            ready.close,
            files.close,
            lambda: webhooks.close(),  # noqa: PLW0108 see above
            lanes.waiting.close,
            *([] if inloop is None else [inloop.close]),
        ],
    )
    # Around the router, not inside it: what it refuses by itself is guarded and counted too.
    app.asgi_handler = Middleware(
        app.asgi_handler,
        metrics=metrics,
        users=Users.load(settings.auth_file) if settings.auth_file else None,
        allowed_hosts=settings.known_hosts,
        allowed_origins=settings.allowed_origins,
        local_origins=settings.is_local,
        trusted_proxies=settings.trusted_proxies,
    )
    app.per_process = PerProcess(registry=registry, webhooks=webhooks.webhooks, metrics=metrics)
    return app


@attrs.frozen(kw_only=True)
class PerProcess:
    """What each process that serves an application has of its own."""

    registry: Registry
    webhooks: Webhooks
    metrics: Metrics


class Application(Litestar):
    """Litestar, for one registry."""

    per_process: PerProcess

    def become_worker(self, registry: Registry, *, counters: Path) -> None:
        """Goes on in a process that was forked when the application had been made.

        `registry` is at the same place as the one that it was made for, and opened by this process:
        connections and threads are not forked. Requests are counted in the directory `counters`,
        which the workers of a server share.
        """
        own = self.per_process
        own.registry.store, own.registry.artifacts = registry.store, registry.artifacts
        own.webhooks.store = registry.store
        own.metrics.share(counters)

    @staticmethod
    def _get_default_plugins(plugins: list[Any]) -> list[Any]:
        # Plugins for other libraries, which no handler here has a use for. Where pydantic is
        # installed, as it is beside MLflow, they load it: a third of the time to the first answer.
        # Should this method go away, so does what it saves, and nothing else.
        return plugins


class _Path:
    """The ASGI application of the operations that have one path, and differ in their methods."""

    def __init__(self, served: Iterable[Served]) -> None:
        self._served: dict[str, Served] = {}
        for one in served:
            self._served.update(dict.fromkeys(one.operation.methods, one))
        self.methods = sorted({*self._served, "OPTIONS"})
        self._allow = ", ".join(self.methods)
        self._options = Response(HTTPStatus.NO_CONTENT, b"", ((b"allow", self._allow.encode()),))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request.

        Raises:
            MethodNotAllowedException: no operation here has its method.
        """
        assert scope["type"] == ScopeType.HTTP, "the server speaks nothing else"
        served = self._served.get(scope["method"])
        if served is not None:
            scope["state"][OPERATION] = served.operation.id
            reply = await served.reply(scope, receive)
        elif scope["method"] == "OPTIONS":
            reply = self._options
        else:
            raise MethodNotAllowedException(headers={"Allow": self._allow})
        await reply(scope, receive, send)


def _routes(served: Iterable[Served]) -> list[ASGIRouteHandler | HTTPRouteHandler]:
    """The handlers of the operations."""
    together: dict[tuple[str, ...], list[Served]] = {}
    for one in served:
        together.setdefault(one.operation.paths, []).append(one)
    return [_route(list(where), _Path(operations)) for where, operations in together.items()]


def _route(where: list[str], app: _Path) -> ASGIRouteHandler | HTTPRouteHandler:
    if not any("{" in path for path in where):
        return asgi(where, copy_scope=False)(app)

    # Litestar finds no parameters in the path of a plain ASGI handler.
    async def handle() -> ASGIApp:
        return app

    return HTTPRouteHandler(
        [path.replace("}", ":str}") for path in where],
        http_method=[HttpMethod(method) for method in app.methods],
        status_code=HTTPStatus.OK,
    )(handle)


class _FinishedResponse(LitestarResponse[bytes]):
    """A reply in the type that Litestar wants from exception handlers."""

    def __init__(self, reply: Response) -> None:
        super().__init__(reply.body)
        self._reply = reply

    def to_asgi_response(self, *_: Any, **__: Any) -> Any:
        return self._reply


def _failure(_: Request[Any, Any, Any], error: Exception) -> LitestarResponse[bytes]:
    return _FinishedResponse(responses.failure(error))


def _http_failure(request: Request[Any, Any, Any], error: HTTPException) -> LitestarResponse[bytes]:
    """What Litestar itself refuses: an unknown path, a wrong method, an impossible request."""
    method, path = request.scope["method"], request.scope["path"]
    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            code, message = "ENDPOINT_NOT_FOUND", f"There is no endpoint at {path}"
        case HTTPStatus.METHOD_NOT_ALLOWED:
            code, message = "ENDPOINT_NOT_FOUND", f"There is no endpoint for {method} {path}"
        case status if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            code, message = "BAD_REQUEST", error.detail
        case _:
            return _failure(request, error)
    headers = tuple(
        (name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items()
    )
    refused = RequestRefusedError(error.status_code, code, message, headers=headers)
    return _FinishedResponse(refused.reply())
