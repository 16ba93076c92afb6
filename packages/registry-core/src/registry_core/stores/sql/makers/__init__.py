"""What makes each class of change in a database.

Strategy: whatever a change depends on is decided by one statement, or under the lock of the model's
row, which a transaction takes before it does anything else. The number of an event is taken under
the same lock; see `events`. The same statements queue the deliveries to webhooks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from registry_core.authors import Author
from registry_core.changes import (
    ApproveVersion,
    Change,
    CreateModel,
    CreateVersion,
    DeleteAlias,
    DeleteModel,
    DeleteModelTag,
    DeleteVersion,
    DeleteVersionTag,
    FinalizeVersion,
    RelocateVersion,
    RenameModel,
    RestoreDeletedModel,
    RestoreModel,
    RestoreVersion,
    SetAlias,
    SetModelTag,
    SetVersionTag,
    TransitionVersion,
    UpdateModel,
    UpdateVersion,
    WithdrawApproval,
)
from registry_core.errors import UnsupportedBackendError
from registry_core.stores.sql.makers.approvals import ApprovalMaker
from registry_core.stores.sql.makers.gates import version_key
from registry_core.stores.sql.makers.models import ModelMaker
from registry_core.stores.sql.makers.parts import PartMaker
from registry_core.stores.sql.makers.restores import RestoreMaker
from registry_core.stores.sql.makers.versions import VersionMaker

__all__ = ["Making", "version_key"]

ResultT = TypeVar("ResultT")


class Making(ModelMaker, VersionMaker, PartMaker, ApprovalMaker, RestoreMaker):
    """Makes changes, and notes them as events."""

    def make(self, change: Change[ResultT], by: Author) -> ResultT:
        """Return the result of a change that has been made durable."""
        make = MAKERS.get(type(change))
        if make is None:
            raise UnsupportedBackendError(f"A database cannot make the change {type(change)}")
        result: ResultT = make(self, change, by)
        return result


MAKERS: Mapping[type[Change[Any]], Callable[[Any, Any, Author], Any]] = {
    CreateModel: ModelMaker.create_model,
    UpdateModel: ModelMaker.update_model,
    RenameModel: ModelMaker.rename_model,
    DeleteModel: ModelMaker.delete_model,
    CreateVersion: VersionMaker.create_version,
    UpdateVersion: VersionMaker.update_version,
    FinalizeVersion: VersionMaker.finalize_version,
    RelocateVersion: VersionMaker.relocate_version,
    TransitionVersion: VersionMaker.transition_version,
    DeleteVersion: VersionMaker.delete_version,
    SetAlias: PartMaker.set_alias,
    DeleteAlias: PartMaker.delete_alias,
    SetModelTag: PartMaker.set_model_tag,
    DeleteModelTag: PartMaker.delete_model_tag,
    SetVersionTag: PartMaker.set_version_tag,
    DeleteVersionTag: PartMaker.delete_version_tag,
    ApproveVersion: ApprovalMaker.approve_version,
    WithdrawApproval: ApprovalMaker.withdraw_approval,
    RestoreModel: RestoreMaker.restore_model,
    RestoreDeletedModel: RestoreMaker.restore_model,
    RestoreVersion: RestoreMaker.restore_version,
}
"""What makes each class of change."""
