"""The page of what was done to all models."""

from __future__ import annotations

from registry_core import Registry
from registry_server.pages.answers import View
from registry_server.pages.requests import PageRequest
from registry_server.pages.views import timeline


def show(request: PageRequest, registry: Registry) -> View:
    """Return what was done, newest first."""
    page = timeline.read(request, registry)
    return View(
        template="activity.html",
        context={"timeline": page, "kinds": timeline.KINDS, "asked": request.query},
        data=page.data,
    )
