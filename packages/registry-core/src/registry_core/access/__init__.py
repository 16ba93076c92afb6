"""Who may do what: one reviewed file, and the decisions that follow from it.

`load` reads the file, a `Policy` decides, and `GuardedStore` is the door at which every read and
every change of a caller is decided. All of it is in memory and without a lock, so that a read in an
event loop never waits for it.

Strategy: what is not granted is refused, and what one may not read does not exist: it is answered
as what is missing. A decision names the grant it rests on, and where in the file that stands.
"""

from registry_core.access.door import GuardedStore
from registry_core.access.file import AccessFile, AccessFileError, load, parse
from registry_core.access.policy import (
    ROLES,
    Decision,
    Grant,
    Policy,
    Principal,
    Protection,
    Rights,
)
from registry_core.permissions import Need, Permission

__all__ = [
    "ROLES",
    "AccessFile",
    "AccessFileError",
    "Decision",
    "Grant",
    "GuardedStore",
    "Need",
    "Permission",
    "Policy",
    "Principal",
    "Protection",
    "Rights",
    "load",
    "parse",
]
