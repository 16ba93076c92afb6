"""Artifacts on a real S3 server, also behind a proxy that breaks connections and loses replies."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from registry_core.artifacts.backends.s3 import S3ArtifactStore, open_artifact_store
from registry_core.artifacts.backends.s3_parts import PART_SIZE, Parts, etag_of_parts
from registry_core.backends import open_store
from registry_core.errors import (
    ArtifactNotFoundError,
    BackendError,
    InvalidArgumentError,
    InvalidUrlError,
    NotPermittedError,
    RegistryError,
    StoreUnavailableError,
)
from services import s3
from services.presigned import put_part, request
from services.s3_proxy import Fault, Request, S3Proxy

CHUNK = os.urandom(1 << 20)
CHUNKS = [CHUNK] * 20
LARGE = CHUNK * 20
"""Three parts."""


@pytest.fixture
def store(s3_url: str) -> Iterator[S3ArtifactStore]:
    """An empty artifact store."""
    store = open_artifact_store(s3_url)
    yield store
    store.close()


@pytest.fixture
def proxied(s3_server: Any, s3_prefix: str) -> Iterator[tuple[S3Proxy, S3ArtifactStore]]:
    """An artifact store behind a proxy that lets everything pass until it is told otherwise."""
    with S3Proxy(s3_server.endpoint_url).running() as proxy:
        store = open_artifact_store(s3.store_url(proxy.endpoint_url, s3_prefix))
        yield proxy, store
        store.close()


def once(matches: Callable[[Request], bool], fault: Fault) -> Callable[[Request], Fault | None]:
    """A plan that breaks the first request that matches."""
    done = []

    def plan(request: Request) -> Fault | None:
        if done or not matches(request):
            return None
        done.append(request)
        return fault

    return plan


def read(store: S3ArtifactStore, path: str) -> bytes:
    with store.read(path) as pieces:
        return b"".join(pieces)


def test_download_goes_on_where_its_connection_broke(
    proxied: tuple[S3Proxy, S3ArtifactStore],
) -> None:
    """From the byte after the last one that came, and of the same file."""
    proxy, store = proxied
    store.write("f", CHUNKS)
    proxy.plan = once(lambda request: request.method == "GET", Fault.HALF_REPLY)
    assert read(store, "f") == LARGE
    gets = [target for method, target in proxy.requests if method == "GET"]
    assert len(gets) == 2


def test_download_ends_when_the_file_changed_meanwhile(
    proxied: tuple[S3Proxy, S3ArtifactStore], s3_prefix: str, s3_server: Any
) -> None:
    """The halves of two files are no file."""
    proxy, store = proxied
    store.write("f", CHUNKS)
    proxy.plan = once(lambda request: request.method == "GET", Fault.HALF_REPLY)
    reading = store.read("f")
    client = s3_server.client()
    client.put_object(Bucket=s3.bucket_name(), Key=f"{s3_prefix}/f", Body=b"z" * len(LARGE))
    client.close()
    with pytest.raises(StoreUnavailableError, match="changed while it was read"):
        b"".join(reading)


def test_download_gives_up_in_the_end(proxied: tuple[S3Proxy, S3ArtifactStore]) -> None:
    """A connection that always breaks is a bucket that does not answer."""
    proxy, store = proxied
    store.write("f", CHUNKS)
    proxy.plan = lambda request: Fault.HALF_REPLY if request.method == "GET" else None
    with pytest.raises(StoreUnavailableError), store.read("f") as pieces:
        b"".join(pieces)


def is_completion(request: Request) -> bool:
    return request.method == "POST" and "uploadId=" in request.target


@pytest.mark.parametrize("fault", [Fault.DROP_REPLY, Fault.ERROR_500_DONE])
def test_completion_whose_reply_was_lost_is_a_success(
    proxied: tuple[S3Proxy, S3ArtifactStore], fault: Fault
) -> None:
    """The repetition finds no upload any more, but the very file."""
    proxy, store = proxied
    proxy.plan = once(is_completion, fault)
    store.write("f", CHUNKS)
    assert read(store, "f") == LARGE


def test_completion_of_an_upload_that_never_was_is_an_error(store: S3ArtifactStore) -> None:
    """Also where another file is."""
    store.write("f", CHUNKS)
    with pytest.raises(ArtifactNotFoundError):
        store.complete_multipart("f", "bogus", etags={1: '"d41d8cd98f00b204e9800998ecf8427e"'})
    assert read(store, "f") == LARGE


def test_part_that_fails_leaves_no_upload(proxied: tuple[S3Proxy, S3ArtifactStore]) -> None:
    """What was sent is dropped, and what was there stays."""
    proxy, store = proxied
    store.write("f", [b"before"])
    proxy.plan = lambda request: Fault.FORBIDDEN if "partNumber=2" in request.target else None
    with pytest.raises(NotPermittedError):
        store.write("f", CHUNKS)
    proxy.plan = lambda _: None
    assert read(store, "f") == b"before"
    assert store.drop_partial(before=2**42, dry_run=True) == 0


def test_passing_faults_are_made_up_for(proxied: tuple[S3Proxy, S3ArtifactStore]) -> None:
    """The client asks again."""
    proxy, store = proxied
    for fault in (Fault.DROP_REQUEST, Fault.ERROR_500, Fault.SLOW_DOWN):
        proxy.plan = once(lambda _: True, fault)
        store.write("f", [fault.name.encode()])
        proxy.plan = once(lambda _: True, fault)
        assert read(store, "f") == fault.name.encode()


def test_abandoned_uploads_are_dropped_when_they_are_old(store: S3ArtifactStore) -> None:
    """A dry run only counts them."""
    store.create_multipart("a/f", parts=1, expires_seconds=60)
    assert store.drop_partial(before=0) == 0
    assert store.drop_partial(before=2**42, dry_run=True) == 1
    assert store.drop_partial(before=2**42) == 1
    assert store.drop_partial(before=2**42) == 0


def test_digest_is_recorded_with_the_file(store: S3ArtifactStore) -> None:
    """Of one request and of parts."""
    for chunks in ([b"small"], CHUNKS):
        store.write("f", chunks, sha256="ab" * 32)
        assert store.stat("f").sha256 == "ab" * 32
    store.write("f", [b"other"])
    assert store.stat("f").sha256 is None


def test_more_files_are_removed_than_one_request_takes(
    store: S3ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batch by batch, here of ten."""
    monkeypatch.setattr("registry_core.artifacts.backends.s3._DELETE_BATCH", 10)
    paths = [f"m/{number:04}" for number in range(21)]
    for path in paths:
        store.write(path, [b""])
    assert sorted(info.path for info in store.walk("m")) == paths
    store.remove(paths[:15])
    store.delete("m")
    assert list(store.walk("m")) == []


def test_presigned_url_gives_one_file_to_anybody(store: S3ArtifactStore) -> None:
    """And no other one, no other method, and not for ever."""
    store.write("a/f", [b"bytes"])
    store.write("a/g", [b"other"])
    url = store.presigned_url("a/f", expires_seconds=60)
    assert request("GET", url)[::2] == (200, b"bytes")
    assert request("GET", url.replace("/a/f?", "/a/g?"))[0] == 403
    assert request("PUT", url, b"x")[0] == 403
    assert "X-Amz-Expires=60" in url


def test_presigned_urls_lead_to_the_endpoint_that_clients_reach(s3_url: str) -> None:
    """And say that the file is encoded in no way."""
    outer = "https://bucket.example.com:8443"
    store = open_artifact_store(f"{s3_url}&public_endpoint_url={outer}")
    store.write("a/f", [b"bytes"])
    upload = store.create_multipart("a/f", parts=1, expires_seconds=60)
    for url in (store.presigned_url("a/f", expires_seconds=60), *upload.urls):
        assert url.startswith(f"{outer}/")
    assert read(store, "a/f") == b"bytes"
    store.close()


def test_presigned_download_is_encoded_in_no_way(store: S3ArtifactStore) -> None:
    """What the bucket says of it."""
    store.write("a/f", [b"bytes"])
    status, headers, body = request("GET", store.presigned_url("a/f", expires_seconds=60))
    assert (status, body) == (200, b"bytes")
    assert headers["Content-Encoding"] == "identity"


def test_key_of_kms_is_asked_for_with_each_file(s3_server: Any) -> None:
    """In one request, and at the start of an upload in parts; the requests are those on the wire."""
    url = s3.store_url(s3_server.endpoint_url, "p") + "&sse_kms_key_id=alias/models"
    store = open_artifact_store(url)
    sent: list[tuple[str, Any, Any]] = []

    def note(request: Any, **_: Any) -> Any:
        algorithm = request.headers.get("x-amz-server-side-encryption")
        key = request.headers.get("x-amz-server-side-encryption-aws-kms-key-id")
        sent.append((request.method, algorithm, key))
        raise ConnectionError

    store._client.meta.events.register("before-send.s3", note)
    for write in (
        lambda: store.write("f", [b"x"]),
        lambda: store.create_multipart("f", parts=1, expires_seconds=60),
    ):
        with pytest.raises((ConnectionError, RegistryError)):
            write()
    store.close()
    assert {one[0] for one in sent} == {"PUT", "POST"}
    assert {one[1:] for one in sent} == {(b"aws:kms", b"alias/models")}


def test_options_of_artifacts_belong_to_artifacts_alone(s3_url: str) -> None:
    """A store of metadata that took them in silence would not do what they say."""
    with pytest.raises(InvalidUrlError, match="of an artifact root also public_endpoint_url"):
        open_store(f"{s3_url}&sse_kms_key_id=k")


def test_multipart_upload_by_urls(store: S3ArtifactStore) -> None:
    """Parts go straight to the bucket; the file is there when all are told."""
    upload = store.create_multipart("a/f", parts=2, expires_seconds=60)
    bodies = [b"x" * (5 << 20), b"end"]
    etags = {
        number: put_part(url, body)
        for number, (url, body) in enumerate(zip(upload.urls, bodies, strict=True), 1)
    }
    with pytest.raises(ArtifactNotFoundError):
        store.stat("a/f")
    store.complete_multipart("a/f", upload.upload_id, etags=etags)
    assert read(store, "a/f") == b"".join(bodies)
    # As a client does that did not get the answer.
    store.complete_multipart("a/f", upload.upload_id, etags=etags)


def test_aborted_upload_is_gone(store: S3ArtifactStore) -> None:
    """Twice is no error; a part that is sent afterwards makes no file."""
    upload = store.create_multipart("a/f", parts=1, expires_seconds=60)
    store.abort_multipart("a/f", upload.upload_id)
    store.abort_multipart("a/f", upload.upload_id)
    with pytest.raises((ArtifactNotFoundError, InvalidArgumentError)):
        store.complete_multipart("a/f", upload.upload_id, etags={1: '"00"'})


def test_bucket_that_is_not_there_is_told(s3_server: Any) -> None:
    """It is nothing that passes, and no missing file."""
    store = open_artifact_store(s3.store_url(s3_server.endpoint_url, "p", bucket="no-such-bucket"))
    with pytest.raises(BackendError, match="does not exist"):
        list(store.walk(""))
    store.close()


def test_bucket_that_does_not_answer_is_unavailable(
    s3_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some attempts."""
    monkeypatch.setattr("registry_core.artifacts.backends.s3.ARTIFACTS", _impatient())
    store = open_artifact_store(s3.store_url("http://127.0.0.1:1", "p"))
    with pytest.raises(StoreUnavailableError):
        store.stat("f")
    store.close()


def _impatient() -> Any:
    from registry_core.s3_location import Purpose

    return Purpose(attempts=1, read_timeout_seconds=1)


def test_parts_grow_so_that_ten_thousand_hold_five_tebibytes() -> None:
    """No part is larger than S3 takes, and none but the last smaller."""
    sizes = [PART_SIZE << (number // 1_000) for number in range(10_000)]
    assert sum(sizes) > 5 << 40
    assert max(sizes) <= 5 << 30
    parts = Parts()
    assert parts.is_empty
    chunk = b"x" * (4 << 20)
    assert [len(parts.take()) >> 20 for _ in range(5) if parts.add(chunk)] == [8, 8]
    assert len(parts.take()) == 4 << 20
    assert parts.is_empty


def test_etag_of_encrypted_parts_cannot_be_told() -> None:
    """They are no digests."""
    assert etag_of_parts({1: '"not hex"'}) is None


@pytest.mark.parametrize(
    ("told", "length"),
    [(None, 10), ("bytes 0-9/10", 10), ("bytes 0-4/10", 5), ("bytes 4-9/10", 6)],
    ids=["all of it", "all of it, as a range", "another range", "more than asked for"],
)
def test_other_bytes_than_asked_for_are_refused(
    store: S3ArtifactStore, monkeypatch: pytest.MonkeyPatch, told: str | None, length: int
) -> None:
    """A bucket behind a proxy that ignores ranges would give a file's start as its middle."""
    store.write("f", [b"0123456789"])
    get = store._client.get_object

    def get_other(**options: Any) -> Any:
        options.pop("Range")
        reply = {**get(**options), "ContentLength": length}
        return reply if told is None else {**reply, "ContentRange": told}

    monkeypatch.setattr(store._client, "get_object", get_other)
    with pytest.raises(StoreUnavailableError, match="other bytes of 'f'"):
        store.read("f", start=4, stop=8)
