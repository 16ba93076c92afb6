"""Who may ask, and from where (contract 1.5, 1.6, 1.9)."""

from __future__ import annotations

import base64
import hashlib

import attrs
import pytest

from registry_server import Settings
from registry_server.access.passwords import scrypted
from registry_server.access.users import Users
from registry_server.process.settings import SettingsError
from services.in_process import InProcessServer

GET = b"/api/2.0/mlflow/registered-models/search"
CREATE = b"/api/2.0/mlflow/registered-models/create"
JSON = (b"content-type", b"application/json")
INFO = b"/api/3.0/mlflow/server-info"


# Hosts


@pytest.mark.parametrize(
    "host",
    [
        b"localhost", b"localhost:5000", b"LOCALHOST:80", b"x.localhost", b"127.0.0.1:1",
        b"127.8.8.8", b"[::1]", b"[::1]:5000", b"0.0.0.0:80", b"10.1.2.3:8000", b"192.168.0.7",
        b"172.16.0.1", b"172.31.255.255:80", b"[fd12::1]:8000", b"169.254.1.1",
    ],
)  # fmt: skip
def test_near_hosts_are_answered(server, host):
    """This machine, and addresses of private networks."""
    assert server.send("GET", GET, headers=[(b"host", host)]).status == 200


@pytest.mark.parametrize(
    "host",
    [
        b"evil.com", b"evil.com:8000", b"localhost.evil.com", b"127.0.0.1.evil.com", b"8.8.8.8",
        b"172.32.0.1", b"[2001:4860:4860::8888]", b"10.evil.com", b"", b"user@localhost",
        b"localhost/x", b"[::1", b"localhost:port", b"\xff", b"localhost?x", b"localhost#x",
    ],
)  # fmt: skip
def test_foreign_hosts_are_refused(server, host):
    """A name that resolves here is how DNS rebinding begins."""
    answer = server.send("GET", GET, headers=[(b"host", host)])
    assert (answer.status, answer.json["error_code"]) in (
        (403, "PERMISSION_DENIED"),
        (400, "BAD_REQUEST"),
    )
    if answer.status == 403:
        assert answer.json["message"].startswith(
            "Invalid Host header - possible DNS rebinding attack detected"
        )


@pytest.mark.parametrize("path", [b"/health", b"/version", b"/ready"])
def test_probes_answer_to_any_host(server, path):
    """A load balancer asks by whatever name it likes."""
    assert server.send("GET", path, headers=[(b"host", b"evil.com")]).status == 200


def test_hosts_and_origins_can_be_allowed():
    """By name, with wildcards; what was near stays near."""
    settings = Settings(
        threads=1,
        allowed_hosts=("registry.example.com", "*.internal"),
        public_url="https://Models.example.com:8443/registry",
        allowed_origins=("https://ui.example.com", "https://*.corp.example"),
    )
    with InProcessServer(settings=settings) as server:
        for host in (
            b"registry.example.com:443",
            b"a.b.internal",
            b"REGISTRY.example.com",
            b"localhost",
            b"models.example.com",
            b"models.example.com.:8443",
            b"registry.example.com.",
        ):
            assert server.send("GET", GET, headers=[(b"host", host)]).status == 200
        assert server.send("GET", GET, headers=[(b"host", b"example.com")]).status == 403
        for origin, status in (
            (b"https://ui.example.com", 400),
            (b"https://x.corp.example", 400),
            (b"http://ui.example.com", 403),
            (b"https://corp.example", 403),
        ):
            answer = server.send("POST", CREATE, b"{}", [JSON, (b"origin", origin)])
            assert answer.status == status, origin


# Origins


@pytest.mark.parametrize(
    "origin",
    [
        b"http://localhost", b"http://localhost:3000", b"https://127.0.0.1:1", b"http://[::1]:5",
        b"http://127.0.0.1:8000",
    ],
)  # fmt: skip
def test_pages_of_this_machine_may_call_and_read(server, origin):
    """Their origin is told back, with credentials."""
    answer = server.send("POST", CREATE, b'{"name":"m"}', [JSON, (b"origin", origin)])
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == origin.decode()
    assert answer.headers["access-control-allow-credentials"] == "true"


@pytest.mark.parametrize(
    "settings",
    [
        Settings(host="0.0.0.0", allow_unauthenticated=True),
        Settings(host="::", allow_unauthenticated=True),
        Settings(host="registry.internal", allow_unauthenticated=True),
        Settings(allowed_hosts=("models.example.com",)),
        Settings(public_url="https://models.example.com"),
    ],
    ids=lambda settings: f"{settings.host} {settings.known_hosts}",
)
@pytest.mark.parametrize("host", [b"models.example.com", b"10.0.0.7:8000", b"127.0.0.1:8000"])
def test_pages_of_somebody_elses_machine_change_and_read_nothing(settings, host):
    """Of a server for others, `localhost` is the machine of whoever has the page open.

    Whatever runs there would act with the credentials that the browser has for the server. A proxy
    may call the server by a near name.
    """
    origin = (b"origin", b"http://localhost:3000")
    settings = attrs.evolve(settings, threads=1)
    with InProcessServer(settings=settings) as server:
        answer = server.send("POST", CREATE, b'{"name":"m"}', [JSON, (b"host", host), origin])
        assert answer.status == 403
        answer = server.send("GET", GET, headers=[(b"host", host), origin])
        assert not [name for name in answer.headers if name.startswith("access-control-")]
    settings = attrs.evolve(settings, allowed_origins=("http://localhost:3000",))
    with InProcessServer(settings=settings) as server:
        answer = server.send("POST", CREATE, b'{"name":"m"}', [JSON, origin])
        assert (answer.status, answer.headers["access-control-allow-credentials"]) == (200, "true")


def test_pages_of_this_machine_are_foreign_to_a_server_with_credentials(guarded):
    """It has callers elsewhere, if only through a proxy."""
    headers = [JSON, (b"origin", b"http://localhost:3000"), *bearer("token-of-bob")]
    assert guarded.send("POST", CREATE, b'{"name":"m"}', headers).status == 403


@pytest.mark.parametrize("host", [b"10.0.0.7:8000", b"x.internal", b"0.0.0.0:8000"])
def test_pages_of_this_machine_may_not_call_another_one(server, host):
    """A server on loopback that is called by such a name is called from elsewhere."""
    headers = [JSON, (b"host", host), (b"origin", b"http://localhost:3000")]
    assert server.send("POST", CREATE, b'{"name":"m"}', headers).status == 403


def test_pages_of_the_server_itself_may_call(server):
    """Under whatever near name it was reached."""
    host = (b"host", b"10.0.0.7:8000")
    headers = [JSON, host, (b"origin", b"http://10.0.0.7:8000")]
    assert server.send("POST", CREATE, b'{"name":"m"}', headers).status == 200
    headers = [JSON, host, (b"origin", b"http://10.0.0.7:9000")]
    assert server.send("POST", CREATE, b'{"name":"n"}', headers).status == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "origin", [b"http://evil.com", b"null", b"http://localhost.evil.com", b"http://10.0.0.1", b"x"]
)
def test_foreign_pages_change_nothing(server, method, origin):
    """A private address is no reason to trust its pages."""
    answer = server.send(method, CREATE, b'{"name":"m"}', [JSON, (b"origin", origin)])
    assert (answer.status, answer.json["error_code"]) == (403, "PERMISSION_DENIED")
    assert answer.json["message"].startswith("Cross-origin request blocked")
    assert server.send("GET", GET).json == {}


def test_foreign_pages_cannot_read(server):
    """The request is answered; the browser is not told to share the answer."""
    answer = server.send("GET", GET, headers=[(b"origin", b"http://evil.com")])
    assert answer.status == 200
    assert "access-control-allow-origin" not in answer.headers


def test_browser_that_asks_first_is_answered(server):
    """For pages that may call."""
    asked = (b"access-control-request-method", b"POST")
    headers = [asked, (b"origin", b"http://localhost:3000")]
    answer = server.send("OPTIONS", CREATE, headers=headers)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "content-type" in answer.headers["access-control-allow-headers"].lower()


def test_any_origin_may_be_allowed_without_credentials():
    """Whoever says `*` does not hand out the credentials of visitors."""
    with InProcessServer(settings=Settings(threads=1, allowed_origins=("*",))) as server:
        headers = [JSON, (b"origin", b"http://evil.com")]
        answer = server.send("POST", CREATE, b'{"name":"m"}', headers)
        assert answer.status == 200
        assert answer.headers["access-control-allow-origin"] == "http://evil.com"
        assert "access-control-allow-credentials" not in answer.headers


# Workspaces (contract 1.9)


@pytest.mark.parametrize("workspace", [b"default", b"team-a", b" x "])
def test_workspace_header_is_refused_and_not_with_a_500(server, workspace):
    """A 500 is repeated by clients for minutes."""
    answer = server.send("GET", GET, headers=[(b"x-mlflow-workspace", workspace)])
    assert (answer.status, answer.json["error_code"]) == (400, "FEATURE_DISABLED")
    assert answer.json["message"] == (
        "Workspace APIs are not available: workspaces are not enabled on this server"
    )


def test_blank_workspace_header_is_none(server):
    """And probes, and the question what the server can do, never look at it."""
    assert server.send("GET", GET, headers=[(b"x-mlflow-workspace", b"  ")]).status == 200
    for path in (b"/health", b"/version", b"/ready", INFO):
        assert server.send("GET", path, headers=[(b"x-mlflow-workspace", b"x")]).status == 200


# Credentials


def basic(name, secret):
    token = base64.b64encode(f"{name}:{secret}".encode())
    return [(b"authorization", b"Basic " + token)]


def bearer(secret):
    return [(b"authorization", b"Bearer " + secret.encode())]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server that knows three people, each with another kind of secret."""
    path = tmp_path_factory.mktemp("auth") / "users"
    digest = hashlib.sha256(b"token-of-bob").hexdigest()
    lines = [
        "# name:secret",
        "",
        "alice:s3:cret ü",
        f"bob:sha256:{digest}",
        f"carol:{scrypted('tea', n=2**4)}",
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    path.chmod(0o600)
    with InProcessServer(settings=Settings(threads=1, auth_file=str(path))) as server:
        yield server


@pytest.mark.parametrize(
    "headers",
    [
        basic("alice", "s3:cret ü"),
        basic("bob", "token-of-bob"),
        basic("carol", "tea"),
        bearer("s3:cret ü"),
        bearer("token-of-bob"),
    ],
)
def test_credentials_are_accepted_as_basic_and_bearer(guarded, headers):
    """The ways in which MLflow's client sends them."""
    assert guarded.send("GET", GET, headers=headers).status == 200


def test_failure_while_asking_is_an_orderly_500(guarded, monkeypatch, caplog):
    """Nobody gets in because a guard stumbled."""

    async def stumble(_self, _header, _caller):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(Users, "authenticate", stumble)
    answer = guarded.send("GET", GET)
    assert (answer.status, answer.json["error_code"]) == (500, "INTERNAL_ERROR")
    assert b"secret" not in answer.body
    assert "secret detail" in caplog.text


def test_slow_secret_is_computed_once(guarded, monkeypatch):
    """Afterwards its success is remembered, and only its success."""
    assert guarded.send("GET", GET, headers=basic("carol", "tea")).status == 200
    monkeypatch.setattr(hashlib, "scrypt", lambda *_, **__: pytest.fail("computed again"))
    assert guarded.send("GET", GET, headers=basic("carol", "tea")).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        [],
        basic("alice", "wrong"),
        basic("alice", ""),
        basic("carol", "coffee"),
        basic("nobody", "s3:cret ü"),
        basic("", ""),
        basic("bob", hashlib.sha256(b"token-of-bob").hexdigest()),
        bearer("tea"),
        bearer(""),
        bearer("alice:s3:cret ü"),
        [(b"authorization", b"Basic !!")],
        [(b"authorization", b"Basic")],
        [(b"authorization", b"Digest x")],
        [(b"authorization", b"\xff\xff")],
        [(b"authorization", b"Basic \xff")],
        basic("nobody", "\x00"),
    ],
    ids=repr,
)
def test_wrong_credentials_are_401(guarded, headers):
    """Whatever is wrong, the answer is the same."""
    answer = guarded.send("GET", GET, headers=headers)
    assert (answer.status, answer.json) == (
        401,
        {
            "error_code": "UNAUTHENTICATED",
            "message": "Wrong or missing credentials: "
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.",
        },
    )
    assert answer.headers["www-authenticate"].startswith("Basic ")


def test_probes_and_server_info_need_no_credentials(guarded):
    """What is asked before credentials are known; metrics and the document are not."""
    for path in (b"/health", b"/version", b"/ready", INFO, b"/ajax-api/3.0/mlflow/server-info"):
        assert guarded.send("GET", path).status == 200
    for path in (b"/metrics", b"/openapi.json", b"/nope"):
        assert guarded.send("GET", path).status == 401


def test_name_of_the_caller_is_kept_with_the_versions_it_creates(guarded):
    """The one thing that is known about it."""
    guarded.send("POST", CREATE, b'{"name":"m"}', [JSON, *basic("alice", "s3:cret ü")])
    target = b"/api/2.0/mlflow/model-versions/create"
    body = b'{"name":"m","source":"s3://b/p","user_id":"mallory"}'
    answer = guarded.send("POST", target, body, [JSON, *bearer("token-of-bob")])
    assert answer.json["model_version"]["user_id"] == "bob"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "names nobody"),
        (["# x", ""], "names nobody"),
        (["alice"], "line 1"),
        (["alice:"], "line 1"),
        ([":secret"], "line 1"),
        (["a:b", "a:c"], "line 2"),
        (["a:sha256:zz"], "sha256"),
        (["a:sha256:abcd"], "sha256"),
        (["a:scrypt:1:2"], "scrypt"),
        (["a:scrypt:3:8:1:00:00"], "scrypt"),
        (["a:scrypt:1073741824:8:1:00:00"], "scrypt"),
    ],
)
def test_auth_file_that_cannot_be_meant_is_refused(lines, message):
    """With the line at fault, before the server starts."""
    with pytest.raises(SettingsError, match=message):
        Users(lines)


def test_auth_file_that_cannot_be_read_is_refused(tmp_path):
    """It must not mean that everybody may in."""
    (tmp_path / "binary").write_bytes(b"a:\xff")
    for path in (tmp_path, tmp_path / "none", tmp_path / "binary"):
        with pytest.raises(SettingsError, match="cannot be read"):
            Users.load(str(path))
