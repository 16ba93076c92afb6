"""What each route needs of its caller: one table, which has every route there is.

Strategy: the core decides at the door of the store, whatever route a call comes by. This table says
the same from the outside, before anything is done, and an application does not start with a route
that is not in it: to add a route that changes nothing, say here who may call it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping

import attrs
from litestar.handlers import HTTPRouteHandler
from litestar.handlers.asgi_handlers import ASGIRouteHandler

from registry_core.access import Permission, Rights
from registry_core.access.door import refusal
from registry_core.wire.routes import ROUTES


class Audience(enum.Enum):
    """Who may call a route at all, on a server that asks for names."""

    ANYBODY = enum.auto()
    """Callers who have shown nothing, too."""
    CALLERS = enum.auto()
    """Callers who have proved a name; the answer has what the caller may see."""
    PERMITTED = enum.auto()
    """Callers who have a permission."""


@attrs.frozen
class Declaration:
    """What one route needs."""

    audience: Audience
    permission: Permission | None = None
    of_all: bool = False
    """Whether the permission is needed for all models, because the route is about all of them."""
    fields: tuple[str, ...] = ("name",)
    """The fields of the request that name models for which it is needed."""

    def check(self, rights: Rights, request: object) -> None:
        """Return if the caller may make the request, as far as that is known beforehand.

        A model that may not be read passes: it is answered as what is missing.

        Raises:
            NotPermittedError: The caller may not.
        """
        permission = self.permission
        if permission is None:
            return
        if self.of_all:
            if not rights.allows(permission):
                raise refusal(rights, permission, None)
            return
        if permission is Permission.READ:
            return  # What may not be read passes, and what may be read is allowed.
        for field in self.fields:
            name = getattr(request, field, None)
            is_known = isinstance(name, str) and rights.may_read(name)
            if is_known and not rights.allows(permission, name):
                raise refusal(rights, permission, name)


OPEN = Declaration(Audience.ANYBODY)
CALLERS = Declaration(Audience.CALLERS)


def _of(permission: Permission, *fields: str) -> Declaration:
    return Declaration(Audience.PERMITTED, permission, fields=fields or ("name",))


def _of_all(permission: Permission) -> Declaration:
    return Declaration(Audience.PERMITTED, permission, of_all=True)


_READ, _EDIT = _of(Permission.READ), _of(Permission.EDIT)
_REGISTER, _DELETE = _of(Permission.REGISTER), _of(Permission.DELETE)
_MOVE, _RESTORE = _of(Permission.MOVE_ALIAS), _of(Permission.RESTORE)
_WEBHOOKS = _of_all(Permission.WEBHOOKS)

DECLARATIONS: Mapping[str, Declaration] = {
    # What makes a change needs what the change needs
    **{row.id: _of(row.change.permission, *row.names) for row in ROUTES.values()},
    # MLflow's operations that read
    "getRegisteredModel": _READ,
    "searchRegisteredModels": CALLERS,
    "listRegisteredModels": CALLERS,
    "getLatestVersions": _READ,
    "getLatestVersionsByQuery": _READ,
    "getModelVersionByAlias": _READ,
    "getModelVersion": _READ,
    "searchModelVersions": CALLERS,
    "getModelVersionDownloadUri": _READ,
    # Our own
    "getModelHistory": _READ,
    "getActivity": CALLERS,
    "pruneModelHistory": _of(Permission.PRUNE),
    "getModelSnapshot": _READ,
    "putModelSnapshot": _RESTORE,
    # A server that knows its callers takes no snapshot from anybody.
    "uploadModelSnapshot": CALLERS,
    "putAlias": _MOVE,
    "removeAlias": _MOVE,
    "putModelTag": _EDIT,
    "removeModelTag": _EDIT,
    "putVersionTag": _EDIT,
    "removeVersionTag": _EDIT,
    "putStage": _MOVE,
    "beginPush": _REGISTER,
    "finishPush": _REGISTER,
    "getVersionFiles": _READ,
    "beginAdoption": _REGISTER,
    "finishAdoption": _REGISTER,
    "getModelApprovals": _READ,
    "getVersionApprovals": _READ,
    "approveModelVersion": _of(Permission.APPROVE),
    "withdrawModelVersionApproval": _of(Permission.APPROVE),
    "whoami": CALLERS,
    # Webhooks, which get events of every model
    **{
        each.format(which): _WEBHOOKS
        for which in ("Webhook", "AnyWebhook")
        for each in ("create{}", "list{}s", "get{}", "update{}", "delete{}", "test{}")
    },
    "getWebhookDeliveries": _WEBHOOKS,
    "redeliverToWebhook": _WEBHOOKS,
    # Beside the registry
    "health": OPEN,
    "ready": OPEN,
    "version": OPEN,
    "server_info": OPEN,
    "metrics": CALLERS,
    "openapi": CALLERS,
    # Who may do what with which file is decided by its path, in `artifacts`.
    "artifacts": CALLERS,
    # Pages show what their reader may see, and do what he may do, in `pages`.
    "pages": CALLERS,
    "signin": OPEN,
}
"""By the id of the operation, or the name of the route."""


PAGES: Mapping[str, Declaration] = {
    "": CALLERS,
    "models": CALLERS,
    "prompts": CALLERS,
    "activity": CALLERS,
    "trash": CALLERS,
    "new": CALLERS,
    "webhooks": _WEBHOOKS,
    "about": CALLERS,
    "access": CALLERS,
    "static": OPEN,
}
"""By the first segment of the path of a page. What is on a page, and what its forms do, is decided
at the door of the store, too."""


def declared_name(route: ASGIRouteHandler | HTTPRouteHandler) -> str:
    """Return what a route beside the operations is declared as: its name, without a number.

    A route without a name is declared as nothing.
    """
    return (route.name or f"the route {' '.join(sorted(route.paths))}").rstrip("0123456789")


class UndeclaredRouteError(Exception):
    """An application has a route of which this table does not say who may call it."""


def check_all(routes: Iterable[str], pages: Iterable[str] = ()) -> None:
    """Return if all of the routes and pages are declared.

    Raises:
        UndeclaredRouteError: One is not.
    """
    missing = sorted({*(set(routes) - DECLARATIONS.keys()), *(set(pages) - PAGES.keys())})
    if missing:
        raise UndeclaredRouteError(
            f"no declaration in {__name__} says who may call {', '.join(missing)}"
        )
