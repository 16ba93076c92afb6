"""Requests to a server: what is repeated, what is not, and what each answer means."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import time
import traceback
import urllib.parse

import attrs
import pytest

from registry_core import Registry, open_registry
from registry_core.backoff import Backoff
from registry_core.errors import (
    AliasNotFoundError,
    AlreadyExistsError,
    BackendError,
    ConflictError,
    InvalidArgumentError,
    ModelVersionNotFoundError,
    NotFoundError,
    NotPermittedError,
    RegisteredModelNotFoundError,
    RegistryError,
    StoreBusyError,
    StoreUnavailableError,
    UnexpectedAnswerError,
    UnsupportedBackendError,
)
from registry_core.stores.rest import connections, open_store, transport
from registry_core.wire.prefixes import IDEMPOTENCY_FEATURE
from services.ports import free_port
from services.scripted_server import HangUp, Response, ScriptedServer

MODEL = Response(
    200, {"registered_model": {"name": "m", "creation_timestamp": 1, "last_updated_timestamp": 2}}
)
BUSY = Response(503, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "later"})
FULL = Response(
    429, {"error_code": "RESOURCE_EXHAUSTED", "message": "not now"}, {"Retry-After": "1"}
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy, no credentials, and no waiting between attempts."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    monkeypatch.setattr(transport, "BACKOFF", Backoff(first_seconds=0.002, longest_seconds=1.0))
    monkeypatch.setattr(transport, "RETRY_SECONDS", 1.0)


def _error(status: int, code: str, message: str = "said the server") -> Response:
    return Response(status, {"error_code": code, "message": message})


def _get(url: str) -> object:
    with open_registry(url) as registry:
        return registry.get_registered_model("m")


def _create(url: str) -> object:
    with open_registry(url) as registry:
        return registry.create_registered_model("m")


# What is repeated


@pytest.mark.parametrize(
    "trouble",
    [HangUp(), BUSY, Response(429), Response(408), Response(502), Response(504, b"<html>")],
)
def test_a_read_is_repeated_until_it_succeeds(trouble: Response | HangUp) -> None:
    """A broken connection or a busy server costs a read another attempt, not an error."""
    with ScriptedServer(trouble, trouble, MODEL) as server:
        assert _get(server.url).name == "m"
        assert len(server.received) == 3


@pytest.mark.parametrize("trouble", [HangUp(), BUSY, Response(502)])
def test_a_write_is_sent_once(trouble: Response | HangUp) -> None:
    """A write whose answer is lost may have happened; MLflow's server does not get it again."""
    info = Response(200, {"workspaces_enabled": False}, {"Content-Type": "application/json"})
    with ScriptedServer(trouble, info) as server:
        with pytest.raises(StoreUnavailableError) as caught:
            _create(server.url)
        assert not isinstance(caught.value, StoreBusyError)
        assert [each.method for each in server.received] == ["POST", "GET"]


@pytest.mark.parametrize("trouble", [HangUp(), BUSY, Response(502)])
def test_a_creation_is_repeated_where_its_key_is_kept(trouble: Response | HangUp) -> None:
    """The same key each time; the server is asked once, and only when an answer was lost."""
    info = Response(200, {IDEMPOTENCY_FEATURE: True}, {"Content-Type": "application/json"})
    with ScriptedServer(trouble, info, trouble, MODEL) as server:
        assert _create(server.url).name == "m"
        assert [each.method for each in server.received] == ["POST", "GET", "POST", "POST"]
        keys = {each.headers.get("idempotency-key") for each in server.received if each.body}
        assert len(keys) == 1
        assert None not in keys


def test_nothing_but_a_creation_is_repeated() -> None:
    """A server keeps no key of it."""
    with ScriptedServer(HangUp()) as server, open_registry(server.url) as registry:
        with pytest.raises(StoreUnavailableError):
            registry.set_registered_model_tag("m", "k", "v")
        assert len(server.received) == 1


@pytest.mark.parametrize("refusal", [Response(429), Response(408), attrs.evolve(FULL, headers={})])
def test_a_write_that_the_server_did_not_take_is_repeated(refusal: Response) -> None:
    """These answers say that nothing was done."""
    with ScriptedServer(refusal, refusal, MODEL) as server:
        assert _create(server.url).name == "m"
        assert len(server.received) == 3


def test_a_server_is_left_alone_for_as_long_as_it_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both by what reads and by what writes; the pause is the server's, and not shorter."""
    pauses: list[float] = []
    monkeypatch.setattr(transport.time, "sleep", pauses.append)
    for call in (_get, _create):
        with ScriptedServer(attrs.evolve(FULL, headers={"Retry-After": "1"}), MODEL) as server:
            monkeypatch.setattr(transport, "RETRY_SECONDS", 3.0)
            assert call(server.url).name == "m"
    assert [pause >= 1 for pause in pauses] == [True, True]


def test_a_server_that_asks_for_too_long_is_not_asked_again() -> None:
    """The caller learns that nothing was written, and how long to wait."""
    for call in (_get, _create):
        refusal = attrs.evolve(FULL, headers={"Retry-After": "30"})
        with ScriptedServer(refusal, MODEL) as server, pytest.raises(StoreBusyError) as caught:
            call(server.url)
        assert caught.value.retry_after_seconds == 30
        assert len(server.received) == 1


def test_a_write_that_got_no_answer_says_that_its_fate_is_unknown() -> None:
    """The caller must look before trying again, and is told so."""
    with (
        ScriptedServer(HangUp()) as server,
        pytest.raises(StoreUnavailableError, match="not known"),
    ):
        _create(server.url)


def test_a_write_that_was_never_sent_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """While nobody listens nothing can have happened: the write goes out when somebody does."""
    port = free_port()
    servers = []

    def start_late(_: float) -> None:
        if not servers:
            servers.append(ScriptedServer(MODEL, port=port).__enter__())

    monkeypatch.setattr(transport.time, "sleep", start_late)
    try:
        assert _create(f"http://127.0.0.1:{port}").name == "m"
        assert len(servers[0].received) == 1
    finally:
        for server in servers:
            server.__exit__(None, None, None)


def test_nobody_listening_is_unavailable_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error comes soon, names the server, and the store works again by itself."""
    monkeypatch.setattr(transport, "RETRY_SECONDS", 0.2)
    port = free_port()
    with open_registry(f"http://127.0.0.1:{port}") as registry:
        started = time.monotonic()
        with pytest.raises(StoreBusyError, match=f"127.0.0.1:{port} is unavailable: no connection"):
            registry.get_registered_model("m")
        assert time.monotonic() - started < 20  # and not for a minute
        with ScriptedServer(MODEL, port=port):
            assert registry.get_registered_model("m").name == "m"


def test_a_silent_server_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts and never answers does not hang the caller."""
    monkeypatch.setattr(connections, "READ_TIMEOUT_SECONDS", 0.05)
    monkeypatch.setattr(transport, "RETRY_SECONDS", 0.06)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(StoreUnavailableError, match="no answer"):
            _get(url)


def test_a_connection_closed_while_idle_is_no_error() -> None:
    """A write after a long pause finds its connection gone, and makes another."""
    closing = attrs.evolve(MODEL, then_close=True)
    with ScriptedServer(closing) as server, open_registry(server.url) as registry:
        registry.get_registered_model("m")
        server.wait_for_connections(0)
        assert registry.create_registered_model("m").name == "m"
        assert len(server.received) == 2


def test_connections_are_used_again() -> None:
    """A request costs one round trip, not a new connection."""
    with ScriptedServer(MODEL) as server, open_registry(server.url) as registry:
        for _ in range(5):
            registry.get_registered_model("m")
            registry.create_registered_model("m")
        assert server.connections == 1


def test_retry_after_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long to wait is the server's to say."""
    busy = attrs.evolve(BUSY, headers={"Retry-After": "7"})
    with ScriptedServer(busy) as server, pytest.raises(StoreUnavailableError) as caught:
        _create(server.url)
    assert caught.value.retry_after_seconds == 7


# What an answer means


@pytest.mark.parametrize(
    ("answer", "expected", "text"),
    [
        (_error(404, "RESOURCE_DOES_NOT_EXIST", "Registered Model with name=m not found"), RegisteredModelNotFoundError, "name=m"),
        (_error(404, "RESOURCE_DOES_NOT_EXIST", "Model Version (name=m, version=1) not found"), ModelVersionNotFoundError, "version=1"),
        (_error(400, "INVALID_PARAMETER_VALUE", "Registered model alias a not found."), AliasNotFoundError, "alias a"),
        (_error(404, "RESOURCE_DOES_NOT_EXIST"), NotFoundError, "said the server"),
        (_error(400, "RESOURCE_ALREADY_EXISTS", "Registered Model (name=m) already exists. UNIQUE constraint"), AlreadyExistsError, "already exists"),
        (_error(400, "INVALID_PARAMETER_VALUE"), InvalidArgumentError, "said the server"),
        (_error(403, "PERMISSION_DENIED"), NotPermittedError, "said the server"),
        (_error(401, "UNAUTHENTICATED"), NotPermittedError, "said the server"),
        (_error(409, "ABORTED"), ConflictError, "said the server"),
        (_error(429, "RESOURCE_EXHAUSTED"), StoreBusyError, "said the server"),
        (Response(429, b"<html>slow down"), StoreBusyError, "answers 429"),
        (_error(500, "INTERNAL_ERROR"), RegistryError, "said the server"),
        (Response(401, b"<html>log in"), NotPermittedError, "MLFLOW_TRACKING_TOKEN"),
        (Response(403, {"detail": "no"}), NotPermittedError, "MLFLOW_TRACKING_USERNAME"),
        (Response(404, b"<html>nothing here"), UnsupportedBackendError, "is not an MLflow registry"),
        (Response(200, b"<html>welcome"), UnexpectedAnswerError, "with a body that is not JSON, where a JSON object"),
        (Response(200, b""), UnexpectedAnswerError, "with an empty body, where a JSON object was expected"),
        (Response(200, [1]), UnexpectedAnswerError, "with JSON that is not an object"),
        (Response(200, b"["* 100_000), UnexpectedAnswerError, "a body that is not JSON"),
        (Response(200, b'{"a": ' + b"9" * 10_000 + b"}"), UnexpectedAnswerError, "a body that is not JSON"),
        (Response(200, MODEL.body, {"Content-Type": "text/html; charset=utf-8"}), UnexpectedAnswerError, "the content type 'text/html'"),
        (Response(200, gzip.compress(b"{}")[:-4], {"Content-Encoding": "gzip"}), UnexpectedAnswerError, "a compressed body that was cut off"),
        (Response(200, b"{}", {"Content-Encoding": "gzip"}), UnexpectedAnswerError, "cannot be decompressed"),
        (Response(200, b"{}", {"Content-Encoding": "br"}), UnexpectedAnswerError, "in the coding 'br'"),
        (Response(200, gzip.compress(b"{}") + b"x" * 100_000, {"Content-Encoding": "gzip"}), UnexpectedAnswerError, "more than one compressed body"),
        (Response(200, {"registered_model": {"name": 5}}), UnexpectedAnswerError, "name"),
        (Response(200, {}), UnexpectedAnswerError, "RegisteredModel"),
        (Response(204), UnexpectedAnswerError, "status 204"),
        (Response(301, b"", {"Location": "https://u:p@elsewhere/x?q"}), UnexpectedAnswerError, "redirects to https://***@elsewhere/x?***"),
        (Response(302, b"", {"Location": "http://[/x"}), UnexpectedAnswerError, "redirects to http"),
        (Response(500, b"<html>oops"), UnexpectedAnswerError, "500"),
    ],
)  # fmt: skip
def test_each_answer_is_the_right_error(
    answer: Response, expected: type[RegistryError], text: str
) -> None:
    """A caller meets the same errors as on a store of its own."""
    with ScriptedServer(answer) as server, pytest.raises(RegistryError) as caught:
        _get(server.url)
    assert type(caught.value) is expected
    assert text in str(caught.value)
    if expected is UnexpectedAnswerError:
        assert server.url in str(caught.value)


@pytest.mark.parametrize("key", ["registered_models", "model_versions"])
def test_a_page_that_is_no_list_is_refused(key: str) -> None:
    """A damaged answer is told from an empty one."""
    with ScriptedServer(Response(200, {key: "x"})) as server, open_registry(server.url) as registry:
        search = getattr(registry, f"search_{key}")
        with pytest.raises(UnexpectedAnswerError, match=key):
            search()


def test_ping_asks_for_the_servers_health() -> None:
    """A health check that fails is an unavailable store."""
    with (
        ScriptedServer(Response(200, b"OK"), Response(500)) as server,
        open_registry(server.url) as registry,
    ):
        registry.ping()
        assert server.received[0].target == "/health"
        with pytest.raises(StoreUnavailableError, match="health check answers 500"):
            registry.ping()


# What is sent


def test_a_read_is_a_query_and_a_write_is_json() -> None:
    """Each in the form that MLflow reads."""
    with ScriptedServer(MODEL) as server, open_registry(server.url) as registry:
        registry.get_registered_model("a b&c=é")
        registry.rename_registered_model("m", new_name="n")
        registry.delete_registered_model("m")
    read, write, deletion = server.received
    assert (read.method, read.body) == ("GET", b"")
    assert read.target == "/api/2.0/mlflow/registered-models/get?name=a+b%26c%3D%C3%A9"
    assert (write.method, write.target) == ("POST", "/api/2.0/mlflow/registered-models/rename")
    assert write.headers["content-type"] == "application/json"
    assert json.loads(write.body) == {"name": "m", "new_name": "n"}
    assert (deletion.method, json.loads(deletion.body)) == ("DELETE", {"name": "m"})


def test_a_long_filter_goes_into_the_body() -> None:
    """A query string longer than servers take is sent where it fits."""
    names = ", ".join(f"'model-{number:05}'" for number in range(1000))
    with ScriptedServer(Response(200, {})) as server, open_registry(server.url) as registry:
        registry.search_registered_models(f"name IN ({names})")
    (request,) = server.received
    assert (request.method, request.target) == ("GET", "/api/2.0/mlflow/registered-models/search")
    assert json.loads(request.body)["filter"].count("model-") == 1000


def test_a_prefix_in_the_url_goes_in_front_of_every_route() -> None:
    """A registry behind a path of a shared host is reached."""
    with ScriptedServer(MODEL) as server:
        _get(f"{server.url}/ml/registry/")
    assert server.received[0].target.startswith(
        "/ml/registry/api/2.0/mlflow/registered-models/get?"
    )


# Who asks


def _authorization(url: str) -> str | None:
    with ScriptedServer(MODEL) as server:
        _get(url.format(port=server.port))
    return server.received[0].headers.get("authorization")


def _basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_credentials_come_from_the_url_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The URL wins over user name and password, and those over a token."""
    plain, with_user = "http://127.0.0.1:{port}", "http://ann:p%40ss%3A@127.0.0.1:{port}"
    assert _authorization(plain) is None
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "tok")
    assert _authorization(plain) == "Bearer tok"
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "bob")
    assert _authorization(plain) == "Bearer tok"
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wört")
    assert _authorization(plain) == _basic("bob:wört")
    assert _authorization(with_user) == _basic("ann:p@ss:")


def test_credentials_from_files_end_in_line_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are no part of them, and neither is what surrounds the URL."""
    plain = "http://127.0.0.1:{port}\n"
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "tok\n")
    assert _authorization(plain) == "Bearer tok"
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "bob\r\n")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "pw\n")
    assert _authorization(plain) == _basic("bob:pw")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "\n")
    assert _authorization(plain) == "Bearer tok"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TOKEN", "hunter2\r\nX-Evil: 1"),
        ("TOKEN", "hunter2…"),
        ("TOKEN", "hunter2 x"),
        ("PASSWORD", "hunter2\nx"),
        ("PASSWORD", "hunter2\udcff"),
        ("USERNAME", "hunter2:x"),
    ],
)
def test_credentials_that_cannot_be_sent_are_named_and_not_shown(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is sent."""
    if variable != "TOKEN":
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "bob")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "pw")
    monkeypatch.setenv(f"MLFLOW_TRACKING_{variable}", value)
    with pytest.raises(BackendError, match=f"MLFLOW_TRACKING_{variable}.*cannot be sent") as caught:
        open_store("http://127.0.0.1:9")
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "userinfo", ["a%0Ahunter2:pw", "ann:hunter2%0D%0AX:%201", "a%3Ahunter2:pw"]
)
def test_credentials_in_a_url_that_cannot_be_sent_are_not_shown(userinfo: str) -> None:
    """Percent-encoding hides a line break from the eye, and not from the header."""
    with pytest.raises(BackendError, match="from the URL of the store cannot be sent") as caught:
        open_store(f"http://{userinfo}@127.0.0.1:9")
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("proxy", "text"),
    [
        ("socks5://u:hunter2@127.0.0.1:9", "socks5://***@127.0.0.1:9"),
        ("http://u:hunter2@127.0.0.1:99999", "127.0.0.1:99999"),
        ("http://u:hunter2@[::1", "http_proxy"),
        ("http://u:hunter2%0Ax@127.0.0.1:9", "the URL of the proxy cannot be sent"),
    ],
)
def test_proxy_that_cannot_be_used_is_told_without_its_password(
    proxy: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment's proxy has credentials of its own."""
    monkeypatch.delenv("no_proxy")
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(BackendError) as caught:
        open_store("http://registry.example")
    assert text in str(caught.value)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_proxy_may_have_any_password_and_no_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the proxies of other programs."""
    monkeypatch.delenv("no_proxy")
    monkeypatch.delenv("NO_PROXY")
    with ScriptedServer(MODEL) as proxy:
        monkeypatch.setenv("http_proxy", f"ü:p%C3%A4…@127.0.0.1:{proxy.port}")
        _get("http://registry.example:5000")
    (request,) = proxy.received
    expected = base64.b64encode("ü:pä…".encode()).decode()
    assert request.headers["proxy-authorization"] == f"Basic {expected}"


def test_host_in_any_language_is_asked_by_its_ascii_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """As browsers do."""
    monkeypatch.delenv("no_proxy")
    monkeypatch.delenv("NO_PROXY")
    with ScriptedServer(MODEL) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        _get("http://bücher.example:5000")
    assert proxy.received[0].headers["host"] == "xn--bcher-kva.example:5000"


@pytest.mark.parametrize(
    "call", [lambda registry: registry.get_registered_model("m"), Registry.ping, lambda registry: registry.delete_registered_model("m")]
)  # fmt: skip
@pytest.mark.parametrize(
    "answers", [[Response(401)], [HangUp()], [Response(302, b"", {"Location": "/x"})], []]
)
def test_errors_never_show_the_password(
    call: object, answers: list[Response | HangUp], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in the message, nor in what a traceback prints."""
    monkeypatch.setattr(transport, "RETRY_SECONDS", 0.01)
    if answers:
        with ScriptedServer(*answers) as server:
            _fails_without("hunter2", f"http://ann:hunter2@127.0.0.1:{server.port}", call)
    else:
        _fails_without("hunter2", f"http://ann:hunter2@127.0.0.1:{free_port()}", call)


def _fails_without(secret: str, url: str, call: object) -> None:
    encoded = base64.b64encode(f"ann:{secret}".encode()).decode()
    with open_registry(url) as registry, pytest.raises(RegistryError) as caught:
        call(registry)
    shown = "".join(traceback.format_exception(caught.value)) + repr(vars(registry.store))
    assert secret not in shown
    assert encoded not in shown


@pytest.mark.parametrize(
    "url", ["http://", "http:///x", "http://u:hunter2@", "http://u:hunter2@h:99999", "http://u:hunter2@h:x/y",
            "http://u:hunter2@h/?token=x", "http://u:hunter2@h/#x", "http:h", "https://[::1", "http://u:hunter2@h:0",
            "http://u:hunter2/x@h", "http://u:x?hunter2@h", "http://u:#hunter2@h",
            "http://u:hunter2@h\x1b[31m", "http://u:hunter2@h/a\nb", "http://u:hunter2@h i", "http://u:hunter2@" + "ü" * 70],
)  # fmt: skip
def test_a_url_that_is_no_address_is_refused(url: str) -> None:
    """Before anything is sent, and without repeating the password."""
    with pytest.raises(BackendError) as caught:
        open_store(url)
    assert "hunter2" not in str(caught.value)
    assert "http(s)://host[:port][/prefix]" in str(caught.value)


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by MLflow's client: the proxy gets the request, unless the host is excepted."""
    with ScriptedServer(MODEL) as proxy:
        monkeypatch.setenv("http_proxy", f"http://u:p@127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "other.example")
        monkeypatch.setenv("NO_PROXY", "other.example")
        _get("http://registry.example:5000")
    (request,) = proxy.received
    assert urllib.parse.urlsplit(request.target).netloc == "registry.example:5000"
    assert request.headers["proxy-authorization"] == "Basic " + base64.b64encode(b"u:p").decode()
