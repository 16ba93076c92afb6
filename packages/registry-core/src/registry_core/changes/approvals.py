"""Changes of approvals."""

from __future__ import annotations

from typing import ClassVar, Self

import attrs

from registry_core import approvals, documents, history
from registry_core.changes.base import Change, ModelPartChange, NamedChange
from registry_core.changes.playing import fields_of, key_of, number_of
from registry_core.documents import ModelDocument
from registry_core.errors import ApprovalNotFoundError
from registry_core.history import Action, Effect, Event, Value
from registry_core.models import Approval, WebhookAction
from registry_core.permissions import Permission
from registry_core.topics import OF_VERSIONS, Topics, own_topics


@attrs.frozen(kw_only=True)
class ApproveVersion(NamedChange, Change[Approval]):
    """Approve a model version, in place of an earlier approval by the same actor.

    One that says what the earlier one said changes nothing. No timestamp moves.

    Raises:
        ModelVersionNotFoundError: The version, or its model, does not exist.
    """

    action: ClassVar[Action] = Action.APPROVE_VERSION
    permission: ClassVar[Permission] = Permission.APPROVE
    topics: ClassVar[Topics] = own_topics(OF_VERSIONS, WebhookAction.APPROVED)
    is_gated: ClassVar[bool] = False

    version: int
    approval: Approval
    """Its time does not matter: it is given now."""

    def apply(self, document: ModelDocument | None, now: int) -> ModelDocument:
        """See `Change`."""
        before = documents.present(document, self.name, self.version)
        return approvals.approve(before, self.version, self.dated(now))

    def dated(self, now: int) -> Approval:
        """Return the approval as it is kept."""
        return attrs.evolve(self.approval, time=now)

    def result(self, document: ModelDocument | None) -> Approval:
        """See `Change`."""
        assert document is not None, "the change keeps the model"
        approval = approvals.given_by(document, self.version, self.approval.actor)
        assert approval is not None, "it is there now"
        return approval

    def effects(self, before: ModelDocument | None, after: ModelDocument | None) -> list[Effect]:
        """See `Change`."""
        assert before is not None, "only an existing version is approved"
        earlier = approvals.given_by(before, self.version, self.approval.actor)
        return [self.effect(earlier, self.result(after))]

    def effect(self, earlier: Approval | None, approval: Approval) -> Effect:
        """Return what the change does where its actor had given an earlier approval, or none."""
        return Effect(
            action=Action.APPROVE_VERSION,
            version=self.version,
            key=approval.actor,
            before=history.approval_fields(earlier),
            after=history.approval_fields(approval),
        )

    @classmethod
    def replay(cls, document: ModelDocument | None, event: Event) -> ModelDocument:
        """See `Change`. A beginning says when it was given."""
        fields = fields_of(event)
        approval = Approval(
            actor=key_of(event),
            is_authenticated=fields.get("is_authenticated", False),
            groups=tuple(fields.get("groups", ())),
            digest=fields["digest"],
            reason=fields.get("reason"),
            time=fields["time"],
        )
        number = number_of(event)
        return approvals.approve(documents.present(document, event.name), number, approval)

    @classmethod
    def former(cls, document: ModelDocument, event: Event) -> Value:
        """See `Change`."""
        given = approvals.given_by(document, number_of(event), key_of(event))
        return history.approval_fields(given)


@attrs.frozen(kw_only=True)
class WithdrawApproval(ModelPartChange):
    """Take an approval back. No timestamp moves, and nothing that was promoted by it.

    Raises:
        ApprovalNotFoundError: There is none by this actor.
        ModelVersionNotFoundError: The version, or its model, does not exist.
    """

    action: ClassVar[Action] = Action.WITHDRAW_APPROVAL
    permission: ClassVar[Permission] = Permission.APPROVE
    topics: ClassVar[Topics] = own_topics(OF_VERSIONS, WebhookAction.APPROVAL_WITHDRAWN)
    is_gated: ClassVar[bool] = False

    version: int
    actor: str

    def apply(self, document: ModelDocument | None, now: int) -> ModelDocument:
        """See `Change`."""
        before = documents.present(document, self.name, self.version)
        return approvals.withdraw(before, self.version, self.actor)

    def effects(self, before: ModelDocument | None, after: ModelDocument | None) -> list[Effect]:
        """See `Change`."""
        assert before is not None, "only an existing version has approvals"
        return [self.effect(approvals.given_by(before, self.version, self.actor))]

    def effect(self, withdrawn: Approval | None) -> Effect:
        """Return what the change does to an approval."""
        return Effect(
            action=Action.WITHDRAW_APPROVAL,
            version=self.version,
            key=self.actor,
            before=history.approval_fields(withdrawn),
        )

    def missing(self) -> ApprovalNotFoundError:
        """Return the error where no approval can be withdrawn."""
        return ApprovalNotFoundError(self.name, self.version, self.actor)

    @classmethod
    def of_event(cls, event: Event) -> Self:
        """See `Change`."""
        return cls(name=event.name, version=number_of(event), actor=key_of(event))

    @classmethod
    def former(cls, document: ModelDocument, event: Event) -> Value:
        """See `Change`."""
        given = approvals.given_by(document, number_of(event), key_of(event))
        return history.approval_fields(given)
