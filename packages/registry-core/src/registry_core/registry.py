"""`Registry`: everything about a model registry that does not depend on where it is kept."""

from __future__ import annotations

from registry_core.calls.adoptions import AdoptionCalls
from registry_core.calls.approvals import ApprovalCalls
from registry_core.calls.history import HistoryCalls
from registry_core.calls.prompts import PromptCalls
from registry_core.calls.snapshots import SnapshotCalls
from registry_core.calls.trash import TrashCalls


class Registry(PromptCalls, AdoptionCalls, ApprovalCalls, HistoryCalls, SnapshotCalls, TrashCalls):
    """A model registry on any store.

    Every method checks its arguments, their types included, so that all stores accept and refuse
    the same, and raises a subclass of `registry_core.errors.RegistryError`. A call that raises has
    changed nothing. One text in place of a sequence of texts is a sequence of one.
    Versions are given as a number or its digits. Thread-safe.

    With `local_sources=False` a version may not be created from a path of somebody's disk: the
    setting of a server, whose callers' disks are not its own. Paths in `local_source_root` are
    allowed all the same, as far as no link leads out of it.

    With an artifact store, a version made from a path of this disk has its files uploaded.
    `url` names the store in the registry's `repr`, without anything that may be a secret.
    `public_artifacts_url` is where clients can read that store without its credentials; download
    URIs below the artifact root are then given in its terms. `foreign` opens places outside of the
    registry, for clients that read versions whose files are elsewhere; a server has none.

    `gates` say what must hold before an alias or a stage may point at a version, whichever call
    would move it there; see `registry_core.gates`. `registry.gates.replace` puts others in force.

    Example:
        >>> registry = open_registry("memory:")
        >>> registry.create_registered_model("fraud").name
        'fraud'
    """
