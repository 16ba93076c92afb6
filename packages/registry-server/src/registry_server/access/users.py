"""Who may call: names and secrets from a file, presented as Basic or Bearer credentials.

Each line of the file is `name:secret`; empty lines and lines that start with `#` do not count. A
secret is written as it is, as `sha256:<hex digest>`, or as `scrypt:<n>:<r>:<p>:<salt>:<key>` with
salt and key in hex, as `scrypted` gives it. Long random secrets are safe as sha256; passwords that
people choose want scrypt, which is slow on purpose.

Strategy: comparing is constant-time, and where any secret is scrypt every wrong one costs an
scrypt, also for a name that is not in the file: neither answers nor their times show who exists. As
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
import stat
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from registry_server.access.callers import Caller
from registry_server.access.guessing import Buckets, Guesses, Limit, TooManyGuessesError
from registry_server.access.passwords import Passwords, Scrypt
from registry_server.http.responses import RequestRefusedError
from registry_server.process.settings import SettingsError

_NOBODY = bytes(32)
"""The digest that an unknown name is compared with; no secret has it."""

WRONG_MOST = 4_096
"""Wrong credentials that are remembered, 16 bytes of each. What is forgotten counts as a guess."""

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
    """The names that may call, and how each proves itself. Belongs to one event loop."""

    def __init__(
        self, lines: Iterable[str], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._digests: dict[str, bytes] = {}
        self._scrypts: dict[str, Scrypt] = {}
        for number, line in enumerate(lines, start=1):
            if line.strip() and not line.startswith("#"):
                self._add(line.rstrip("\r\n"), number)
        if not self._digests and not self._scrypts:
            raise SettingsError("the auth file names nobody")
        self._proven: dict[str, bytes] = {}
        self._wrong = _Wrong()
        self._guesses = Guesses(clock)
        self._refusals_logged = Buckets(_REFUSALS_LOGGED, clock)
        self._passwords = Passwords(self._scrypts) if self._scrypts else None

    @classmethod
    def load(cls, path: str) -> Users:
        """The users in a file.

        Raises:
            SettingsError: the file cannot be read, or a line in it; or every user of the machine
            may read it.
        """
        try:
            with Path(path).open(encoding="utf-8") as file:
                mode = os.fstat(file.fileno()).st_mode
                lines = file.read().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"the auth file {path} cannot be read: {error}") from None
        if os.name == "posix" and mode & stat.S_IRWXO:
            raise SettingsError(
                f"the auth file {path} is open to every user of this machine "
                f"(mode {stat.S_IMODE(mode):o}): run `chmod o= {path}`"
            )
        return cls(lines)

    async def authenticate(self, header: bytes | None, caller: Caller) -> str:
        """The name that the Authorization header proves.

        Raises:
            RequestRefusedError: it proves none, or it was not looked at
                (`TooManyGuessesError`).
        """
        if header is None:
            raise _unauthenticated()
        claim = self._claim(header)
        if claim.name is not None and hmac.compare_digest(
            self._proven.get(claim.name, _NOBODY), claim.digest
        ):
            return claim.name
        return await self._guess(claim, caller, self._wrong.key(header))

    def _claim(self, header: bytes) -> _Claim:
        """Whose secret the header claims to have."""
        scheme, _, text = header.decode("utf-8", "replace").partition(" ")
        credentials = text.strip()
        if scheme.lower() == "bearer":
            digest = _digest(credentials)
            return _Claim(self._owner(digest), None, digest)
        if scheme.lower() == "basic":
            try:
                decoded = base64.b64decode(credentials, validate=True).decode("utf-8", "replace")
            except (binascii.Error, ValueError):
                return _NO_CLAIM
            name, _, secret = decoded.partition(":")
            return _Claim(name, secret, _digest(secret))
        return _NO_CLAIM

    def _owner(self, presented: bytes) -> str | None:
        owner = None
        for name, digest in self._digests.items():
            if hmac.compare_digest(presented, digest):
                owner = name
        return owner

    async def _guess(self, claim: _Claim, caller: Caller, credentials: bytes) -> str:
        """The name, if credentials that were not right before are right."""
        if credentials in self._wrong:
            raise _unauthenticated()
        address = caller.address
        # A bearer token is a guess at all of them.
        name = None if claim.secret is None else claim.name
        is_counted = self._passwords is None or not self._passwords.is_under_way(credentials)
        if is_counted:
            self._count(name, address)
        try:
            is_right = await self._is_right(claim, caller, credentials)
        except TooManyGuessesError:
            self._guesses.give_back(name, address)
            raise
        if not is_right or claim.name is None:
            self._remember_wrong(credentials, name, address)
            raise _unauthenticated()
        self._proven[claim.name] = claim.digest
        if is_counted:
            self._guesses.give_back(name, address)
        return claim.name

    async def _is_right(self, claim: _Claim, caller: Caller, credentials: bytes) -> bool:
        expected = _NOBODY if claim.name is None else self._digests.get(claim.name, _NOBODY)
        if hmac.compare_digest(expected, claim.digest):
            return claim.name is not None
        if claim.name is None or claim.secret is None or self._passwords is None:
            return False
        # Also for a name whose secret is none of these, and is wrong.
        return await self._passwords.match(
            claim.name, claim.secret, credentials=credentials, caller=caller
        )

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
        return repr(name) if name in self._digests or name in self._scrypts else "an unknown name"

    def _add(self, line: str, number: int) -> None:
        name, colon, secret = line.partition(":")
        kind, _, rest = secret.partition(":")
        if not name or not colon or not secret or name in {*self._digests, *self._scrypts}:
            raise SettingsError(
                f"line {number} of the auth file is not name:secret with a name of its own"
            )
        try:
            if kind == "scrypt":
                self._scrypts[name] = Scrypt.parse(rest)
            elif kind == "sha256":
                self._digests[name] = _parse_digest(rest)
            else:
                self._digests[name] = _digest(secret)
        except (ValueError, TypeError, OverflowError):  # scrypt refuses numbers in many ways
            raise SettingsError(
                f"line {number} of the auth file has a {kind} secret that cannot be read"
            ) from None


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _parse_digest(text: str) -> bytes:
    digest = bytes.fromhex(text)
    if len(digest) != hashlib.sha256().digest_size:
        raise ValueError
    return digest


def _unauthenticated() -> RequestRefusedError:
    return RequestRefusedError(
        HTTPStatus.UNAUTHORIZED,
        "UNAUTHENTICATED",
        "This server asks for credentials, and these are missing or wrong.",
        headers=((b"www-authenticate", b'Basic realm="registry", charset="UTF-8"'),),
    )
