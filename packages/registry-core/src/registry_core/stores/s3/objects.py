"""Objects in a bucket: read, write, delete and list, each under a condition.

With `raw_reads` and `sdk_reads`, the only module of the store that calls boto3; `s3_errors` of the
package says what its errors mean. Reads, lists and unconditional writes of content that never
changes are repeated here; a conditional write is not, because only its caller can tell whether a
reply that got lost was a success.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from registry_core.errors import (
    BackendError,
    InvalidArgumentError,
    NotPermittedError,
    UnsupportedBackendError,
)
from registry_core.s3_errors import Failure, FailureKind, s3_errors
from registry_core.stores.s3 import sdk_reads
from registry_core.stores.s3.raw_reads import Keys, NotUnderstoodError, Reader
from registry_core.stores.s3.retry import RetryBudget, TransientError
from registry_core.stores.s3.sdk_reads import SdkReader

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LIST_PAGE_KEYS = 1000
"""Keys per list request; the most that S3 gives."""

ABSENT = "*"
"""As a condition: there is no object under the key."""

_READS = frozenset({"get", "list"})
"""The requests that change nothing."""

T = TypeVar("T")

Observer = Callable[[str, str], None]
"""Called with the operation and the key (or prefix) of every request just before it is sent."""


class MissingObjectError(Exception):
    """There is no object under this key."""


class LostRaceError(Exception):
    """The object is not, or is no longer, what the condition demands; nothing was written."""


@attrs.frozen
class Fetched:
    """The bytes of an object, and the ETag that names exactly these."""

    body: bytes
    etag: str


@attrs.frozen
class Listed:
    """One object of a listing."""

    key: str
    etag: str
    size: int
    last_modified: datetime


@attrs.frozen
class ListPage:
    """A run of keys in order; `token` continues it and is None at the end."""

    objects: tuple[Listed, ...]
    token: str | None
    server_time: str
    """The service's own clock, as in the Date header."""


class Objects:
    """The objects of one bucket."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._sdk = SdkReader(client, bucket)
        self._reader = self._sdk if sdk_reads.is_chosen() else Reader(client, bucket)
        self.observer: Observer | None = None
        self.page_keys = LIST_PAGE_KEYS

    def get(self, key: str, *, unless: str | None = None) -> Fetched | None:
        """Return the object, or None if its ETag is still `unless`.

        Raises:
            MissingObjectError: there is none.
        """

        def request() -> Fetched:
            try:
                body, etag = self._reader.get(key, unless=unless)
            except NotUnderstoodError:
                self._tell("get", key)
                body, etag = self._sdk.get(key, unless=unless)
            return Fetched(body, _quoted(etag))

        try:
            return self._repeat("get", key, request)
        except _NotModifiedError:
            return None

    def put(self, key: str, body: bytes, *, condition: str, content_type: str) -> str:
        """Write the object once, if its ETag is `condition` or it is `ABSENT`; return the new ETag.

        Raises:
            LostRaceError: the condition does not hold; or it did, and an earlier copy of this very
                request arrived first.
            TransientError: whether the object was written is unknown.
        """
        headers: dict[str, Any] = (
            {"IfNoneMatch": ABSENT} if condition == ABSENT else {"IfMatch": condition}
        )
        try:
            return self._once("put", key, lambda: self._put(key, body, content_type, headers))
        except MissingObjectError as error:  # Amazon's answer to If-Match where nothing is
            raise LostRaceError(key) from error

    def put_always(self, key: str, body: bytes, *, content_type: str) -> str:
        """Write the object whatever is there, repeating until it is done."""
        return self._repeat("put", key, lambda: self._put(key, body, content_type, {}))

    def delete(self, key: str, *, condition: str | None = None) -> None:
        """Remove the object, if its ETag is `condition`. It need not exist.

        Raises:
            LostRaceError: the condition does not hold.
        """
        headers: dict[str, Any] = {} if condition is None else {"IfMatch": condition}

        def request() -> None:
            self._client.delete_object(Bucket=self._bucket, Key=key, **headers)

        try:
            self._repeat("delete", key, request)
        except MissingObjectError:
            return

    def list_page(
        self,
        prefix: str,
        *,
        token: str | None = None,
        start_after: str | None = None,
        limit: int | None = None,
    ) -> ListPage:
        """Up to `page_keys` objects under a prefix, from the start, a token or after a key.

        `limit` asks for fewer.
        """
        most = self.page_keys if limit is None else min(limit, self.page_keys)
        where = {"prefix": prefix, "max-keys": str(most)}
        if token is not None:
            where["continuation-token"] = token
        elif start_after is not None:
            where["start-after"] = start_after

        def request() -> ListPage:
            keys = self._keys(where)
            objects = (
                Listed(each.key, _quoted(each.etag), each.size, each.last_modified)
                for each in keys.keys
            )
            return ListPage(tuple(objects), keys.token, keys.server_time)

        return self._repeat("list", prefix, request)

    def pages(self, prefix: str, *, start_after: str | None = None) -> Iterator[ListPage]:
        """Yield the pages of objects under a prefix, each asked for when it is wanted."""
        page = self.list_page(prefix, start_after=start_after)
        yield page
        while page.token is not None:
            page = self.list_page(prefix, token=page.token)
            yield page

    def list_all(self, prefix: str) -> Iterator[Listed]:
        """Return all objects under a prefix, page by page, in the order of their keys."""
        return (each for page in self.pages(prefix) for each in page.objects)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _keys(self, where: Mapping[str, str]) -> Keys:
        try:
            return self._reader.list_keys(**where)
        except NotUnderstoodError:
            self._tell("list", where["prefix"])
            return self._sdk.list_keys(**where)

    def _put(self, key: str, body: bytes, content_type: str, headers: dict[str, Any]) -> str:
        reply = self._client.put_object(
            Bucket=self._bucket, Key=key, Body=body, ContentType=content_type, **headers
        )
        return _quoted(reply["ETag"])

    def _once(self, operation: str, key: str, request: Callable[[], T]) -> T:
        self._tell(operation, key)
        doing = f"{operation} s3://{self._bucket}/{key}"
        with s3_errors(lambda failure: _error(failure, doing)):
            return request()

    def _tell(self, operation: str, key: str) -> None:
        if self.observer is not None:
            self.observer(operation, key)

    def _repeat(self, operation: str, key: str, request: Callable[[], T]) -> T:
        budget = RetryBudget.from_now()
        while True:
            try:
                return self._once(operation, key, request)
            except TransientError as error:
                budget.after(error, harmless=operation in _READS)


def _quoted(etag: str) -> str:
    # Some services leave the quotes out in a listing, and a cached document would never be current.
    return etag if etag.endswith('"') else f'"{etag}"'


class _NotModifiedError(Exception):
    """The object is still the one that the reader has."""


_ERRORS: Mapping[FailureKind, type[Exception]] = {
    FailureKind.NOT_MODIFIED: _NotModifiedError,
    FailureKind.ABSENT: MissingObjectError,
    FailureKind.CONDITION_FAILED: LostRaceError,
    FailureKind.NOT_PERMITTED: NotPermittedError,
    FailureKind.NOT_IMPLEMENTED: UnsupportedBackendError,
    FailureKind.INVALID: InvalidArgumentError,
}
"""Of the kinds that are missing here, nothing but the operator can help."""


def _error(failure: Failure, doing: str) -> Exception:
    """The error for a failure; `doing` says what was tried."""
    if failure.kind is FailureKind.UNREACHABLE:
        return TransientError(f"cannot {doing}: {failure.reason}", reached=False)
    if failure.kind is FailureKind.TRANSIENT:
        return TransientError(f"cannot {doing}: {failure.reason}")
    why = f"Cannot {doing}: {failure.reason}"
    if failure.kind is FailureKind.NO_BUCKET:
        why += ". Create the bucket, or name another one"
    return _ERRORS.get(failure.kind, BackendError)(why)
