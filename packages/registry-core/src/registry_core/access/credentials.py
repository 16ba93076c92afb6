"""What the file says of how callers prove who they are: values, without a way to check them."""

from __future__ import annotations

import re
from typing import Final

import attrs

from registry_core.toml_tables import Table

TOKEN_FORM: Final = re.compile(r"sha256:(?P<digest>[0-9a-fA-F]{64})\Z")
"""A token of high entropy, by the digest of its UTF-8."""

PASSWORD_FORM: Final = re.compile(
    r"scrypt:(?P<n>[0-9]{1,9}):(?P<r>[0-9]{1,5}):(?P<p>[0-9]{1,5}):(?P<salt>[0-9a-fA-F]+)"
    r":(?P<key>[0-9a-fA-F]{64})\Z"
)
"""A password that somebody has chosen, as a key of scrypt, which is slow on purpose."""

ALGORITHMS: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)
"""The signatures that a token of an issuer may have: those whose key cannot be used to sign."""

_ISSUER_URL = re.compile(
    r"https://[^/?#\s]+[^?#\s]*\Z"
    r"|http://(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]+)?(?:/[^?#\s]*)?\Z"
)

LEEWAY_MAX_SECONDS: Final = 300
"""How far the clocks of an issuer and of this machine may differ at most."""


@attrs.frozen(kw_only=True)
class Secret:
    """A hashed secret, and until when it is good."""

    hash: str = attrs.field(repr=False)
    expires: float | None = None
    """Seconds since the epoch; None for never."""
    note: str = ""
    """What people call it."""

    def is_good(self, now: float) -> bool:
        """Return whether it has not expired."""
        return self.expires is None or now < self.expires


@attrs.frozen(kw_only=True)
class User:
    """A user of the file itself. Several secrets are good at once, so that they can be changed."""

    name: str
    groups: frozenset[str] = frozenset()
    tokens: tuple[Secret, ...] = ()
    passwords: tuple[Secret, ...] = ()


@attrs.frozen(kw_only=True)
class Issuer:
    """An OpenID Connect provider whose tokens prove names and groups."""

    name: str
    """What the file calls it."""
    issuer: str
    """The URL that its tokens have in `iss`, and below which it describes itself."""
    audience: str
    """What its tokens have in `aud` if they are meant for this server."""
    name_claim: str = "sub"
    groups_claim: str = "groups"
    prefix: str = ""
    """Begins every name and every group of this issuer, so that it can prove nobody else's."""
    algorithms: tuple[str, ...] = ("RS256", "ES256")
    leeway_seconds: int = 60
    client_id: str | None = None
    """By which the sign-in page asks it; None where only tokens are taken."""
    client_secret: str | None = attrs.field(default=None, repr=False)


def user_of(name: str, table: Table) -> User:
    """Return the user of a table."""
    table.only("groups", "tokens", "passwords")
    return User(
        name=name,
        groups=frozenset(table.texts("groups", ())),
        tokens=tuple(_secrets(table, "tokens", TOKEN_FORM, "sha256:<64 hex digits>")),
        passwords=tuple(_secrets(table, "passwords", PASSWORD_FORM, "scrypt:<n>:<r>:<p>:...")),
    )


def _secrets(table: Table, key: str, form: re.Pattern[str], meant: str) -> list[Secret]:
    secrets = []
    for each in table.items(key):
        if isinstance(each, str):
            secret = Secret(hash=each)
        else:
            each.only("hash", "expires", "note")
            secret = Secret(
                hash=each.text("hash"), expires=each.moment("expires"), note=each.text("note", "")
            )
        # What was written is not repeated: it may be a secret in plain.
        if form.match(secret.hash) is None:
            raise table.error(
                key, f"has a hash that is not {meant}; `registry-server hash` makes one"
            )
        secrets.append(secret)
    return secrets


def issuer_of(name: str, table: Table) -> Issuer:
    """Return the issuer of a table."""
    table.only(*_ISSUER_KEYS)
    url = table.text("issuer")
    if _ISSUER_URL.match(url) is None:
        raise table.error("issuer", "must be an https URL (http only on this machine)")
    algorithms = table.texts("algorithms", ("RS256", "ES256"))
    for each in algorithms:
        if each not in ALGORITHMS:
            raise table.error("algorithms", f"has {each!r}; allowed are {', '.join(ALGORITHMS)}")
    return Issuer(
        name=name,
        issuer=url,
        audience=table.text("audience"),
        name_claim=table.text("name_claim", "sub"),
        groups_claim=table.text("groups_claim", "groups"),
        prefix=table.text("prefix", "") if table.has("prefix") else f"{name}:",
        algorithms=algorithms,
        leeway_seconds=table.number("leeway_seconds", 60, low=0, high=LEEWAY_MAX_SECONDS),
        client_id=table.text("client_id") if table.has("client_id") else None,
        client_secret=table.text("client_secret") if table.has("client_secret") else None,
    )


_ISSUER_KEYS = (
    "issuer",
    "audience",
    "name_claim",
    "groups_claim",
    "prefix",
    "algorithms",
    "leeway_seconds",
    "client_id",
    "client_secret",
)
