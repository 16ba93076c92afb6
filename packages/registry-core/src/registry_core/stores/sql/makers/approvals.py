"""What makes changes of approvals."""

from __future__ import annotations

from registry_core.approvals import says_the_same
from registry_core.authors import Author
from registry_core.changes import ApproveVersion, WithdrawApproval
from registry_core.errors import ModelVersionNotFoundError
from registry_core.models import Approval
from registry_core.stores.sql import approvals
from registry_core.stores.sql.driver import Connection
from registry_core.stores.sql.makers.base import Maker, key_of, makes


class ApprovalMaker(Maker):
    """Makes changes of approvals, each under the lock of the model's row."""

    @makes(ApproveVersion)
    def approve_version(self, change: ApproveVersion, by: Author) -> Approval:
        """See `Making`."""
        now = self._clock()

        def approve(connection: Connection) -> tuple[Approval, bool]:
            earlier = self._given(connection, change, change.approval.actor)
            approval = change.dated(now)
            if earlier is not None and says_the_same(earlier, approval):
                return earlier, False
            values = approvals.values_of(change.name, change.version, approval)
            connection.run(self._sql.delete_approval, values)
            connection.run(self._sql.put_approval, values)
            effects = [change.effect(earlier, approval)]
            noted = self._note(connection, change.name, effects, by, now)
            self._queue(connection, change, noted)
            return approval, True

        approval, has_changed = self._database.transaction(approve, model=change.name)
        if not has_changed:
            self._unchanged(change)
        return approval

    @makes(WithdrawApproval)
    def withdraw_approval(self, change: WithdrawApproval, by: Author) -> None:
        """See `Making`."""
        now = self._clock()

        def withdraw(connection: Connection) -> None:
            withdrawn = self._given(connection, change, change.actor)
            if withdrawn is None:
                raise change.missing()
            connection.run(self._sql.delete_approval, key_of(change) | {"actor": change.actor})
            effects = [change.effect(withdrawn)]
            noted = self._note(connection, change.name, effects, by, now)
            self._queue(connection, change, noted)

        self._database.transaction(withdraw, model=change.name)

    def _given(
        self, connection: Connection, change: ApproveVersion | WithdrawApproval, actor: str
    ) -> Approval | None:
        """The approval by an actor, once the model is locked and the version is there."""
        values = key_of(change)
        if not connection.run(self._sql.lock_model, values) or not connection.run(
            self._sql.version_exists, values
        ):
            raise ModelVersionNotFoundError(change.name, change.version)
        self._check(connection, change.requires)
        by_version = approvals.approvals_of(connection.run(self._sql.get_approvals, values))
        of_version = by_version.get(values["version"], ())
        return next((each for each in of_version if each.actor == actor), None)
