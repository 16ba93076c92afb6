"""The route by which large models come: the lines of an export, which no memory has to hold.

Strategy: the body is cut into lines as it comes, and each is looked at and put into a temporary
file before the next is read. When all are there, one call writes the model, in one atomic step; so
a client that goes away has written nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import parse_qs

from litestar.handlers import asgi
from litestar.types import Receive, Scope, Send

from registry_core import (
    InvalidArgumentError,
    NotPermittedError,
    Origin,
    RegisteredModel,
    Registry,
    StoreUnavailableError,
)
from registry_core.changes import restores_in_pieces
from registry_core.snapshot_pieces import PIECE_MAX_BYTES, IncomingSnapshot, SpooledSnapshot
from registry_core.wire import Json
from registry_core.wire.snapshots import SNAPSHOTS_PATH
from registry_server.artifacts.requests import Body
from registry_server.artifacts.transfers import Places
from registry_server.http import responses
from registry_server.http.middleware import OPERATION
from registry_server.http.openapi import content
from registry_server.http.parts import ANONYMOUS, Part
from registry_server.http.response_shapes import REGISTERED_MODEL
from registry_server.http.responses import RequestRefusedError, Response
from registry_server.process.connection import connection_of
from registry_server.process.lanes import ClientGoneError
from registry_server.process.threads import Threads

UPLOADS_AT_A_TIME = 8
"""Models that come to one worker at a time: each holds a line in memory, and room in the directory
for temporary files. Another one waits, and the slowest ends in its favour where that is slow."""

WRITERS = 2
"""Large models that one worker writes at a time: each keeps a connection to the database busy for
as long as it takes, which is seconds for ten thousand versions."""

SNAPSHOT_MAX_BYTES = 8 * 1024 * 1024 * 1024
"""Bytes of all lines of one model: millions of versions. It keeps a client that never ends from
filling the disk."""

WHOLE_MAX_BYTES = 128 * 1024 * 1024
"""As `SNAPSHOT_MAX_BYTES`, where the store has whole models in memory, as that of a bucket has: a
model takes ten times its bytes there, and `WRITERS` of them are written at a time."""

NAME = "uploadModelSnapshot"

ResultT = TypeVar("ResultT")


def snapshot_part() -> Part:
    """Return the route that takes large models."""
    uploads = _SnapshotUploads()
    return Part(
        routes=(asgi(SNAPSHOTS_PATH, name=NAME, copy_scope=False)(uploads),),
        names=(NAME,),
        described=_described,
        start=uploads.start,
        on_exit=(uploads.close,),
    )


class _SnapshotUploads:
    """Writes the models that come."""

    methods = frozenset({"POST"})

    def __init__(self) -> None:
        self._registry: Registry | None = None
        self._readers = Threads(UPLOADS_AT_A_TIME, name="snapshots")
        self._writers = Threads(WRITERS, name="restoring")
        self._places = Places(UPLOADS_AT_A_TIME)

    def start(self, registry: Registry) -> None:
        self._registry = registry.acting_as(ANONYMOUS, origin=Origin.HTTP)

    def close(self) -> None:
        self._readers.close()
        self._writers.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope["state"][OPERATION] = NAME
        try:
            answer = await self._answer(scope, Body(receive))
        except ClientGoneError:
            return
        except Exception as error:  # noqa: BLE001 the one place where errors become answers
            answer = responses.failure(error, scope)
        await answer(scope, receive, send)

    async def _answer(self, scope: Scope, body: Body) -> Response:
        if scope.get("method") not in self.methods:
            raise RequestRefusedError(
                HTTPStatus.METHOD_NOT_ALLOWED,
                "ENDPOINT_NOT_FOUND",
                f"There is no endpoint for {scope.get('method')} {SNAPSHOTS_PATH}",
                headers=((b"allow", b"POST"),),
            )
        # By the name, since callers of a users file have one and no rights of their own.
        if scope.get("user") is not None:
            raise NotPermittedError(
                "A server that authenticates its users takes no snapshot, because its history "
                "says what others did: restore it with the URL of the registry's own store"
            )
        replaces = _replaces(scope)
        async with self._places.place(connection_of(scope)):
            snapshot = await self._received(body)
            restored = await self._call(self._writers, lambda: self._restored(snapshot, replaces))
        return responses.success(REGISTERED_MODEL.encode(restored))

    def _restored(self, snapshot: SpooledSnapshot, replaces: bool) -> RegisteredModel:  # noqa: FBT001
        assert self._registry is not None, "an application is started before it is served"
        return self._registry.restore(snapshot, on_conflict="replace" if replaces else "fail")

    async def _received(self, body: Body) -> SpooledSnapshot:
        assert self._registry is not None, "an application is started before it is served"
        in_pieces = restores_in_pieces(self._registry.store)
        most = SNAPSHOT_MAX_BYTES if in_pieces else WHOLE_MAX_BYTES
        incoming: IncomingSnapshot | None = None
        async for line in _lines(body, most):
            if incoming is None:
                incoming = await self._call(self._readers, lambda: IncomingSnapshot(line))  # noqa: B023 run at once
            else:
                add = incoming.add
                await self._call(self._readers, lambda: add(line))  # noqa: B023 run at once
        if incoming is None:
            raise InvalidArgumentError("The request has no snapshot")
        return incoming.finish()

    async def _call(self, threads: Threads, call: Callable[[], ResultT]) -> ResultT:
        try:
            return await asyncio.shield(threads.run(call))
        except OSError as error:
            raise StoreUnavailableError(
                f"The server has no room for a large model in its directory for temporary files "
                f"(TMPDIR): {error.strerror}"
            ) from error


async def _lines(body: Body, most: int) -> AsyncIterator[bytes]:
    """Yield the lines of a body, with their ends."""
    gathered = bytearray()
    while piece := await body.read():
        if body.received > most:
            raise _too_large(most)
        *ended, rest = piece.split(b"\n")
        for each in ended:
            gathered += each
            yield bytes(gathered)
            gathered.clear()
        gathered += rest
        if len(gathered) > PIECE_MAX_BYTES:
            raise _too_large(PIECE_MAX_BYTES)
    if gathered:
        yield bytes(gathered)


def _too_large(most: int) -> RequestRefusedError:
    return RequestRefusedError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "INVALID_PARAMETER_VALUE",
        f"The snapshot, or a line of it, exceeds the maximum of {most} bytes.",
    )


def _replaces(scope: Scope) -> bool:
    try:
        text = parse_qs(scope["query_string"].decode("ascii")).get("replaces", ["false"])[-1]
    except ValueError:
        text = ""
    if text not in ("true", "false"):
        raise InvalidArgumentError("'replaces' must be true or false")
    return text == "true"


def _described() -> Json:
    refusals = {
        "4XX": content("The request was refused; nothing was changed.", "Error"),
        "5XX": content("The server could not answer.", "Error"),
    }
    replaces = {
        "name": "replaces",
        "in": "query",
        "required": False,
        "schema": {"type": "boolean", "default": False},
        "description": "Whether a model of that name goes in the same step.",
    }
    return {
        SNAPSHOTS_PATH: {
            "post": {
                "operationId": NAME,
                "summary": "Write a registered model of any size, from the lines of an export.",
                "parameters": [replaces],
                "requestBody": {
                    "required": True,
                    "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
                },
                "responses": {"200": content("Done.", REGISTERED_MODEL.name), **refusals},
            }
        }
    }
