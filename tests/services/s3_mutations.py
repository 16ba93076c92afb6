"""Every way to change a registry, as a table: what it needs, what it does, what it costs.

Each mutation happens to things that are called after `name`, so that many can share a prefix.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from registry_core import Registry, pruning, trash
from registry_core.authors import Author
from registry_core.changes import RestoreDeletedModel
from registry_core.documents import ModelDocument
from registry_core.errors import RegisteredModelNotFoundError, WebhookNotFoundError
from registry_core.history import EventQuery
from registry_core.models import (
    Approval,
    ModelVersion,
    NewModelVersion,
    NewRegisteredModel,
    NewWebhook,
    Stage,
    Status,
    WebhookAction,
    WebhookChanges,
    WebhookEntity,
    WebhookEvent,
    WebhookStatus,
)
from registry_core.snapshots import ModelSnapshot
from registry_core.store import Store
from registry_core.stores.memory import MemoryStore
from registry_core.stores.s3.event_log import INLINE_MAX_EVENTS
from registry_core.testing import ManualClock
from registry_core.testing.calls import Calls
from registry_core.testing.clocks import START
from registry_core.testing.observing import plain

LARGE = "Grüße\n" * 2_000
"""A text that lies beside its document."""


def furnish(store: Store, name: str) -> None:
    """A model with versions, tags, aliases and large texts, and a webhook that is told nothing."""
    store.create_registered_model(NewRegisteredModel(name=name, tags={"team": "a", "card": LARGE}))
    store.create_model_version(NewModelVersion(name=name, source="s3://b/1"))
    store.create_model_version(
        NewModelVersion(
            name=name,
            source="s3://b/2",
            status=Status.PENDING_REGISTRATION,
            tags={"prompt": f"{LARGE}2"},
        )
    )
    store.transition_model_version_stage(
        name, 1, stage=Stage.PRODUCTION, archive_existing_versions=False
    )
    store.set_registered_model_alias(name, "champion", version=1)
    store.create_webhook(
        NewWebhook(
            webhook_id=name,
            name="hook",
            url="https://example.com",
            status=WebhookStatus.DISABLED,
            events=(WebhookEvent(WebhookEntity.REGISTERED_MODEL, WebhookAction.CREATED),),
        )
    )


def used(store: Store, name: str) -> None:
    """As `furnish`; the name `name-new` was used, and renamed away."""
    furnish(store, name)
    store.create_registered_model(NewRegisteredModel(name=f"{name}-new"))
    store.rename_registered_model(f"{name}-new", new_name=f"{name}-old")


def buried(store: Store, name: str) -> None:
    """As `furnish`; the name `name-new` was used, and deleted."""
    furnish(store, name)
    store.create_registered_model(NewRegisteredModel(name=f"{name}-new"))
    store.delete_registered_model(f"{name}-new")


def deleted(store: Store, name: str) -> None:
    """As `furnish`, and then deleted."""
    furnish(store, name)
    store.delete_registered_model(name)


def in_the_trash(store: Store, name: str) -> None:
    """As `furnish`, and then deleted; how it is restored is known."""
    deleted(store, name)
    _note_restoring(store, name, name)


def in_the_trash_for_another_name(store: Store, name: str) -> None:
    """As `in_the_trash`, to be restored as `name-new`."""
    deleted(store, name)
    _note_restoring(store, name, f"{name}-new")


def in_the_trash_and_replaced(store: Store, name: str) -> None:
    """As `in_the_trash_for_another_name`; a model of the old name has come since."""
    deleted(store, name)
    store.create_registered_model(NewRegisteredModel(name=name))
    _note_restoring(store, name, f"{name}-new")


_RESTORING: dict[str, RestoreDeletedModel] = {}


def _note_restoring(store: Store, name: str, new_name: str) -> None:
    gone = trash.deleted_models(store, name, clock=lambda: START)[0]
    _RESTORING[name] = trash.restoring_model(
        store, name, new_name=new_name, model_id=gone.model_id, clock=lambda: START
    )


def _restore_deleted(store: Any, name: str) -> object:
    change = _RESTORING[name]
    return store.restore_registered_model(change.snapshot, was_named=change.was_named)


def eventful(store: Store, name: str) -> None:
    """As `furnish`, with as many events as a document may have."""
    furnish(store, name)
    so_far = len(store.events(EventQuery(name=name)))
    for number in range(INLINE_MAX_EVENTS - so_far):
        store.set_registered_model_tag(name, "team", str(number))


def long_lived(store: Store, name: str) -> None:
    """As `furnish`, with events of long ago beside the document, and later ones beside them."""
    clock = ManualClock()
    made = Calls(MemoryStore(clock))
    furnish(made, name)
    for number in range(INLINE_MAX_EVENTS):
        made.set_registered_model_tag(name, "card", f"{LARGE}{number % 2}")
    clock.advance(1)
    made.set_registered_model_tag(name, "card", f"{LARGE}late")
    for number in range(INLINE_MAX_EVENTS):
        made.set_registered_model_tag(name, "team", str(number))
    store.restore(Registry(made).snapshot(name))
    store.set_registered_model_tag(name, "team", "now")


def _prune(store: Any, name: str) -> object:
    """Prune the events of long ago: the last of them is in the middle of a chunk."""
    return pruning.prune(store, name, before=START + 1, by=PRUNED_BY)


PRUNED_BY = Author(actor="ann")


def version_deleted(store: Store, name: str) -> None:
    """As `furnish`, and then without its version 1."""
    furnish(store, name)
    store.delete_model_version(name, 1)


def approved(store: Store, name: str) -> None:
    """As `furnish`, and the version 1 is approved."""
    furnish(store, name)
    store.approve_model_version(name, 1, Approval(actor="ann", digest="sha256:" + "0" * 64))


def nothing(store: Store, name: str) -> None:
    """Nothing at all."""


def observe(store: Store, name: str) -> object:
    """All there is of what is called after `name`, by reads."""
    models = [_model(store, f"{name}{suffix}") for suffix in ("", "-new", "-old")]
    try:
        webhook = plain(store.get_webhook(name))
    except WebhookNotFoundError:
        webhook = None
    return models, webhook


def _model(store: Store, name: str) -> object:
    try:
        model = store.get_registered_model(name)
    except RegisteredModelNotFoundError:
        return None
    numbers = {version.version for version in model.latest_versions} | set(model.aliases.values())
    versions = [plain(store.get_model_version(name, n)) for n in sorted(numbers)]
    # Two stores do not give a model one id.
    events = [attrs.evolve(each, model_id="") for each in store.events(EventQuery(name=name))]
    return plain(model), versions, events


@attrs.frozen
class Mutation:
    """One way to change a registry."""

    act: Callable[[Store, str], object]
    gets: int
    """GET requests, by a process that saw the document a moment ago."""
    puts: int
    """PUT requests."""
    lists: int = 0
    deletes: int = 0
    prepare: Callable[[Store, str], None] = furnish


def _finalize(store: Store, name: str) -> object:
    return store.finalize_model_version(
        name, 2, status=Status.FAILED_REGISTRATION, status_message=LARGE, storage_location="there"
    )


def _restore_version(store: Store, name: str) -> object:
    version = ModelVersion(
        name=name,
        version=1,
        creation_timestamp=1,
        last_updated_timestamp=1,
        current_stage=Stage.PRODUCTION,
        source="s3://b/1",
    )
    return store.restore_model_version(name, version)


def _restore(store: Store, name: str) -> object:
    document = ModelDocument(
        name=name, creation_timestamp=1, last_updated_timestamp=1, description=LARGE
    )
    return store.restore(ModelSnapshot(document=document))


MUTATIONS: dict[str, Mutation] = {
    "restore model": Mutation(_restore, 0, 2, prepare=nothing),
    "restore deleted model": Mutation(_restore_deleted, 1, 3, lists=1, prepare=in_the_trash),
    "restore deleted model under another name": Mutation(
        _restore_deleted, 1, 5, lists=1, prepare=in_the_trash_for_another_name
    ),
    "restore deleted model whose name is in use": Mutation(
        _restore_deleted, 4, 5, lists=4, prepare=in_the_trash_and_replaced
    ),
    "restore version": Mutation(_restore_version, 0, 1, prepare=version_deleted),
    "create model": Mutation(
        lambda s, n: s.create_registered_model(NewRegisteredModel(name=n)), 0, 1, prepare=nothing
    ),
    "create model again": Mutation(
        lambda s, n: s.create_registered_model(NewRegisteredModel(name=n)), 0, 2, prepare=deleted
    ),
    "create model where one left": Mutation(
        lambda s, n: s.create_registered_model(NewRegisteredModel(name=f"{n}-new")),
        1,
        1,
        prepare=used,
    ),
    "create model with a large text": Mutation(
        lambda s, n: s.create_registered_model(NewRegisteredModel(name=n, description=LARGE)),
        0,
        2,
        prepare=nothing,
    ),
    "update model": Mutation(lambda s, n: s.update_registered_model(n, description="d"), 0, 1),
    "rename model": Mutation(lambda s, n: s.rename_registered_model(n, new_name=f"{n}-new"), 1, 3),
    "rename model to a used name": Mutation(
        lambda s, n: s.rename_registered_model(n, new_name=f"{n}-new"), 2, 3, prepare=used
    ),
    "rename model to a deleted name": Mutation(
        lambda s, n: s.rename_registered_model(n, new_name=f"{n}-new"), 1, 4, prepare=buried
    ),
    "rename model to its own name": Mutation(
        lambda s, n: s.rename_registered_model(n, new_name=n), 0, 1
    ),
    "delete model": Mutation(lambda s, n: s.delete_registered_model(n), 0, 1),
    "set tag when the events are many": Mutation(
        lambda s, n: s.set_registered_model_tag(n, "team", "b"), 0, 2, prepare=eventful
    ),
    "rename model when the events are many": Mutation(
        lambda s, n: s.rename_registered_model(n, new_name=f"{n}-new"), 1, 4, prepare=eventful
    ),
    "delete model when the events are many": Mutation(
        lambda s, n: s.delete_registered_model(n), 0, 2, prepare=eventful
    ),
    "create version": Mutation(
        lambda s, n: s.create_model_version(NewModelVersion(name=n, source="s3://b/3")), 0, 1
    ),
    "create version with a large text": Mutation(
        lambda s, n: s.create_model_version(
            NewModelVersion(name=n, source="s3://b/3", tags={"a": LARGE, "b": f"{LARGE}b"})
        ),
        0,
        2,
    ),
    "update version": Mutation(lambda s, n: s.update_model_version(n, 1, description="d"), 0, 1),
    "finalize version": Mutation(_finalize, 0, 1),
    "transition": Mutation(
        lambda s, n: s.transition_model_version_stage(
            n, 2, stage=Stage.PRODUCTION, archive_existing_versions=True
        ),
        0,
        1,
    ),
    "relocate version": Mutation(
        lambda s, n: s.relocate_model_version(n, 1, source="s3://b/elsewhere"), 0, 1
    ),
    "approve version": Mutation(
        lambda s, n: s.approve_model_version(
            n, 1, Approval(actor="ann", digest="sha256:" + "0" * 64)
        ),
        0,
        1,
    ),
    "withdraw approval": Mutation(
        lambda s, n: s.withdraw_approval(n, 1, "ann"), 0, 1, prepare=approved
    ),
    "delete version": Mutation(lambda s, n: s.delete_model_version(n, 1), 0, 1),
    "set alias": Mutation(
        lambda s, n: s.set_registered_model_alias(n, "champion", version=2), 0, 1
    ),
    "delete alias": Mutation(lambda s, n: s.delete_registered_model_alias(n, "champion"), 0, 1),
    "set tag": Mutation(lambda s, n: s.set_registered_model_tag(n, "team", "b"), 0, 1),
    "set large tag": Mutation(
        lambda s, n: s.set_registered_model_tag(n, "card", f"{LARGE}new"), 0, 2
    ),
    "delete tag": Mutation(lambda s, n: s.delete_registered_model_tag(n, "card"), 0, 1),
    "set version tag": Mutation(lambda s, n: s.set_model_version_tag(n, 1, "k", "v"), 0, 1),
    "set large version tag": Mutation(
        lambda s, n: s.set_model_version_tag(n, 2, "prompt", f"{LARGE}new"), 0, 2
    ),
    "delete version tag": Mutation(lambda s, n: s.delete_model_version_tag(n, 2, "prompt"), 0, 1),
    "prune history": Mutation(_prune, 3, 3, lists=6, deletes=3, prepare=long_lived),
    "create webhook": Mutation(
        lambda s, n: s.create_webhook(NewWebhook(webhook_id=n, name="h", url="u", events=())),
        0,
        1,
        prepare=nothing,
    ),
    "update webhook": Mutation(
        lambda s, n: s.update_webhook(n, WebhookChanges(name="other")), 1, 1
    ),
    "delete webhook": Mutation(lambda s, n: s.delete_webhook(n), 1, 1, lists=2),
}
