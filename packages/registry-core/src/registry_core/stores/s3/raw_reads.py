"""GET and LIST with little around them: what a search sends thousands of.

Strategy. The SDK spends two milliseconds of processor time around a GET, and fifty around a page of
a listing: on its rules for endpoints, its hooks, its parsers. All of that gives the same answer for
every key of one bucket. So the endpoint is asked of the SDK once; the SDK's own signer signs and
its own HTTP session sends, with its credentials, proxies, certificates and connections; and the
reply is read here. A redirect, and whatever else only the SDK understands, is left to it.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote, urlencode

import attrs
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ClientError, IncompleteReadError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Headers: TypeAlias = Mapping[str, str]
"""By name, in any case."""

_OK = 200
_REDIRECTS = frozenset({301, 302, 307, 308})
_REDIRECT_CODES = frozenset({"AuthorizationHeaderMalformed", "IllegalLocationConstraintException"})
"""Codes by which a service says that the bucket is in another region."""


class NotUnderstoodError(Exception):
    """The reply is one for the SDK."""


@attrs.frozen
class Key:
    """One object of a listing."""

    key: str
    etag: str
    size: int
    last_modified: datetime


@attrs.frozen
class Keys:
    """A page of a listing."""

    keys: tuple[Key, ...]
    token: str | None
    server_time: str


class Reader:
    """Reads from one bucket."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client: Any = client
        self._bucket = bucket
        self._base: str | None = None

    def get(self, key: str, *, unless: str | None = None) -> tuple[bytes, str]:
        """Return the body and ETag of an object.

        Raises:
            ClientError: as the SDK does; 304 if the ETag is still `unless`.
            NotUnderstoodError: ask the SDK.
        """
        headers = {} if unless is None else {"If-None-Match": unless}
        reply = self._send("GetObject", f"/{quote(key, safe='/~')}", headers)
        etag = reply.headers.get("etag")
        if etag is None:
            raise NotUnderstoodError
        return reply.content, etag

    def list_keys(self, **parameters: str) -> Keys:
        """Return a page of a listing, by the parameters of ListObjectsV2 on the wire."""
        query = urlencode({"list-type": "2", **parameters}, quote_via=quote, safe="~")
        reply = self._send("ListObjectsV2", f"?{query}", {})
        try:
            return _parse_keys(reply.content, reply.headers.get("date", ""))
        except (ET.ParseError, ValueError, LookupError) as error:
            raise NotUnderstoodError from error

    def _send(self, operation: str, target: str, headers: Headers) -> Any:
        request = AWSRequest("GET", self._url(target), dict(headers))
        self._client._request_signer.sign(operation, request)  # noqa: SLF001 see the module
        reply = self._client._endpoint.http_session.send(request.prepare())  # noqa: SLF001 as above
        if reply.status_code == _OK:
            _check_whole(reply)
            return reply
        code = _code(reply.content)
        if reply.status_code in _REDIRECTS or code in _REDIRECT_CODES:
            raise NotUnderstoodError
        raise ClientError(
            {
                "Error": {"Code": code or str(reply.status_code)},
                "ResponseMetadata": {"HTTPStatusCode": reply.status_code},  # type: ignore[typeddict-item] # the rest is not needed
            },
            operation,
        )

    def _url(self, target: str) -> str:
        if self._base is None:
            try:
                signed = self._client.generate_presigned_url(
                    "get_object", Params={"Bucket": self._bucket, "Key": "k"}
                )
            except BotoCoreError as error:  # without credentials there is nothing to sign with
                raise NotUnderstoodError from error
            self._base = signed.partition("?")[0].removesuffix("/k")
        return self._base + target


def _check_whole(reply: Any) -> None:
    # A connection that closes early would otherwise look like the end of the body.
    expected = reply.headers.get("content-length")
    if expected is not None and int(expected) != len(reply.content):
        raise IncompleteReadError(actual_bytes=len(reply.content), expected_bytes=int(expected))


def _code(body: bytes) -> str | None:
    try:
        return ET.fromstring(body).findtext("{*}Code")  # noqa: S314 see the import
    except ET.ParseError:
        return None


def _parse_keys(body: bytes, server_time: str) -> Keys:
    root = ET.fromstring(body)  # noqa: S314 see the import
    namespace = root.tag.rpartition("}")[0] + "}" if root.tag.startswith("{") else ""
    if root.tag != f"{namespace}ListBucketResult":
        raise ValueError(root.tag)
    truncated = root.findtext(f"{namespace}IsTruncated") == "true"
    token = root.findtext(f"{namespace}NextContinuationToken") if truncated else None
    if truncated and not token:
        raise ValueError("a page that is not the last one leads to none")
    return Keys(tuple(_keys(root, namespace)), token, server_time)


def _keys(root: ET.Element, namespace: str) -> Iterator[Key]:
    names = [f"{namespace}{name}" for name in ("Key", "ETag", "Size", "LastModified")]
    for contents in root.iterfind(f"{namespace}Contents"):
        fields = {child.tag: child.text or "" for child in contents}
        key, etag, size, modified = (fields[name] for name in names)
        yield Key(key, etag, int(size), datetime.fromisoformat(modified))
