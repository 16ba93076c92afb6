"""What serves one operation: the bytes of a request in, a finished answer out.

Strategy: what an operation does is synchronous. So one function decodes, calls and encodes in one
go: in the event loop's own thread, if the store can do it without holding up others (`inloop`), and
everything else in a thread for what it is (`lanes`). A change is decoded before it has its turn,
because it waits for those of its model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, NamedTuple

from litestar.types import HTTPScope, Receive

from registry_core import Registry, StoreBusyError, wire
from registry_core.access import Rights
from registry_core.authors import REASON_HEADER, Origin
from registry_core.idempotency import IDEMPOTENCY_HEADER
from registry_core.inloop import TooLargeError, WouldBlockError
from registry_core.interest import wanted_while
from registry_core.wire.prefixes import OWN_API
from registry_server.http import outages, responses
from registry_server.http.declarations import DECLARATIONS
from registry_server.http.metrics import Gauge
from registry_server.http.operations import Operation, RequestContext, Work
from registry_server.http.parts import ANONYMOUS, Backend, groups_of
from registry_server.http.responses import RequestRefusedError, Response
from registry_server.process.lanes import ClientGoneError, HangUp, Lane
from registry_server.process.settings import Settings

_WAITING_THREADS = 4
"""Threads for operations that wait for other hosts, so that they hold up no others."""

_DECODING_THREADS = 1
"""Threads that decode long requests. Each keeps Python's lock for tens of milliseconds, so several
would keep the event loop waiting one after the other."""

_LONG_BYTES = 16 * 1024
"""Of a request that is decoded in a thread. To decode a shorter one takes the event loop less than
to wait for a thread."""

_INLOOP_MAX_BYTES = 2 * 1024
"""Of a request that the event loop does itself. To parse a filter of 60 clauses, which has 5 KiB,
takes longer than most reads."""

_REASON = REASON_HEADER.lower().encode()
_IDEMPOTENCY = IDEMPOTENCY_HEADER.lower().encode()


class Requester(NamedTuple):
    """Who makes a request, as far as the server knows it, why, and by what it is recognised."""

    user: str | None = None
    rights: Rights | None = None
    reason: str | None = None
    idempotency_key: str | None = None
    scope: HTTPScope | None = None
    """Of the request, by which the log names it."""


class Lanes:
    """The threads of each kind of work."""

    def __init__(self, threads: int) -> None:
        self.waiting = Lane(_WAITING_THREADS, name="waiting")
        self.decoding = Lane(_DECODING_THREADS, name="decoding")
        self.searching = Lane(max(1, threads // 2), name="searching")
        self._lanes = {
            Work.READING: Lane(threads, name="reading"),
            Work.SEARCHING: self.searching,
            # Half of them for one model: changes that share a transaction need company, and some
            # read files for long.
            Work.CHANGING: Lane(threads, name="changing", most_of_a_key=max(1, threads // 2)),
            Work.WAITING: self.waiting,
        }

    def of(self, work: Work) -> Lane:
        """Return the lane of a kind of work."""
        return self._lanes[work]

    def gauges(self) -> tuple[Gauge, ...]:
        """Return how many requests each lane works at, and how many wait for it."""
        named = {work.name.lower(): lane for work, lane in self._lanes.items()}
        named["decoding"] = self.decoding
        return tuple(
            Gauge(name=name, help=text, read=partial(getattr, lane, attribute), labels={"lane": of})
            for of, lane in named.items()
            for name, text, attribute in (
                ("registry_lane_running", "Requests under way, by lane.", "running"),
                ("registry_lane_waiting", "Requests that wait for their turn, by lane.", "waiting"),
            )
        )

    def close(self) -> None:
        """End all threads but those that wait for others."""
        self.decoding.close()
        for lane in self._lanes.values():
            if lane is not self.waiting:
                lane.close()


class Runner:
    """Runs one operation on the bytes of a request; failures are answers, too.

    `observe` is called with the result of each that reads.

    Raises:
        WouldBlockError: it was called in an event loop, and has to be in a thread.
    """

    def __init__(
        self,
        operation: Operation[Any, Any],
        backend: Backend,
        observe: Callable[[Any], None],
    ) -> None:
        self._operation = operation
        self._declaration = DECLARATIONS[operation.id]
        self._has_query = operation.has_query
        self._changes_nothing = operation.changes_nothing
        self._backend = backend
        self._observe = observe

    def __call__(self, decode: Callable[[], Any], requester: Requester) -> Response:
        """The answer to what `decode` gives."""
        request = decode()
        return request if isinstance(request, Response) else self.answered(request, requester)

    def decoded(
        self,
        query: bytes,
        content_type: str | None,
        body: Sequence[bytes],
        path_fields: dict[str, Any],
    ) -> Any:
        """Return the request in what was received, or the answer to one that there is none in."""
        operation = self._operation
        try:
            if self._has_query and query:
                fields = wire.fields_of_query(operation.request, query)
            else:
                wire.check_content_type(operation.method, content_type)
                is_ours = operation.prefix == OWN_API
                fields = wire.fields_of_body(b"".join(body), must_be_json=is_ours)
            if path_fields:
                fields = {**fields, **path_fields}
            return wire.decode_request(operation.request, fields)
        except Exception as error:  # noqa: BLE001 as below
            return responses.failure(error)

    def answered(self, request: Any, requester: Requester) -> Response:
        """Return the answer to a request."""
        operation = self._operation
        began = time.perf_counter()
        try:
            if requester.rights is not None:
                self._declaration.check(requester.rights, request)
            call = RequestContext(
                registry=self._acting(requester),
                user=requester.user,
                rights=requester.rights,
                idempotency_key=requester.idempotency_key,
            )
            result = operation.call(call, request)
            ended = time.perf_counter()
            reply = responses.success(operation.answer.encode(result))
            if self._changes_nothing:
                self._observe(result)
            else:
                outages.end()
        except WouldBlockError:
            raise
        except Exception as error:  # noqa: BLE001 the one place where errors become answers
            ended = time.perf_counter()
            reply = responses.failure(error, requester.scope)
        reply.store_seconds = ended - began
        return reply

    def _acting(self, requester: Requester) -> Registry:
        """The registry, in the name of who asks."""
        registry = self._backend.seen_by(requester.rights)
        if self._changes_nothing:
            return registry
        if requester.user is None and requester.reason is None:
            return self._backend.anonymous
        return registry.acting_as(
            requester.user or ANONYMOUS,
            reason=requester.reason,
            origin=Origin.HTTP,
            is_authenticated=requester.user is not None,
            groups=groups_of(requester.rights),
        )


class Served:
    """One operation, over HTTP."""

    def __init__(
        self,
        operation: Operation[Any, Any],
        backend: Backend,
        lanes: Lanes,
        settings: Settings,
        *,
        observe: Callable[[Any], None],
        stored: Callable[[str, float], None],
    ) -> None:
        self.operation = operation
        self._work = operation.work.name.lower()
        self._stored = stored
        self._has_query = operation.has_query
        self._runner = Runner(operation, backend, observe)
        self._backend = backend
        self._may_run_in_loop = operation.may_run_in_loop
        self._changes_in_loop = operation.changes_in_loop
        self._lanes = lanes
        self._lane = lanes.of(operation.work)
        self._max_body_bytes = min(settings.max_body_bytes, operation.max_body_bytes)

    async def reply(self, scope: HTTPScope, receive: Receive) -> Response:
        """Return the answer to a request.

        Raises:
            RequestRefusedError: it cannot be read.
        """
        reply = await self._reply(scope, receive)
        if reply.store_seconds is not None:
            self._stored(self._work, reply.store_seconds)
        return reply

    async def _reply(self, scope: HTTPScope, receive: Receive) -> Response:
        query, content_type = scope["query_string"], None
        reason = idempotency_key = None
        if not self._has_query:
            headers = _headers_beside_a_body(scope["headers"])
            query, content_type = b"", headers.get(b"content-type")
            reason, idempotency_key = headers.get(_REASON), headers.get(_IDEMPOTENCY)
        user, rights = scope.get("user"), scope.get("auth")
        requester = Requester(user, rights, reason, idempotency_key, scope)
        if query:
            body: Sequence[bytes] = ()
            size = len(query)
        else:
            body = await body_of(scope["headers"], receive, self._max_body_bytes)
            size = sum(map(len, body))
        decode = partial(self._runner.decoded, query, content_type, body, scope["path_params"])
        lane = self._lane
        inloop = self._backend.inloop if self._may_run_in_loop else None
        if inloop is not None and size <= _INLOOP_MAX_BYTES:
            try:
                return await inloop.run(partial(self._runner, decode, requester))
            except TooLargeError:
                lane = self._lanes.searching
            except WouldBlockError:
                pass
        in_threads = self._in_threads(decode, size, requester, lane, HangUp(receive))
        # What came is kept no longer than until it is decoded.
        del body, decode
        return await in_threads

    async def _in_threads(
        self,
        decode: Callable[[], Any],
        size: int,
        requester: Requester,
        lane: Lane,
        client: HangUp,
    ) -> Response:
        try:
            if size > _LONG_BYTES:
                decoding = self._lanes.decoding.call(decode, client=client, size=size)
                del decode
                request = await decoding
            else:
                request = decode()
            if isinstance(request, Response):
                return request
            answer = partial(self._runner.answered, request, requester)
            if lane is self._lanes.searching:
                client.watched()
                answer = partial(_while_wanted, client, answer)
            model = getattr(request, "name", None) if lane.has_keys else None
            inloop = None
            # What was made under a key before may be longer than the request.
            if self._changes_in_loop and requester.idempotency_key is None:
                inloop = self._backend.changing if size <= _INLOOP_MAX_BYTES else None
            return await lane.call(answer, client=client, size=size, key=model, inloop=inloop)
        except ClientGoneError:
            return _NOBODY_READS
        except StoreBusyError as error:
            return responses.failure(error, requester.scope)
        finally:
            client.close()


async def body_of(
    headers: Iterable[tuple[bytes, bytes]], receive: Receive, limit: int
) -> Sequence[bytes]:
    """Return the whole body of a request, in the pieces it came in.

    Raises:
        RequestRefusedError: it has more than `limit` bytes, or the client hung up.
    """
    for name, value in headers:
        # Before it has come, as far as it is announced.
        if name == b"content-length" and value.isdigit() and int(value) > limit:
            raise _too_long(limit)
    pieces = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise RequestRefusedError(
                HTTPStatus.BAD_REQUEST, "BAD_REQUEST", "The request ended before its body did."
            )
        size += len(message["body"])
        if size > limit:
            raise _too_long(limit)
        pieces.append(message["body"])
        more = message["more_body"]
    return pieces


def _while_wanted(client: HangUp, answer: Callable[[], Response]) -> Response:
    with wanted_while(lambda: not client.has_happened):
        return answer()


_NOBODY_READS = RequestRefusedError(
    HTTPStatus.BAD_REQUEST, "BAD_REQUEST", "The client hung up before its request was begun."
).reply()


def _headers_beside_a_body(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, str]:
    """The headers that an operation looks at whose request is in the body."""
    return {
        name: value.decode("utf-8", "replace")
        for name, value in headers
        if name in (b"content-type", _REASON, _IDEMPOTENCY)
    }


def _too_long(limit: int) -> RequestRefusedError:
    return RequestRefusedError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "INVALID_PARAMETER_VALUE",
        f"The request body exceeds the maximum of {limit} bytes.",
    )
