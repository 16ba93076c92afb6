"""Signing in on the page: by a secret, by a token, by a provider; and out again."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from registry_core import Registry
from registry_core.stores.memory import MemoryStore
from registry_server import Settings
from registry_server.access import issuers
from registry_server.access.passwords import scrypted
from registry_server.access.rules import Access
from registry_server.access.sessions import Sessions
from registry_server.pages import signin
from registry_server.process.settings import SettingsError
from services.in_process import InProcessServer
from services.oidc_provider import OidcProvider
from services.wire_client import Response

from .test_server_access import digest, token

FILE = f"""
[user.ann]
passwords = ["{scrypted("secret of ann", n=2**4)}"]
tokens = ["sha256:{digest("ann")}"]
[user.bob]
tokens = ["sha256:{digest("bob")}"]
[issuer.company]
issuer = "{{url}}"
audience = "registry"
client_id = "page"
client_secret = "any"
[[grant]]
users = ["ann"]
role = "writer"
[[grant]]
groups = ["company:staff"]
role = "reader"
models = ["m"]
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[OidcProvider]:
    with OidcProvider({"sub": "eve", "groups": ["staff"]}) as provider:
        yield provider


@pytest.fixture
def file(tmp_path: Path, provider: OidcProvider) -> Path:
    path = tmp_path / "access.toml"
    path.write_text(FILE.format(url=provider.url))
    path.chmod(0o600)
    return path


@pytest.fixture
def server(file: Path) -> Iterator[InProcessServer]:
    registry = Registry(MemoryStore(), local_sources=False)
    registry.create_registered_model("m")
    with InProcessServer(registry, Settings(threads=1, access_file=str(file))) as server:
        yield server


class Browser:
    """Keeps cookies and sends forms, as a browser does; follows nothing by itself."""

    def __init__(self, server: InProcessServer) -> None:
        self._server = server
        self.cookies: dict[str, str] = {}

    def get(self, path: str) -> Response:
        return self._send("GET", path, b"", [])

    def post(self, path: str, form: Mapping[str, str]) -> Response:
        body = urllib.parse.urlencode(form).encode()
        kind = (b"content-type", b"application/x-www-form-urlencoded")
        return self._send("POST", path, body, [kind])

    def sign_in(self, name: str, secret: str, next_: str = "") -> Response:
        page = self.get("/signin").body.decode()
        found = re.search(r'name="form_token" value="([0-9a-f]+)"', page)
        assert found is not None
        form = {"name": name, "secret": secret, "next": next_, "form_token": found[1]}
        return self.post("/signin", form)

    def _send(
        self, method: str, path: str, body: bytes, more: list[tuple[bytes, bytes]]
    ) -> Response:
        cookies = "; ".join(f"{key}={value}" for key, value in self.cookies.items())
        headers = [*more, (b"accept", b"text/html"), (b"cookie", cookies.encode())]
        # The answer of a test has one header of each name: ask the application for all.
        answer = self._server.send(method, path.encode(), body, headers)
        for line in self._server.last_cookies:
            name, _, rest = line.partition("=")
            self.cookies[name] = rest.partition(";")[0]
        return answer


@pytest.fixture
def browser(server: InProcessServer, monkeypatch: pytest.MonkeyPatch) -> Browser:
    server.last_cookies = []
    real = server.app.asgi_handler

    async def noting(scope, receive, send):
        server.last_cookies = []

        async def noted(message):
            if message["type"] == "http.response.start":
                server.last_cookies = [
                    value.decode() for name, value in message["headers"] if name == b"set-cookie"
                ]
            await send(message)

        await real(scope, receive, noted)

    monkeypatch.setattr(server.app, "asgi_handler", noting)
    return Browser(server)


def test_who_is_not_signed_in_comes_to_the_form_and_back(browser: Browser) -> None:
    asked = browser.get("/models/m?q=a%26b")
    assert asked.status == 303
    where = asked.headers["location"]
    assert where.startswith("../signin?next=")
    next_ = urllib.parse.parse_qs(urllib.parse.urlsplit(where).query)["next"][0]
    assert next_ == "models/m?q=a%26b"
    done = browser.sign_in("ann", "secret of ann", next_)
    assert (done.status, done.headers["location"]) == (303, "./models/m?q=a%26b")
    page = browser.get("/models/m")
    assert page.status == 200
    assert b"ann" in page.body
    assert b"Sign out" in page.body


@pytest.mark.parametrize(
    ("name", "secret", "works"),
    [
        ("ann", "secret of ann", True),
        ("ann", token("ann"), True),
        ("", token("ann"), True),
        ("ann", token("bob"), False),
        ("ann", "", False),
        ("", "x", False),
        ("nobody", "secret of ann", False),
        ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', False),
    ],
)
def test_a_name_is_proved_by_a_password_or_a_token(
    browser: Browser, name: str, secret: str, *, works: bool
) -> None:
    done = browser.sign_in(name, secret)
    assert done.status == (303 if works else 401)
    assert browser.get("/").status == (200 if works else 303)
    assert b"<script>alert" not in done.body
    assert b"<img src=x" not in done.body
    assert "www-authenticate" not in done.headers


def test_the_session_is_a_cookie_that_no_script_reads(
    browser: Browser, server: InProcessServer
) -> None:
    browser.sign_in("ann", "secret of ann")
    (cookie,) = (each for each in server.last_cookies if each.startswith("registry_session="))
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Max-Age=28800" in cookie


@pytest.mark.parametrize("next_", ["//evil.example", "https://evil.example/", "\\\\evil.example", "/\\evil", "javascript:alert(1)", "a\r\nset-cookie: x=y", "signin", "x" * 5_000])  # fmt: skip
def test_nobody_is_sent_to_another_site(browser: Browser, next_: str) -> None:
    done = browser.sign_in("ann", "secret of ann", next_)
    assert done.status == 303
    where = urllib.parse.urljoin("http://here.example/signin", done.headers["location"])
    assert urllib.parse.urlsplit(where)[:2] == ("http", "here.example")
    assert "\n" not in done.headers["location"]


def test_no_other_page_signs_anybody_in(browser: Browser) -> None:
    browser.get("/signin")
    form = {"name": "ann", "secret": "secret of ann"}
    assert browser.post("/signin", form).status == 403
    assert browser.post("/signin", {**form, "form_token": "00" * 32}).status == 403
    assert "registry_session" not in browser.cookies


@pytest.mark.parametrize("accept", [b"text/html", b"application/json"])
def test_no_cache_gives_a_page_of_one_user_to_another(
    browser: Browser, server: InProcessServer, accept: bytes
) -> None:
    browser.sign_in("ann", "secret of ann")
    cookie = f"registry_session={browser.cookies['registry_session']}".encode()
    answer = server.send("GET", b"/models/m", b"", [(b"accept", accept), (b"cookie", cookie)])
    assert answer.status == 200
    assert answer.headers["cache-control"] == "private, no-cache"


def test_signing_out_forgets_the_session(browser: Browser) -> None:
    browser.sign_in("ann", "secret of ann")
    page = browser.get("/").body.decode()
    found = re.search(r'name="form_token" value="([0-9a-f]+)"', page)
    assert found is not None
    assert browser.post("/signout", {}).status == 403
    assert browser.post("/signout", {"form_token": found[1]}).status == 303
    assert browser.cookies["registry_session"] == ""
    assert browser.get("/").status == 303


def test_a_session_counts_for_pages_alone(browser: Browser) -> None:
    browser.sign_in("ann", "secret of ann")
    assert browser.get("/api/2.0/mlflow/registered-models/search").status == 401
    assert browser.get("/ajax-api/2.0/mlflow/registered-models/search").status == 401


def test_a_session_that_was_made_up_is_none(browser: Browser) -> None:
    browser.sign_in("ann", "secret of ann")
    good = browser.cookies["registry_session"]
    other = Sessions(b"another key")
    body = good.partition(".")[0]
    for made_up in (
        other.seal(["ann", [], "x", 2**40]),
        f"{body}.",
        f"{body}.AAAA",
        good[:-2] + ("AA" if not good.endswith("AA") else "BB"),
        "x",
        "." * 5_000,
        "Ä.Ö",
    ):
        browser.cookies["registry_session"] = urllib.parse.quote(made_up, safe=".-_")
        assert browser.get("/").status == 303, made_up[:80]


def test_a_session_ends_with_the_secret_that_began_it(
    browser: Browser, server: InProcessServer, file: Path
) -> None:
    browser.sign_in("ann", token("ann"))
    assert browser.get("/").status == 200
    file.write_text(file.read_text().replace(digest("ann"), digest("another")))
    assert server.app._parts[0].on_reload[0]() is True
    assert browser.get("/").status == 303
    browser.sign_in("ann", "secret of ann")
    assert browser.get("/").status == 200


def test_a_session_ends_in_time() -> None:
    moment = 1_000.0
    sessions = Sessions(b"key", now=lambda: moment)
    from registry_server.access.sessions import SESSION_SECONDS, Session

    cookie = sessions.cookie(Session(name="a", origin="o", expires=sessions.ends()))
    assert cookie is not None
    assert sessions.read(cookie) is not None
    moment += SESSION_SECONDS
    assert sessions.read(cookie) is None


# A provider


def test_a_provider_lets_somebody_in(
    browser: Browser, server: InProcessServer, provider: OidcProvider
) -> None:
    assert b"Sign in with company" in browser.get("/signin").body
    begun = browser.get("/signin/start?issuer=company&next=models/m")
    assert begun.status == 303
    asked = urllib.parse.parse_qs(urllib.parse.urlsplit(begun.headers["location"]).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["redirect_uri"] == ["http://127.0.0.1:8000/signin/callback"]
    back = provider.back(begun.headers["location"], "eve")
    query = urllib.parse.urlsplit(back).query
    # Another browser, and a state of another way, are not let in by the code.
    other = Browser(server)
    assert other.get(f"/signin/callback?{query}").status == 400
    wrong = re.sub(r"state=[^&]+", "state=other", query)
    assert browser.get(f"/signin/callback?{wrong}").status == 400
    done = browser.get(f"/signin/callback?{query}")
    assert done.status == 303, done.body.decode()
    assert done.headers["location"] == "../models/m"
    page = browser.get("/models/m")
    assert page.status == 200
    assert b"company:eve" in page.body
    # A code is good once.
    again = Browser(server)
    again.cookies = dict(browser.cookies)
    assert again.get(f"/signin/callback?{query}").status == 400


def test_a_provider_that_is_away_is_not_asked_each_time(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def away(url: str) -> object:
        asked.append(url)
        raise issuers.ProviderError(url)

    monkeypatch.setattr(issuers, "fetch_json", away)
    with InProcessServer(
        Registry(MemoryStore(), local_sources=False), Settings(threads=1, access_file=str(file))
    ) as server:
        for _ in range(5):
            assert server.send("GET", b"/signin/start?issuer=company", b"", []).status == 503
    assert len(asked) == 1


def test_a_server_that_speaks_tls_asks_browsers_for_it(file: Path) -> None:
    settings = Settings(threads=1, access_file=str(file), tls_cert="cert.pem", tls_key="key.pem")
    with InProcessServer(Registry(MemoryStore(), local_sources=False), settings) as server:
        form = server.send("GET", b"/signin", b"", [])
        assert "; Secure" in form.headers["set-cookie"]
        begun = server.send("GET", b"/signin/start?issuer=company", b"", [])
        asked = urllib.parse.parse_qs(urllib.parse.urlsplit(begun.headers["location"]).query)
        assert asked["redirect_uri"] == ["https://127.0.0.1:8000/signin/callback"]
        assert "; Secure" in begun.headers["set-cookie"]


def test_a_key_that_could_be_guessed_is_refused(file: Path) -> None:
    with pytest.raises(SettingsError, match="REGISTRY_SESSION_KEY"):
        Access.of(Settings(access_file=str(file), session_key="letmein"))


def test_a_provider_may_say_no(browser: Browser) -> None:
    begun = browser.get("/signin/start?issuer=company")
    asked = urllib.parse.parse_qs(urllib.parse.urlsplit(begun.headers["location"]).query)
    refused = browser.get(f"/signin/callback?error=access_denied&state={asked['state'][0]}")
    assert refused.status == 401
    assert b"has not let you in" in refused.body
    assert browser.get("/signin/start?issuer=other").status == 404


def test_an_address_below_the_root_stays_one() -> None:
    assert signin.local("models/a%2Fb?x=1&y=%3D") == "models/a%2Fb?x=1&y=%3D"
    assert signin.local("models/Grüße") == "models/Gr%C3%BC%C3%9Fe"
