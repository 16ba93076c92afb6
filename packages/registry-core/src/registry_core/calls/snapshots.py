"""Calls that move whole registered models."""

from __future__ import annotations

from typing import Literal, TypeAlias

from registry_core import snapshot_reading, validation
from registry_core.calls.base import RegistryBase
from registry_core.changes import RestoreLargeModel, RestoreModel, restores_in_pieces
from registry_core.errors import AlreadyExistsError, NotPermittedError
from registry_core.models import RegisteredModel
from registry_core.snapshot_pieces import SpooledSnapshot, in_memory
from registry_core.snapshots import ModelSnapshot

OnConflict: TypeAlias = Literal["fail", "skip", "replace"]
"""What becomes of a model that has the name of one to restore."""


class SnapshotCalls(RegistryBase):
    """Calls that move whole registered models."""

    def snapshot(self, name: str) -> ModelSnapshot:
        """Return a registered model with all versions and its history, as of one moment.

        From a server of MLflow's it has no history, and its next version follows the highest that
        there is: MLflow does not show deleted ones.

        Raises:
            ConflictError: Others changed the model each time that it was read.
            RegisteredModelNotFoundError: There is no such model.

        Example:
            >>> backup = registry.snapshot("churn")
            >>> elsewhere.restore(backup).name
            'churn'
        """
        return snapshot_reading.take(self.store, validation.model_name(name))

    def open_snapshot(self, name: str) -> ModelSnapshot | SpooledSnapshot:
        """Return the snapshot of a registered model as `snapshot`, also if it is large.

        One of more than 1,000 versions or events, or of more than 2 MiB in its versions, comes in a
        temporary file, and not in memory; see `SpooledSnapshot`. `restore` takes both.

        Raises:
            ConflictError: Others changed the model each time that it was read.
            RegisteredModelNotFoundError: There is no such model.

        Example:
            >>> elsewhere.restore(registry.open_snapshot("churn")).name
            'churn'
        """
        return snapshot_reading.open_snapshot(self.store, validation.model_name(name))

    def restore(
        self,
        snapshot: ModelSnapshot | SpooledSnapshot,
        *,
        on_conflict: OnConflict = "fail",
        replaced: ModelSnapshot | SpooledSnapshot | None = None,
        reason: str | None = None,
    ) -> RegisteredModel:
        """Write a registered model as a snapshot has it, with all versions and its history.

        Numbers, gaps, times, stages, statuses and the id stay as they are. The restoring itself
        makes no event in the model's history, so that two registries can have the very same model.

        It is one atomic step, however large the model is: nobody sees a part of it.

        Args:
            snapshot: The model.
            on_conflict: What to do if there is a model of that name: `fail` with an error, `skip`
                and leave it as it is, or `replace` it with its versions and its history, in one
                atomic step.
            replaced: What `replace` may replace, if not everything: the model as it was when it was
                looked at. A registry that a server serves does not look at it.
            reason: Why, for observers.

        Returns:
            The model as it is afterwards.

        Raises:
            AlreadyExistsError: There is a model of that name, and `on_conflict` is `fail`.
            ConflictError: A model of another name has the id of the snapshot; or the model is not
                `replaced` any more; or it was deleted after the snapshot, and `on_conflict` is not
                `replace`, so that the last events of its history would be lost.
            InvalidArgumentError: The snapshot is illegal; the message says where.
            NotPermittedError: A server has authenticated who restores it.
            UnsupportedBackendError: The store is a server of MLflow's.

        Example:
            >>> elsewhere.restore(registry.snapshot("churn")).aliases["champion"]
            2
        """
        validation.one_of(on_conflict, allowed=("fail", "skip", "replace"), parameter="on_conflict")
        if self._by(reason).is_authenticated:
            # Every event names an actor; nobody may put words into the mouths of others.
            raise NotPermittedError(
                "A server that authenticates its users takes no snapshot, because its history says "
                "what others did: restore it with the URL of the registry's own store"
            )
        replaces = on_conflict == "replace"
        expected = None if replaced is None else (replaced.document.model_id, replaced.last)
        change: RestoreModel | RestoreLargeModel
        if isinstance(snapshot, SpooledSnapshot) and restores_in_pieces(self.store):
            change = RestoreLargeModel(snapshot=snapshot, replaces=replaces, expected=expected)
        else:
            change = RestoreModel(
                snapshot=in_memory(snapshot), replaces=replaces, expected=expected
            )
        try:
            return self._writer(reason).apply(change)
        except AlreadyExistsError:
            if on_conflict == "fail":
                raise
            return self.store.get_registered_model(snapshot.name)
