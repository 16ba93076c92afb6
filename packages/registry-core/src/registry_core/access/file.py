"""The access file: TOML that people review, as the values that decisions are made of.

Strategy: whatever is not known is refused, because a misspelt key would otherwise grant or protect
something else than its author meant. Every error names the file, the table and the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from registry_core.access.credentials import Issuer, User, issuer_of, user_of
from registry_core.access.policy import EVERYBODY, ROLES, Grant, Policy, Protection
from registry_core.errors import InvalidArgumentError
from registry_core.gates import Gate, parse_gates
from registry_core.name_scope import PATTERN_MAX_LENGTH
from registry_core.permissions import Permission
from registry_core.toml_tables import (
    WHOLE_FILE,
    Table,
    TomlTableError,
    content_of,
    lines_of,
    listed,
    parsed,
    tables,
)
from registry_core.validation import actor

FILE_MAX_BYTES = 16 * 1024 * 1024
"""Bytes of an access file; ten thousand grants take two megabytes."""

_TABLES = ("user", "issuer", "role", "grant", "protect", "gate")


class AccessFileError(InvalidArgumentError):
    """A file of access rules that cannot be used; the message says where and why."""


@attrs.frozen(kw_only=True)
class AccessFile:
    """Everything that an access file says."""

    policy: Policy
    users: Mapping[str, User] = attrs.field(factory=dict)
    issuers: tuple[Issuer, ...] = ()
    gates: tuple[Gate, ...] = ()


def load(path: str | Path) -> AccessFile:
    """Return what an access file says.

    Raises:
        AccessFileError: It cannot be read, or used; the message names the table and the key.
    """
    try:
        content = content_of(Path(path), most=FILE_MAX_BYTES + 1)
    except TomlTableError as error:
        raise AccessFileError(str(error)) from None
    return parse(content, name=str(path))


def parse(content: bytes, *, name: str = "access.toml") -> AccessFile:
    """Return what the content of an access file says; `name` is what its errors call it.

    Raises:
        AccessFileError: As `load`.
    """
    if len(content) > FILE_MAX_BYTES:
        raise AccessFileError(f"{name}: is longer than {FILE_MAX_BYTES} bytes")
    try:
        text, values = parsed(content, name)
        Table(name, WHOLE_FILE, values).only(*_TABLES)
        return _Parser(name, text, values).result()
    except TomlTableError as error:
        raise AccessFileError(str(error)) from None


class _Parser:
    def __init__(self, file: str, text: str, values: dict[str, Any]) -> None:
        self._file = file
        self._text = text
        self._values = values
        self._roles = dict(ROLES)

    def result(self) -> AccessFile:
        for name, table in tables(self._file, self._values, "role"):
            if name in ROLES:
                raise TomlTableError(f"{self._file}: {table.name}: this role is known already")
            table.only("permissions")
            self._roles[name] = _permissions(table)
        users = {
            name: user_of(_proven(table, name), table)
            for name, table in tables(self._file, self._values, "user")
        }
        issuers = tuple(
            issuer_of(name, table) for name, table in tables(self._file, self._values, "issuer")
        )
        self._check_issuers(issuers)
        policy = Policy(
            grants=tuple(self._grant(*each) for each in self._listed("grant")),
            protections=tuple(_protection(*each) for each in self._listed("protect")),
        )
        return AccessFile(
            policy=policy,
            users=users,
            issuers=issuers,
            gates=parse_gates(self._values, file=self._file, lines=lines_of(self._text, "gate")),
        )

    def _listed(self, key: str) -> list[tuple[str, Table]]:
        return [*listed(self._file, self._values, key, lines_of(self._text, key))]

    def _check_issuers(self, issuers: tuple[Issuer, ...]) -> None:
        for key in ("issuer", "prefix"):
            seen = set()
            for each in issuers:
                value = getattr(each, key)
                if value in seen:
                    raise TomlTableError(
                        f"{self._file}: [issuer.{each.name}]: '{key}' is that of another table"
                    )
                seen.add(value)

    def _grant(self, place: str, table: Table) -> Grant:
        table.only("users", "groups", "role", "permissions", "models", "aliases")
        users, groups = table.texts("users", ()), table.texts("groups", ())
        if not users and not groups:
            raise table.error("users", "or 'groups' must say who it is for")
        if EVERYBODY not in users and any("*" in each for each in users):
            raise table.error("users", f'has a pattern; only "{EVERYBODY}" alone stands for many')
        if table.has("role") == table.has("permissions"):
            raise table.error("role", "or 'permissions' must say what is granted, and not both")
        role = table.text("role") if table.has("role") else None
        if role is not None and role not in self._roles:
            raise table.error("role", f"must be one of {', '.join(self._roles)}")
        permissions = _permissions(table) if role is None else self._roles[role]
        models = _patterns(table, "models")
        if Permission.WEBHOOKS in permissions and role is None and models != ("*",):
            raise table.error("models", "cannot narrow down webhooks, which hear of every model")
        if table.has("aliases") and Permission.MOVE_ALIAS not in permissions:
            raise table.error(
                "aliases", f"mean nothing without the permission {Permission.MOVE_ALIAS}"
            )
        return Grant(
            users=frozenset(users),
            groups=frozenset(groups),
            role=role,
            permissions=permissions,
            models=models,
            aliases=_patterns(table, "aliases") if table.has("aliases") else None,
            place=place,
        )


def _protection(place: str, table: Table) -> Protection:
    table.only("models", "aliases")
    table.texts("aliases")
    return Protection(
        models=_patterns(table, "models"), aliases=_patterns(table, "aliases"), place=place
    )


def _permissions(table: Table) -> frozenset[Permission]:
    permissions = set()
    for each in table.texts("permissions"):
        try:
            permissions.add(Permission(each))
        except ValueError:
            known = ", ".join(Permission)
            raise table.error("permissions", f"has {each!r}; known are {known}") from None
    return frozenset(permissions)


def _patterns(table: Table, key: str) -> tuple[str, ...]:
    patterns = table.texts(key, ("*",))
    for each in patterns:
        if len(each) > PATTERN_MAX_LENGTH:
            raise table.error(key, f"has a pattern of more than {PATTERN_MAX_LENGTH} characters")
    return patterns


def _proven(table: Table, name: str) -> str:
    """Accept the name of a user, which becomes the actor of what the user does."""
    try:
        actor(name)
    except InvalidArgumentError as error:
        raise TomlTableError(f"{table.file}: {table.name}: {error}") from None
    if ":" in name or name == EVERYBODY:
        # Basic credentials end the name at the first colon; and an issuer's names may have one.
        raise TomlTableError(f"{table.file}: {table.name}: a name has no colon, and is not '*'")
    return name
