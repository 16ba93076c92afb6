"""Odd spellings of paths and methods: the short way to a handler is the router's, and no way in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from registry_server import Settings
from registry_server.http.declarations import DECLARATIONS, Audience
from registry_server.http.middleware import PROBES, SERVER_INFO, SIGN_IN
from registry_server.http.own import ALL_OPERATIONS
from services.in_process import InProcessServer, memory_registry
from services.wire_client import Response

from .test_server_access import FILE, headers_of, write_access_file

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get")
OPERATION_PATHS = sorted({path for each in ALL_OPERATIONS for path in each.paths})


def spellings(path: str) -> list[str]:
    """A path as clients, proxies and attackers write it."""
    head, _, last = path.rpartition("/")
    return [
        path,
        f"{path}/",
        f"{path}//",
        f"/{path}",
        path.replace("/", "//"),
        f"{head}%2F{last}",
        f"{head}/%{ord(last[0]):02x}{last[1:]}",
        f"{head}/./{last}",
        f"{head}/x/../{last}",
        f"{path};x=1",
        f"{path}%20",
        f"{path}%00",
        f"{path}/x",
        f"/x{path}",
        path.upper(),
        path.removeprefix("/api"),
        # A letter that is one of ASCII's where compatibility counts.
        f"{head}/%EF%BD%87{last[1:]}",
    ]


def asked() -> Iterator[tuple[str, str]]:
    """Every path with some methods, and one path of each prefix in all spellings with all."""
    for path in OPERATION_PATHS:
        filled = path.replace("{", "").replace("}", "")
        yield from ((method, filled) for method in ("GET", "HEAD", "DELETE", "OPTIONS"))
    seen = set()
    for path in OPERATION_PATHS:
        prefix = path.partition("/mlflow/")[0]
        if prefix not in seen:
            seen.add(prefix)
            yield from ((method, each) for each in spellings(path) for method in METHODS)
    for path in ("/static/x", "/health", "/openapi.json", "/stray", "*"):
        yield from ((method, path) for method in METHODS)


def test_the_short_way_to_a_handler_is_the_router_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Status, headers and body are the same with it and without it, and so is what is counted."""
    with InProcessServer(memory_registry(), Settings(threads=1)) as server:
        middleware = server.app._middleware
        short = middleware._app
        assert short._paths, "nothing takes the short way"
        counted: list[str | None] = []
        monkeypatch.setattr(middleware._metrics, "record", lambda name, *_: counted.append(name))

        def answer(method: str, path: str) -> tuple[Response, str | None]:
            found = server.send(method, path.encode())
            headers = {
                name: value for name, value in found.headers.items() if "request" not in name
            }
            return Response(found.status, headers, found.body), counted.pop()

        differences = []
        for method, path in asked():
            by_short_way = answer(method, path)
            paths, short._paths = short._paths, {}
            by_router = answer(method, path)
            short._paths = paths
            if by_short_way != by_router:
                differences.append((method, path, by_short_way, by_router))
        assert not differences, differences[:3]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessServer]:
    path = write_access_file(tmp_path_factory.mktemp("access") / "access.toml", FILE)
    with InProcessServer(memory_registry(), Settings(threads=1, access_file=path)) as server:
        server.registry.create_registered_model("m")
        server.registry.create_registered_model("other")
        yield server


def is_open(path: str) -> bool:
    return path in PROBES | SERVER_INFO | SIGN_IN or path.startswith("/static/")


def test_what_is_open_is_declared_so() -> None:
    """By the names of the routes; the table of paths is the middleware's."""
    named = {path.lstrip("/") for path in PROBES} | {"server_info", "signin"}
    declared = {name for name, each in DECLARATIONS.items() if each.audience is Audience.ANYBODY}
    assert named == declared


def test_nobody_comes_in_by_any_route_of_the_router(guarded: InProcessServer) -> None:
    """Also by those that no table has: they are taken from the router itself."""
    paths = {route.path_format for route in guarded.app.routes}
    assert len(paths) > len(OPERATION_PATHS)
    for path in sorted(paths):
        if is_open(path) or path == "/static":
            continue
        for method in METHODS:
            answer = guarded.send(method, path.replace("{", "").replace("}", "").encode())
            case = method, path, answer.status, answer.body
            if method == "OPTIONS":
                assert answer.status in (204, 404, 405), case
            else:
                assert answer.status == 401, case
            assert b"registered_model" not in answer.body, case


OVERRIDES = [
    (b"x-http-method-override", b"GET"),
    (b"x-http-method", b"GET"),
    (b"x-method-override", b"GET"),
    (b"x-original-url", b"/health"),
    (b"x-rewrite-url", b"/health"),
    (b"x-forwarded-prefix", b"/health"),
    (b"x-forwarded-user", b"admin"),
    (b"remote-user", b"admin"),
]


@pytest.mark.parametrize("header", OVERRIDES, ids=lambda header: header[0].decode())
def test_no_header_makes_another_request_of_one(
    guarded: InProcessServer, header: tuple[bytes, bytes]
) -> None:
    search = b"/api/2.0/mlflow/registered-models/search"
    for method in ("GET", "POST", "OPTIONS"):
        assert guarded.send(method, search, b"", [header]).status in (401, 204)
    found = guarded.send("GET", search, b"", [*headers_of("reader"), header])
    assert (found.status, b"other" in found.body) == (200, False)


@pytest.mark.parametrize("caller", ["reader", "stranger"])
def test_no_spelling_of_a_path_shows_more(guarded: InProcessServer, caller: str) -> None:
    """Of a model that the caller may not read, by its own name in many forms."""
    names = ["other", "%6Fther", "o%74her", "other%20", "other%00", "other/", "m/../other", "OTHER"]
    names += ["%EF%BD%8Fther", "./other", "m%2F..%2Fother", "other;m", "m&name=other"]
    paths = [f"/api/2.0/mlflow/registered-models/get?name={name}" for name in names]
    paths += [f"/api/registry/v1/models/{name}/history" for name in names]
    paths += [f"/api/registry/v1/models/{name}/snapshot" for name in names]
    paths += [f"/models/{name}" for name in names] + [f"/static/../models/{name}" for name in names]
    paths += [f"/static%2F..%2Fmodels/{name}" for name in names]
    for path in paths:
        for method in ("GET", "HEAD", "OPTIONS"):
            answer = guarded.send(method, path.encode(), b"", headers_of(caller))
            is_m = answer.status == 200 and "m&name" in path and caller == "reader"
            assert answer.status >= 400 or method == "OPTIONS" or is_m, (method, path, answer)
            assert b'"name":"other"' not in answer.body, (method, path, answer)
