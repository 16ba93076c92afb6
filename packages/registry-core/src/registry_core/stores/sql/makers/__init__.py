"""What makes each class of change in a database.

Strategy: whatever a change depends on is decided by one statement, or under the lock of the model's
row, which a transaction takes before it does anything else. The number of an event is taken under
the same lock; see `events`. The same statements queue the deliveries to webhooks.
"""

from __future__ import annotations

from typing import TypeVar

from registry_core.authors import Author
from registry_core.changes import Change
from registry_core.errors import UnsupportedBackendError
from registry_core.stores.sql.makers.approvals import ApprovalMaker
from registry_core.stores.sql.makers.base import MAKERS
from registry_core.stores.sql.makers.gates import version_key
from registry_core.stores.sql.makers.models import ModelMaker
from registry_core.stores.sql.makers.parts import PartMaker
from registry_core.stores.sql.makers.restores import RestoreMaker
from registry_core.stores.sql.makers.versions import VersionMaker

__all__ = ["MAKERS", "Making", "version_key"]

ResultT = TypeVar("ResultT")


class Making(ModelMaker, VersionMaker, PartMaker, ApprovalMaker, RestoreMaker):
    """Makes changes, and notes them as events. A method of it says itself what it `makes`."""

    def make(self, change: Change[ResultT], by: Author) -> ResultT:
        """Return the result of a change that has been made durable."""
        make = MAKERS.get(type(change))
        if make is None:
            raise UnsupportedBackendError(f"A database cannot make the change {type(change)}")
        result: ResultT = make(self, change, by)
        return result
