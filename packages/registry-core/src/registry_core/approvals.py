"""Approvals of the versions of a model, as pure functions on its document."""

from __future__ import annotations

import attrs

from registry_core.documents import ModelDocument, by_actor, model_version, without
from registry_core.errors import ApprovalNotFoundError
from registry_core.models import Approval


def approve(doc: ModelDocument, version: int, approval: Approval) -> ModelDocument:
    """Return the version with that approval, in place of one that its actor gave before.

    One that only the time tells from the one before changes nothing.
    """
    model_version(doc, version)
    before = given_by(doc, version, approval.actor)
    if says_the_same(before, approval):
        return doc
    others = (each for each in doc.approvals.get(version, ()) if each.actor != approval.actor)
    changed = by_actor((*others, approval))
    return attrs.evolve(doc, approvals=dict(sorted({**doc.approvals, version: changed}.items())))


def says_the_same(before: Approval | None, approval: Approval) -> bool:
    """Return whether only the time tells an approval from the one before."""
    return before is not None and attrs.evolve(approval, time=before.time) == before


def withdraw(doc: ModelDocument, version: int, actor: str) -> ModelDocument:
    """Return the version without the approval of that actor.

    Raises:
        ApprovalNotFoundError: there is none.
    """
    model_version(doc, version)
    if given_by(doc, version, actor) is None:
        raise ApprovalNotFoundError(doc.name, version, actor)
    left = tuple(each for each in doc.approvals[version] if each.actor != actor)
    approvals = {**doc.approvals, version: left} if left else without(doc.approvals, version)
    return attrs.evolve(doc, approvals=approvals)


def given_by(doc: ModelDocument, version: int, actor: str) -> Approval | None:
    """Return the approval that an actor has given to a version, if any."""
    approvals = doc.approvals.get(version, ())
    return next((each for each in approvals if each.actor == actor), None)
