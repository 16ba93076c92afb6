"""What an S3 service and its SDK report, in one vocabulary: the only place that reads their codes.

Two rooms talk to buckets, the documents of a registry and the files of model versions, and each has
errors of its own for its callers. What a status or a code means is the same for both: it is said
here, as a `Failure`, and each room translates its kind.

The code in the body wins over the status, because services send several codes with one status:
`SlowDown` comes with 400, 429 and 503, an expired token with 400.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus

import attrs
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProxyConnectionError,
    SSLError,
)


class FailureKind(enum.Enum):
    """What a failed request means."""

    NOT_MODIFIED = enum.auto()
    """The object is still the one that the reader has."""
    ABSENT = enum.auto()
    """There is no such object or multipart upload."""
    NO_BUCKET = enum.auto()
    CONDITION_FAILED = enum.auto()
    """The object is not, or is no longer, what the condition demands; nothing was written."""
    RANGE_NOT_SATISFIABLE = enum.auto()
    """The object ends before the first byte that was asked for."""
    NOT_PERMITTED = enum.auto()
    """Credentials are missing, refused or out of date."""
    NOT_IMPLEMENTED = enum.auto()
    """The service does not know the request, or a condition of it."""
    REFUSED = enum.auto()
    """The service refuses the request for another reason, and would do so again."""
    INVALID = enum.auto()
    """The SDK refuses to send the request."""
    INSECURE = enum.auto()
    """There is no TLS connection that can be trusted."""
    UNREACHABLE = enum.auto()
    """No connection was made, so that nothing can have happened."""
    TRANSIENT = enum.auto()
    """No answer that says what happened; the request may succeed if it is sent again."""


@attrs.frozen
class Failure:
    """Why a request failed."""

    kind: FailureKind
    reason: str
    """For people: what the service answered, or what became of the connection."""
    code: str = ""
    """The service's own code; empty where it did not answer."""


_TRANSIENT_CODES = (
    "SlowDown",
    "RequestTimeout",
    "RequestTimeoutException",
    "Throttling",
    "ThrottlingException",
    "InternalError",
    "ServiceUnavailable",
    "OperationAborted",
)

_BY_CODE: Mapping[str, FailureKind] = {
    **dict.fromkeys(_TRANSIENT_CODES, FailureKind.TRANSIENT),
    **dict.fromkeys(
        ("ExpiredToken", "InvalidToken", "TokenRefreshRequired"), FailureKind.NOT_PERMITTED
    ),
    "NoSuchBucket": FailureKind.NO_BUCKET,
}

_BY_STATUS: Mapping[int, FailureKind] = {
    HTTPStatus.NOT_MODIFIED: FailureKind.NOT_MODIFIED,
    HTTPStatus.UNAUTHORIZED: FailureKind.NOT_PERMITTED,
    HTTPStatus.FORBIDDEN: FailureKind.NOT_PERMITTED,
    HTTPStatus.NOT_FOUND: FailureKind.ABSENT,
    HTTPStatus.CONFLICT: FailureKind.CONDITION_FAILED,
    HTTPStatus.PRECONDITION_FAILED: FailureKind.CONDITION_FAILED,
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: FailureKind.RANGE_NOT_SATISFIABLE,
    HTTPStatus.TOO_MANY_REQUESTS: FailureKind.TRANSIENT,
    HTTPStatus.NOT_IMPLEMENTED: FailureKind.NOT_IMPLEMENTED,
}
"""Of the others, those of 500 and more are transient (proxies have a dozen of their own)."""

_BY_CLASS: Mapping[type[Exception], FailureKind] = {
    NoCredentialsError: FailureKind.NOT_PERMITTED,
    PartialCredentialsError: FailureKind.NOT_PERMITTED,
    EndpointConnectionError: FailureKind.UNREACHABLE,
    ConnectTimeoutError: FailureKind.UNREACHABLE,
    ProxyConnectionError: FailureKind.UNREACHABLE,
    SSLError: FailureKind.INSECURE,
    ParamValidationError: FailureKind.INVALID,
}
"""Every other error of the SDK is transient: among them replies cut short, and bodies that are not
XML. So is an `OSError`: urllib3 lets a few of its own through while a body is read."""

_NAMELESS = frozenset({FailureKind.UNREACHABLE, FailureKind.TRANSIENT})
"""Their messages have addresses and ports in them that say nothing to a caller."""


@contextmanager
def s3_errors(translate: Callable[[Failure], Exception]) -> Iterator[None]:
    """Raise the caller's errors in place of those of the SDK.

    The block must do nothing but the request: an `OSError` in it counts as the network's.
    """
    try:
        yield
    except (ClientError, BotoCoreError, OSError) as error:
        raise translate(failure_of(error)) from error


def failure_of(error: Exception) -> Failure:
    """Return what an error of the SDK means."""
    if isinstance(error, ClientError):
        return _answered(error)
    kinds = (kind for parent, kind in _BY_CLASS.items() if isinstance(error, parent))
    kind = next(kinds, FailureKind.TRANSIENT)
    return Failure(kind, type(error).__name__ if kind in _NAMELESS else str(error))


def _answered(error: ClientError) -> Failure:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = str(error.response.get("Error", {}).get("Code", status))
    is_servers = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    otherwise = FailureKind.TRANSIENT if is_servers else FailureKind.REFUSED
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status, otherwise)
    return Failure(kind, f"the service answered {status} {code}", code)
