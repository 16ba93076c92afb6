"""Secrets that people choose: kept as scrypt keys, and compared without holding up the event loop.

Strategy: scrypt costs tens of milliseconds on purpose. It runs in one thread, so guessing takes one
core at most from everybody else; names take turns, so the user who is guessed at waits for the
guesses and others do not; and a name that is not known costs the same as one that is.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import TypeAlias

import attrs

from registry_server.access.callers import Caller
from registry_server.access.guessing import TooManyGuessesError
from registry_server.http.responses import RequestRefusedError
from registry_server.process.threads import Threads

WAITING_MOST = 32
"""Comparisons that may wait: seconds of work. Further ones get 429."""

_SCRYPT_MEMORY_BYTES = 256 * 1024 * 1024
"""The most memory that a line of the file may ask scrypt to take."""


@attrs.frozen
class Scrypt:
    """A secret kept as an scrypt key."""

    n: int
    r: int
    p: int
    salt: bytes
    key: bytes

    @classmethod
    def parse(cls, text: str) -> Scrypt:
        """Return the secret in `<n>:<r>:<p>:<salt>:<key>`.

        Raises:
            ValueError: it is not in it, or cannot be computed.
        """
        n, r, p, salt, key = text.split(":")
        parsed = cls(int(n), int(r), int(p), bytes.fromhex(salt), bytes.fromhex(key))
        _check_cost(parsed.n, parsed.r, parsed.p)
        return parsed

    def matches(self, secret: str) -> bool:
        """Return whether the secret gives this key."""
        return hmac.compare_digest(_scrypt(secret, self.salt, self.n, self.r, self.p), self.key)


Keys: TypeAlias = tuple[Scrypt, ...]
"""The keys of one name, any of which a secret may give: there are several while one is changed."""


def scrypted(secret: str, *, n: int = 2**14, r: int = 8, p: int = 1) -> str:
    """Return the secret as a line of the auth file may hold it."""
    salt = os.urandom(16)
    return f"scrypt:{n}:{r}:{p}:{salt.hex()}:{_scrypt(secret, salt, n, r, p).hex()}"


def _scrypt(secret: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(
        secret.encode(), salt=salt, n=n, r=r, p=p, maxmem=_SCRYPT_MEMORY_BYTES, dklen=32
    )


@lru_cache(64)
def _check_cost(n: int, r: int, p: int) -> None:
    """Refuse impossible parameters; once for each kind, as a file may have thousands of lines."""
    _scrypt("", b"", n, r, p)


@attrs.define(eq=False)
class _Comparison:
    """A secret that is being compared, and the clients that have presented it."""

    callers: list[Caller]
    result: asyncio.Task[bool | None] = attrs.field(init=False)
    """Whether it matches; None where no client waits for that any more."""


class Passwords:
    """Compares secrets with the scrypt keys of names. Belongs to one event loop.

    Credentials that several clients present at a time are compared once.
    """

    def __init__(self, keys: Mapping[str, Keys]) -> None:
        self.replace(keys)
        self._thread = Threads(1, name="scrypt")
        self._turn = asyncio.Lock()
        self._turns: dict[str, asyncio.Lock] = {}
        self._waiting: Counter[str] = Counter()
        self._under_way: dict[bytes, _Comparison] = {}

    def replace(self, keys: Mapping[str, Keys]) -> None:
        """Compare with these keys from now on."""
        self._keys = keys
        self._kinds = list(keys.values())
        parts = (key.salt + key.key for kind in self._kinds for key in kind)
        self._pepper = hashlib.sha256(b"".join(parts))

    @property
    def is_empty(self) -> bool:
        """Whether no name has a key, so that there is nothing to compare with."""
        return not self._kinds

    def close(self) -> None:
        """End the thread."""
        self._thread.close()

    def is_under_way(self, credentials: bytes) -> bool:
        """Return whether these credentials are being compared: asking again costs nothing."""
        return credentials in self._under_way

    async def match(self, name: str, secret: str, *, credentials: bytes, caller: Caller) -> bool:
        """Return whether the secret is the name's, in the same time for names that are not known.

        `credentials` stands for both of them.

        Raises:
            TooManyGuessesError: too many others wait.
            RequestRefusedError: every client with these credentials has hung up.
        """
        comparison = self._under_way.get(credentials)
        if comparison is None:
            comparison = self._begin(name, secret, credentials)
        comparison.callers.append(caller)
        # Not cancelled with one of the calls that wait for it.
        matches = await asyncio.shield(comparison.result)
        if matches is None:
            raise RequestRefusedError(
                HTTPStatus.BAD_REQUEST, "BAD_REQUEST", "The client did not wait for the answer."
            )
        return matches

    def _begin(self, name: str, secret: str, credentials: bytes) -> _Comparison:
        if len(self._under_way) >= WAITING_MOST:
            raise TooManyGuessesError(1)
        comparison = self._under_way[credentials] = _Comparison([])
        comparison.result = asyncio.create_task(self._compare(name, secret, comparison.callers))
        comparison.result.add_done_callback(lambda _: self._under_way.pop(credentials))
        return comparison

    async def _compare(self, name: str, secret: str, callers: list[Caller]) -> bool | None:
        async with self._turn_of(name), self._turn:
            if all(caller.has_hung_up() for caller in callers):
                return None
            keys = self._keys.get(name) or self._decoy(name)
            # All of them, so that the time does not say which.
            matches = await self._thread.run(lambda: [key.matches(secret) for key in keys])
            return any(matches)

    @contextlib.asynccontextmanager
    async def _turn_of(self, name: str) -> AsyncIterator[None]:
        """So that no name has more than one comparison in the queue that all share."""
        self._waiting[name] += 1
        try:
            async with self._turns.setdefault(name, asyncio.Lock()):
                yield
        finally:
            self._waiting[name] -= 1
            if not self._waiting[name]:
                del self._waiting[name], self._turns[name]

    def _decoy(self, name: str) -> Keys:
        """What a name without a key is compared with: as costly as some other name's, always it."""
        digest = self._pepper.copy()
        digest.update(name.encode("utf-8", "surrogatepass"))
        number = int.from_bytes(digest.digest())
        kind = self._kinds[number % len(self._kinds)]
        return tuple(attrs.evolve(key, key=os.urandom(32)) for key in kind)
