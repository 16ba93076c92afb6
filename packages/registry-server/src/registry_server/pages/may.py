"""What a page offers its reader: what he may do, and nothing that would be refused.

The door before the store decides; this only keeps from pages what it would refuse.
"""

from __future__ import annotations

from collections.abc import Callable

from registry_core.access import Permission
from registry_server.pages.requests import PageRequest


def change(request: PageRequest) -> bool:
    """Return whether the reader may change anything at all."""
    rights = request.rights
    return rights is None or any(grant.permissions != {Permission.READ} for grant in rights.grants)


def somewhere(request: PageRequest, *, is_read_only: bool) -> Callable[[str], bool]:
    """Return whether the reader may do something to any model: `may_somewhere("restore")`."""
    rights = request.rights

    def may_somewhere(permission: str) -> bool:
        if is_read_only or rights is None:
            return not is_read_only
        return any(Permission(permission) in grant.permissions for grant in rights.grants)

    return may_somewhere


def of(request: PageRequest, *, is_read_only: bool) -> Callable[..., bool]:
    """Return whether the reader may do something, as templates ask: `may("delete", model.name)`.

    Every form and every link to one asks for the permission of what it sends. Of `move-alias` the
    alias is asked for, too, where it is known: it may be protected.
    """
    rights = request.rights

    def may(permission: str, model: str | None = None, alias: str | None = None) -> bool:
        if is_read_only or rights is None:
            return not is_read_only
        return rights.allows(Permission(permission), model, alias)

    return may
