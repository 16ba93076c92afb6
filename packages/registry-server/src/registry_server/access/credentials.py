"""The secrets by which names are proved, from a file of users or from an access file.

Each line of a file of users is `name:secret`; empty lines and lines that start with `#` do not
count. A secret is written as it is, as `sha256:<hex digest>`, or as
`scrypt:<n>:<r>:<p>:<salt>:<key>` with salt and key in hex, as `scrypted` gives it. Long random
secrets are safe as sha256; passwords that people choose want scrypt, which is slow on purpose.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import attrs

from registry_core.access import AccessFile
from registry_server.access.passwords import Keys, Scrypt
from registry_server.process.settings import SettingsError

FOREVER = float("inf")
"""Until when a secret is good that does not expire."""


@attrs.frozen(kw_only=True)
class Credentials:
    """The names that may call, and how each proves itself."""

    digests: Mapping[str, Mapping[bytes, float]] = attrs.field(factory=dict)
    """The digests of the secrets of each name, and until when each is good, by `time.time`."""
    owners: Mapping[bytes, str] = attrs.field(factory=dict)
    """The name of each digest."""
    keys: Mapping[str, Mapping[Scrypt, float]] = attrs.field(factory=dict)
    """The scrypt keys of each name, and until when each is good."""

    @classmethod
    def of_lines(cls, lines: Iterable[str]) -> Credentials:
        """Return those that the lines of a file of users have.

        Raises:
            SettingsError: a line cannot be used, or there is none.
        """
        credentials = cls._of(
            _secret_of(*each) for each in enumerate(lines, 1) if _is_used(each[1])
        )
        if not credentials.digests and not credentials.keys:
            raise SettingsError("the auth file names nobody")
        return credentials

    @classmethod
    def of_file(cls, file: AccessFile) -> Credentials:
        """Return those that an access file has."""
        return cls._of(
            (user.name, secret.hash, FOREVER if secret.expires is None else secret.expires)
            for user in file.users.values()
            for secret in (*user.tokens, *user.passwords)
        )

    @classmethod
    def _of(cls, secrets: Iterable[tuple[str, str, float]]) -> Credentials:
        digests: dict[str, dict[bytes, float]] = {}
        keys: dict[str, dict[Scrypt, float]] = {}
        for name, text, expires in secrets:
            kind, _, rest = text.partition(":")
            if kind == "scrypt":
                keys.setdefault(name, {})[Scrypt.parse(rest)] = expires
            else:
                digests.setdefault(name, {})[_parse_digest(rest)] = expires
        owners = {digest: name for name, listed in digests.items() for digest in listed}
        return cls(digests=digests, owners=owners, keys=keys)

    def proofs_of(self, name: str) -> Iterator[bytes]:
        """Yield what a session may have begun with; see `Users.proof_of`."""
        now = time.time()
        for digest, expires in self.digests.get(name, {}).items():
            if now < expires:
                yield digest
        if any(now < expires for expires in self.keys.get(name, {}).values()):
            yield self.password_proof_of(name)

    def password_proof_of(self, name: str) -> bytes:
        """Return what stands for the passwords of a name: another one when one changes."""
        keys = sorted(key.salt + key.key for key in self.keys.get(name, {}))
        return hashlib.sha256(b"".join(keys)).digest()

    def knows(self, name: str) -> bool:
        """Return whether anybody is called so."""
        return name in self.digests or name in self.keys

    def next_end(self, now: float) -> float:
        """Return when the next of the scrypt keys expires that are good now."""
        ends = (end for listed in self.keys.values() for end in listed.values())
        return min((end for end in ends if now < end), default=FOREVER)

    def good_keys(self, now: float) -> dict[str, Keys]:
        """Return the scrypt keys of each name that are good at that moment."""
        keys = {
            name: tuple(key for key, expires in listed.items() if now < expires)
            for name, listed in self.keys.items()
        }
        return {name: listed for name, listed in keys.items() if listed}


def _is_used(line: str) -> bool:
    return bool(line.strip()) and not line.startswith("#")


def _secret_of(number: int, line: str) -> tuple[str, str, float]:
    """The name, the hashed secret and its end in a line of a file of users."""
    name, colon, secret = line.rstrip("\r\n").partition(":")
    if not name or not colon or not secret:
        raise _bad_line(number)
    kind, _, rest = secret.partition(":")
    try:
        if kind == "scrypt":
            Scrypt.parse(rest)
        elif kind == "sha256":
            _parse_digest(rest)
        else:
            secret = f"sha256:{digest_of(secret).hex()}"
    except (ValueError, TypeError, OverflowError):  # scrypt refuses numbers in many ways
        raise SettingsError(
            f"line {number} of the auth file has a {kind} secret that cannot be read"
        ) from None
    return name, secret, FOREVER


def _bad_line(number: int) -> SettingsError:
    return SettingsError(
        f"line {number} of the auth file is not name:secret with a name of its own"
    )


def with_own_names(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a file of users, none of which may have the name of another."""
    seen: set[str] = set()
    for number, line in enumerate(lines, 1):
        name = line.partition(":")[0]
        if _is_used(line):
            if name in seen:
                raise _bad_line(number)
            seen.add(name)
        yield line


def read_private(path: str, *, kind: str) -> str:
    """Return the text of a file that has secrets in it; errors call it by its kind.

    Raises:
        SettingsError: it cannot be read, or every user of the machine may read it.
    """
    try:
        with Path(path).open(encoding="utf-8-sig") as file:  # editors on Windows mark it
            mode = os.fstat(file.fileno()).st_mode
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the {kind} file {path} cannot be read: {error}") from None
    if os.name == "posix" and mode & stat.S_IRWXO:
        raise SettingsError(
            f"the {kind} file {path} is open to every user of this machine "
            f"(mode {stat.S_IMODE(mode):o}): run `chmod o= {path}`"
        )
    return text


def digest_of(secret: str) -> bytes:
    """Return the digest of a secret in its UTF-8."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def hashed_token() -> tuple[str, str]:
    """Return a new token, and its line for an access file."""
    token = secrets.token_urlsafe(32)
    return token, f"sha256:{digest_of(token).hex()}"


def _parse_digest(text: str) -> bytes:
    digest = bytes.fromhex(text)
    if len(digest) != hashlib.sha256().digest_size:
        raise ValueError
    return digest
