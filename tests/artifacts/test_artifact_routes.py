"""The artifact routes over a socket: what contract 2.23 asks for, and what clients do to a server."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from registry_core import Registry
from registry_core.artifacts import ArtifactStore
from registry_server.artifacts import requests as artifact_requests
from registry_server.process.limits import Limits
from services.artifacts import (
    PREFIX,
    Response,
    all_bytes,
    memory_registry,
    raw_request,
    read_answer,
    serving,
)
from services.presigned import put_part, request
from services.processes import wait_for
from services.watched_artifacts import WatchedArtifacts

BODY = os.urandom(300_000)


@pytest.fixture
def watched(artifacts: ArtifactStore) -> WatchedArtifacts:
    """The artifact store, with its readings watched."""
    return WatchedArtifacts(artifacts)


@pytest.fixture
def registry(watched: WatchedArtifacts) -> Registry:
    """A registry with one file below its root."""
    watched.write("d/file.bin", [BODY])
    return memory_registry(watched, local_sources=False)


def call(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return raw_request(port, f"{method} {PREFIX}{path}".encode(), names, body)


# Reading


def test_get_gives_the_file_and_says_what_it_is(port: int) -> None:
    """With the headers that MLflow sends."""
    answer = call(port, "GET", "/artifacts/d/file.bin")
    assert (answer.status, answer.body) == (200, BODY)
    assert answer.headers["content-length"] == str(len(BODY))
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"file.bin\"; filename*=UTF-8''file.bin"
    )


@pytest.mark.parametrize(
    ("name", "kind", "disposition"),
    [
        ("conda.yaml", "application/yaml", "filename=\"conda.yaml\"; filename*=UTF-8''conda.yaml"),
        ('é ";.txt', "text/plain", "filename=\"_ __.txt\"; filename*=UTF-8''%C3%A9%20%22%3B.txt"),
        ("MLmodel", "application/octet-stream", "filename=\"MLmodel\"; filename*=UTF-8''MLmodel"),
    ],
)
@pytest.mark.parametrize("root", ["local"], indirect=True)
def test_names_are_told_in_two_ways(
    registry: Registry, port: int, name: str, kind: str, disposition: str
) -> None:
    """No name can end its header, or make the browser show what it should save."""
    from urllib.parse import quote

    registry.artifacts.write(name, [b"x"])
    answer = call(port, "GET", f"/artifacts/{quote(name)}")
    assert answer.headers["content-disposition"] == f"attachment; {disposition}"
    if name != "conda.yaml":  # not every machine's table has it
        assert answer.headers["content-type"] == kind


def test_head_is_get_without_the_body(watched: WatchedArtifacts, port: int) -> None:
    """And opens nothing."""
    watched.reads.clear()
    head = call(port, "HEAD", "/artifacts/d/file.bin")
    assert watched.reads == []
    get = call(port, "GET", "/artifacts/d/file.bin")
    assert head.status == get.status
    assert head.body == b""
    assert head.headers.keys() == get.headers.keys()
    assert head.headers["content-length"] == str(len(BODY))


@pytest.mark.parametrize("root", ["local", "s3"], indirect=True)
def test_get_says_which_file_it_is_and_of_when(port: int) -> None:
    """So that a download can go on; and what a client has is sent again, as MLflow does."""
    first = call(port, "GET", "/artifacts/d/file.bin")
    assert first.headers["last-modified"].endswith(" GMT")
    again = call(port, "GET", "/artifacts/d/file.bin", If_None_Match=first.headers["etag"])
    assert (again.status, again.body) == (200, BODY)
    for header in ("etag", "last-modified"):
        assert again.headers[header] == first.headers[header]


SIZE = len(BODY)
RANGES = [
    ("bytes=0-9", 0, 10),
    ("bytes=10-10", 10, 11),
    (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
    ("bytes=100-", 100, SIZE),
    (f"bytes=5-{SIZE * 9}", 5, SIZE),
    ("bytes=-7", SIZE - 7, SIZE),
    (f"bytes=-{SIZE * 9}", 0, SIZE),
]


def test_ranges_are_given(port: int) -> None:
    """With 206 and where they are in the file."""
    for header, start, stop in RANGES:
        answer = call(port, "GET", "/artifacts/d/file.bin", Range=header)
        assert (header, answer.status) == (header, 206)
        assert answer.body == BODY[start:stop]
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{SIZE}"
        assert answer.headers["content-length"] == str(stop - start)


def test_ranges_beyond_the_end_are_not_satisfiable(port: int) -> None:
    """With 416 and the size."""
    for header in (f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 5}", "bytes=-0", "bytes=9-3"):
        answer = call(port, "GET", "/artifacts/d/file.bin", Range=header)
        assert (header, answer.status) == (header, 416)
        assert answer.headers["content-range"] == f"bytes */{SIZE}"


def test_ranges_that_are_none_give_the_file(port: int) -> None:
    """Other units, several ranges, nonsense, a condition that does not hold: as the RFC allows."""
    for header in (
        "bytes=-",
        "bytes=0-1,3-4",
        "lines=1-2",
        "bytes=a-b",
        "bytes=0-" + "9" * 5000,
        "bytes",
    ):
        answer = call(port, "GET", "/artifacts/d/file.bin", Range=header)
        assert (answer.status, answer.body) == (200, BODY)
        assert "content-range" not in answer.headers
    answer = call(port, "GET", "/artifacts/d/file.bin", Range="bytes=0-1", If_Range='"other"')
    assert (answer.status, answer.body) == (200, BODY)


@pytest.mark.parametrize("root", ["local", "s3"], indirect=True)
def test_range_of_the_same_file_is_given(registry: Registry, port: int) -> None:
    """`If-Range` with the ETag that was told continues a download; of another file it begins anew."""
    etag = call(port, "HEAD", "/artifacts/d/file.bin").headers["etag"]
    answer = call(port, "GET", "/artifacts/d/file.bin", Range="bytes=5-", If_Range=etag)
    assert (answer.status, answer.body) == (206, BODY[5:])
    registry.artifacts.write("d/file.bin", [b"another file"])
    answer = call(port, "GET", "/artifacts/d/file.bin", Range="bytes=5-", If_Range=etag)
    assert (answer.status, answer.body) == (200, b"another file")


def test_what_is_no_file_is_told(port: int) -> None:
    """A folder is 400, what is missing 404, for GET and HEAD alike; as JSON."""
    for method in ("GET", "HEAD"):
        assert call(port, method, "/artifacts/d").status == 400
        assert call(port, method, "/artifacts/none").status == 404
    assert json.loads(call(port, "GET", "/artifacts/none").body) == {
        "error_code": "RESOURCE_DOES_NOT_EXIST",
        "message": "No such artifact: 'none'",
        "sqlstate": "KAM00",
        "error_class": "RESOURCE_NOT_FOUND",
    }
    assert b"refers to a directory, not a file: 'd'" in call(port, "GET", "/artifacts/d").body


def test_list_is_one_level_of_basenames(registry: Registry, port: int) -> None:
    """As MLflow's: sizes of files but empty ones, `{}` for a file or nothing; ours is left out."""
    registry.files.write("d/empty", [])
    registry.files.write("d/sub/x", [b"1"])
    files = [
        {"path": "empty", "is_dir": False},
        {"path": "file.bin", "is_dir": False, "file_size": SIZE},
        {"path": "sub", "is_dir": True},
    ]
    assert json.loads(call(port, "GET", "/artifacts?path=d").body) == {"files": files}
    for query in ("", "?path=", "?other=d"):
        listed = json.loads(call(port, "GET", f"/artifacts{query}").body)
        assert listed == {"files": [{"path": "d", "is_dir": True}]}
    for path in ("none", "d/file.bin", "d/file.bin/x"):
        assert call(port, "GET", f"/artifacts?path={path}").body == b"{}"
    assert call(port, "GET", "/artifacts?path=d&path=..").status == 200


# Writing


@pytest.mark.parametrize("length", [0, 1, 70_000, 9 << 20])
def test_put_takes_any_length_in_both_framings(port: int, registry: Registry, length: int) -> None:
    """By Content-Length or in chunks, which is how MLflow's client sends empty files."""
    body = os.urandom(length)
    answer = call(port, "PUT", "/artifacts/up/plain", body)
    assert (answer.status, answer.body) == (200, b"")
    chunks = b"".join(
        b"%x\r\n%s\r\n" % (len(body[at : at + 50_000]), body[at : at + 50_000])
        for at in range(0, length, 50_000)
    )
    head = f"PUT {PREFIX}/artifacts/up/chunked HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        connection.sendall(chunks + b"0\r\n\r\n")
        assert read_answer(connection).status == 200
    assert all_bytes(registry.artifacts, "up") == {"up/plain": body, "up/chunked": body}


def test_put_replaces_and_delete_removes(port: int, registry: Registry) -> None:
    """What no version has; a folder goes with all that is in it, once or twice."""
    for kind in ("text/html", "application/json; charset=x", "nonsense"):
        assert call(port, "PUT", "/artifacts/d/file.bin", b"{", Content_Type=kind).status == 200
    assert call(port, "PUT", "/artifacts/d/file.bin", b"new").status == 200
    assert call(port, "GET", "/artifacts/d/file.bin").body == b"new"
    assert call(port, "PUT", "/artifacts/d/e/f", b"x").status == 200
    for path in ("d/e/f", "d", "d", "d/", "none"):
        answer = call(port, "DELETE", f"/artifacts/{path}")
        assert (answer.status, answer.body) == (200, b"{}")
    assert all_bytes(registry.artifacts) == {}


def test_put_needs_a_name(port: int) -> None:
    """With MLflow's sentence."""
    answer = call(port, "PUT", "/artifacts/d/", b"x")
    assert answer.status == 400
    assert b"must include a filename (cannot end with '/')" in answer.body
    assert call(port, "DELETE", "/artifacts/").status == 400
    assert call(port, "DELETE", "/artifacts").status == 405


@contextmanager
def upload(port: int, framing: str) -> Iterator[socket.socket]:
    head = f"PUT {PREFIX}/artifacts/up/broken HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(head.encode())
        yield connection


@pytest.mark.parametrize("sent", [0, 1000, 20 << 20], ids=["nothing", "little", "parts"])
@pytest.mark.parametrize("framing", ["Content-Length: 99999999", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("before", [None, b"what was there"])
def test_aborted_upload_leaves_nothing(  # noqa: PLR0917 fixtures and parameters
    port: int,
    registry: Registry,
    watched: WatchedArtifacts,
    sent: int,
    framing: str,
    before: bytes | None,
) -> None:
    """Neither a file, nor a part of one, nor an announcement; of a little, nothing is begun."""
    if before is not None:
        watched.write("up/broken", [before])
    with upload(port, framing) as connection:
        body = b"x" * sent
        connection.sendall(b"%x\r\n%s" % (sent + 1, body) if "chunked" in framing else body)
    begun = (before is not None) + (sent > 1000)
    wait_for(lambda: watched.attempts.count("up/broken") >= begun and not watched.in_flight)
    assert call(port, "PUT", "/artifacts/up/next", b"next").status == 200
    assert watched.attempts.count("up/broken") == begun
    left = all_bytes(registry.artifacts)
    assert left.pop("up/next") == b"next"
    assert left.pop("d/file.bin") == BODY
    assert left == ({} if before is None else {"up/broken": before})
    assert registry.artifacts.drop_partial(before=2**42, dry_run=True) == 0


@pytest.mark.parametrize("root", ["local"], indirect=True)
@pytest.mark.parametrize("sent", [1, 5 << 20], ids=["little", "pieces"])
def test_silent_client_is_sent_away(registry: Registry, sent: int) -> None:
    """It would hold its place for ever; nothing of what it has sent is left."""
    limits = Limits(stall_seconds=1)
    with serving(registry, limits) as port:
        with upload(port, "Content-Length: 99999999\r\nConnection: close") as connection:
            connection.sendall(b"x" * sent)
            assert read_answer(connection).status == 408
        assert set(all_bytes(registry.artifacts)) == {"d/file.bin"}


@pytest.mark.parametrize("root", ["local", "s3"], indirect=True)
def test_client_that_leaves_a_download_frees_it(
    registry: Registry, watched: WatchedArtifacts, port: int
) -> None:
    """What it does not take is not read."""
    watched.write("big", [b"x" * (1 << 20)] * 64)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        connection.sendall(
            f"GET {PREFIX}/artifacts/big HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    wait_for(lambda: not watched.open_readings)
    assert watched.bytes_read < 64 << 20


@pytest.mark.parametrize("root", ["local"], indirect=True)
def test_server_ends_with_uploads_and_downloads_under_way(
    registry: Registry, watched: WatchedArtifacts
) -> None:
    """No thread waits for a client for ever, and nothing half-written stays."""
    watched.write("big", [b"x" * (1 << 20)] * 64)
    with serving(registry) as port:
        sockets = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(4)]
        for number, connection in enumerate(sockets):
            head = f"PUT {PREFIX}/artifacts/up{number} HTTP/1.1\r\nHost: localhost\r\n"
            body = b"x" * (number * 100_000)
            connection.sendall((head + "Content-Length: 1000000\r\n\r\n").encode() + body)
        sockets.append(socket.create_connection(("127.0.0.1", port), timeout=30))
        sockets[-1].sendall(
            f"GET {PREFIX}/artifacts/big HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        )
        wait_for(lambda: len(watched.in_flight) == 3 and watched.open_readings)
        started = time.monotonic()
    for connection in sockets:
        connection.close()
    assert time.monotonic() - started < 20
    assert not [one for one in threading.enumerate() if one.name.startswith("artifact")]
    assert set(all_bytes(registry.artifacts)) == {"d/file.bin", "big"}


def test_many_transfers_at_once(port: int, registry: Registry) -> None:
    """More than there are threads; each gets its own bytes."""
    failures: list[object] = []

    def round_trip(number: int) -> None:
        body = bytes([number]) * 100_000
        put = call(port, "PUT", f"/artifacts/many/{number}", body)
        got = call(port, "GET", f"/artifacts/many/{number}")
        if (put.status, got.body) != (200, body):
            failures.append((number, put, got.status))

    threads = [threading.Thread(target=round_trip, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


# Past the server


def test_stores_without_presigning_say_so(port: int, registry: Registry) -> None:
    """With the sentence on which MLflow's client falls back to PUT, and 501."""
    if registry.artifacts.root.startswith("s3:"):
        pytest.skip("a bucket presigns")
    answer = call(port, "POST", "/mpu/create/d", b'{"path": "f", "num_parts": 1}')
    assert answer.status == 501
    assert json.loads(answer.body)["message"] == (
        "Multipart upload is not supported for the current artifact repository"
    )
    answer = call(port, "GET", "/presigned/d/file.bin")
    assert answer.status == 501
    assert json.loads(answer.body) == {
        "error_code": "NOT_IMPLEMENTED",
        "message": "Multipart download is not supported for the current artifact repository",
    }


@pytest.mark.parametrize("direct", ["off", "on", "only"])
@pytest.mark.parametrize("root", ["local", "s3"], indirect=True)
def test_server_info_tells_what_the_root_can(port: int, registry: Registry, direct: str) -> None:
    """Multipart where there is presigning, and its operator lets clients have it."""
    info = json.loads(raw_request(port, b"GET /api/3.0/mlflow/server-info").body)
    presigns = registry.artifacts.root.startswith("s3:") and direct != "off"
    assert info["multipart_uploads_enabled"] is presigns
    assert info["multipart_downloads_enabled"] is presigns
    assert info.get("artifacts_presigned_only", False) is (direct == "only")


@pytest.mark.parametrize("direct", ["off"])
@pytest.mark.parametrize("root", ["s3"], indirect=True)
def test_nothing_goes_past_a_server_whose_operator_has_not_said_so(port: int) -> None:
    """Not even for a client that did not ask whether it may; each falls back on 501."""
    fields = b'{"path": "f", "num_parts": 1, "upload_id": "u", "parts": [{"part_number": 1, "etag": "e"}]}'
    for action in ("create", "complete", "abort"):
        answer = call(port, "POST", f"/mpu/{action}/d", fields)
        assert (answer.status, json.loads(answer.body)["message"]) == (
            501,
            "Multipart upload is not supported for the current artifact repository",
        )
    assert call(port, "GET", "/presigned/d/file.bin").status == 501
    assert call(port, "GET", "/artifacts/d/file.bin").body == BODY
    assert call(port, "PUT", "/artifacts/up/f", b"x").status == 200


@pytest.mark.parametrize("direct", ["only"])
@pytest.mark.parametrize("root", ["s3"], indirect=True)
def test_only_presigned_urls_move_bytes_where_the_operator_says_so(port: int) -> None:
    """With the field that has MLflow's client take the other way; lists and deletions go on."""
    for method, body in (("GET", b""), ("PUT", b"x"), ("PUT", b"x" * 60_000)):
        answer = call(port, method, "/artifacts/d/file.bin", body)
        assert answer.status == 403
        refused = json.loads(answer.body)
        assert refused["error_code"] == "PERMISSION_DENIED"
        assert refused["artifacts_presigned_only"] is True
    url = json.loads(call(port, "GET", "/presigned/d/file.bin").body)["url"]
    assert request("GET", url)[::2] == (200, BODY)
    assert call(port, "GET", "/artifacts?path=d").status == 200
    assert call(port, "DELETE", "/artifacts/d/file.bin").status == 200


@pytest.mark.parametrize("root", ["s3"], indirect=True)
class TestPastTheServer:
    """Where the root is a bucket."""

    def test_presigned_download(self, port: int) -> None:
        """The URL is for one file and some minutes, and takes ranges."""
        answer = json.loads(call(port, "GET", "/presigned/d/file.bin").body)
        assert answer.keys() == {"url", "headers", "file_size"}
        assert (answer["headers"], answer["file_size"]) == ({}, SIZE)
        assert request("GET", answer["url"])[::2] == (200, BODY)
        assert "X-Amz-Expires=300&" in answer["url"]
        assert call(port, "GET", "/presigned/none").status == 404
        assert call(port, "GET", "/presigned/d").status == 400

    def test_multipart_upload(self, port: int, registry: Registry) -> None:
        """Created, sent part by part to the store, completed; only the basename counts."""
        fields = {"path": "/home/somebody/models/big.bin", "num_parts": 2}
        created = json.loads(call(port, "POST", "/mpu/create/up", json.dumps(fields).encode()).body)
        assert [each["part_number"] for each in created["credentials"]] == [1, 2]
        bodies = [b"x" * (5 << 20), b"end"]
        parts = [
            {
                "part_number": each["part_number"],
                "etag": put_part(each["url"], body),
                "url": each["url"],
            }
            for each, body in zip(created["credentials"], bodies, strict=True)
        ]
        fields = {"path": "big.bin", "upload_id": created["upload_id"], "parts": parts}
        for _ in range(2):  # a client that lost the first answer asks again
            answer = call(port, "POST", "/mpu/complete/up", json.dumps(fields).encode())
            assert (answer.status, answer.body) == (200, b"{}")
        assert all_bytes(registry.artifacts, "up") == {"up/big.bin": b"".join(bodies)}

    def test_multipart_abort(self, port: int, registry: Registry) -> None:
        """Nothing is left; again is no error."""
        created = json.loads(
            call(port, "POST", "/mpu/create/up", b'{"path": "f", "num_parts": 1}').body
        )
        put_part(created["credentials"][0]["url"], b"x")
        body = json.dumps({"path": "f", "upload_id": created["upload_id"]}).encode()
        for _ in range(2):
            assert call(port, "POST", "/mpu/abort/up", body).body == b"{}"
        assert registry.artifacts.drop_partial(before=2**42, dry_run=True) == 0

    def test_no_parts_no_credentials(self, port: int) -> None:
        """As MLflow answers it."""
        for body in (b'{"path": "f"}', b'{"path": "f", "num_parts": 0}'):
            created = json.loads(call(port, "POST", "/mpu/create/up", body).body)
            assert created.keys() == {"upload_id"}

    @pytest.mark.parametrize(
        ("action", "fields"),
        [
            ("create", {"num_parts": 1}),
            ("create", {"path": "f", "num_parts": "many"}),
            ("create", {"path": "f", "num_parts": 10_001}),
            ("create", {"path": "f", "num_parts": True}),
            ("create", {"path": 5}),
            ("complete", {"path": "f", "parts": [{"part_number": 1, "etag": "e"}]}),
            ("complete", {"path": "f", "upload_id": "u"}),
            ("complete", {"path": "f", "upload_id": "u", "parts": []}),
            ("complete", {"path": "f", "upload_id": "u", "parts": ["x"]}),
            (
                "complete",
                {"path": "f", "upload_id": "u", "parts": [{"part_number": 0, "etag": "e"}]},
            ),
            ("abort", {"path": "f"}),
        ],
    )
    def test_malformed_calls_are_refused(
        self, port: int, action: str, fields: dict[str, object]
    ) -> None:
        """With 400."""
        answer = call(port, "POST", f"/mpu/{action}/up", json.dumps(fields).encode())
        assert answer.status == 400

    def test_upload_that_never_was_is_404(self, port: int) -> None:
        """MLflow answers 500, and its client retries for minutes."""
        fields = {"path": "f", "upload_id": "bogus", "parts": [{"part_number": 1, "etag": '"e"'}]}
        assert call(port, "POST", "/mpu/complete/up", json.dumps(fields).encode()).status == 404

    def test_body_of_a_multipart_call_has_a_limit(
        self, port: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is held in memory."""
        monkeypatch.setattr(artifact_requests, "JSON_BODY_MAX_BYTES", 1_000)
        assert call(port, "POST", "/mpu/create/up", b" " * 2_000).status == 413


def test_server_without_an_artifact_root_has_no_artifacts() -> None:
    """404 that says what to do; nothing is announced."""
    from registry_core.stores.memory import MemoryStore

    with serving(Registry(MemoryStore(), local_sources=False)) as port:
        answer = call(port, "GET", "/artifacts")
        assert answer.status == 404
        assert b"--artifacts" in answer.body
