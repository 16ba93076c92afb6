"""Calls about what was deleted."""

from __future__ import annotations

from registry_core import trash, validation
from registry_core.calls.base import RegistryBase
from registry_core.errors import AlreadyExistsError, ConflictError
from registry_core.models import ModelVersion, RegisteredModel
from registry_core.trash import DeletedModel, DeletedVersion, Trash


class TrashCalls(RegistryBase):
    """Calls about what was deleted."""

    def trash(self) -> Trash:
        """Return what was deleted lately: models, and versions of models that exist.

        It is read at once, and ends after `registry_core.trash.MOST_READ` events; the lists of one
        kind, `deleted_registered_models` and `deleted_model_versions`, go on to the retention.

        Example:
            >>> registry.delete_registered_model("churn")
            >>> [deleted.name for deleted in registry.trash().models]
            ['churn']
        """
        return trash.lately(self.store)

    def deleted_registered_models(self, name: str | None = None) -> list[DeletedModel]:
        """Return the deleted registered models, newest deletion first.

        Args:
            name: Only those that had this name when they were deleted.

        Example:
            >>> registry.delete_registered_model("churn")
            >>> [deleted.name for deleted in registry.deleted_registered_models()]
            ['churn']
        """
        return trash.deleted_models(
            self.store, None if name is None else validation.model_name(name)
        )

    def deleted_registered_model(self, name: str, *, model_id: str | None = None) -> DeletedModel:
        """Return the deleted registered model of a name: that of the id, or the one deleted last.

        Raises:
            NotFoundError: There is none that can be restored.

        Example:
            >>> registry.delete_registered_model("churn")
            >>> registry.deleted_registered_model("churn").name
            'churn'
        """
        return trash.deleted_model(self.store, validation.model_name(name), model_id)

    def restore_registered_model(
        self,
        name: str,
        *,
        new_name: str | None = None,
        model_id: str | None = None,
        reason: str | None = None,
    ) -> RegisteredModel:
        """Bring a deleted registered model back, as it was when it was deleted.

        Its versions, numbers, tags, aliases, times, stages and history come back under its id. The
        restoring is an event.

        Args:
            name: The name that the model had.
            new_name: The name that it gets; the one that it had by default.
            model_id: Which of several deleted models of that name; the one deleted last by default.
            reason: Why, for the history.

        Raises:
            ConflictError: The name is in use, or somebody else has restored the model meanwhile.
            NotFoundError: There is no such deleted model, or it was deleted too long ago; see
                `registry_core.retention`.

        Example:
            >>> registry.delete_registered_model("churn")
            >>> registry.restore_registered_model("churn", reason="it was the wrong one").name
            'churn'
        """
        validation.model_name(name)
        if new_name is not None:
            validation.model_name(new_name)
        change = trash.restoring_model(self.store, name, new_name=new_name, model_id=model_id)
        try:
            return self._writer(reason).apply(change)
        except AlreadyExistsError as error:
            raise ConflictError(
                f"A registered model '{change.model}' exists: restore the deleted one under "
                "another name (--as, or new_name)"
            ) from error

    def deleted_model_versions(self, name: str) -> list[DeletedVersion]:
        """Return the deleted versions of a registered model, newest deletion first.

        Raises:
            RegisteredModelNotFoundError: The model does not exist.

        Example:
            >>> registry.delete_model_version("churn", 1)
            >>> [deleted.version for deleted in registry.deleted_model_versions("churn")]
            [1]
        """
        return trash.deleted_versions(self.store, validation.model_name(name))

    def restore_model_version(
        self, name: str, version: int | str, *, reason: str | None = None
    ) -> ModelVersion:
        """Bring a deleted version back under its number, as it was when it was deleted.

        The aliases that it had do not come back: they may point elsewhere by now.

        Raises:
            ConflictError: Somebody else has restored it meanwhile.
            NotFoundError: There is no such deleted version, or it was deleted too long ago.
            RegisteredModelNotFoundError: The model does not exist.

        Example:
            >>> registry.delete_model_version("churn", 1)
            >>> registry.restore_model_version("churn", 1).source
            's3://models/churn/1'
        """
        validation.model_name(name)
        change = trash.restoring_version(self.store, name, validation.version(version))
        return self._writer(reason).apply(change)
