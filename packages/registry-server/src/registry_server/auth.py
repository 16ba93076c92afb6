"""Who may call: names and secrets from a file, presented as Basic or Bearer credentials.

Each line of the file is `name:secret`; empty lines and lines that start with `#` do not count. A
secret is written as it is, as `sha256:<hex digest>`, or as `scrypt:<n>:<r>:<p>:<salt>:<key>` with
salt and key in hex, as `scrypted` gives it. Long random secrets are safe as sha256; passwords that
people choose want scrypt, which is slow on purpose.

Strategy: comparing is constant-time, and an unknown name is compared too, so that answers do not
tell who exists. scrypt costs tens of milliseconds: it runs in a thread, its last success is
remembered per name, and as Bearer, which would mean trying every name, it is not offered.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path

import attrs

from registry_server.replies import RequestRefusedError
from registry_server.settings import SettingsError

_SCRYPT_MEMORY_BYTES = 256 * 1024 * 1024
"""The most memory that a line of the file may ask scrypt to take."""

_NOBODY = bytes(32)
"""The digest that an unknown name is compared with; no secret has it."""


@attrs.frozen
class Scrypt:
    """A secret kept as an scrypt key."""

    n: int
    r: int
    p: int
    salt: bytes
    key: bytes

    def matches(self, secret: str) -> bool:
        """Whether the secret gives this key."""
        return hmac.compare_digest(_scrypt(secret, self.salt, self.n, self.r, self.p), self.key)


def _scrypt(secret: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(
        secret.encode(), salt=salt, n=n, r=r, p=p, maxmem=_SCRYPT_MEMORY_BYTES, dklen=32
    )


def scrypted(secret: str, *, n: int = 2**14, r: int = 8, p: int = 1) -> str:
    """The secret as a line of the file may hold it."""
    salt = os.urandom(16)
    return f"scrypt:{n}:{r}:{p}:{salt.hex()}:{_scrypt(secret, salt, n, r, p).hex()}"


class Users:
    """The names that may call, and how each proves itself."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._digests: dict[str, bytes] = {}
        self._scrypts: dict[str, Scrypt] = {}
        self._proven: dict[str, bytes] = {}
        # One thread: guessing passwords may not take more than one core from everybody else.
        self._slow_thread = ThreadPoolExecutor(1, thread_name_prefix="scrypt")
        for number, line in enumerate(lines, start=1):
            if line.strip() and not line.startswith("#"):
                self._add(line.rstrip("\r\n"), number)
        if not self._digests and not self._scrypts:
            raise SettingsError("the auth file names nobody")

    @classmethod
    def load(cls, path: str) -> Users:
        """The users in a file.

        Raises:
            SettingsError: the file cannot be read, or a line in it.
        """
        try:
            return cls(Path(path).read_text(encoding="utf-8").splitlines())
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"the auth file {path} cannot be read: {error}") from None

    async def authenticate(self, header: bytes | None) -> str:
        """The name that the Authorization header proves.

        Raises:
            RequestRefusedError: it proves none.
        """
        scheme, _, credentials = (header or b"").decode("utf-8", "replace").partition(" ")
        name = None
        if scheme.lower() == "basic":
            name = await self._basic(credentials.strip())
        elif scheme.lower() == "bearer":
            name = self._bearer(credentials.strip())
        if name is None:
            raise RequestRefusedError(
                HTTPStatus.UNAUTHORIZED,
                "UNAUTHENTICATED",
                "This server asks for credentials, and these are missing or wrong.",
                headers=((b"www-authenticate", b'Basic realm="registry", charset="UTF-8"'),),
            )
        return name

    async def _basic(self, credentials: str) -> str | None:
        try:
            decoded = base64.b64decode(credentials, validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            return None
        name, _, secret = decoded.partition(":")
        if name in self._scrypts:
            return name if await self._scrypt_matches(name, secret) else None
        expected = self._digests.get(name, _NOBODY)
        return name if hmac.compare_digest(_digest(secret), expected) else None

    def _bearer(self, secret: str) -> str | None:
        given = _digest(secret)
        found = None
        for name, digest in self._digests.items():
            if hmac.compare_digest(given, digest):
                found = name
        return found

    async def _scrypt_matches(self, name: str, secret: str) -> bool:
        digest = _digest(secret)
        if hmac.compare_digest(self._proven.get(name, _NOBODY), digest):
            return True
        loop = asyncio.get_running_loop()
        if not await loop.run_in_executor(self._slow_thread, self._scrypts[name].matches, secret):
            return False
        self._proven[name] = digest
        return True

    def _add(self, line: str, number: int) -> None:
        name, colon, secret = line.partition(":")
        kind, _, rest = secret.partition(":")
        if not name or not colon or not secret or name in {*self._digests, *self._scrypts}:
            raise SettingsError(
                f"line {number} of the auth file is not name:secret with a name of its own"
            )
        try:
            if kind == "scrypt":
                self._scrypts[name] = _parse_scrypt(rest)
            elif kind == "sha256":
                self._digests[name] = _parse_digest(rest)
            else:
                self._digests[name] = _digest(secret)
        except ValueError:
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


def _parse_scrypt(text: str) -> Scrypt:
    n, r, p, salt, key = text.split(":")
    parsed = Scrypt(int(n), int(r), int(p), bytes.fromhex(salt), bytes.fromhex(key))
    _scrypt("", parsed.salt, parsed.n, parsed.r, parsed.p)  # refuses impossible parameters
    return parsed
