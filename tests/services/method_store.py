"""The memory store with a method for each change, for tests to override one at a time."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

import attrs

from registry_core import changes
from registry_core.documents import ModelDocument
from registry_core.models import Webhook
from registry_core.stores.memory import MemoryStore
from registry_core.testing.calls import TESTER, Calls

METHODS: dict[type[changes.Change[Any]], tuple[str, tuple[str, ...]]] = {
    changes.CreateModel: ("create_registered_model", ("new",)),
    changes.UpdateModel: ("update_registered_model", ("name",)),
    changes.RenameModel: ("rename_registered_model", ("name",)),
    changes.DeleteModel: ("delete_registered_model", ("name",)),
    changes.CreateVersion: ("create_model_version", ("new",)),
    changes.UpdateVersion: ("update_model_version", ("name", "version")),
    changes.FinalizeVersion: ("finalize_model_version", ("name", "version")),
    changes.RelocateVersion: ("relocate_model_version", ("name", "version")),
    changes.TransitionVersion: ("transition_model_version_stage", ("name", "version")),
    changes.ApproveVersion: ("approve_model_version", ("name", "version", "approval")),
    changes.WithdrawApproval: ("withdraw_approval", ("name", "version", "actor")),
    changes.DeleteVersion: ("delete_model_version", ("name", "version")),
    changes.SetAlias: ("set_registered_model_alias", ("name", "alias")),
    changes.DeleteAlias: ("delete_registered_model_alias", ("name", "alias")),
    changes.SetModelTag: ("set_registered_model_tag", ("name", "key", "value")),
    changes.DeleteModelTag: ("delete_registered_model_tag", ("name", "key")),
    changes.SetVersionTag: ("set_model_version_tag", ("name", "version", "key", "value")),
    changes.DeleteVersionTag: ("delete_model_version_tag", ("name", "version", "key")),
}
"""The method of each change, and which fields it takes by position; the others go by name."""

UNNAMED = {"requires", "model_id", "idempotency"}
"""Fields that no method takes: nothing is required, a new model gets an id by chance, and no method
is called twice for one change."""


class MethodStore(MemoryStore):
    """A memory store that makes each change by a method of its own."""

    def apply(self, change: changes.Change[Any], *, by: object) -> Any:
        """See `Store`."""
        method, positional = METHODS[type(change)]
        assert not change.requires, "no method takes a requirement"
        fields = {
            field.name: getattr(change, field.name)
            for field in attrs.fields(type(change))
            if field.name not in UNNAMED
        }
        arguments = [fields.pop(name) for name in positional]
        return getattr(self, method)(*arguments, **fields)

    @property
    def _documents(self) -> MutableMapping[str, ModelDocument]:
        return self._content.models

    @property
    def _webhooks(self) -> MutableMapping[str, Webhook]:
        return self._content.webhooks


@attrs.frozen
class _Plain:
    """What a `MethodStore` is without its methods."""

    store: MethodStore

    def apply(self, change: changes.Change[Any], *, by: object) -> Any:
        return MemoryStore.apply(self.store, change, by=TESTER)


def _method(name: str) -> Callable[..., Any]:
    def method(self: MethodStore, *arguments: Any, **named: Any) -> Any:
        return getattr(Calls(_Plain(self)), name)(*arguments, **named)

    return method


for _name, _ in METHODS.values():
    setattr(MethodStore, _name, _method(_name))
