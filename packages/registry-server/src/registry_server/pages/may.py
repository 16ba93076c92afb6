"""What a page offers its reader: what he may do, and nothing that would be refused.

The door before the store decides; this only keeps from pages what it would refuse.
"""

from __future__ import annotations

from collections.abc import Callable

from registry_core.access import Permission
from registry_server.pages.requests import PageRequest

_CHANGES = (
    Permission.EDIT,
    Permission.MOVE_ALIAS,
    Permission.REGISTER,
    Permission.DELETE,
    Permission.RESTORE,
)


def change(request: PageRequest) -> bool:
    """Whether the reader may change anything of what the page is about.

    An approval changes nothing: its form asks for the permission itself, by `of`.
    """
    rights = request.rights
    if rights is None:
        return True
    section = request.segments[0] if request.segments else ""
    if section == "webhooks":
        return rights.allows(Permission.WEBHOOKS)
    if section == "trash":
        return any(Permission.RESTORE in grant.permissions for grant in rights.grants)
    if section == "models" and len(request.segments) > 1:
        return any(rights.allows(each, request.segments[1]) for each in _CHANGES)
    return any(Permission.REGISTER in grant.permissions for grant in rights.grants)


def of(request: PageRequest) -> Callable[..., bool]:
    """Whether the reader may do something, as templates ask: `may("delete", model.name)`."""
    rights = request.rights

    def may(permission: str, model: str | None = None, alias: str | None = None) -> bool:
        return rights is None or rights.allows(Permission(permission), model, alias)

    return may
