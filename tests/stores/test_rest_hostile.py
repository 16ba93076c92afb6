"""Servers that would fill memory, hold threads, or be taken for an empty registry."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from urllib.parse import parse_qs, urlsplit

import attrs
import pytest

from registry_core import Registry, open_registry
from registry_core.errors import (
    RegistryError,
    StoreUnavailableError,
    UnexpectedAnswerError,
    UnsupportedBackendError,
)
from registry_core.search import CutPage, Entity, Page, Query, all_pages, parse_order_by
from registry_core.search.pages import EMPTY_PAGES_MAX
from registry_core.stores.rest import bodies, open_store, store, transport
from services.hostile_server import (
    MIB,
    Behaviour,
    answering,
    dripping,
    endless,
    gzip_bomb,
    hostile_server,
)
from services.in_process import InProcessServer
from services.scripted_server import Response, ScriptedServer

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

FLOODS: dict[str, Behaviour] = {
    "gzip bomb": answering(gzip_bomb(4096 * MIB), "Content-Encoding: gzip"),
    "deflate bomb": answering(gzip_bomb(4096 * MIB), "Content-Encoding: deflate"),
    "endless body": endless("Connection: close", b" " * MIB),
    "endless chunks": endless("Transfer-Encoding: chunked", b"100000\r\n" + b" " * MIB + b"\r\n"),
    "impossible length": endless("Content-Length: 1000000000000", b" " * MIB),
    "impossible chunk": endless("Transfer-Encoding: chunked\r\n\r\nffffffffffff", b" " * MIB),
    "millions of objects": answering(b'{"registered_models": [' + b"{}," * 15_000_000 + b"{}]}"),
    "millions of lists": answering(b'{"registered_models": ' + b"[[]," * 5_000_000 + b"[]"),
}
"""What would take gigabytes."""

DRIPS: dict[str, Behaviour] = {
    "body": dripping(OK + b"Content-Length: 1000000\r\n\r\n", b" "),
    "chunks": dripping(CHUNKED, b"1\r\n \r\n"),
    "size of a chunk": dripping(CHUNKED, b"0"),
    "trailers": dripping(CHUNKED + b"0\r\n", b"X: y\r\n"),
    "status": dripping(b"HTTP/1.1 200 O", b"K"),
    "header": dripping(OK + b"X: ", b"y"),
    "headers": dripping(OK, b"X: y\r\n", every_seconds=0.2),
    "interim answers": dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "headers of an interim answer": dripping(b"HTTP/1.1 100 Continue\r\n", b"X: y\r\n"),
    "compressed body": dripping(
        OK + b"Content-Encoding: gzip\r\nContent-Length: 1000000\r\n\r\n" + gzip_bomb(MIB), b"\0"
    ),
}
"""What would last for ever, though no silence is long."""


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


MEMORY = """
import resource, sys, time
from registry_core import open_registry, UnexpectedAnswerError

def most():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

with open_registry(sys.argv[1]) as registry:
    try:
        registry.ping()
    except Exception:
        pass
    before, started = most(), time.monotonic()
    try:
        registry.get_registered_model("m")
    except UnexpectedAnswerError as error:
        print(most() - before, str(error))
"""


@pytest.mark.parametrize("flood", FLOODS)
def test_flood_takes_neither_memory_nor_time(flood: str) -> None:
    """The answer is refused by name, in a process that stays small."""
    with hostile_server(FLOODS[flood]) as url:
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, url],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.stdout, done.stderr
    grown, _, message = done.stdout.partition(" ")
    assert int(grown) < 3 * bodies.ANSWER_MAX_BYTES // MIB
    assert f"GET {url}/api/2.0/mlflow/registered-models/get was answered with more than" in message


@pytest.mark.parametrize("drip", DRIPS)
@pytest.mark.parametrize(
    "call",
    [
        lambda registry: registry.get_registered_model("m"),
        lambda registry: registry.create_registered_model("m"),
        lambda registry: registry.search_model_versions(),
    ],
    ids=["get", "create", "search"],
)
def test_drip_ends_when_the_call_has_to(
    drip: str, call: Callable[[Registry], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One deadline for a call with everything in it."""
    monkeypatch.setattr(transport, "CALL_SECONDS", 0.3)
    with hostile_server(DRIPS[drip]) as url, open_registry(url) as registry:
        started = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="no complete answer in time"):
            call(registry)
        assert time.monotonic() - started < 20


def test_question_for_health_has_a_deadline_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe does not wait as long as a large page may take."""
    monkeypatch.setattr(transport, "PING_SECONDS", 0.3)
    with (
        hostile_server(DRIPS["body"]) as url,
        open_registry(url) as registry,
        pytest.raises(StoreUnavailableError, match="no complete answer in time"),
    ):
        registry.ping()


def test_login_page_is_no_health() -> None:
    """A page that answers everything with 200 is no registry that is well."""
    page = Response(200, b"\n<!doctype html><title>Log in", {"Content-Type": "text/html"})
    with (
        ScriptedServer(page) as server,
        open_registry(server.url) as registry,
        pytest.raises(UnexpectedAnswerError, match=f"{server.url}/health"),
    ):
        registry.ping()


def test_whole_call_has_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The aliases of a page's versions are asked for in the time that is left."""
    monkeypatch.setattr(transport, "CALL_SECONDS", 0.5)
    version = {"version": "1", "creation_timestamp": 1, "last_updated_timestamp": 1, "source": "s"}
    rows = [{**version, "name": f"m{number}"} for number in range(50)]
    answered = []

    def behave(connection) -> None:
        if answered:
            DRIPS["body"](connection)
        answered.append(1)
        answering(json.dumps({"model_versions": rows}).encode())(connection)

    with hostile_server(behave) as url, open_registry(url) as registry:
        started = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="in time"):
            registry.search_model_versions()
        assert time.monotonic() - started < 20


# What is refused


@pytest.mark.parametrize(
    "search",
    [
        Registry.search_registered_models,
        Registry.search_model_versions,
        lambda registry: registry.store.list_webhooks(),
    ],
    ids=["models", "versions", "webhooks"],
)
@pytest.mark.parametrize("body", [b"", b"\n", b"null", b"[]", b"<html>", b'{"next_page_token": 5}'])
def test_what_is_no_answer_is_no_empty_registry(
    search: Callable[[Registry], object], body: bytes
) -> None:
    """The URL is named, and what was expected there."""
    with (
        ScriptedServer(Response(200, body)) as server,
        open_registry(server.url) as registry,
        pytest.raises(
            UnexpectedAnswerError, match=f"GET {server.url}/api/(2.0/mlflow|registry/v1)/"
        ),
    ):
        search(registry)


def test_error_without_end_is_judged_by_its_status() -> None:
    """What follows is not read, however long it is."""
    flood = endless("Connection: close", b" " * MIB, status="404 Not Found")
    with (
        hostile_server(flood) as url,
        open_registry(url) as registry,
        pytest.raises(UnsupportedBackendError, match="status 404"),
    ):
        registry.get_registered_model("m")


def test_write_that_is_answered_with_nonsense_may_have_happened() -> None:
    """The caller is told to look."""
    page = Response(200, b"<html>welcome", {"Content-Type": "text/html"})
    with ScriptedServer(page) as server, open_registry(server.url) as registry:
        with pytest.raises(UnexpectedAnswerError, match="made is not known"):
            registry.create_registered_model("m")
        assert len(server.received) == 1


def test_connection_with_an_unread_rest_is_not_used_again() -> None:
    """Or the rest of one answer would be the next one."""
    evil = json.dumps(
        {"registered_model": {"name": "evil", "creation_timestamp": 1, "last_updated_timestamp": 1}}
    )
    answers = [
        Response(200, b"x" * 100, {"Content-Encoding": "br"}),
        Response(404, b" " * (bodies.ERROR_MAX_BYTES + 1)),
        Response(200, evil.encode().rjust(500_000), {"Content-Encoding": "gzip"}),
        Response(200, {"registered_model": {"name": "m", "creation_timestamp": 1, "last_updated_timestamp": 1}}),
    ]  # fmt: skip
    with ScriptedServer(*answers) as server, open_registry(server.url) as registry:
        for _ in answers[:-1]:
            with pytest.raises(RegistryError):
                registry.get_registered_model("m")
        assert registry.get_registered_model("m").name == "m"


def test_compressed_answer_is_read() -> None:
    """A proxy may compress what nobody asked it to."""
    body = {"registered_model": {"name": "m", "creation_timestamp": 1, "last_updated_timestamp": 1}}
    answer = Response(200, gzip.compress(json.dumps(body).encode()), {"Content-Encoding": "gzip"})
    with ScriptedServer(answer) as server, open_registry(server.url) as registry:
        assert registry.get_registered_model("m").name == "m"


# Pages


def _rows(number: int, **more: object) -> Response:
    row = {"creation_timestamp": 1, "last_updated_timestamp": 1}
    return Response(
        200, {"registered_models": [{**row, "name": f"m{n}"} for n in range(number)], **more}
    )


@pytest.mark.parametrize(
    "pages",
    [
        [_rows(1, next_page_token="a")],
        [
            _rows(1, next_page_token="a"),
            _rows(1, next_page_token="b"),
            _rows(1, next_page_token="a"),
        ],
    ],
    ids=["itself", "the one before"],
)
def test_page_that_leads_back_ends_the_list(pages: list[Response]) -> None:
    """A list that would repeat itself for ever ends in an error."""
    with ScriptedServer(*pages) as server, open_registry(server.url) as registry:
        with pytest.raises(UnexpectedAnswerError, match=r"followed by itself|do not move on"):
            list(registry.iter_registered_models())
        assert len(server.received) <= 4


def test_webhooks_that_lead_back_end_the_list() -> None:
    """They are read by another route."""
    with (
        ScriptedServer(Response(200, {"next_page_token": "a"})) as server,
        pytest.raises(UnexpectedAnswerError, match="do not move on"),
    ):
        open_store(server.url).list_webhooks()


def test_empty_pages_end_some_time() -> None:
    """A new token on each of them does not make a list."""
    read = []

    def page_after(token: str | None) -> Page[object]:
        read.append(token)
        return Page((), str(len(read)))

    with pytest.raises(UnexpectedAnswerError, match="stay empty"):
        list(all_pages(page_after))
    assert len(read) == EMPTY_PAGES_MAX + 1


def test_more_rows_than_asked_for_are_refused() -> None:
    """A page has a size that its reader chose."""
    with ScriptedServer(_rows(3)) as server, open_registry(server.url) as registry:
        with pytest.raises(UnexpectedAnswerError, match="3 rows where at most 2"):
            registry.search_registered_models(max_results=2)
        assert len(registry.search_registered_models(max_results=3).items) == 3


def test_page_that_is_too_large_is_asked_for_in_smaller_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Long prompts fill an answer before they fill a page."""
    monkeypatch.setattr(transport, "ANSWER_MAX_BYTES", 2_000)
    answers = [_rows(200), _rows(20, next_page_token="t"), _rows(5)]
    with ScriptedServer(*answers) as server, open_registry(server.url) as registry:
        page = registry.search_registered_models(max_results=200)
        assert (len(page.items), page.next_page_token) == (20, "t")
    sizes = [parse_qs(urlsplit(request.target).query)["max_results"] for request in server.received]
    assert sizes == [["200"], ["20"]]


def test_page_of_a_copy_is_smaller_and_has_two_rows_however_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Many are read one after the other; each begins with the last row of the one before."""
    monkeypatch.setattr(store, "SHORT_PAGE_BYTES", 2_000)
    monkeypatch.setattr(transport, "ANSWER_MAX_BYTES", 9_000)
    long = _rows(2, next_page_token="t")
    long.body["registered_models"][0]["description"] = "x" * 5_000
    answers = [_rows(200), _rows(50), long, _rows(20, next_page_token="u")]
    query = Query(
        entity=Entity.REGISTERED_MODEL,
        order_by=parse_order_by((), Entity.REGISTERED_MODEL),
        max_results=200,
        exclude_prompts=True,
    )
    with ScriptedServer(*answers) as server, closing(open_store(server.url)) as source:
        cut = source.models_page(query)
        assert (type(cut), len(cut), cut.next_page_token) == (CutPage, 2, "t")
        whole = source.models_page(attrs.evolve(query, max_results=20))
        assert (type(whole), len(whole), whole.next_page_token) == (Page, 20, "u")
    sizes = [parse_qs(urlsplit(request.target).query)["max_results"] for request in server.received]
    assert sizes == [["200"], ["20"], ["2"], ["20"]]


def test_row_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Smaller than one row no page can be."""
    monkeypatch.setattr(transport, "ANSWER_MAX_BYTES", 2_000)
    with ScriptedServer(_rows(200)) as server, open_registry(server.url) as registry:
        with pytest.raises(UnexpectedAnswerError, match="more than 2000 bytes"):
            registry.search_registered_models()
        sizes = [
            parse_qs(urlsplit(request.target).query).get("max_results")
            for request in server.received
        ]
    assert sizes == [None, ["10"], ["1"]]


# A server whose store this is

MISBEHAVING: dict[str, Behaviour] = {
    **{name: FLOODS[name] for name in ("gzip bomb", "endless chunks", "millions of objects")},
    **{f"drip of {name}": DRIPS[name] for name in ("body", "header", "trailers")},
    "nothing": answering(b""),
    "page": answering(b"<html>", "Content-Type: text/html"),
    "no object": answering(b"[]"),
    "other object": answering(b'{"registered_model": 5, "registered_models": 5}'),
    "redirection": answering(b"", "Location: /login", status="302 Found"),
    "page of an error": answering(b"<html>", status="500 Oops"),
    "no content": answering(b"", status="204 No Content"),
    "no HTTP": lambda connection: connection.sendall(b"220 mail.example ESMTP\r\n"),
    "hang-up": lambda connection: connection.close(),
    "odd location": answering(b"", "Location: http://[", status="302 Found"),
    "lone surrogate": answering(
        b'{"registered_model": {"name": "\\ud800", "creation_timestamp": 1, '
        b'"last_updated_timestamp": 1}}'
    ),
}


@pytest.mark.parametrize("behaviour", MISBEHAVING)
def test_server_before_a_hostile_one_answers(
    behaviour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Soon, and never as if it had failed itself: MLflow's client would ask it for minutes."""
    monkeypatch.setattr(transport, "CALL_SECONDS", 0.4)
    monkeypatch.setattr(transport, "RETRY_SECONDS", 0.2)
    with hostile_server(MISBEHAVING[behaviour]) as url:
        registry = Registry(open_store(url), local_sources=False)
        with InProcessServer(registry) as server:
            for method, path, body in (
                ("GET", "/registered-models/get?name=m", None),
                ("GET", "/registered-models/search", None),
                ("POST", "/registered-models/create", {"name": "m"}),
                ("GET", "/model-versions/search?filter=name%3D%27m%27", None),
            ):
                started = time.monotonic()
                target = f"/api/2.0/mlflow{path}".encode()
                sent = b"" if body is None else json.dumps(body).encode()
                answer = server.send(method, target, sent, [(b"content-type", b"application/json")])
                assert time.monotonic() - started < 30
                assert answer.status in (200, 429, 503), answer
                json.loads(answer.body)
