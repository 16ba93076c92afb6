"""Every change of a registered model, as a value.

A store has one method that writes: it takes one of these. A change says which registered model it
is about, applies itself to the model's document, and says what its caller gets. Whatever has to
look at changes (a store, a history, a permission, a webhook) looks at their class and fields.

| change | what it does |
| --- | --- |
| `CreateModel`, `UpdateModel`, `RenameModel`, `DeleteModel` | a registered model |
| `CreateVersion`, `UpdateVersion`, `FinalizeVersion`, `RelocateVersion`, `TransitionVersion`, `DeleteVersion` | a model version |
| `RestoreModel`, `RestoreLargeModel`, `RestoreDeletedModel` | a registered model with everything that belongs to it |
| `RestoreVersion` | a model version that was deleted |
| `SetAlias`, `DeleteAlias` | an alias |
| `ApproveVersion`, `WithdrawApproval` | an approval of a model version |
| `SetModelTag`, `DeleteModelTag`, `SetVersionTag`, `DeleteVersionTag` | a tag |

Values are valid when a change is made: `Registry` has checked them.
"""  # noqa: E501 a table

from registry_core.changes.approvals import ApproveVersion, WithdrawApproval
from registry_core.changes.base import CHANGES, Change
from registry_core.changes.models import CreateModel, DeleteModel, RenameModel, UpdateModel
from registry_core.changes.parts import (
    DeleteAlias,
    DeleteModelTag,
    DeleteVersionTag,
    SetAlias,
    SetModelTag,
    SetVersionTag,
)
from registry_core.changes.restores import (
    RestoreDeletedModel,
    RestoreLargeModel,
    RestoreModel,
    in_memory,
    restores_in_pieces,
)
from registry_core.changes.stages import RestoreVersion, TransitionVersion
from registry_core.changes.versions import (
    CreateVersion,
    DeleteVersion,
    FinalizeVersion,
    RelocateVersion,
    UpdateVersion,
)

__all__ = [
    "CHANGES",
    "ApproveVersion",
    "Change",
    "CreateModel",
    "CreateVersion",
    "DeleteAlias",
    "DeleteModel",
    "DeleteModelTag",
    "DeleteVersion",
    "DeleteVersionTag",
    "FinalizeVersion",
    "RelocateVersion",
    "RenameModel",
    "RestoreDeletedModel",
    "RestoreLargeModel",
    "RestoreModel",
    "RestoreVersion",
    "SetAlias",
    "SetModelTag",
    "SetVersionTag",
    "TransitionVersion",
    "UpdateModel",
    "UpdateVersion",
    "WithdrawApproval",
    "in_memory",
    "restores_in_pieces",
]
