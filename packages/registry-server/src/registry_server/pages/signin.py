"""Signing in: a form for a name and a secret, and the way to a provider and back.

Strategy: what is proved becomes a signed cookie (`access.sessions`), which pages take in place of
credentials, and the API does not: a page of another site can have a browser send it, and only forms
of pages are known to come from here. Where one goes afterwards is an address below this server's
root, whatever was asked for. The way to a provider is its authorization code flow with PKCE
(RFC 7636): what begins it is bound to the browser by a cookie, and to the token by a nonce.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
import time
import urllib.parse
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import attrs
from litestar.enums import ScopeType
from litestar.handlers import asgi
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from registry_server.access.callers import Caller
from registry_server.access.issuers import (
    BadTokenError,
    Proven,
    Provider,
    ProviderError,
    looks_signed,
)
from registry_server.access.rules import Access
from registry_server.access.sessions import COOKIE, SESSION_SECONDS
from registry_server.http import responses
from registry_server.http.middleware import OPERATION, SIGN_IN
from registry_server.http.parts import Part
from registry_server.http.paths import API_PREFIXES
from registry_server.http.responses import RequestRefusedError, Response
from registry_server.http.serving import body_of
from registry_server.pages import answers, failures, forgery, links, requests
from registry_server.pages.requests import PageRequest
from registry_server.process.settings import Settings

NAME = "signin"
"""What requests for signing in and out are counted as."""

FORM_MAX_BYTES = 64 * 1024
"""Bytes of the form; a token has up to 16 KiB."""

WAY_COOKIE = "registry_signin"
"""The cookie that has what a way to a provider began with."""

WAY_SECONDS = 600
"""How long somebody may take at the provider."""

_NEXT_MAX_LENGTH = 2_000
"""Characters of the address where one goes afterwards."""

_WRONG = "The name or the secret is wrong."


def signin_part(settings: Settings, access: Access) -> Part:
    """Return the pages by which browsers come to have a session, and end it."""
    serving = _SignIn(settings, access)
    routes = tuple(
        asgi(path, name=f"{NAME}{number}", copy_scope=False)(serving)
        for number, path in enumerate(sorted(SIGN_IN))
    )
    return Part(routes=routes, names=(NAME,), group="pages")


def readable(scope: HTTPScope, failure: Response) -> Response:
    """Return a failure as the client reads it: a browser that has to sign in gets the form."""
    accept = next((value for name, value in scope["headers"] if name == b"accept"), None)
    is_page = not scope["path"].startswith(API_PREFIXES)
    if failure.status != HTTPStatus.UNAUTHORIZED or not is_page or not requests.wants_html(accept):
        return failures.readable(scope, failure)
    raw = requests.raw_path(scope)
    path = raw.lstrip("/")
    if scope["query_string"] and scope["method"] in ("GET", "HEAD"):
        path += f"?{scope['query_string'].decode('latin-1')}"
    to = links.with_query("signin", [("next", path if scope["method"] != "POST" else "")])
    return answers.redirect(links.root_of(raw), to)


class _SignIn:
    def __init__(self, settings: Settings, access: Access) -> None:
        self._access = access
        self._proxies = settings.trusted_proxies
        self._public_url = (settings.public_url or "").rstrip("/")
        self._origin = settings.public_origin
        self._is_secure = settings.is_https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == ScopeType.HTTP, "the server speaks nothing else"
        scope["state"][OPERATION] = NAME
        try:
            answer: ASGIApp = await self._answer(scope, receive)
        except Exception as error:  # noqa: BLE001 the one place where errors become answers
            answer = failures.readable(scope, responses.failure(error, scope))
        await answer(scope, receive, send)

    async def _answer(self, scope: HTTPScope, receive: Receive) -> Response:
        request = requests.page_request(scope, now=time.time_ns() // 1_000_000)
        match request.method, "/".join(request.segments):
            case (("GET" | "HEAD"), "signin"):
                return await self._form(request, next_=request.query.get("next", ""))
            case "POST", "signin":
                request = await self._sent(request, scope, receive)
                return await self._sign_in(request, Caller(scope, receive, self._proxies))
            case "GET", "signin/start":
                return await self._begin(request)
            case "GET", "signin/callback":
                return await self._come_back(request)
            case "POST", "signout":
                await self._sent(request, scope, receive)
                gone = self._cookie(COOKIE, "", seconds=0)
                return answers.redirect(request.root, "signin", headers=(gone,))
        raise RequestRefusedError(
            HTTPStatus.METHOD_NOT_ALLOWED,
            "ENDPOINT_NOT_FOUND",
            f"The page does not take {request.method}.",
        )

    # The form

    async def _form(
        self,
        request: PageRequest,
        *,
        next_: str,
        problem: str = "",
        status: int = HTTPStatus.OK,
    ) -> Response:
        secret = forgery.secret_of(request.cookies.get(forgery.COOKIE))
        headers: answers.Headers = ()
        if secret is None:
            secret = forgery.new_secret()
            headers = (answers.secret_cookie(secret, is_secure=self._is_secure),)
        providers = self._access.issuers.all
        context = {
            "request": request,
            "root": request.root,
            "now": request.now,
            "notice": "",
            # Nobody is offered anything before he has signed in.
            "may_change": True,
            "may": lambda *_: False,
            "sees_webhooks": False,
            "form_token": forgery.token(secret),
            "problem": problem,
            "name": request.form.get("name", ""),
            "next": next_,
            "issuers": [each.issuer.name for each in providers if each.issuer.client_id],
        }
        # Loading the templates takes a while, the first time.
        body = await asyncio.to_thread(_rendered, context)
        return answers.html(body, status=status, headers=headers)

    async def _sent(self, request: PageRequest, scope: HTTPScope, receive: Receive) -> PageRequest:
        """The request with its form, which one of our pages has sent."""
        body = b"".join(await body_of(scope["headers"], receive, FORM_MAX_BYTES))
        request = requests.with_form(request, body)
        secret = forgery.secret_of(request.cookies.get(forgery.COOKIE))
        forgery.check(request.headers, secret, request.form.get(forgery.FIELD), self._origin)
        return request

    async def _sign_in(self, request: PageRequest, caller: Caller) -> Response:
        name, secret = request.form.get("name", "").strip(), request.form.get("secret", "").strip()
        next_ = request.form.get("next", "")
        try:
            cookie = await self._proved(name, secret, caller)
        except RequestRefusedError as error:
            is_wrong = error.status == HTTPStatus.UNAUTHORIZED
            problem = _WRONG if is_wrong else str(error)
            return await self._form(request, next_=next_, problem=problem, status=error.status)
        return self._signed_in(request.root, cookie, next_)

    async def _proved(self, name: str, secret: str, caller: Caller) -> str | None:
        """The cookie for who has proved a name by a secret."""
        access = self._access
        if not name and looks_signed(secret) and not access.issuers.is_empty:
            try:
                return access.session_for(await access.issuers.verify(secret))
            except BadTokenError:
                raise _wrong() from None
        if name:
            pair = base64.b64encode(f"{name}:{secret}".encode())
            header = b"Basic " + pair
        else:
            header = f"Bearer {secret}".encode("utf-8", "replace")
        return access.begin_session(await access.users.authenticate(header, caller), secret)

    def _signed_in(self, root: str, cookie: str | None, next_: str) -> Response:
        if cookie is None:
            raise RequestRefusedError(
                HTTPStatus.BAD_REQUEST,
                "BAD_REQUEST",
                "You are in so many groups that no cookie holds them: use a token with the API.",
            )
        kept = self._cookie(COOKIE, cookie, seconds=SESSION_SECONDS)
        gone = self._cookie(WAY_COOKIE, "", seconds=0)
        return answers.redirect(root, local(next_), headers=(kept, gone))

    def _cookie(self, name: str, value: str, *, seconds: int) -> tuple[bytes, bytes]:
        # Lax, because one comes back from a provider by a link of another site.
        text = f"{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}"
        return b"set-cookie", (text + ("; Secure" if self._is_secure else "")).encode("ascii")

    # A provider

    async def _begin(self, request: PageRequest) -> Response:
        provider = self._provider(request.query.get("issuer", ""))
        way = _Way(
            issuer=provider.issuer.name,
            state=secrets.token_urlsafe(24),
            nonce=secrets.token_urlsafe(24),
            verifier=secrets.token_urlsafe(48),
            next=request.query.get("next", "")[:_NEXT_MAX_LENGTH],
            expires=int(time.time()) + WAY_SECONDS,
        )
        where = await _endpoint(provider, "authorization_endpoint")
        challenge = hashlib.sha256(way.verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": provider.issuer.client_id,
            "redirect_uri": self._back_at(request),
            "scope": "openid profile email",
            "state": way.state,
            "nonce": way.nonce,
            "code_challenge": base64.urlsafe_b64encode(challenge).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        joint = "&" if "?" in where else "?"
        target = f"{where}{joint}{urllib.parse.urlencode(asked)}".encode("ascii", "replace")
        kept = self._cookie(
            WAY_COOKIE, self._access.sessions.seal(way.fields()), seconds=WAY_SECONDS
        )
        quiet = (b"cache-control", b"no-store")
        return Response(HTTPStatus.SEE_OTHER, b"", ((b"location", target), quiet, kept))

    async def _come_back(self, request: PageRequest) -> Response:
        way = self._way(request)
        if "code" not in request.query:
            problem = "The provider has not let you in."
            return await self._form(request, next_=way.next, problem=problem, status=401)
        provider = self._provider(way.issuer)
        try:
            cookie = self._access.session_for(await self._redeemed(provider, way, request))
        except (BadTokenError, ProviderError) as error:
            raise RequestRefusedError(
                HTTPStatus.BAD_REQUEST,
                "BAD_REQUEST",
                f"What the provider has sent proves nothing: {error}. Sign in again.",
            ) from None
        return self._signed_in(request.root, cookie, way.next)

    def _way(self, request: PageRequest) -> _Way:
        """The way that this browser has begun, and comes back from."""
        cookie = self._access.sessions.opened(request.cookies.get(WAY_COOKIE, ""))
        way = _Way.of(cookie)
        state = request.query.get("state", "")
        if (
            way is None
            or way.expires < time.time()
            or not secrets.compare_digest(way.state.encode(), state.encode())
        ):
            raise RequestRefusedError(
                HTTPStatus.BAD_REQUEST,
                "BAD_REQUEST",
                "This browser has not begun to sign in, or has taken too long: sign in again.",
            )
        return way

    async def _redeemed(self, provider: Provider, way: _Way, request: PageRequest) -> Proven:
        """What the token proves that the provider gives for a code."""
        form = {
            "grant_type": "authorization_code",
            "code": request.query["code"],
            "redirect_uri": self._back_at(request),
            "code_verifier": way.verifier,
        }
        where = await _endpoint(provider, "token_endpoint")
        token = await provider.redeemed(where, form)
        return await provider.signed_in(token, nonce=way.nonce)

    def _provider(self, name: str) -> Provider:
        for provider in self._access.issuers.all:
            if provider.issuer.name == name and provider.issuer.client_id:
                return provider
        raise RequestRefusedError(
            HTTPStatus.NOT_FOUND, "ENDPOINT_NOT_FOUND", "There is no such provider here."
        )

    def _back_at(self, request: PageRequest) -> str:
        host = request.headers.get(b"host", b"").decode("latin-1")
        scheme = "https" if self._is_secure else "http"
        return f"{self._public_url or f'{scheme}://{host}'}/signin/callback"


@attrs.frozen(kw_only=True)
class _Way:
    """What a way to a provider began with."""

    issuer: str
    state: str
    nonce: str
    verifier: str
    next: str
    expires: int

    def fields(self) -> dict[str, Any]:
        """As JSON has it."""
        return attrs.asdict(self)

    @classmethod
    def of(cls, fields: object) -> _Way | None:
        """From what a cookie had, which we have signed."""
        # A session has our signature, too, and is a list.
        return cls(**fields) if isinstance(fields, dict) else None


def local(next_: str) -> str:
    """Return an address below the root of this server: never another site's."""
    if len(next_) > _NEXT_MAX_LENGTH or next_.startswith(("signin", "signout")):
        return ""
    # It is put after `./`, so that nothing in it is a scheme or a host; and what could be a line
    # break or not ASCII is escaped.
    return quote(next_.lstrip("/\\"), safe="/?&=%+,:;@!$'()*~-._")


async def _endpoint(provider: Provider, name: str) -> str:
    endpoint = (await provider.described()).get(name)
    if not isinstance(endpoint, str) or not endpoint.startswith(("https://", "http://")):
        raise RequestRefusedError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "TEMPORARILY_UNAVAILABLE",
            "The provider does not answer just now.",
        )
    return endpoint


def _rendered(context: Mapping[str, Any]) -> str:
    from registry_server.pages import rendering  # noqa: PLC0415 loaded for the first browser

    return rendering.render("signin.html", context)


def _wrong() -> RequestRefusedError:
    return RequestRefusedError(HTTPStatus.UNAUTHORIZED, "UNAUTHENTICATED", _WRONG)
