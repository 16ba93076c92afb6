"""GET and LIST without the SDK's weight say what the SDK says, and leave the rest to it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from registry_core.errors import BackendError, NotPermittedError, StoreUnavailableError
from registry_core.s3_location import METADATA, connect, parse
from registry_core.stores.s3 import retry, sdk_reads
from registry_core.stores.s3.objects import MissingObjectError, Objects
from registry_core.stores.s3.raw_reads import NotUnderstoodError, Reader
from services.s3 import S3Server, bucket_name, store_url

ODD_KEYS = ("a b+c%20d", "größe", "~x", "q?x=1&y=2#f", "quote'\"", "(1)!*,;:@$", "a//b")


@pytest.fixture
def objects(s3_server: S3Server) -> Iterator[Objects]:
    location = parse(store_url(s3_server.endpoint_url, "p"), environ={})
    objects = Objects(connect(location, METADATA), location.bucket)
    yield objects
    objects.close()


@pytest.fixture
def by_sdk(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> Iterator[Objects]:
    """As `objects`, by the SDK."""
    monkeypatch.setenv(sdk_reads.READS_VARIABLE, "sdk")
    return Objects(objects._client, bucket_name())


def test_odd_keys_are_read_as_the_sdk_reads_them(
    objects: Objects, by_sdk: Objects, s3_prefix: str
) -> None:
    """Signed and encoded alike, in gets and as prefixes of listings."""
    for key in ODD_KEYS[:-1]:
        objects.put_always(f"{s3_prefix}/{key}", key.encode(), content_type="text/plain")
    for key in ODD_KEYS[:-1]:
        found = objects.get(f"{s3_prefix}/{key}")
        assert found == by_sdk.get(f"{s3_prefix}/{key}")
        assert found is not None
        assert found.body == key.encode()
        assert objects.get(f"{s3_prefix}/{key}", unless=found.etag) is None
        assert by_sdk.get(f"{s3_prefix}/{key}", unless=found.etag) is None
        prefix = f"{s3_prefix}/{key[:3]}"
        assert objects.list_page(prefix).objects == by_sdk.list_page(prefix).objects
        assert objects.list_page(prefix).objects


def test_pages_are_the_sdks_pages(objects: Objects, by_sdk: Objects, s3_prefix: str) -> None:
    """By token and after a key; and an empty one."""
    for number in range(5):
        objects.put_always(f"{s3_prefix}/{number}", b"", content_type="text/plain")
    for each in (objects, by_sdk):
        each.page_keys = 2
    token, pages = None, []
    for _ in range(3):
        ours, theirs = (each.list_page(f"{s3_prefix}/", token=token) for each in (objects, by_sdk))
        assert ours.objects == theirs.objects
        pages.append([each.key[-1] for each in ours.objects])
        token = ours.token
    assert pages == [["0", "1"], ["2", "3"], ["4"]]
    assert token is None
    after = f"{s3_prefix}/2"
    assert (
        objects.list_page(f"{s3_prefix}/", start_after=after).objects
        == by_sdk.list_page(f"{s3_prefix}/", start_after=after).objects
    )
    assert objects.list_page(f"{s3_prefix}/none").objects == ()


def test_what_is_missing_is_missing(objects: Objects, by_sdk: Objects, s3_prefix: str) -> None:
    """An object, and a bucket."""
    for each in (objects, by_sdk):
        with pytest.raises(MissingObjectError):
            each.get(f"{s3_prefix}/none")
    elsewhere = Objects(objects._client, "no-such-bucket")
    with pytest.raises(BackendError, match="NoSuchBucket"):
        elsewhere.get("k")
    with pytest.raises(BackendError, match="NoSuchBucket"):
        elsewhere.list_page("k")


def test_a_request_left_to_the_sdk_is_told_twice(
    objects: Objects, s3_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is counted is what is sent."""

    def refuse(*_: object, **__: object) -> None:
        raise NotUnderstoodError

    objects.put_always(f"{s3_prefix}/k", b"v", content_type="text/plain")
    monkeypatch.setattr(objects._reader, "get", refuse)
    monkeypatch.setattr(objects._reader, "list_keys", refuse)
    sent = []
    objects.observer = lambda operation, key: sent.append(operation)
    assert len(objects.list_page(s3_prefix).objects) == 1
    found = objects.get(f"{s3_prefix}/k")
    assert found is not None
    assert found.body == b"v"
    assert sent == ["list", "list", "get", "get"]


class Replies:
    """A server that gives one reply to everything."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Objects:
        self._thread.start()
        location = parse(f"s3://bucket/p?endpoint_url={self.url}&anonymous=1", environ={})
        self._objects = Objects(connect(location, METADATA), location.bucket)
        return self._objects

    def __exit__(self, *_: object) -> None:
        self._objects.close()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def error(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode()


@pytest.mark.parametrize(
    ("status", "body", "raised"),
    [
        (403, error("AccessDenied"), NotPermittedError),
        (403, b"", NotPermittedError),
        (400, error("ExpiredToken"), NotPermittedError),
        (503, error("SlowDown"), StoreUnavailableError),
        (500, b"<html>", StoreUnavailableError),
        (429, b"", StoreUnavailableError),
        (404, b"", MissingObjectError),
        (404, error("NoSuchBucket"), BackendError),
        (418, b"teapot", BackendError),
    ],
)
def test_statuses_mean_what_they_mean(
    monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, raised: type[Exception]
) -> None:
    """With any body or none."""
    monkeypatch.setattr(retry, "REQUEST_SECONDS", 0.05)
    with Replies(status, body, {}) as objects, pytest.raises(raised):
        objects.get("k")


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (200, b"not a listing", {}),
        (200, b"<Other/>", {}),
        (200, b"<ListBucketResult><Contents><Key>k</Key></Contents></ListBucketResult>", {}),
        (301, error("PermanentRedirect"), {}),
        (400, error("AuthorizationHeaderMalformed"), {}),
    ],
)
def test_what_is_not_understood_is_for_the_sdk(
    status: int, body: bytes, headers: dict[str, str]
) -> None:
    """Another region, another protocol."""
    with Replies(status, body, headers) as objects:
        reader = Reader(objects._client, "bucket")
        with pytest.raises(NotUnderstoodError):
            reader.list_keys(prefix="p")


def test_a_listing_may_lack_its_namespace() -> None:
    """Some services write it so."""
    body = (
        b"<ListBucketResult><IsTruncated>true</IsTruncated>"
        b"<NextContinuationToken>t</NextContinuationToken><Contents><Key>k</Key><ETag>e</ETag>"
        b"<Size>5</Size><LastModified>2026-11-23T15:35:53.123Z</LastModified></Contents>"
        b"</ListBucketResult>"
    )
    with Replies(200, body, {}) as objects:
        page = objects.list_page("p")
    assert page.token == "t"
    assert [(each.key, each.etag, each.size) for each in page.objects] == [("k", '"e"', 5)]
