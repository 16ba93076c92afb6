"""One registered model as one document, and every change to it as a pure function.

The memory store keeps documents in a dict, the S3 store as JSON objects; both say here what a
method of `registry_core.store.Store` does to a model, and neither adds a rule of its own. A
function takes a document, arguments and the present moment in milliseconds, and returns the
document afterwards, or raises one of `registry_core.errors` having changed nothing.

Strategy: a document holds its versions as finished `ModelVersion` values, their aliases included,
so that reading and searching hand out what is there, and a change pays for what it touches: one
shallow copy of the mapping and one new value per version that differs. A change that changes
nothing (deleting an absent tag, setting an alias where it points already) returns the very same
object, so `after is before` means that there is nothing to write.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from itertools import islice
from typing import Any, TypeVar

import attrs

from registry_core import validation
from registry_core.errors import (
    AliasNotFoundError,
    AlreadyExistsError,
    ConflictError,
    ModelVersionNotFoundError,
    RegisteredModelNotFoundError,
)
from registry_core.fields import fields_of
from registry_core.models import (
    Approval,
    ModelFields,
    ModelVersion,
    NewModelVersion,
    NewRegisteredModel,
    RegisteredModel,
    Stage,
    Status,
)

FIRST_VERSION = 1
"""The number of a model's first version (contract 3.4)."""

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


@attrs.frozen(kw_only=True, slots=False)
class ModelDocument(ModelFields):
    """A registered model with everything that belongs to it.

    A store that builds one keeps what the functions below rely on: `tags` (here and in each
    version) and `aliases` are in order of their keys, `versions` in ascending order of their
    numbers, each version has this `name`, and its `aliases` are, sorted, those that point at it.
    `build` sees to all of it, and to the order of `approvals`, which are of versions that exist.
    """

    model_id: str = ""
    """An id that no other model has or had; it stays when the model is renamed."""
    next_version: int = FIRST_VERSION
    """The number of the next version created; it never decreases."""
    versions: Mapping[int, ModelVersion] = attrs.field(factory=dict)
    approvals: Mapping[int, tuple[Approval, ...]] = attrs.field(factory=dict)
    """Of the versions that have any, in ascending order of their numbers; each by actor."""

    @property
    def is_marked_prompt(self) -> bool:
        """Whether the prompt tag is present, whatever its value (contract 2.1)."""
        return validation.PROMPT_TAG in self.tags

    @property
    def is_hidden_prompt(self) -> bool:
        """Whether searches leave it out unless asked: for the exact value `true` (contract 4.5)."""
        return self.tags.get(validation.PROMPT_TAG) == "true"

    @cached_property
    def entity(self) -> RegisteredModel:
        """See `registered_model`; kept, because a search looks at unchanged documents again."""
        return RegisteredModel(latest_versions=_latest_versions(self), **_fields_of_model(self))


# Views


def _fields_of_model(model: ModelFields) -> dict[str, Any]:
    return {field.name: getattr(model, field.name) for field in fields_of(ModelFields)}


def registered_model(doc: ModelDocument) -> RegisteredModel:
    """Return the model with tags, aliases and the newest version of each stage, in stage order."""
    return doc.entity


def model_version(doc: ModelDocument, version: int) -> ModelVersion:
    """Return the version of that number.

    Raises:
        ModelVersionNotFoundError: there is none.
    """
    stored = doc.versions.get(version)
    if stored is None:
        raise ModelVersionNotFoundError(doc.name, version)
    return stored


def versions_after(doc: ModelDocument, after: int, most: int) -> list[ModelVersion]:
    """Return the versions after a number, in the order of their numbers, at most so many."""
    beyond = (version for number, version in doc.versions.items() if number > after)
    return [*islice(beyond, most)]


def last_created(doc: ModelDocument) -> ModelVersion:
    """Return what the `create_version` that returned this document created."""
    return model_version(doc, doc.next_version - 1)


def by_alias(doc: ModelDocument, alias: str) -> ModelVersion:
    """Return the version that the alias names.

    Raises:
        AliasNotFoundError: there is no such alias.
    """
    version = doc.aliases.get(alias)
    if version is None:
        raise AliasNotFoundError(doc.name, alias)
    return model_version(doc, version)


def present(doc: ModelDocument | None, name: str, version: int | None = None) -> ModelDocument:
    """Return the document, when a store found one under `name`.

    Raises:
        RegisteredModelNotFoundError: it did not, and the call is about the model.
        ModelVersionNotFoundError: it did not, and the call is about `version` of the model.
    """
    if doc is not None:
        return doc
    if version is None:
        raise RegisteredModelNotFoundError(name)
    raise ModelVersionNotFoundError(name, version)


def taken(existing: ModelDocument, new: NewRegisteredModel) -> AlreadyExistsError:
    """Return the error for creating `new` where `existing` has the name."""
    return taken_by(existing, new)


def taken_by(existing: ModelFields, new: ModelFields | NewRegisteredModel) -> AlreadyExistsError:
    """As `taken`, of a model that is not a document."""
    return AlreadyExistsError(
        new.name,
        existing_is_prompt=validation.PROMPT_TAG in existing.tags,
        wanted_prompt=validation.PROMPT_TAG in new.tags,
    )


# The model


def create_document(new: NewRegisteredModel, now: int, *, model_id: str = "") -> ModelDocument:
    """Return a new model without versions."""
    return ModelDocument(**_fields_of_model(new.created(now=now)), model_id=model_id)


def build(doc: ModelDocument, versions: Iterable[ModelVersion]) -> ModelDocument:
    """Return a document with these versions and its own tags and aliases, everything in its order.

    The versions may come in any order and under any name, with or without aliases.
    """
    pointing = aliases_by_version(doc.aliases)
    ordered = sorted(versions, key=lambda version: version.version)
    return attrs.evolve(
        doc,
        tags=_by_key(doc.tags),
        aliases=_by_key(doc.aliases),
        approvals={
            number: by_actor(approvals) for number, approvals in sorted(doc.approvals.items())
        },
        versions={
            version.version: _placed(version, doc.name, pointing.get(version.version, ()))
            for version in ordered
        },
    )


def _placed(version: ModelVersion, name: str, aliases: tuple[str, ...]) -> ModelVersion:
    """A version with its document's name and aliases; the very same one where it has them."""
    keys = list(version.tags)
    if keys == sorted(keys) and (version.name, version.aliases) == (name, aliases):
        return version
    return attrs.evolve(version, name=name, tags=_by_key(version.tags), aliases=aliases)


def update(doc: ModelDocument, *, description: str | None, now: int) -> ModelDocument:
    """Return the model with another description; None erases it."""
    return attrs.evolve(doc, description=description, last_updated_timestamp=now)


def rename(doc: ModelDocument, *, new_name: str, now: int) -> ModelDocument:
    """Return the model under another name, or the same; it and every version are updated now."""
    versions = {
        number: attrs.evolve(version, name=new_name, last_updated_timestamp=now)
        for number, version in doc.versions.items()
    }
    return attrs.evolve(doc, name=new_name, versions=versions, last_updated_timestamp=now)


# Its versions


def create_version(doc: ModelDocument, new: NewModelVersion, *, now: int) -> ModelDocument:
    """Return the model with one more version, which `last_created` returns."""
    number = doc.next_version
    # The document's name counts: the draft's may be from before a rename.
    version = attrs.evolve(new.created(number, now=now), name=doc.name)
    return attrs.evolve(
        doc,
        next_version=number + 1,
        versions={**doc.versions, number: version},
        last_updated_timestamp=now,
    )


def update_version(
    doc: ModelDocument, version: int, *, description: str | None, now: int
) -> ModelDocument:
    """Return the version with another description; the model's own last update stays."""
    before = model_version(doc, version)
    return _with_versions(
        doc, attrs.evolve(before, description=description, last_updated_timestamp=now)
    )


def finalize_version(
    doc: ModelDocument,
    version: int,
    *,
    status: Status,
    status_message: str | None = None,
    source: str | None = None,
    storage_location: str | None = None,
    now: int,
) -> ModelDocument:
    """Return the version moved on from PENDING_REGISTRATION; the model's own last update stays.

    Raises:
        ConflictError: it is no longer pending.
    """
    before = model_version(doc, version)
    if before.status is not Status.PENDING_REGISTRATION:
        raise not_pending(before)
    after = attrs.evolve(
        before,
        status=status,
        status_message=status_message,
        source=before.source if source is None else source,
        storage_location=(
            before.storage_location if storage_location is None else storage_location
        ),
        last_updated_timestamp=now,
    )
    return _with_versions(doc, after)


def relocate_version(
    doc: ModelDocument, version: int, *, source: str, storage_location: str | None, now: int
) -> ModelDocument:
    """Return the version with another source; the model's own last update stays."""
    after = attrs.evolve(
        model_version(doc, version),
        source=source,
        storage_location=storage_location,
        last_updated_timestamp=now,
    )
    return _with_versions(doc, after)


def not_pending(version: ModelVersion) -> ConflictError:
    """Return the error for finalizing a version that has been finalized."""
    return ConflictError(
        f"Model Version (name={version.name}, version={version.version}) is "
        f"{version.status.value}, no longer {Status.PENDING_REGISTRATION.value}"
    )


def transition(
    doc: ModelDocument, version: int, *, stage: Stage, archive_existing_versions: bool, now: int
) -> ModelDocument:
    """Return the version in that stage, and, if asked, the others that were in it archived."""
    moved = attrs.evolve(
        model_version(doc, version), current_stage=stage, last_updated_timestamp=now
    )
    archived = (
        attrs.evolve(other, current_stage=Stage.ARCHIVED, last_updated_timestamp=now)
        for other in doc.versions.values()
        if archive_existing_versions and other.current_stage is stage and other.version != version
    )
    return attrs.evolve(_with_versions(doc, moved, *archived), last_updated_timestamp=now)


def delete_version(doc: ModelDocument, version: int, *, now: int) -> ModelDocument:
    """Return the model without that version and the aliases that point at it."""
    deleted = model_version(doc, version)
    versions = dict(doc.versions)
    del versions[version]
    aliases = {alias: number for alias, number in doc.aliases.items() if number != deleted.version}
    return attrs.evolve(
        doc,
        versions=versions,
        aliases=aliases,
        approvals=without(doc.approvals, version),
        last_updated_timestamp=now,
    )


# Tags and aliases


def set_tag(doc: ModelDocument, key: str, value: str) -> ModelDocument:
    """Return the model with that tag.

    Raises:
        InvalidArgumentError: it has too many others.
    """
    tags = validation.tags_together(_with(doc.tags, key, value))
    return doc if tags is doc.tags else attrs.evolve(doc, tags=tags)


def delete_tag(doc: ModelDocument, key: str) -> ModelDocument:
    """Return the model without that tag."""
    tags = without(doc.tags, key)
    return doc if tags is doc.tags else attrs.evolve(doc, tags=tags)


def set_version_tag(doc: ModelDocument, version: int, key: str, value: str) -> ModelDocument:
    """Return the version with that tag.

    Raises:
        InvalidArgumentError: it has too many others.
    """
    before = model_version(doc, version)
    tags = validation.tags_together(_with(before.tags, key, value))
    return _with_version_tags(doc, before, tags)


def delete_version_tag(doc: ModelDocument, version: int, key: str) -> ModelDocument:
    """Return the version without that tag."""
    before = model_version(doc, version)
    return _with_version_tags(doc, before, without(before.tags, key))


def set_alias(doc: ModelDocument, alias: str, *, version: int) -> ModelDocument:
    """Return the model with the alias at that version and at no other.

    Raises:
        InvalidArgumentError: it has too many others.
    """
    model_version(doc, version)
    aliases = validation.aliases_together(_with(doc.aliases, alias, version))
    return _with_aliases(doc, aliases, alias)


def delete_alias(doc: ModelDocument, alias: str) -> ModelDocument:
    """Return the model without that alias."""
    return _with_aliases(doc, without(doc.aliases, alias), alias)


def _latest_versions(doc: ModelDocument) -> tuple[ModelVersion, ...]:
    newest_first = tuple(doc.versions.values())[::-1]
    newest = (next((v for v in newest_first if v.current_stage is stage), None) for stage in Stage)
    return tuple(version for version in newest if version is not None)


def _with_versions(doc: ModelDocument, *changed: ModelVersion) -> ModelDocument:
    # The numbers are there already, so that replacing the values keeps the order.
    return attrs.evolve(doc, versions={**doc.versions, **{v.version: v for v in changed}})


def _with_version_tags(
    doc: ModelDocument, version: ModelVersion, tags: Mapping[str, str]
) -> ModelDocument:
    if tags is version.tags:
        return doc
    return _with_versions(doc, attrs.evolve(version, tags=tags))


def _with_aliases(doc: ModelDocument, aliases: Mapping[str, int], moved: str) -> ModelDocument:
    if aliases is doc.aliases:
        return doc
    pointing = aliases_by_version(aliases)
    # Only the versions that `moved` left or reached differ.
    changed = (
        attrs.evolve(doc.versions[mapping[moved]], aliases=pointing.get(mapping[moved], ()))
        for mapping in (doc.aliases, aliases)
        if moved in mapping
    )
    return attrs.evolve(_with_versions(doc, *changed), aliases=aliases)


def aliases_by_version(aliases: Mapping[str, int]) -> dict[int, tuple[str, ...]]:
    """Return the aliases, sorted, by the number of the version that they point at."""
    pointing: dict[int, list[str]] = {}
    for alias, number in sorted(aliases.items()):
        pointing.setdefault(number, []).append(alias)
    return {number: tuple(names) for number, names in pointing.items()}


def by_actor(approvals: Iterable[Approval]) -> tuple[Approval, ...]:
    """Return the approvals of one version in their order."""
    return tuple(sorted(approvals, key=lambda each: each.actor))


def _by_key(mapping: Mapping[str, ValueT]) -> dict[str, ValueT]:
    return dict(sorted(mapping.items()))


def _with(mapping: Mapping[str, ValueT], key: str, value: ValueT) -> Mapping[str, ValueT]:
    if mapping.get(key) == value:
        return mapping
    return _by_key({**mapping, key: value})


def without(mapping: Mapping[KeyT, ValueT], key: KeyT) -> Mapping[KeyT, ValueT]:
    """Return the mapping without a key; the very same one where it does not have it."""
    if key not in mapping:
        return mapping
    return {k: v for k, v in mapping.items() if k != key}
