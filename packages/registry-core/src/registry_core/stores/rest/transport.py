"""Requests to a server and its answers, over pooled connections."""

from __future__ import annotations

import math
import time
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, NoReturn, TypeVar, cast

import attrs
import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProxyError,
    SSLError,
)

from registry_core import wire
from registry_core.artifacts.open_files import Piece
from registry_core.authors import REASON_HEADER
from registry_core.backoff import Backoff
from registry_core.errors import (
    NotPermittedError,
    StoreBusyError,
    StoreCorruptedError,
    StoreUnavailableError,
    UnexpectedAnswerError,
    UnsupportedBackendError,
)
from registry_core.idempotency import IDEMPOTENCY_HEADER
from registry_core.redaction import redacted
from registry_core.stores.rest.address import (
    PASSWORD_VARIABLE,
    TOKEN_VARIABLE,
    USERNAME_VARIABLE,
    Address,
)
from registry_core.stores.rest.bodies import (
    ANSWER_MAX_BYTES,
    ANSWER_MAX_ELEMENTS,
    ERROR_MAX_BYTES,
    TooLargeError,
    UnreadableError,
    json_object,
    read_body,
)
from registry_core.stores.rest.connections import (
    CONNECT_TIMEOUT_SECONDS,
    READ_TIMEOUT_SECONDS,
    open_pool,
)
from registry_core.wire.prefixes import API, IDEMPOTENCY_FEATURE, OWN_API, SERVER_INFO

RETRY_SECONDS = 3.0
"""Seconds after its start within which a request may be repeated; then the store is unavailable. A
server that asks to be left alone for longer is not asked again."""

CALL_SECONDS = 60.0
"""Seconds that a call may take with all its repetitions, to the last byte of the answer. A server
that sends a byte now and then would hold the caller's thread forever; the largest answer comes in
time over 10 Mbit/s."""

PING_SECONDS = 10.0
"""As `CALL_SECONDS`, for the question whether the server is well: its answer is a few bytes."""

STREAM_SECONDS = 86_400.0
"""Seconds that one file may take. Within them, `READ_TIMEOUT_SECONDS` limits each silence."""

BACKOFF = Backoff(first_seconds=0.2, longest_seconds=1.0)
"""Before each repetition: a proxy that lost its server for a moment has it back within about one
tenth of a second."""

LONGEST_QUERY = 8_000
"""Bytes of a query string. Servers and proxies refuse longer ones; they go into the body, which
MLflow reads where there is no query (contract 1.2)."""

LOCATION_MAX_LENGTH = 500
"""Characters of the address of a redirection that an error repeats."""

_REFUSED = frozenset({408, 429})
"""Statuses of a request that the server did not carry out."""

_PASSING = _REFUSED | {502, 503, 504}
_NEVER_SENT = (NewConnectionError, ConnectTimeoutError, ProxyError)
_UNCLEAR = "Whether the change was made is not known."
_STRANGERS = (
    "Something else than a registry may answer there: a login page, a proxy or another service."
)

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})

T = TypeVar("T")


class ResponseTooLargeError(UnexpectedAnswerError):
    """An answer has more bytes or elements than allowed; a smaller page may have fewer."""


@attrs.frozen
class _Response:
    status: int
    headers: Mapping[str, str]
    body: bytes


def call_end() -> float:
    """Return the moment, on the monotonic clock, by which a call that begins now has to be over."""
    return time.monotonic() + CALL_SECONDS


class Transport:
    """A connection pool to one server.

    Strategy: what only reads is repeated for `RETRY_SECONDS` when the connection breaks or the
    server is busy. What writes is repeated only if the connection was never made, or the server
    says that it did nothing: a write whose answer is lost may have happened, and MLflow has no way
    to say "the same one again". So it is reported as unavailable, and the caller, who can look,
    decides. Our own server has a way: what has an idempotency key is repeated as what reads is. The
    server is asked whether it keeps such keys when the first answer is lost, and not before.

    The store does not trust the answer: every call is over by one moment, no answer is larger than
    memory should hold, and what is not the JSON object that was asked for is refused.
    """

    def __init__(self, address: Address) -> None:
        self.url = address.url
        self._pool = open_pool(address.url)
        self._has_kept_keys = False
        self._headers = {"Accept": wire.JSON_CONTENT_TYPE, "User-Agent": "registry-core"}
        if address.authorization is not None:
            self._headers["Authorization"] = address.authorization

    def close(self) -> None:
        """Close idle connections."""
        self._pool.clear()

    def read(
        self,
        path: str,
        fields: Mapping[str, Any],
        decode: Callable[[wire.Json], T],
        *,
        name: str = "",
        end: float | None = None,
        most: int | None = None,
    ) -> T:
        """Return what `decode` makes of the answer to a GET.

        `name` is the registered model it is about, for errors. `end` is when the call has to be
        over, by `call_end`, if not in `CALL_SECONDS`. `most` is how many bytes the answer may have,
        if not `ANSWER_MAX_BYTES`.

        Raises:
            UnexpectedAnswerError: the answer is none of MLflow's API, or `decode` raises
                `StoreCorruptedError`; `ResponseTooLargeError` when there is too much of it.
        """
        query = urllib.parse.urlencode(fields, doseq=True)
        body = None
        if len(query) > LONGEST_QUERY:
            query, body = "", fields
        end, most = end or call_end(), most or ANSWER_MAX_BYTES
        return self._call("GET", path, query, body, decode, name=name, end=end, most=most)

    def write(
        self,
        method: str,
        path: str,
        fields: Mapping[str, Any],
        decode: Callable[[wire.Json], T],
        *,
        name: str = "",
        reason: str | None = None,
        idempotency_key: str | None = None,
    ) -> T:
        """Return what `decode` makes of the answer to a request that changes something; see `read`.

        `reason` is why it is made, and `idempotency_key` has a server that knows such keys make it
        once, however often it is sent.
        """
        headers = {} if reason is None else {REASON_HEADER: _header(reason)}
        if idempotency_key is not None:
            headers[IDEMPOTENCY_HEADER] = idempotency_key
        return self._call(
            method, path, "", fields, decode, name=name, end=call_end(), headers=headers
        )

    def stream(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        *,
        body: Iterable[Piece] | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """Return the answer to a request that moves a file, sent once; its caller reads the body.

        An answer that is not a success is raised as an error.

        Raises:
            StoreUnavailableError: there was no answer.
        """
        try:
            response = self._pool.request(
                method,
                self.url + target,
                body=cast("Iterable[bytes]", body),  # as far as urllib3 knows
                headers={**self._headers, **headers},
                # The first limits each silence while it is sent, too.
                timeout=urllib3.Timeout(connect=READ_TIMEOUT_SECONDS, read=STREAM_SECONDS),
                redirect=False,
                preload_content=False,
            )
            if response.status < HTTPStatus.MULTIPLE_CHOICES:
                return response
            body_of_error = _error_body(response)
        except HTTPError as error:
            self._raise_unavailable(error, unclear=True, end=math.inf)
        raise self._error(_Response(response.status, response.headers, body_of_error), "")

    def ping(self) -> None:
        """Return when the server answers that it is well."""
        reply = self._request("GET", "/health", end=time.monotonic() + PING_SECONDS)
        if reply.status != HTTPStatus.OK:
            reason = f"its health check answers {reply.status}"
            raise self._unavailable(StoreUnavailableError, reason)
        if reply.body.lstrip().startswith(b"<"):
            raise UnexpectedAnswerError(
                f"GET {self.url}/health was answered with a page. {_STRANGERS}"
            )

    def _call(
        self,
        method: str,
        path: str,
        query: str,
        body: Mapping[str, Any] | None,
        decode: Callable[[wire.Json], T],
        *,
        name: str,
        end: float,
        headers: Mapping[str, str] = _NO_HEADERS,
        most: int = ANSWER_MAX_BYTES,
    ) -> T:
        is_own = path.startswith(OWN_API)
        if not is_own:
            path = API + path
        said = f"{method} {self.url}{path} was answered with"
        fate = "" if method == "GET" else f" {_UNCLEAR}"
        try:
            target = f"{path}?{query}" if query else path
            reply = self._request(method, target, body, end=end, headers=headers, most=most)
            if reply.status != HTTPStatus.OK:
                error = self._error(reply, name)
                raise self._lacking(error) if is_own else error
            answer = json_object(reply.body, reply.headers.get("content-type"))
        except TooLargeError:
            raise ResponseTooLargeError(
                f"{said} more than {most} bytes or {ANSWER_MAX_ELEMENTS} elements; "
                f"nothing of it was read.{fate}"
            ) from None
        except UnreadableError as error:
            raise UnexpectedAnswerError(
                f"{said} {error}, where a JSON object was expected. {_STRANGERS}{fate}"
            ) from None
        try:
            return decode(answer)
        except StoreCorruptedError as error:
            raise UnexpectedAnswerError(
                f"{said} what MLflow's API does not answer: {error}{fate}"
            ) from error

    def _request(
        self,
        method: str,
        target: str,
        body: Mapping[str, Any] | None = None,
        *,
        end: float,
        headers: Mapping[str, str] = _NO_HEADERS,
        most: int = ANSWER_MAX_BYTES,
    ) -> _Response:
        headers, payload = {**self._headers, **headers}, None
        if body is not None:
            headers = {**headers, "Content-Type": wire.JSON_CONTENT_TYPE}
            payload = wire.dumps(body)
        last_moment = min(time.monotonic() + RETRY_SECONDS, end)
        failures = 0
        while True:
            pause = BACKOFF.pause(failures + 1)
            may_repeat = time.monotonic() + pause < last_moment
            try:
                reply = self._exchange(method, target, payload, headers, end=end, most=most)
            except HTTPError as error:
                sent = not isinstance(error, _NEVER_SENT)
                gives_up = not may_repeat or isinstance(error, SSLError)
                if gives_up or (sent and not self._is_harmless(method, headers, end)):
                    self._raise_unavailable(error, unclear=sent and method != "GET", end=end)
            else:
                if reply.status not in _PASSING:
                    return reply
                if reply.status not in _REFUSED and not self._is_harmless(method, headers, end):
                    return reply
                pause = max(pause, _retry_after(reply.headers, otherwise=0))
                if not may_repeat or time.monotonic() + pause > last_moment:
                    return reply
            time.sleep(pause)
            failures += 1

    def _is_harmless(self, method: str, headers: Mapping[str, str], end: float) -> bool:
        """Whether a request that may have been carried out may be sent again."""
        return method == "GET" or (IDEMPOTENCY_HEADER in headers and self._keeps_keys(end))

    def _keeps_keys(self, end: float) -> bool:
        """Whether the server keeps idempotency keys. It stays so once it was heard."""
        if not self._has_kept_keys:
            try:
                reply = self._request("GET", SERVER_INFO, end=end)
                info = json_object(reply.body, reply.headers.get("content-type"))
            except (StoreUnavailableError, TooLargeError, UnreadableError):
                return False
            self._has_kept_keys = info.get(IDEMPOTENCY_FEATURE) is True
        return self._has_kept_keys

    def _exchange(
        self,
        method: str,
        target: str,
        body: bytes | None,
        headers: Mapping[str, str],
        *,
        end: float,
        most: int,
    ) -> _Response:
        """The answer to a request that is sent once; of errors that are too large the status."""
        left = max(0.001, end - time.monotonic())
        response = self._pool.request(
            method,
            self.url + target,
            body=body,
            headers=headers,
            timeout=urllib3.Timeout(connect=min(CONNECT_TIMEOUT_SECONDS, left), read=left),
            redirect=False,
            preload_content=False,
        )
        if response.status == HTTPStatus.OK:
            content = read_body(response, most=most)
        else:
            content = _error_body(response)
        return _Response(response.status, response.headers, content)

    def _error(self, reply: _Response, name: str) -> Exception:
        try:
            body = json_object(reply.body, wire.JSON_CONTENT_TYPE)
        except (TooLargeError, UnreadableError):
            body = {}
        if "error_code" not in body:
            return self._plain_error(reply)
        error = wire.decode_error(reply.status, body, name=name)
        if isinstance(error, StoreUnavailableError):
            error.retry_after_seconds = _retry_after(reply.headers)
        return error

    def _lacking(self, error: Exception) -> Exception:
        """The error of a route of our own, which says so if the server has no such route."""
        if not isinstance(error, UnsupportedBackendError):
            return error
        return UnsupportedBackendError(
            f"The server at {self.url} keeps no history, compares nothing before it changes "
            "it, and lets nobody push files through it. MLflow's own server does none of these."
        )

    def _plain_error(self, reply: _Response) -> Exception:
        """The error for an answer that no registry gave, but a proxy or a stranger."""
        status = reply.status
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return NotPermittedError(
                f"{self.url} refuses the request (status {status}). Credentials are taken from the "
                f"URL, from {USERNAME_VARIABLE} and {PASSWORD_VARIABLE}, or from {TOKEN_VARIABLE}."
            )
        if "location" in reply.headers:
            elsewhere = redacted(reply.headers["location"])[:LOCATION_MAX_LENGTH]
            return UnexpectedAnswerError(f"{self.url} is elsewhere: it redirects to {elsewhere}")
        if status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
            return UnsupportedBackendError(
                f"What answers at {self.url} is not an MLflow registry (status {status})."
            )
        error = wire.decode_error(status, None)
        if isinstance(error, StoreUnavailableError):
            seconds = _retry_after(reply.headers)
            return self._unavailable(type(error), f"it answers {status}", seconds)
        if status < HTTPStatus.BAD_REQUEST or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return UnexpectedAnswerError(
                f"{self.url} answers with status {status}, and without an error of MLflow's API. "
                f"{_STRANGERS}"
            )
        return error

    def _raise_unavailable(self, error: HTTPError, *, unclear: bool, end: float) -> NoReturn:
        reason = "no connection" if isinstance(error, _NEVER_SENT) else "no answer"
        if isinstance(error, SSLError):
            reason = f"no secure connection ({error})"
        elif time.monotonic() >= end:
            reason = "no complete answer in time"
        if unclear:
            reason += "; whether the change was made is not known"
        kind = StoreUnavailableError if unclear else StoreBusyError
        raise self._unavailable(kind, reason) from error

    def _unavailable(
        self, kind: type[StoreUnavailableError], reason: str, retry_after_seconds: int = 1
    ) -> StoreUnavailableError:
        return kind(
            f"The registry at {self.url} is unavailable: {reason}.",
            retry_after_seconds=retry_after_seconds,
        )


def _error_body(response: urllib3.BaseHTTPResponse) -> bytes:
    """The body of an answer that is an error; empty if it is of no use."""
    try:
        return read_body(response, most=ERROR_MAX_BYTES)
    except (TooLargeError, UnreadableError):
        return b""


def _retry_after(headers: Mapping[str, str], *, otherwise: int = 1) -> int:
    """The seconds that the server asks to be left alone for."""
    text = headers.get("retry-after", "")
    is_number = text.isascii() and text.isdecimal() and len(text) < 6  # noqa: PLR2004
    return int(text) if is_number else otherwise


def _header(text: str) -> str:
    """A text as the value of a header: one line of UTF-8, whose bytes are written as Latin-1."""
    return " ".join(text.split()).encode().decode("latin-1")
