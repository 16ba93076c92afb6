"""Calls about approvals, and what gates say."""

from __future__ import annotations

from typing import cast

from registry_core import validation
from registry_core.authors import UNKNOWN_ACTOR, Author, Origin
from registry_core.calls.base import RegistryBase
from registry_core.changes import ApproveVersion, WithdrawApproval
from registry_core.errors import ConflictError, InvalidArgumentError, NotPermittedError
from registry_core.gating import Review, ServesReviews
from registry_core.models import Approval, ModelVersion, Status
from registry_core.store import approvals_of


class ApprovalCalls(RegistryBase):
    """Calls about approvals, and what gates say."""

    def approve_model_version(
        self,
        name: str,
        version: int | str,
        *,
        digest: str | None = None,
        reason: str | None = None,
    ) -> Approval:
        """Approve a model version as it is, and return the approval.

        It is bound to the digest of the version's manifest. Where this registry keeps no files of
        the version, it is bound to its fields: see `registry_core.gates.identity`. It counts for
        gates while that stays so. An earlier approval by the same actor goes.

        Args:
            name: The registered model.
            version: The number of the version, or its digits.
            digest: What the version has to be: what `review_model_version` says. By default
                whatever it is now.
            reason: Why, for the approval and the history.

        Raises:
            ConflictError: The version has another digest, or is not READY; nothing was changed.
            ModelVersionNotFoundError: There is no such version.
            NotPermittedError: Nobody knows who approves: the call came over HTTP, and the server
                has not proved a name.

        Example:
            >>> bob = registry.acting_as("bob")
            >>> bob.approve_model_version("churn", 2, reason="AUC 0.93").actor
            'bob'
        """
        name, number = validation.version_key(name, version)
        if digest is not None:
            validation.digest(digest)
        by = self._by(reason)
        if isinstance(self.store, ServesReviews):
            served = cast("ServesReviews", self.store)
            return served.approve_version(name, number, digest=digest, by=by)
        _check_name(by)
        model_version = self.store.get_model_version(name, number)
        approval = Approval(
            actor=by.actor,
            is_authenticated=by.is_authenticated,
            groups=by.groups,
            digest=self._approvable(model_version, digest),
            reason=by.reason,
        )
        change = ApproveVersion(name=name, version=number, approval=approval)
        return self._writer(reason).apply(change)

    def _approvable(self, version: ModelVersion, expected: str | None) -> str:
        subject = f"models:/{version.name}/{version.version}"
        if version.status is not Status.READY:
            raise ConflictError(
                f"{subject} is {version.status.value}: it may still change, and is approved when "
                "it is READY"
            )
        digest = self._gatekeeper.digest(version)
        if expected not in (None, digest):
            raise ConflictError(
                f"{subject} has the digest {digest}, and not {expected}: look at it again"
            )
        return digest

    def withdraw_model_version_approval(
        self, name: str, version: int | str, *, reason: str | None = None
    ) -> None:
        """Take back the own approval of a model version. What was promoted by it stays.

        Raises:
            ApprovalNotFoundError: There is none.
            ModelVersionNotFoundError: There is no such version.
            NotPermittedError: As `approve_model_version`.

        Example:
            >>> bob = registry.acting_as("bob")
            >>> approval = bob.approve_model_version("churn", 2)
            >>> bob.withdraw_model_version_approval("churn", 2, reason="the wrong one")
            >>> registry.review_model_version("churn", 2).approvals
            ()
        """
        name, number = validation.version_key(name, version)
        by = self._by(reason)
        if not isinstance(self.store, ServesReviews):
            _check_name(by)
        change = WithdrawApproval(name=name, version=number, actor=by.actor)
        self._writer(reason).apply(change)

    def review_model_version(self, name: str, version: int | str) -> Review:
        """Return a version's digest and approvals, and what gates would say if one moved it now.

        Every gate that covers the model has a verdict, for each alias and stage that it protects.

        Raises:
            ModelVersionNotFoundError: There is no such version.

        Example:
            >>> review = registry.review_model_version("churn", 3)
            >>> review.is_sealed, review.digest[:7], review.verdicts
            (True, 'sha256:', ())
        """
        name, number = validation.version_key(name, version)
        if isinstance(self.store, ServesReviews):
            return cast("ServesReviews", self.store).review_version(name, number)
        model_version = self.store.get_model_version(name, number)
        approvals = approvals_of(self.store, name).get(number, ())
        return self._gatekeeper.review(self.store, model_version, approvals, by=self._by(None))


def _check_name(by: Author) -> None:
    if by.origin is Origin.HTTP and not by.is_authenticated:
        raise NotPermittedError(
            "An approval is somebody's, and this server does not know whose: it lets callers in "
            "without a name"
        )
    if by.actor == UNKNOWN_ACTOR:
        raise InvalidArgumentError("An approval is somebody's: say who you are with REGISTRY_ACTOR")
