"""The panel of a version that shows who has approved it and what gates say, and its forms."""

from __future__ import annotations

from registry_core import ModelVersion, Origin, Registry
from registry_core.gating import Review
from registry_core.store import approvals_of
from registry_server.http.parts import ANONYMOUS
from registry_server.pages import links
from registry_server.pages.answers import Redirect
from registry_server.pages.requests import PageRequest


def review_of(request: PageRequest, registry: Registry, version: ModelVersion) -> Review | None:
    """Return what gates say of a version to the reader; None where nobody asks for approvals."""
    is_covered = bool(registry.gates.covering(version.name))
    if not is_covered and version.version not in approvals_of(registry.store, version.name):
        return None
    viewer = registry.acting_as(
        request.user or ANONYMOUS, origin=Origin.HTTP, is_authenticated=request.user is not None
    )
    return viewer.review_model_version(version.name, version.version)


def approve(request: PageRequest, registry: Registry, name: str, number: str) -> Redirect:
    """Approve a version, if it is what the page has shown."""
    registry.approve_model_version(name, number, digest=request.text("digest") or None)
    return Redirect(to=links.version(name, number), notice=f"You approve version {number}.")


def withdraw(request: PageRequest, registry: Registry, name: str, number: str) -> Redirect:  # noqa: ARG001 as all views
    """Take the viewer's approval back."""
    registry.withdraw_model_version_approval(name, number)
    return Redirect(to=links.version(name, number), notice="Your approval was withdrawn.")
