"""`Policy`: who may do what, and by which line of the file.

Strategy: a policy is looked at once for each caller, who gets `Rights` of his own: the grants of
his name and groups by permission, with names and prefixes where they are found at once. So a
decision costs the same with ten grants in the file and with ten thousand.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Final

import attrs

from registry_core.name_scope import (
    PATTERN_MAX_LENGTH,
    NameScope,
    begins_with,
    is_exact,
    regex_of,
)
from registry_core.permissions import Permission

ADMIN: Final = "admin"
"""The role that may do everything, with protected aliases, too."""

ROLES: Mapping[str, frozenset[Permission]] = {
    "reader": frozenset({Permission.READ}),
    "writer": frozenset(
        {
            Permission.READ,
            Permission.REGISTER,
            Permission.EDIT,
            Permission.MOVE_ALIAS,
            Permission.APPROVE,
        }
    ),
    ADMIN: frozenset(Permission),
}
"""What the roles that every file knows may do."""

EVERYBODY: Final = "*"
"""Stands, as a user of a grant, for every caller who has proved a name."""

RIGHTS_KEPT = 4_096
"""Callers whose rights are kept. Those of further ones are worked out again, in time that grows
with their own grants."""


@attrs.frozen(kw_only=True)
class Principal:
    """A caller who has proved a name."""

    name: str
    groups: frozenset[str] = frozenset()


@attrs.frozen(kw_only=True)
class Grant:
    """What some users and groups may do with the models that a pattern matches."""

    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    role: str | None = None
    permissions: frozenset[Permission]
    models: tuple[str, ...] = ("*",)
    aliases: tuple[str, ...] | None = None
    """The only aliases that may be moved, protected ones among them; None for all but protected
    ones."""
    place: str = ""
    """Where it stands: `line 12`, or its number where the line is not known."""

    @property
    def moves_protected(self) -> bool:
        """Whether it is for protected aliases, too: as far as it names them, or as an admin's."""
        return self.aliases is not None or self.role == ADMIN

    def moves(self, alias: str) -> bool:
        """Return whether the alias is one of those that it names, if it names any."""
        return self.aliases is None or any(map(_Matches(alias), self.aliases))

    def moves_every(self, aliases: tuple[str, ...]) -> bool:
        """Return whether one of its patterns has all of these aliases."""
        return self.aliases is None or any(
            all(_Matches(alias)(pattern) for alias in aliases) for pattern in self.aliases
        )

    def __str__(self) -> str:
        what = self.role or ", ".join(sorted(self.permissions))
        of = "" if self.aliases is None else f", aliases {', '.join(self.aliases)}"
        return f"{self.place}: [[grant]] {what} of models {', '.join(self.models)}{of}"


@attrs.frozen(kw_only=True)
class Protection:
    """Aliases that only those may move whose grant names them."""

    models: tuple[str, ...] = ("*",)
    aliases: tuple[str, ...]
    place: str = ""

    def covers(self, model: str, alias: str) -> bool:
        """Return whether it protects an alias of a model."""
        return any(map(_Matches(alias), self.aliases)) and any(map(_Matches(model), self.models))

    def __str__(self) -> str:
        return (
            f"{self.place}: [[protect]] aliases {', '.join(self.aliases)} of models "
            f"{', '.join(self.models)}"
        )


@attrs.frozen
class Decision:
    """Whether something is allowed, and why."""

    allowed: bool
    reason: str
    """A sentence for people, with the line of the file that decides."""
    grant: Grant | None = None
    """What allows it."""
    protection: Protection | None = None
    """What keeps it from who may move other aliases."""

    @property
    def told(self) -> str:
        """The reason for the caller: a protection may name models that the caller may not read."""
        if self.protection is None:
            return self.reason
        return self.reason.replace(str(self.protection), f"{self.protection.place}: [[protect]]")


@attrs.frozen(kw_only=True, slots=False, eq=False)
class Policy:
    """Everything that is granted. Whatever is not, is refused."""

    grants: tuple[Grant, ...] = ()
    protections: tuple[Protection, ...] = ()
    _rights: OrderedDict[tuple[str, frozenset[str]], Rights] = attrs.field(
        factory=OrderedDict, init=False, repr=False
    )

    def decide(
        self,
        principal: Principal,
        permission: Permission,
        model: str | None,
        alias: str | None = None,
    ) -> Decision:
        """Return whether a caller may do something, and which line of the file says so.

        Args:
            principal: The caller.
            permission: What the caller wants to do.
            model: The registered model; None for what is about all of them, such as webhooks.
            alias: Of `move-alias`: which one, or a stage after `STAGE_PREFIX`.
        """
        return self.rights(principal).decide(permission, model, alias)

    def rights(self, principal: Principal) -> Rights:
        """Return what a caller may do."""
        key = principal.name, principal.groups
        rights = self._rights.get(key)
        if rights is None:
            rights = self._rights[key] = Rights(principal, tuple(self._of(principal)), self)
            while len(self._rights) > RIGHTS_KEPT:
                try:
                    self._rights.popitem(last=False)
                except KeyError:  # Another thread has done so.
                    break
        return rights

    def protection(self, model: str, alias: str) -> Protection | None:
        """Return what protects an alias of a model; None if nothing does."""
        return next((each for each in self.protections if each.covers(model, alias)), None)

    def protections_of(self, model: str) -> Iterator[Protection]:
        """Yield what protects aliases of a model."""
        matches = _Matches(model)
        return (each for each in self.protections if any(map(matches, each.models)))

    def _of(self, principal: Principal) -> Iterator[Grant]:
        """The grants of a caller, in the order of the file."""
        by_user, by_group = self._by_subject
        places = {*by_user.get(principal.name, ()), *by_user.get(EVERYBODY, ())}
        for group in principal.groups:
            places.update(by_group.get(group, ()))
        return (self.grants[place] for place in sorted(places))

    @cached_property
    def _by_subject(self) -> tuple[Mapping[str, list[int]], Mapping[str, list[int]]]:
        users: dict[str, list[int]] = {}
        groups: dict[str, list[int]] = {}
        for place, grant in enumerate(self.grants):
            for user in grant.users:
                users.setdefault(user, []).append(place)
            for group in grant.groups:
                groups.setdefault(group, []).append(place)
        return users, groups


class _Grants:
    """The grants that one permission of one caller rests on, found by the name of a model."""

    def __init__(self, grants: Iterable[Grant]) -> None:
        # Where two grants have a pattern, the first of them is named.
        first: dict[str, Grant] = {}
        for grant in grants:
            for pattern in grant.models:
                first.setdefault(pattern, grant)
        self.scope = scope = NameScope.of(first)
        self._names = {name: first[name] for name in scope.names}
        self._prefixes = scope.prefixes
        self._of_prefix = tuple(first[f"{prefix}*"] for prefix in scope.prefixes)
        globs = frozenset(scope.globs)
        self._globs = [
            (re.compile(regex_of(pattern)).match, grant)
            for pattern, grant in first.items()
            if pattern in globs
        ]

    def of_all(self) -> Grant | None:
        """Return a grant for every model."""
        return self._of_prefix[0] if self._prefixes == ("",) else None

    def of(self, model: str) -> Grant | None:
        """Return a grant for the model."""
        by_name = self._names.get(model)
        if by_name is not None:
            return by_name
        place = begins_with(model, self._prefixes)
        if place is not None:
            return self._of_prefix[place]
        return next((grant for matches, grant in self._globs if matches(model)), None)


class Rights:
    """What one caller may do. Everything in it is worked out once, when it is first asked for."""

    def __init__(self, principal: Principal, grants: tuple[Grant, ...], policy: Policy) -> None:
        self.principal = principal
        self.policy = policy
        self.grants = grants
        self._by_permission: dict[Permission, _Grants] = {}
        self._reading = self._of(Permission.READ)

    def may_read(self, model: str) -> bool:
        """Return whether the model exists, as far as the caller can know."""
        return self._reading.of(model) is not None

    @cached_property
    def readable(self) -> NameScope | None:
        """The models that the caller may read; None for all."""
        scope = self._reading.scope
        return None if scope.is_everything else scope

    def allows(
        self, permission: Permission, model: str | None = None, alias: str | None = None
    ) -> bool:
        """Return whether the caller may do it; see `Policy.decide`."""
        return self.grant(permission, model, alias) is not None

    def grant(
        self, permission: Permission, model: str | None, alias: str | None = None
    ) -> Grant | None:
        """Return the grant by which the caller may do it; None if no grant allows it."""
        if alias is not None and model is not None:
            return self._grant_of_alias(model, alias)
        grants = self._of(permission)
        return grants.of_all() if model is None else grants.of(model)

    def may_move_all(self, model: str) -> Protection | None:
        """Return what protects an alias of the model from the caller, whichever it is.

        None if nothing.

        What one pattern protects, one pattern of a grant has to have: of what several have together
        nobody knows whether a gap is between them.
        """
        for protection in self.policy.protections_of(model):
            for pattern in protection.aliases:
                aliases = _extreme(pattern)
                if not any(
                    grant.moves_every(aliases) and grants.of(model) is not None
                    for grant, grants in self._moving_protected
                ):
                    return protection
        return None

    def decide(
        self, permission: Permission, model: str | None, alias: str | None = None
    ) -> Decision:
        """As `Policy.decide`, of this caller."""
        grant = self.grant(permission, model, alias)
        asked = f"{self.principal.name} may {{}}{permission}" + (
            " for all models" if model is None else f" on '{model}'"
        )
        if alias is not None:
            asked += f", alias '{alias}'"
        if grant is not None:
            return Decision(allowed=True, reason=f"{asked.format('')}, by {grant}", grant=grant)
        protection = (
            None if alias is None or model is None else self.policy.protection(model, alias)
        )
        return Decision(
            allowed=False,
            reason=f"{asked.format('not ')}: {self._lack(permission, model, protection)}",
            protection=protection,
        )

    def _lack(
        self, permission: Permission, model: str | None, protection: Protection | None
    ) -> str:
        if protection is not None:
            return f"it is protected by {protection}, and no grant of this caller names it"
        if model is not None and (other := self._reading.of(model)) is not None:
            return f"no grant gives it; the model may be read, by {other}"
        if permission is Permission.WEBHOOKS or model is None:
            return "no grant for all models gives it"
        return "no grant of this caller matches the model"

    def _grant_of_alias(self, model: str, alias: str) -> Grant | None:
        is_protected = self.policy.protection(model, alias) is not None
        if not is_protected and (free := self._moving_any.of(model)) is not None:
            return free
        for grant, grants in self._moving_protected:
            if grant.moves(alias):
                of_model = grants.of(model)
                if of_model is not None:
                    return of_model
        return None

    @cached_property
    def _moving_any(self) -> _Grants:
        return _Grants(
            each
            for each in self.grants
            if Permission.MOVE_ALIAS in each.permissions and each.aliases is None
        )

    @cached_property
    def _moving_protected(self) -> list[tuple[Grant, _Grants]]:
        """The grants by which the caller may move aliases that are protected."""
        return [
            (each, _Grants([each]))
            for each in self.grants
            if Permission.MOVE_ALIAS in each.permissions and each.moves_protected
        ]

    def _of(self, permission: Permission) -> _Grants:
        granted = self._by_permission.get(permission)
        if granted is None:
            granted = self._by_permission[permission] = _Grants(
                each
                for each in self.grants
                if permission is Permission.READ or permission in each.permissions
            )
        return granted


def encode_grant(grant: Grant) -> dict[str, object]:
    """Return what a grant gives, as JSON; not to whom else."""
    return {
        "place": grant.place,
        "role": grant.role,
        "permissions": sorted(grant.permissions),
        "models": list(grant.models),
        "aliases": None if grant.aliases is None else list(grant.aliases),
    }


def _extreme(pattern: str) -> tuple[str, ...]:
    """The shortest text that a pattern of aliases matches, and one that is as long as any pattern.

    A pattern that matches both has a `*` where it has one, and not `?`, which is for one character.
    """
    if "*" not in pattern:
        return (pattern,)
    return pattern.replace("*", ""), pattern.replace("*", "\0" * PATTERN_MAX_LENGTH)


@attrs.frozen
class _Matches:
    """Whether a pattern matches a text, as a function of the pattern."""

    text: str

    def __call__(self, pattern: str) -> bool:
        if pattern == "*":
            return True
        if is_exact(pattern):
            return pattern == self.text
        return re.match(regex_of(pattern), self.text) is not None
