"""Who calls: credentials of HTTP, Basic or Bearer, compared with those that are known.

Strategy: comparing is constant-time, and where any secret is scrypt every wrong one costs an
scrypt, also for a name that is not known: neither answers nor their times show who exists. As
Bearer, which would mean trying every name, scrypt is not offered. Credentials that were right are
remembered, and accepted whatever others do. Wrong ones are remembered too, so that a client with an
old password costs nothing. What is left are guesses, whose number is bounded (`guessing`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import NamedTuple

from registry_server.access.callers import Caller
from registry_server.access.credentials import (
    Credentials,
    digest_of,
    read_private,
    with_own_names,
)
from registry_server.access.guessing import Buckets, Guesses, Limit, TooManyGuessesError
from registry_server.access.passwords import Passwords
from registry_server.http.responses import RequestRefusedError

_NOBODY = bytes(32)
"""The digest that an unknown name is compared with; no secret has it."""

WRONG_MOST = 4_096
"""Wrong credentials that are remembered, 16 bytes of each. What is forgotten counts as a guess."""

_PROVEN_MOST = 16
"""Secrets of one name that are remembered as right; there are several while they are changed."""

_NOTHING: Mapping[bytes, float] = {}

_REFUSALS_LOGGED = Limit(1, 1 / 60)
"""How often it is logged that an address guesses too much."""

_logger = logging.getLogger("registry_server")


class _Claim(NamedTuple):
    """What an Authorization header says."""

    name: str | None
    """The name whose secret it is to be: of a bearer token its owner's, if there is one."""
    secret: str | None
    """What proves the name; None of a bearer token."""
    digest: bytes


_NO_CLAIM = _Claim(None, None, _NOBODY)
"""A header that cannot be read."""


class _Wrong:
    """Credentials that were wrong, as digests that mean nothing outside this process."""

    def __init__(self) -> None:
        self._secret = os.urandom(32)
        self._keys: dict[bytes, None] = {}

    def key(self, header: bytes) -> bytes:
        return hashlib.blake2b(header, key=self._secret, digest_size=16).digest()

    def __contains__(self, key: bytes) -> bool:
        return key in self._keys

    def add(self, key: bytes) -> None:
        self._keys[key] = None
        if len(self._keys) > WRONG_MOST:
            del self._keys[next(iter(self._keys))]


class Users:
    """Proves who calls, by credentials that can be replaced. Belongs to one event loop."""

    def __init__(
        self,
        credentials: Credentials | Iterable[str],
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._now = now
        self._guesses = Guesses(clock)
        self._refusals_logged = Buckets(_REFUSALS_LOGGED, clock)
        self._passwords = Passwords({})
        self._replacing = threading.Lock()
        if not isinstance(credentials, Credentials):
            credentials = Credentials.of_lines(with_own_names(credentials))
        self.replace(credentials)

    def replace(self, credentials: Credentials) -> None:
        """Take these from now on; callers proved by others have to prove their names again.

        Any thread may call it while the event loop compares secrets.
        """
        with self._replacing:
            # The keys first. A guess that is looked at meanwhile counts as one at the credentials
            # before, and what it has proved is forgotten with them.
            self._take_good_keys(credentials)
            self.credentials = credentials
            self._proven: dict[str, dict[bytes, float]] = {}
            self._wrong = _Wrong()

    def _take_good_keys(self, credentials: Credentials) -> None:
        """Compare with the scrypt keys that are good until the next one of them expires."""
        now = self._now()
        self._passwords.replace(credentials.good_keys(now))
        self._keys_until = credentials.next_end(now)

    @classmethod
    def load(cls, path: str) -> Users:
        """Return the users in a file of lines.

        Raises:
            SettingsError: the file cannot be read, or a line in it; or every user of the machine
            may read it.
        """
        return cls(read_private(path, kind="auth").splitlines())

    async def authenticate(self, header: bytes | None, caller: Caller) -> str:
        """Return the name that the Authorization header proves.

        Raises:
            RequestRefusedError: it proves none, or it was not looked at
                (`TooManyGuessesError`).
        """
        if header is None:
            raise unauthenticated()
        claim = self._claim(header)
        if claim.name is not None:
            # By the digest of what only its owner knows: how long that takes says nothing of it.
            expires = self._proven.get(claim.name, _NOTHING).get(claim.digest)
            if expires is not None and self._now() < expires:
                return claim.name
        return await self._guess(claim, caller, self._wrong.key(header))

    def proof_of(self, name: str, secret: str) -> bytes:
        """Return what is kept of a secret that was right for a name: the same in every process.

        Of a password it stands for all that the name has, since which one it was is not kept.
        """
        digest = digest_of(secret)
        if digest in self.credentials.digests.get(name, {}):
            return digest
        return self.credentials.password_proof_of(name)

    def close(self) -> None:
        """End the thread that compares passwords."""
        self._passwords.close()

    def _claim(self, header: bytes) -> _Claim:
        """Whose secret the header claims to have."""
        scheme, _, text = header.decode("utf-8", "replace").partition(" ")
        credentials = text.strip()
        if scheme.lower() == "bearer":
            digest = digest_of(credentials)
            return _Claim(self.credentials.owners.get(digest), None, digest)
        if scheme.lower() == "basic":
            try:
                decoded = base64.b64decode(credentials, validate=True).decode("utf-8", "replace")
            except (binascii.Error, ValueError):
                return _NO_CLAIM
            name, _, secret = decoded.partition(":")
            return _Claim(name, secret, digest_of(secret))
        return _NO_CLAIM

    async def _guess(self, claim: _Claim, caller: Caller, credentials: bytes) -> str:
        """The name, if credentials that were not right before are right."""
        if credentials in self._wrong:
            raise unauthenticated()
        address = caller.address
        # A bearer token is a guess at all of them.
        name = None if claim.secret is None else claim.name
        is_counted = not self._passwords.is_under_way(credentials)
        if is_counted:
            self._count(name, address)
        taken, proven = self.credentials, self._proven
        try:
            expires = await self._good_until(claim, caller, credentials)
        except TooManyGuessesError:
            self._guesses.give_back(name, address)
            raise
        if self.credentials is not taken:
            # They were replaced meanwhile: whatever was found, was found of those before.
            self._guesses.give_back(name, address)
            return await self._guess(claim, caller, credentials)
        if expires is None or claim.name is None:
            self._remember_wrong(credentials, name, address)
            raise unauthenticated()
        _remember(proven, claim.name, claim.digest, expires)
        if is_counted:
            self._guesses.give_back(name, address)
        return claim.name

    async def _good_until(self, claim: _Claim, caller: Caller, credentials: bytes) -> float | None:
        """Until when the credentials are good; None if they are not."""
        listed = {} if claim.name is None else self.credentials.digests.get(claim.name, {})
        good_until = None
        for digest, expires in listed.items():
            if hmac.compare_digest(digest, claim.digest):
                good_until = expires
        if good_until is not None:
            return good_until if self._now() < good_until else None
        if self._now() >= self._keys_until:
            with self._replacing:
                self._take_good_keys(self.credentials)
        if claim.name is None or claim.secret is None or self._passwords.is_empty:
            return None
        # Also for a name whose secret is none of these, and is wrong.
        is_right = await self._passwords.match(
            claim.name, claim.secret, credentials=credentials, caller=caller
        )
        # Which key it was is not known: with the next that expires it is compared again.
        return self._keys_until if is_right else None

    def _count(self, name: str | None, address: str) -> None:
        try:
            self._guesses.take(name, address)
        except TooManyGuessesError:
            place = address.encode()
            if not self._refusals_logged.wait(place):
                self._refusals_logged.take(place)
                _logger.warning(
                    "too many wrong credentials from %s, the last for %s: more are not looked at",
                    address,
                    self._shown(name),
                )
            raise

    def _remember_wrong(self, credentials: bytes, name: str | None, address: str) -> None:
        if credentials not in self._wrong:
            self._wrong.add(credentials)
            _logger.warning("wrong credentials for %s from %s", self._shown(name), address)

    def _shown(self, name: str | None) -> str:
        """A name for the log. An unknown one may be a secret that was put in the wrong place."""
        if name is None:
            return "no name"
        return repr(name) if self.credentials.knows(name) else "an unknown name"


def _remember(
    proven: dict[str, dict[bytes, float]], name: str, digest: bytes, expires: float
) -> None:
    of_name = proven.setdefault(name, {})
    of_name[digest] = expires
    if len(of_name) > _PROVEN_MOST:
        del of_name[next(iter(of_name))]


def unauthenticated() -> RequestRefusedError:
    """Return the refusal of a caller who has proved no name."""
    return RequestRefusedError(
        HTTPStatus.UNAUTHORIZED,
        "UNAUTHENTICATED",
        "Wrong or missing credentials: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.",
        headers=((b"www-authenticate", b'Basic realm="registry", charset="UTF-8"'),),
    )
