"""`GuardedStore`: the one door at which the reads and changes of a caller are decided.

Strategy: it wraps any store and is itself one, so whatever works on a store passes through it:
`Registry`, histories, the trash, searches for a source. Nothing is looked up for a decision, so
that a read in an event loop stays there. What may not be read is answered as what is missing,
before the store is asked; searches and activities carry the scope of what may be read, which stores
apply before they cut a page, and page tokens are of that scope alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import attrs

from registry_core import snapshot_reading
from registry_core.access.policy import Rights
from registry_core.authors import Author
from registry_core.changes import Change, restores_in_pieces
from registry_core.errors import (
    InvalidArgumentError,
    ModelVersionNotFoundError,
    NotPermittedError,
    RegisteredModelNotFoundError,
    UnsupportedBackendError,
)
from registry_core.history import Event, EventQuery
from registry_core.idempotency import keeps_idempotency_keys
from registry_core.inloop import LoopReads, loop_reads_of
from registry_core.models import (
    Approval,
    ModelVersion,
    NewWebhook,
    RegisteredModel,
    Webhook,
    WebhookChanges,
)
from registry_core.outbox import DeliveryLog, delivery_log_of
from registry_core.permissions import Need, Permission
from registry_core.pruning import NewBeginning, ReplacesBeginnings
from registry_core.search import Page, Query
from registry_core.store import Store, approvals_of, count_of

ResultT = TypeVar("ResultT")
EntityT = TypeVar("EntityT", RegisteredModel, ModelVersion)


EVERY_NAME = "*"
"""What a rule calls all models. A model of that name would be confused with them."""


class GuardedStore:
    """A store as one caller may use it.

    Raises, beside what the store does:
        NotPermittedError: the caller may read the model, and not do that.
    """

    def __init__(self, store: Store, rights: Rights) -> None:
        self.rights = rights
        self._store = store
        self._applies_scopes = applies_scopes(store)

    def loop_reads(self) -> LoopReads | None:
        """See `inloop.loop_reads_of`: a decision waits for nothing and keeps nothing."""
        return loop_reads_of(self._store)

    @property
    def keeps_idempotency_keys(self) -> bool:
        """See `registry_core.idempotency`."""
        return keeps_idempotency_keys(self._store)

    @property
    def restores_in_pieces(self) -> bool:
        """See `changes.restores`."""
        return restores_in_pieces(self._store)

    def snapshot_piece(self, name: str, after: int, most: int) -> snapshot_reading.Parts:
        """See `snapshot_reading.GivesPieces`."""
        if self.rights.may_read(name):
            return snapshot_reading.piece(self._store, name, after, most)
        raise RegisteredModelNotFoundError(name)

    def unguarded(self) -> Store:
        """Return the store behind the door, for what the server itself has to know."""
        return self._store

    # Reads

    def get_registered_model(self, name: str) -> RegisteredModel:
        """See `Store`."""
        if self.rights.may_read(name):
            return self._store.get_registered_model(name)
        raise RegisteredModelNotFoundError(name)

    def get_model_version(self, name: str, version: int) -> ModelVersion:
        """See `Store`."""
        if self.rights.may_read(name):
            return self._store.get_model_version(name, version)
        raise ModelVersionNotFoundError(name, version)

    def get_model_version_by_alias(self, name: str, alias: str) -> ModelVersion:
        """See `Store`."""
        if self.rights.may_read(name):
            return self._store.get_model_version_by_alias(name, alias)
        raise RegisteredModelNotFoundError(name)

    def approvals(self, name: str) -> Mapping[int, tuple[Approval, ...]]:
        """See `store.KeepsApprovals`."""
        if self.rights.may_read(name):
            return approvals_of(self._store, name)
        raise RegisteredModelNotFoundError(name)

    def search_registered_models(self, query: Query) -> Page[RegisteredModel]:
        """See `Store`."""
        scoped = self._scoped(query)
        return self._readable(self._store.search_registered_models(scoped))

    def count_registered_models(self, query: Query) -> tuple[int, bool]:
        """See `store.CountsModels`."""
        if self._applies_scopes or self.rights.readable is None:
            return count_of(self._store, self._scoped(query))
        page = self.search_registered_models(query)
        return len(page.items), page.next_page_token is not None

    def search_model_versions(self, query: Query) -> Page[ModelVersion]:
        """See `Store`."""
        scoped = self._scoped(query)
        return self._readable(self._store.search_model_versions(scoped))

    def events(self, query: EventQuery) -> list[Event]:
        """See `Store`. The history of a model is read with the model, by the name it has now."""
        if query.name is not None:
            if self.rights.may_read(query.name):
                return self._store.events(query)
            raise RegisteredModelNotFoundError(query.name)
        scope = self.rights.readable
        if scope is None:
            return self._store.events(query)
        if query.model_id is not None:
            return self._store.events(query) if self._may_read_id(query.model_id) else []
        events = self._store.events(attrs.evolve(query, scope=scope))
        # A store that does not know of scopes gives too many: too few are the smaller evil.
        return [each for each in events if self._applies_scopes or each.is_in(scope)]

    def _may_read_id(self, model_id: str) -> bool:
        """Whether the caller may read the model by the name that it has, or had last."""
        newest = self._store.events(EventQuery(model_id=model_id, max_results=1))
        return bool(newest) and all(map(self.rights.may_read, newest[0].names_after()))

    def _scoped(self, query: Query) -> Query:
        scope = self.rights.readable
        return query if scope is None else attrs.evolve(query, scope=scope)

    def _readable(self, page: Page[EntityT]) -> Page[EntityT]:
        if self._applies_scopes or self.rights.readable is None:
            return page
        may_read = self.rights.may_read
        return attrs.evolve(page, items=[row for row in page.items if may_read(row.name)])

    # Changes

    def apply(self, change: Change[ResultT], *, by: Author) -> ResultT:
        """See `Store`."""
        for need in change.needs():
            if need.is_new and need.model == EVERY_NAME:
                raise InvalidArgumentError(
                    f"A registered model cannot be named '{EVERY_NAME}': rules of access mean all "
                    "models by it"
                )
            self._check(need, change)
        return self._store.apply(change, by=by)

    def replace_beginning(self, beginning: NewBeginning) -> None:
        """See `pruning.ReplacesBeginnings`."""
        self.check_name(Permission.PRUNE, beginning.name)
        if not isinstance(self._store, ReplacesBeginnings):
            raise UnsupportedBackendError("The store of this registry prunes no history")
        self._store.replace_beginning(beginning)

    def check_name(self, permission: Permission, model: str | None) -> None:
        """Return if the caller may do something with a model, or with all of them.

        Raises:
            RegisteredModelNotFoundError: The caller may not read the model.
        """
        if self.rights.allows(permission, model):
            return
        if model is not None and not self.rights.may_read(model):
            raise RegisteredModelNotFoundError(model)
        raise self._refusal(permission, model)

    def _check(self, need: Need, change: Change[Any]) -> None:
        rights, model = self.rights, need.model
        if need.moves_all_aliases and rights.may_move_all(model) is not None:
            raise self._refusal(Permission.MOVE_ALIAS, model, "whose aliases are protected")
        if rights.allows(need.permission, model, need.alias):
            return
        if not need.is_new and not rights.may_read(model):
            version: int | None = getattr(change, "version", None)
            if version is None or need.permission is Permission.RESTORE:
                raise RegisteredModelNotFoundError(model)
            raise ModelVersionNotFoundError(model, version)
        detail = "" if need.alias is None else f"for '{need.alias}'"
        raise self._refusal(need.permission, model, detail)

    def _refusal(
        self, permission: Permission, model: str | None, detail: str = ""
    ) -> NotPermittedError:
        return refusal(self.rights, permission, model, detail)

    # Webhooks get events of every model

    def create_webhook(self, new: NewWebhook) -> Webhook:
        """See `Store`."""
        self.check_name(Permission.WEBHOOKS, None)
        return self._store.create_webhook(new)

    def get_webhook(self, webhook_id: str) -> Webhook:
        """See `Store`."""
        self.check_name(Permission.WEBHOOKS, None)
        return self._store.get_webhook(webhook_id)

    def list_webhooks(self) -> list[Webhook]:
        """See `Store`."""
        self.check_name(Permission.WEBHOOKS, None)
        return self._store.list_webhooks()

    def update_webhook(self, webhook_id: str, changes: WebhookChanges) -> Webhook:
        """See `Store`."""
        self.check_name(Permission.WEBHOOKS, None)
        return self._store.update_webhook(webhook_id, changes)

    def delete_webhook(self, webhook_id: str) -> None:
        """See `Store`."""
        self.check_name(Permission.WEBHOOKS, None)
        self._store.delete_webhook(webhook_id)

    def delivery_log(self) -> DeliveryLog:
        """See `outbox.delivery_log_of`."""
        self.check_name(Permission.WEBHOOKS, None)
        return delivery_log_of(self._store)

    def ping(self) -> None:
        """See `Store`."""
        self._store.ping()

    def close(self) -> None:
        """Do nothing: the store belongs to who has opened it, and others use it."""


def refusal(
    rights: Rights, permission: Permission, model: str | None, detail: str = ""
) -> NotPermittedError:
    """Return the error for what a caller may not do. It names no other model or caller."""
    where = "here" if model is None else f"on registered model '{model}'"
    text = f"{rights.principal.name} may not {permission} {where} {detail}".rstrip()
    return NotPermittedError(f"{text}. `regctl access whoami` shows what is allowed.")


def applies_scopes(store: object) -> bool:
    """Return whether a store leaves out by itself what a scope does not have, before it cuts pages.

    Its class says so in an attribute of this name.
    """
    return getattr(store, "applies_scopes", False) is True


def seen_key(store: Store) -> tuple[int, str]:
    """Return what two stores have in common only if they show the same models of the same store.

    The first number is that of an object, which has to exist as long as the key is used.
    """
    if not isinstance(store, GuardedStore):
        return id(store), ""
    scope = store.rights.readable
    return id(store.unguarded()), "" if scope is None else scope.digest
