"""Names that an OpenID Connect provider has proved, by tokens that it has signed.

Strategy: a token is verified here, with the provider's public keys, and nothing is asked of the
provider for it. The keys are fetched when they are first needed and kept: fetched anew when they
are old, and when a token names one that is not known, though not as often as that can be done.
A provider that is away costs nobody anything whose key is known. Fetching is done by one thread,
one at a time, and never by the event loop.

Only signatures are taken whose keys cannot be used to sign, and only those that the file allows, so
that nobody signs with a public key, or not at all.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import importlib
import json
import logging
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, TypeAlias

import attrs

from registry_core.access import Principal
from registry_core.access.credentials import Issuer
from registry_core.errors import BackendNotInstalledError, InvalidArgumentError
from registry_core.validation import actor
from registry_server.access.credentials import digest_of
from registry_server.http.responses import RequestRefusedError
from registry_server.process.threads import Threads

REFRESH_SECONDS = 3_600.0
"""How old keys may become before they are fetched anew. Those that are known are used meanwhile."""

RETRY_SECONDS = 30.0
"""How often keys are fetched at most because a token names one that is not known."""

FETCH_SECONDS = 10.0
"""How long a provider may take to answer."""

ANSWER_MAX_BYTES = 1024 * 1024
"""Bytes of a provider's answer; that of the largest is some kilobytes long."""

_PIECE_BYTES = 64 * 1024
"""Bytes of an answer that are read at a time."""

TOKEN_MAX_LENGTH = 16_384
"""Characters of a token. A head of a request has room for no more."""

GROUPS_MOST = 1_000
"""Groups of a token that are looked at."""

PROVEN_MOST = 4_096
"""Tokens that are remembered as right, by digests, until they expire, and for `REFRESH_SECONDS` at
most: a key that its provider has given up proves nothing for longer."""

_logger = logging.getLogger("registry_server")

Fetch: TypeAlias = Callable[[str], Any]
"""Gives the JSON at a URL. Raises `ProviderError`."""


class ProviderError(Exception):
    """A provider did not answer, or not as it should; the message is for the log."""


class BadTokenError(Exception):
    """A token that proves nothing; the message is for the log."""


class _WrongSignatureError(BadTokenError):
    """A token that was signed with another key."""


@attrs.frozen
class Proven:
    """What a token has proved, and until when, in seconds since the epoch."""

    principal: Principal
    expires: float
    issuer: str
    """The URL of who has signed it."""


class Issuers:
    """Verifies the tokens of some issuers. Belongs to one event loop."""

    def __init__(
        self,
        issuers: Iterable[Issuer],
        *,
        fetch: Fetch | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._now = now
        self._thread = Threads(1, name="oidc")
        self._fetch = fetch or fetch_json
        self._proven: dict[bytes, tuple[Proven, float]] = {}
        self._providers: dict[str, Provider] = {}
        self.replace(issuers)

    def replace(self, issuers: Iterable[Issuer]) -> None:
        """Take the tokens of these from now on. Keys of those that stay as they are, are kept."""
        before = {each.issuer: each for each in self._providers.values()}
        self._providers = {
            each.issuer: before.get(each) or Provider(each, self._thread, self._fetch)
            for each in issuers
        }
        self._proven = {}
        if self._providers:
            load_library()

    def close(self) -> None:
        """End the thread."""
        self._thread.close()

    @property
    def is_empty(self) -> bool:
        """Whether there is none, so that no token can be right."""
        return not self._providers

    @property
    def all(self) -> tuple[Provider, ...]:
        """The providers, in the order of the file."""
        return tuple(self._providers.values())

    async def verify(self, token: str) -> Proven:
        """Return what a token proves.

        Raises:
            BadTokenError: It proves nothing.
            RequestRefusedError: Its provider's keys cannot be had just now.
        """
        digest = digest_of(token)
        # What is proved while the issuers are replaced is not remembered.
        remembered = self._proven
        verified = remembered.get(digest)
        if verified is not None and self._now() < verified[1]:
            return verified[0]
        provider = self._providers.get(_claimed(token, "iss"))
        if provider is None:
            raise BadTokenError("its issuer is not known here")
        proven = _proven(provider.issuer, await provider.claims(token))
        remembered[digest] = proven, min(proven.expires, self._now() + REFRESH_SECONDS)
        while len(remembered) > PROVEN_MOST:
            del remembered[next(iter(remembered))]
        return proven


class Provider:
    """One issuer with its keys."""

    def __init__(self, issuer: Issuer, thread: Threads, fetch: Fetch) -> None:
        self.issuer = issuer
        self._thread = thread
        self._fetch = fetch
        self._fetching = asyncio.Lock()
        self._keys: Mapping[str, Mapping[str, Any]] = {}
        self._fetched_at = float("-inf")
        self._asked_at = float("-inf")
        self._is_away = False
        self.description: Mapping[str, Any] = {}
        """What the provider says of itself."""

    async def claims(self, token: str, issuer: Issuer | None = None) -> Mapping[str, Any]:
        """Return the claims of a token that this issuer has signed for us, or for another audience.

        Raises:
            BadTokenError: It has not.
            RequestRefusedError: Its keys cannot be had just now.
        """
        kid, algorithm = _head(token)
        if algorithm not in self.issuer.algorithms:
            raise BadTokenError(f"its algorithm {algorithm[:20]!r} is not allowed")
        key = await self._key(kid, algorithm)
        try:
            return _verified(issuer or self.issuer, token, key, algorithm)
        except _WrongSignatureError:
            # A token that does not name its key may have been signed with a newer one.
            if kid is not None or not self._may_ask():
                raise
        await self.refresh()
        self._check_there()
        newer = await self._key(kid, algorithm)
        return _verified(issuer or self.issuer, token, newer, algorithm)

    async def _key(self, kid: str | None, algorithm: str) -> Mapping[str, Any]:
        key = self._known(kid, algorithm)
        is_old = time.monotonic() - self._fetched_at >= REFRESH_SECONDS
        # Who needs a key waits for it, also while somebody else fetches it.
        is_coming = key is None and self._fetching.locked()
        if is_coming or ((key is None or is_old) and self._may_ask()):
            await self.refresh()
            key = self._known(kid, algorithm)
        if key is None:
            self._check_there()
            raise BadTokenError("its key is not among those of its issuer")
        return key

    def _may_ask(self) -> bool:
        """Whether the provider was not asked just now."""
        return time.monotonic() - self._asked_at >= RETRY_SECONDS

    def _check_there(self) -> None:
        """Refuse to judge a token while the provider, who may have a key for it, is away."""
        if self._is_away:
            raise RequestRefusedError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "TEMPORARILY_UNAVAILABLE",
                "The provider that this token names does not answer, and its key is not known: the "
                "token was not looked at.",
                headers=((b"retry-after", b"%d" % RETRY_SECONDS),),
            )

    def _known(self, kid: str | None, algorithm: str) -> Mapping[str, Any] | None:
        if kid is not None:
            return self._keys.get(kid)
        # A provider with one key need not name it.
        fitting = [key for key in self._keys.values() if key.get("alg", algorithm) == algorithm]
        return fitting[0] if len(fitting) == 1 else None

    async def redeemed(self, url: str, form: Mapping[str, str]) -> str:
        """Return the ID token that the provider gives for the form of a code.

        Raises:
            ProviderError: It gives none.
        """
        issuer = self.issuer
        sent = {**form, "client_id": issuer.client_id or ""}
        headers = {}
        if issuer.client_secret is not None:
            # RFC 6749, section 2.3.1.
            pair = ":".join(map(urllib.parse.quote_plus, (sent["client_id"], issuer.client_secret)))
            headers = {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
        if not _is_safe(url, issuer.issuer):
            raise ProviderError("its tokens are at no https URL")
        data = urllib.parse.urlencode(sent).encode()
        answer = await self._thread.run(lambda: fetch_json(url, data, headers))
        token = answer.get("id_token") if isinstance(answer, Mapping) else None
        if not isinstance(token, str):
            raise ProviderError("it has given no ID token")
        return token

    async def signed_in(self, token: str, *, nonce: str) -> Proven:
        """Return what an ID token proves that was asked for with a nonce, by our client id.

        Raises:
            BadTokenError: It proves nothing.
        """
        own = attrs.evolve(self.issuer, audience=self.issuer.client_id or "")
        claims = await self.claims(token, own)
        if claims.get("nonce") != nonce:
            raise BadTokenError("it was asked for by somebody else")
        return _proven(self.issuer, claims)

    async def described(self) -> Mapping[str, Any]:
        """Return what the provider says of itself.

        Nothing where it has not answered, and was just asked.

        Anybody can have it asked for, so that it is not asked each time.
        """
        if not self.description and (self._fetching.locked() or self._may_ask()):
            await self.refresh()
        return self.description

    async def refresh(self) -> None:
        """Fetch the keys, unless that is being done; those that are known stay if it fails."""
        if self._fetching.locked():
            async with self._fetching:
                return  # Somebody else has done so while this call waited.
        async with self._fetching:
            self._asked_at = time.monotonic()
            try:
                self.description, self._keys = await self._thread.run(self._fetched)
            except ProviderError as error:
                self._is_away = True
                _logger.warning("keys of issuer %s cannot be fetched: %s", self.issuer.name, error)
                return
            self._is_away = False
            self._fetched_at = time.monotonic()

    def _fetched(self) -> tuple[Mapping[str, Any], dict[str, Mapping[str, Any]]]:
        base = self.issuer.issuer.rstrip("/")
        description = self._fetch(f"{base}/.well-known/openid-configuration")
        if not isinstance(description, Mapping) or description.get("issuer") != self.issuer.issuer:
            raise ProviderError("it describes itself as another issuer")
        where = description.get("jwks_uri")
        if not isinstance(where, str) or not _is_safe(where, self.issuer.issuer):
            raise ProviderError("its keys are at no https URL")
        answer = self._fetch(where)
        listed = answer.get("keys") if isinstance(answer, Mapping) else None
        if not isinstance(listed, list):
            raise ProviderError("its keys are no JSON Web Key Set")
        return description, dict(_usable(listed))


def _head(token: str) -> tuple[str | None, str]:
    """The name of a token's key, if it has one, and its algorithm."""
    import jwt  # noqa: PLC0415 an extra

    try:
        head = jwt.get_unverified_header(token)
    except jwt.PyJWTError as error:
        raise BadTokenError(str(error)) from None
    kid = head.get("kid")
    return (kid if isinstance(kid, str) else None), str(head.get("alg"))


def _verified(
    issuer: Issuer, token: str, key: Mapping[str, Any], algorithm: str
) -> Mapping[str, Any]:
    """The claims of a token that was signed with a key, by the issuer and for us."""
    import jwt  # noqa: PLC0415 an extra

    try:
        claims: Mapping[str, Any] = jwt.decode(
            token,
            jwt.PyJWK(dict(key), algorithm=algorithm),
            algorithms=[algorithm],
            audience=issuer.audience,
            issuer=issuer.issuer,
            leeway=issuer.leeway_seconds,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
    except jwt.InvalidSignatureError as error:
        raise _WrongSignatureError(str(error)) from None
    except jwt.PyJWTError as error:
        raise BadTokenError(str(error)) from None
    return claims


def _usable(listed: list[Any]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    for number, key in enumerate(listed):
        # A symmetric key in a public set could be used to sign by anybody who has read it.
        is_public = isinstance(key, Mapping) and key.get("kty") in ("RSA", "EC", "OKP")
        if is_public and key.get("use", "sig") == "sig":
            yield str(key.get("kid", f"#{number}")), key


def _proven(issuer: Issuer, claims: Mapping[str, Any]) -> Proven:
    name = claims.get(issuer.name_claim)
    if issuer.name_claim == "email" and claims.get("email_verified") is not True:
        raise BadTokenError("its e-mail address is not verified")
    if not isinstance(name, str) or not name:
        raise BadTokenError(f"it has no name in '{issuer.name_claim}'")
    name = issuer.prefix + name
    try:
        actor(name)
    except InvalidArgumentError as error:
        raise BadTokenError(f"its name cannot be one: {error}") from None
    listed = claims.get(issuer.groups_claim, [])
    listed = [listed] if isinstance(listed, str) else listed
    groups = listed[:GROUPS_MOST] if isinstance(listed, list) else []
    named = frozenset(issuer.prefix + each for each in groups if isinstance(each, str))
    expires = float(claims["exp"]) + issuer.leeway_seconds
    return Proven(Principal(name=name, groups=named), expires, issuer.issuer)


def _claimed(token: str, claim: str) -> str:
    """What a token says before it is verified: only to find whom to ask for the key."""
    import jwt  # noqa: PLC0415 an extra

    if len(token) > TOKEN_MAX_LENGTH:
        raise BadTokenError("it is too long")
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, RecursionError, ValueError) as error:
        raise BadTokenError(str(error)) from None
    value = claims.get(claim)
    return value if isinstance(value, str) else ""


def looks_signed(token: str) -> bool:
    """Return whether a bearer token has the form of a signed one."""
    return token.count(".") == 2 and token.startswith("ey")  # noqa: PLR2004 head, claims, signature


def load_library() -> None:
    """Import what verifies tokens.

    Raises:
        BackendNotInstalledError: it is missing; the message names the extra to install.
    """
    try:
        importlib.import_module("cryptography")
        importlib.import_module("jwt")
    except ImportError:
        raise BackendNotInstalledError(
            "Tokens of an issuer are verified by a library that is not installed: "
            "pip install 'registry-server[oidc]'"
        ) from None


def _is_safe(url: str, issuer: str) -> bool:
    """Whether a provider's URL may be asked: by https, or in plain where the issuer itself is."""
    return url.startswith("https://") or (
        issuer.startswith("http://")
        and url.startswith("http://")
        and urllib.parse.urlsplit(url).hostname == urllib.parse.urlsplit(issuer).hostname
    )


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow none: a provider says where things are."""


_opener = urllib.request.build_opener(_NoRedirects)


def fetch_json(
    url: str, data: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Any:
    """Return the JSON at a URL; with data, that is sent as a form.

    Raises:
        ProviderError: there is none, or not within `FETCH_SECONDS`.
    """
    sent = {"accept": "application/json", **(headers or {})}
    request = urllib.request.Request(url, data, sent)  # noqa: S310 see `_is_safe`
    content, until = b"", time.monotonic() + FETCH_SECONDS
    try:
        with _opener.open(request, timeout=FETCH_SECONDS) as answer:
            # Piece by piece: the timeout is that of each, and one thread asks all providers.
            while len(content) <= ANSWER_MAX_BYTES and (piece := answer.read1(_PIECE_BYTES)):
                content += piece
                if time.monotonic() > until:
                    raise ProviderError(f"{url}: the answer takes longer than {FETCH_SECONDS} s")
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ProviderError(f"{url}: {error}") from None
    if len(content) > ANSWER_MAX_BYTES:
        raise ProviderError(f"{url}: the answer is longer than {ANSWER_MAX_BYTES} bytes")
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise ProviderError(f"{url}: the answer is not JSON") from None
