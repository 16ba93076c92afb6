"""Stores that are wrong in one way each, and the part of the kit that must notice.

Every class below is the memory store, or the pickled one, with one promise broken as a real backend
might break it.
"""

from __future__ import annotations

import base64
import json
import threading
import time
import unicodedata
from collections.abc import Callable
from typing import Any, TypeVar

import attrs

from registry_core import documents, validation, webhook_records
from registry_core.changes import CreateModel, DeleteModel, RenameModel
from registry_core.errors import (
    AliasNotFoundError,
    AlreadyExistsError,
    RegisteredModelNotFoundError,
    RegistryError,
)
from registry_core.models import (
    ModelVersion,
    NewModelVersion,
    NewRegisteredModel,
    Stage,
    Status,
)
from registry_core.search import Comparison, Op, Page, TagRef
from registry_core.stores.memory import MemoryStore
from registry_core.testing import aliases as alias_tests
from registry_core.testing import (
    concurrency,
    durability,
    idempotency,
    limits,
    model_versions,
    paging,
    registered_models,
    searching,
    tags,
    webhooks,
)
from services.method_store import MethodStore
from services.pickled_store import PickledStore

BlunderT = TypeVar("BlunderT", bound=type)

BUGS: dict[type, type] = {}
"""Each buggy store, and the part of the kit that catches it."""

A_MOMENT = 0.05
"""Seconds that a race is held open, so that it is lost every time, on a busy machine too."""


def caught_by(part: type) -> Callable[[BlunderT], BlunderT]:
    def register(store: BlunderT) -> BlunderT:
        BUGS[store] = part
        return store

    return register


class Editable(MethodStore):
    """A memory store whose documents bugs edit behind its back."""

    def _edit(self, name: str, **changes: Any) -> None:
        self._documents[name] = attrs.evolve(self._documents[name], **changes)

    def _edit_version(self, name: str, version: int, **changes: Any) -> None:
        doc = self._documents[name]
        changed = attrs.evolve(doc.versions[version], **changes)
        self._edit(name, versions={**doc.versions, version: changed})


# Registered models


@caught_by(registered_models.CreateRegisteredModelTests)
class TrimsNames(MethodStore):
    def create_registered_model(self, new):
        return super().create_registered_model(attrs.evolve(new, name=new.name.strip()))


@caught_by(registered_models.CreateRegisteredModelTests)
class NormalizesNames(MethodStore):
    def create_registered_model(self, new):
        name = unicodedata.normalize("NFC", new.name)
        return super().create_registered_model(attrs.evolve(new, name=name))


@caught_by(registered_models.CreateRegisteredModelTests)
class FoldsCaseOfNames(MethodStore):
    def create_registered_model(self, new):
        for name in self._documents:
            if name.lower() == new.name.lower():
                raise AlreadyExistsError(new.name)
        return super().create_registered_model(new)


@caught_by(registered_models.CreateRegisteredModelTests)
class CutsNames(MethodStore):
    def get_registered_model(self, name):
        found = next((n for n in self._documents if n[:255] == name[:255]), name)
        return super().get_registered_model(found)


@caught_by(registered_models.CreateRegisteredModelTests)
class ForgetsEmptyDescriptions(MethodStore):
    def create_registered_model(self, new):
        return super().create_registered_model(
            attrs.evolve(new, description=new.description or None)
        )


@caught_by(registered_models.UpdateRegisteredModelTests)
class KeepsDescriptionWhenErased(MethodStore):
    def update_registered_model(self, name, *, description):
        if description is None:
            description = self.get_registered_model(name).description
        return super().update_registered_model(name, description=description)


@caught_by(registered_models.UpdateRegisteredModelTests)
class SkipsUpdatesWithoutAChange(MethodStore):
    def update_registered_model(self, name, *, description):
        found = self.get_registered_model(name)
        if found.description == description:
            return found
        return super().update_registered_model(name, description=description)


@caught_by(registered_models.CreateRegisteredModelTests)
class CountsTimeInSeconds(MethodStore):
    def __init__(self, clock):
        super().__init__(lambda: clock() // 1000 * 1000)


@caught_by(registered_models.CreateRegisteredModelTests)
class TellsPromptsByValue(MethodStore):
    def create_registered_model(self, new):
        try:
            return super().create_registered_model(new)
        except AlreadyExistsError:
            raise AlreadyExistsError(
                new.name,
                existing_is_prompt=self.get_registered_model(new.name).is_prompt,
                wanted_prompt=validation.is_prompt(new.tags),
            ) from None


@caught_by(registered_models.CreateRegisteredModelTests)
class OverwritesTakenNames(MethodStore):
    def create_registered_model(self, new):
        try:
            return super().create_registered_model(new)
        except AlreadyExistsError:
            self._documents[new.name] = documents.create_document(new, self._clock())
            raise


@caught_by(registered_models.CreateRegisteredModelTests)
class KeepsTheCallersMapping(Editable):
    def create_registered_model(self, new):
        super().create_registered_model(new)
        if len(new.tags) == 1:
            self._edit(new.name, tags=new.tags)
        return self.get_registered_model(new.name)


@caught_by(registered_models.CreateRegisteredModelTests)
class ListsTagsInAnyOrder(Editable):
    def create_registered_model(self, new):
        super().create_registered_model(new)
        self._edit(new.name, tags=dict(new.tags))
        return self.get_registered_model(new.name)


@caught_by(registered_models.RenameRegisteredModelTests)
class RenameLosesAliases(Editable):
    def rename_registered_model(self, name, *, new_name):
        super().rename_registered_model(name, new_name=new_name)
        doc = attrs.evolve(self._documents[new_name], aliases={})
        self._documents[new_name] = documents.build(doc, doc.versions.values())
        return self.get_registered_model(new_name)


@caught_by(registered_models.RenameRegisteredModelTests)
class RenameLosesTags(Editable):
    def rename_registered_model(self, name, *, new_name):
        super().rename_registered_model(name, new_name=new_name)
        self._edit(new_name, tags={})
        return self.get_registered_model(new_name)


@caught_by(registered_models.RenameRegisteredModelTests)
class RenameLeavesTimesOfVersions(Editable):
    def rename_registered_model(self, name, *, new_name):
        before = self._documents.get(name)
        super().rename_registered_model(name, new_name=new_name)
        for number, version in before.versions.items():
            stamp = version.last_updated_timestamp
            self._edit_version(new_name, number, last_updated_timestamp=stamp)
        return self.get_registered_model(new_name)


@caught_by(registered_models.RenameRegisteredModelTests)
class RenameRestartsTheCounter(Editable):
    def rename_registered_model(self, name, *, new_name):
        super().rename_registered_model(name, new_name=new_name)
        numbers = self._documents[new_name].versions
        self._edit(new_name, next_version=max(numbers, default=0) + 1)
        return self.get_registered_model(new_name)


@caught_by(registered_models.RenameRegisteredModelTests)
class RenameReplacesTheOther(MethodStore):
    def rename_registered_model(self, name, *, new_name):
        if name in self._documents and name != new_name:
            self._documents.pop(new_name, None)
        return super().rename_registered_model(name, new_name=new_name)


@caught_by(registered_models.RenameRegisteredModelTests)
class RenameRefusesItsOwnName(MethodStore):
    def rename_registered_model(self, name, *, new_name):
        if new_name in self._documents:
            raise AlreadyExistsError(new_name)
        return super().rename_registered_model(name, new_name=new_name)


@caught_by(registered_models.RenameRegisteredModelTests)
class RenameLooksAtTheNewNameFirst(MethodStore):
    def rename_registered_model(self, name, *, new_name):
        if new_name != name and new_name in self._documents:
            raise AlreadyExistsError(new_name)
        return super().rename_registered_model(name, new_name=new_name)


@caught_by(registered_models.DeleteRegisteredModelTests)
class DeleteIsIdempotent(MethodStore):
    def delete_registered_model(self, name):
        if name in self._documents:
            super().delete_registered_model(name)


@caught_by(registered_models.CreateRegisteredModelTests)
class DeleteByPrefix(MethodStore):
    def delete_registered_model(self, name):
        super().delete_registered_model(name)
        for other in [other for other in self._documents if other.startswith(name)]:
            del self._documents[other]


@caught_by(registered_models.CreateRegisteredModelTests)
class LatestIsTheLastMoved(Editable):
    def get_registered_model(self, name):
        found = super().get_registered_model(name)
        newest = {
            version.current_stage: version
            for version in sorted(
                self._documents[name].versions.values(), key=lambda v: v.last_updated_timestamp
            )
        }
        latest = tuple(newest[stage] for stage in Stage if stage in newest)
        return attrs.evolve(found, latest_versions=latest)


@caught_by(registered_models.CreateRegisteredModelTests)
class LatestByText(MethodStore):
    def get_registered_model(self, name):
        found = super().get_registered_model(name)
        newest = {
            version.current_stage: version
            for version in sorted(
                self._documents[name].versions.values(), key=lambda v: str(v.version)
            )
        }
        latest = tuple(newest[stage] for stage in Stage if stage in newest)
        return attrs.evolve(found, latest_versions=latest)


@caught_by(registered_models.CreateRegisteredModelTests)
class LatestWithoutAliases(MethodStore):
    def get_registered_model(self, name):
        found = super().get_registered_model(name)
        latest = tuple(attrs.evolve(v, aliases=()) for v in found.latest_versions)
        return attrs.evolve(found, latest_versions=latest)


@caught_by(registered_models.CreateRegisteredModelTests)
class LatestOnlyWhenReady(MethodStore):
    def get_registered_model(self, name):
        found = super().get_registered_model(name)
        ready = tuple(v for v in found.latest_versions if v.status is Status.READY)
        return attrs.evolve(found, latest_versions=ready)


@caught_by(registered_models.CreateRegisteredModelTests)
class LatestIsRememberedAfterDeletion(MethodStore):
    def __init__(self, clock):
        super().__init__(clock)
        self._latest = {}

    def transition_model_version_stage(self, name, version, **target):
        moved = super().transition_model_version_stage(name, version, **target)
        self._latest[name] = super().get_registered_model(name).latest_versions
        return moved

    def get_registered_model(self, name):
        found = super().get_registered_model(name)
        return attrs.evolve(found, latest_versions=self._latest.get(name, found.latest_versions))


# Model versions


@caught_by(model_versions.CreateModelVersionTests)
class ReusesNumbers(Editable):
    def create_model_version(self, new):
        doc = self._documents.get(new.name)
        if doc is not None:
            self._edit(new.name, next_version=max(doc.versions, default=0) + 1)
        return super().create_model_version(new)


@caught_by(model_versions.CreateModelVersionTests)
class CreatesMissingModels(MethodStore):
    def create_model_version(self, new):
        if new.name not in self._documents:
            self.create_registered_model(NewRegisteredModel(name=new.name))
        return super().create_model_version(new)


@caught_by(model_versions.CreateModelVersionTests)
class CreationLeavesTheModelsTime(Editable):
    def create_model_version(self, new):
        before = self.get_registered_model(new.name)
        created = super().create_model_version(new)
        self._edit(new.name, last_updated_timestamp=before.last_updated_timestamp)
        return created


@caught_by(model_versions.CreateModelVersionTests)
class TakesNoneForEmpty(MethodStore):
    def create_model_version(self, new):
        return super().create_model_version(attrs.evolve(new, run_id=new.run_id or ""))


@caught_by(model_versions.CreateModelVersionTests)
class DropsModelIds(MethodStore):
    def create_model_version(self, new):
        return super().create_model_version(attrs.evolve(new, model_id=None))


@caught_by(model_versions.CreateModelVersionTests)
class AnswersWithTheDraft(MethodStore):
    """Says it kept what it did not keep."""

    def get_model_version(self, name, version):
        return attrs.evolve(super().get_model_version(name, version), user_id=None)


@caught_by(model_versions.CreateModelVersionTests)
class OverflowsOnLargeNumbers(MethodStore):
    def get_model_version(self, name, version):
        if abs(version) >= 2**63:
            raise OverflowError("Python int too large to convert to SQLite INTEGER")
        return super().get_model_version(name, version)


@caught_by(model_versions.CreateModelVersionTests)
class NamesTheModelForAMissingVersion(MethodStore):
    def delete_model_version(self, name, version):
        self.get_registered_model(name)
        super().delete_model_version(name, version)


@caught_by(model_versions.UpdateModelVersionTests)
class UpdateTouchesTheModel(Editable):
    def update_model_version(self, name, version, *, description):
        updated = super().update_model_version(name, version, description=description)
        self._edit(name, last_updated_timestamp=self._clock())
        return updated


@caught_by(model_versions.UpdateModelVersionTests)
class UpdateForgetsNone(MethodStore):
    def update_model_version(self, name, version, *, description):
        return super().update_model_version(name, version, description=description or "")


@caught_by(model_versions.FinalizeModelVersionTests)
class FinalizesAgain(Editable):
    def finalize_model_version(self, name, version, **final):
        if version in self._documents.get(name, documents.ModelDocument).versions:
            self._edit_version(name, version, status=Status.PENDING_REGISTRATION)
        return super().finalize_model_version(name, version, **final)


@caught_by(model_versions.FinalizeModelVersionTests)
class FinalizeDropsTheLocation(Editable):
    def finalize_model_version(self, name, version, **final):
        super().finalize_model_version(name, version, **final)
        self._edit_version(name, version, storage_location=final.get("storage_location"))
        return self.get_model_version(name, version)


@caught_by(model_versions.TransitionModelVersionTests)
class ArchivesTheWinnerToo(Editable):
    def transition_model_version_stage(self, name, version, **target):
        moved = super().transition_model_version_stage(name, version, **target)
        doc = self._documents[name]
        if target["archive_existing_versions"] and len(doc.versions) > 1:
            self._edit_version(name, version, current_stage=Stage.ARCHIVED)
        return moved


@caught_by(model_versions.TransitionModelVersionTests)
class ArchivesEveryStage(Editable):
    def transition_model_version_stage(self, name, version, **target):
        moved = super().transition_model_version_stage(name, version, **target)
        if target["archive_existing_versions"]:
            for number in set(self._documents[name].versions) - {version}:
                self._edit_version(name, number, current_stage=Stage.ARCHIVED)
        return moved


@caught_by(model_versions.TransitionModelVersionTests)
class ArchivesOlderVersionsOnly(Editable):
    def transition_model_version_stage(self, name, version, *, stage, archive_existing_versions):
        before = self._documents.get(name)
        moved = super().transition_model_version_stage(
            name, version, stage=stage, archive_existing_versions=archive_existing_versions
        )
        for number, was in before.versions.items():
            if number > version:
                self._edit_version(name, number, current_stage=was.current_stage)
        return moved


@caught_by(model_versions.TransitionModelVersionTests)
class ArchivesSilently(Editable):
    def transition_model_version_stage(self, name, version, **target):
        before = self._documents.get(name)
        moved = super().transition_model_version_stage(name, version, **target)
        for number, was in before.versions.items():
            if number != version:
                stamp = was.last_updated_timestamp
                self._edit_version(name, number, last_updated_timestamp=stamp)
        return moved


@caught_by(model_versions.TransitionModelVersionTests)
class SkipsTransitionsInPlace(MethodStore):
    def transition_model_version_stage(self, name, version, **target):
        found = self.get_model_version(name, version)
        if found.current_stage is target["stage"]:
            return found
        return super().transition_model_version_stage(name, version, **target)


@caught_by(model_versions.DeleteModelVersionTests)
class DeletionKeepsAliases(Editable):
    def delete_model_version(self, name, version):
        before = self._documents.get(name)
        super().delete_model_version(name, version)
        self._edit(name, aliases=before.aliases)


@caught_by(model_versions.DeleteModelVersionTests)
class DeletionDropsAllAliases(Editable):
    def delete_model_version(self, name, version):
        super().delete_model_version(name, version)
        self._edit(name, aliases={})


@caught_by(model_versions.DeleteModelVersionTests)
class DeletionLeavesTheModelsTime(Editable):
    def delete_model_version(self, name, version):
        before = self._documents.get(name)
        super().delete_model_version(name, version)
        self._edit(name, last_updated_timestamp=before.last_updated_timestamp)


@caught_by(model_versions.DeleteModelVersionTests)
class DeletionKeepsTags(Editable):
    """Tags stay in their table, and belong to whoever gets the number next."""

    def __init__(self, clock):
        super().__init__(clock)
        self._left = {}

    def delete_model_version(self, name, version):
        left = self.get_model_version(name, version).tags
        super().delete_model_version(name, version)
        self._left[name, version] = left

    def create_model_version(self, new):
        created = super().create_model_version(new)
        tags = {**self._left.get((new.name, created.version), {}), **created.tags}
        self._edit_version(new.name, created.version, tags=tags)
        return self.get_model_version(new.name, created.version)


# Aliases and tags


@caught_by(alias_tests.AliasTests)
class MovedAliasesLeaveATrace(Editable):
    def set_registered_model_alias(self, name, alias, *, version):
        before = self._documents.get(name)
        super().set_registered_model_alias(name, alias, version=version)
        if alias in before.aliases:
            old = before.aliases[alias]
            self._edit_version(name, old, aliases=before.versions[old].aliases)


@caught_by(alias_tests.AliasTests)
class FoldsCaseOfAliases(MethodStore):
    def set_registered_model_alias(self, name, alias, *, version):
        super().set_registered_model_alias(name, alias.lower(), version=version)


@caught_by(alias_tests.AliasTests)
class AliasesMoveTime(Editable):
    def set_registered_model_alias(self, name, alias, *, version):
        super().set_registered_model_alias(name, alias, version=version)
        self._edit(name, last_updated_timestamp=self._clock())


@caught_by(alias_tests.AliasTests)
class AliasesNameMissingVersions(Editable):
    def set_registered_model_alias(self, name, alias, *, version):
        doc = self._documents.get(name)
        if doc is not None and version not in doc.versions:
            self._edit(name, aliases={**doc.aliases, alias: version})
            return
        super().set_registered_model_alias(name, alias, version=version)


@caught_by(alias_tests.AliasTests)
class AliasIsDeletedBeforeItIsSet(MethodStore):
    def set_registered_model_alias(self, name, alias, *, version):
        if name in self._documents:
            self.delete_registered_model_alias(name, alias)
        super().set_registered_model_alias(name, alias, version=version)


@caught_by(alias_tests.AliasTests)
class AliasesOfMissingModelsAreMissing(MethodStore):
    def get_model_version_by_alias(self, name, alias):
        try:
            return super().get_model_version_by_alias(name, alias)
        except RegisteredModelNotFoundError:
            raise AliasNotFoundError(name, alias) from None


@caught_by(alias_tests.AliasTests)
class AliasDeletionIsStrict(MethodStore):
    def delete_registered_model_alias(self, name, alias):
        self.get_model_version_by_alias(name, alias)
        super().delete_registered_model_alias(name, alias)


@caught_by(alias_tests.AliasTests)
class ReadsByAliasAreBare(MethodStore):
    def get_model_version_by_alias(self, name, alias):
        return attrs.evolve(super().get_model_version_by_alias(name, alias), tags={})


@caught_by(tags.TagTests)
class TagsMoveTime(Editable):
    def set_model_version_tag(self, name, version, key, value):
        super().set_model_version_tag(name, version, key, value)
        self._edit_version(name, version, last_updated_timestamp=self._clock())


@caught_by(tags.TagTests)
class TagsAreSetOnce(MethodStore):
    def set_registered_model_tag(self, name, key, value):
        if key not in self.get_registered_model(name).tags:
            super().set_registered_model_tag(name, key, value)


@caught_by(tags.TagTests)
class CutsTagValues(MethodStore):
    def set_model_version_tag(self, name, version, key, value):
        super().set_model_version_tag(name, version, key, value[:5_000])


@caught_by(tags.TagTests)
class CountsBytesOfTagValues(MethodStore):
    def set_registered_model_tag(self, name, key, value):
        kept = value.encode()[:100_000].decode(errors="ignore")
        super().set_registered_model_tag(name, key, kept)


@caught_by(tags.TagTests)
class FoldsCaseOfTagKeys(MethodStore):
    def delete_model_version_tag(self, name, version, key):
        for kept in self.get_model_version(name, version).tags:
            if kept.lower() == key.lower():
                super().delete_model_version_tag(name, version, kept)


@caught_by(tags.TagTests)
class TagDeletionIsStrict(MethodStore):
    def delete_registered_model_tag(self, name, key):
        if key not in self.get_registered_model(name).tags:
            raise RegistryError(f"no tag {key}")
        super().delete_registered_model_tag(name, key)


@caught_by(tags.TagTests)
class ModelTagsReachVersions(MethodStore):
    def delete_registered_model_tag(self, name, key):
        super().delete_registered_model_tag(name, key)
        for number in self._documents[name].versions:
            super().delete_model_version_tag(name, number, key)


@caught_by(tags.TagTests)
class NewTagsComeLast(Editable):
    def set_registered_model_tag(self, name, key, value):
        before = self.get_registered_model(name).tags
        super().set_registered_model_tag(name, key, value)
        self._edit(name, tags={**before, key: value})


# Webhooks


@caught_by(webhooks.WebhookTests)
class ListsOldestWebhooksFirst(MethodStore):
    def list_webhooks(self):
        return super().list_webhooks()[::-1]


@caught_by(webhooks.WebhookTests)
class DropsSecrets(MethodStore):
    def get_webhook(self, webhook_id):
        return attrs.evolve(super().get_webhook(webhook_id), secret=None)


@caught_by(webhooks.WebhookTests)
class UpdatesOnlyChangedWebhooks(MethodStore):
    def update_webhook(self, webhook_id, changes):
        if changes == type(changes)():
            return self.get_webhook(webhook_id)
        return super().update_webhook(webhook_id, changes)


@caught_by(webhooks.WebhookTests)
class TakesNoneForUnset(MethodStore):
    def update_webhook(self, webhook_id, changes):
        if changes.description is None:
            changes = attrs.evolve(changes, description=self.get_webhook(webhook_id).description)
        return super().update_webhook(webhook_id, changes)


@caught_by(webhooks.WebhookTests)
class SortsEvents(MethodStore):
    def create_webhook(self, new):
        return super().create_webhook(attrs.evolve(new, events=tuple(sorted(new.events))))


# Searches


class Rewriting(MethodStore):
    """A memory store that searches for something else than it was asked."""

    def rewrite(self, comparison: Comparison) -> Comparison | None:
        return comparison

    def rewritten(self, query):
        changed = (self.rewrite(comparison) for comparison in query.filter)
        return attrs.evolve(query, filter=tuple(c for c in changed if c is not None))

    def search_registered_models(self, query):
        return super().search_registered_models(self.rewritten(query))

    def search_model_versions(self, query):
        return super().search_model_versions(self.rewritten(query))


@caught_by(searching.FilterTests)
class LikeFoldsCase(Rewriting):
    def rewrite(self, comparison):
        return attrs.evolve(comparison, op=Op.ILIKE) if comparison.op is Op.LIKE else comparison


@caught_by(searching.FilterTests)
class IlikeMindsCase(Rewriting):
    def rewrite(self, comparison):
        return attrs.evolve(comparison, op=Op.LIKE) if comparison.op is Op.ILIKE else comparison


@caught_by(searching.FilterTests)
class BackslashIsOrdinary(Rewriting):
    def rewrite(self, comparison):
        if comparison.op not in (Op.LIKE, Op.ILIKE):
            return comparison
        return attrs.evolve(comparison, value=comparison.value.replace("\\", "\\\\"))


@caught_by(searching.FilterTests)
class PatternsFindParts(Rewriting):
    def rewrite(self, comparison):
        if comparison.op is not Op.LIKE:
            return comparison
        return attrs.evolve(comparison, value=f"%{comparison.value}%")


@caught_by(searching.FilterTests)
class EqualityIsAPattern(Rewriting):
    def rewrite(self, comparison):
        return attrs.evolve(comparison, op=Op.LIKE) if comparison.op is Op.EQ else comparison


@caught_by(searching.FilterTests)
class LastClauseOnATagWins(Rewriting):
    def rewritten(self, query):
        kept = {}
        for comparison in query.filter:
            is_tag = isinstance(comparison.operand, TagRef)
            kept[comparison.operand if is_tag else comparison] = comparison
        return attrs.evolve(query, filter=tuple(kept.values()))


@caught_by(searching.FilterTests)
class LessIsLessOrEqual(Rewriting):
    def rewrite(self, comparison):
        return attrs.evolve(comparison, op=Op.LE) if comparison.op is Op.LT else comparison


@caught_by(searching.FilterTests)
class ListsAreShort(Rewriting):
    def rewrite(self, comparison):
        if comparison.op is not Op.IN:
            return comparison
        return attrs.evolve(comparison, value=comparison.value[:999])


@caught_by(searching.FilterTests)
class NotInIsIgnored(Rewriting):
    def rewrite(self, comparison):
        return None if comparison.op is Op.NOT_IN else comparison


class Adding(MethodStore):
    """A memory store that finds more than it should."""

    def also(self, query, row: ModelVersion) -> bool:
        raise NotImplementedError

    def search_model_versions(self, query):
        page = super().search_model_versions(query)
        found = {(row.name, row.version) for row in page.items}
        rows = [v for doc in self._documents.values() for v in doc.versions.values()]
        more = [
            row for row in rows if (row.name, row.version) not in found and self.also(query, row)
        ]
        return Page([*page.items, *more])


@caught_by(searching.FilterTests)
class NullIsUnequal(Adding):
    def also(self, query, row):
        match query.filter:
            case [Comparison(op=Op.NE, operand=operand)] if operand != TagRef("k"):
                return row.run_id is None
        return False


@caught_by(searching.FilterTests)
class AbsentTagsAreUnequal(Adding):
    def also(self, query, row):
        match query.filter:
            case [Comparison(op=Op.NE, operand=TagRef(key))]:
                return key not in row.tags
        return False


@caught_by(searching.FilterTests)
class TagsOfTheModelCount(Adding):
    def also(self, query, row):
        match query.filter:
            case [Comparison(op=Op.EQ, operand=TagRef(key), value=value)]:
                return self._documents[row.name].tags.get(key) == value
        return False


@caught_by(searching.FilterTests)
class LongTagsAreEqualByPrefix(Adding):
    def also(self, query, row):
        match query.filter:
            case [Comparison(op=Op.EQ, operand=TagRef(key), value=str(value))]:
                return len(value) > 2_000 and row.tags.get(key, "")[:2_000] == value[:2_000]
        return False


@caught_by(searching.SearchedRowsTests)
class FindsVersionsWithoutAliases(MethodStore):
    def search_model_versions(self, query):
        page = super().search_model_versions(query)
        return Page([attrs.evolve(row, aliases=()) for row in page.items], page.next_page_token)


@caught_by(searching.SearchedRowsTests)
class FindsModelsWithoutLatestVersions(MethodStore):
    def search_registered_models(self, query):
        page = super().search_registered_models(query)
        rows = [attrs.evolve(row, latest_versions=()) for row in page.items]
        return Page(rows, page.next_page_token)


@caught_by(tags.TagTests)
class FindsOnlyTheTagsSearchedFor(MethodStore):
    def search_registered_models(self, query):
        page = super().search_registered_models(query)
        keys = {c.operand.key for c in query.filter if isinstance(c.operand, TagRef)}
        rows = [
            attrs.evolve(row, tags={k: v for k, v in row.tags.items() if k in keys})
            for row in page.items
        ]
        return Page(rows if keys else page.items, page.next_page_token)


@caught_by(searching.SearchedRowsTests)
class RemembersSearches(MethodStore):
    def __init__(self, clock):
        super().__init__(clock)
        self._remembered = {}

    def search_registered_models(self, query):
        if query not in self._remembered:
            self._remembered[query] = super().search_registered_models(query)
        return self._remembered[query]


@caught_by(searching.SearchedRowsTests)
class TellsPromptsByVersionTags(MethodStore):
    def search_model_versions(self, query):
        page = super().search_model_versions(attrs.evolve(query, exclude_prompts=False))
        if not query.exclude_prompts:
            return page
        rows = [row for row in page.items if row.tags.get(validation.PROMPT_TAG) != "true"]
        return Page(rows, page.next_page_token)


@caught_by(searching.SearchedRowsTests)
class TellsPromptsInAnyCase(MethodStore):
    def search_registered_models(self, query):
        page = super().search_registered_models(query)
        rows = [row for row in page.items if not (query.exclude_prompts and row.is_prompt)]
        return Page(rows, page.next_page_token)


@caught_by(searching.SearchedRowsTests)
class LeavesPromptsOutTooLate(MethodStore):
    def search_registered_models(self, query):
        page = super().search_registered_models(attrs.evolve(query, exclude_prompts=False))
        marker = validation.PROMPT_TAG
        rows = [
            row
            for row in page.items
            if not (query.exclude_prompts and row.tags.get(marker) == "true")
        ]
        return Page(rows, page.next_page_token)


class Sorting(MethodStore):
    """A memory store that sorts a page by other keys."""

    def key(self, row: Any) -> Any:
        raise NotImplementedError

    def search_registered_models(self, query):
        page = super().search_registered_models(query)
        return Page(sorted(page.items, key=self.key), page.next_page_token)

    def search_model_versions(self, query):
        page = super().search_model_versions(query)
        return Page(sorted(page.items, key=self.key), page.next_page_token)


@caught_by(searching.OrderTests)
class SortsNamesByCollation(Sorting):
    def key(self, row):
        return row.name.casefold()


@caught_by(searching.OrderTests)
class SortsNamesByUtf16(Sorting):
    def key(self, row):
        return row.name.encode("utf-16-be")


@caught_by(searching.OrderTests)
class SortsNumbersAsTexts(MethodStore):
    def search_model_versions(self, query):
        page = super().search_model_versions(query)
        if query.order_by[0].field != "version":
            return page
        rows = sorted(page.items, key=lambda row: str(row.version))
        return Page(rows, page.next_page_token)


@caught_by(searching.OrderTests)
class ForgetsTieBreakers(MethodStore):
    def search_model_versions(self, query):
        page = super().search_model_versions(query)
        order = query.order_by[0]
        rows = sorted(
            sorted(page.items, key=lambda row: (row.name, row.version)),
            key=lambda row: getattr(row, order.field),
            reverse=not order.ascending,
        )
        return Page(rows, page.next_page_token)


# Pages


@caught_by(paging.PagingTests)
class PagesByOffset(MethodStore):
    def _paged(self, search, query):
        offset = 0
        if query.page_token:
            try:
                offset = json.loads(base64.b64decode(query.page_token, validate=True))["offset"]
            except (ValueError, UnicodeError):
                return search(query)
        rows = search(attrs.evolve(query, page_token=None, max_results=100_000)).items
        end = offset + query.max_results
        token = base64.b64encode(json.dumps({"offset": end}).encode()).decode()
        return Page(rows[offset:end], token if end < len(rows) else None)

    def search_registered_models(self, query):
        return self._paged(super().search_registered_models, query)

    def search_model_versions(self, query):
        return self._paged(super().search_model_versions, query)


@caught_by(paging.PagingTests)
class PagesAreOneTooLong(MethodStore):
    def search_registered_models(self, query):
        return super().search_registered_models(
            attrs.evolve(query, max_results=query.max_results + 1)
        )


@caught_by(paging.PagingTests)
class PagesAreOneTooShort(MethodStore):
    def search_model_versions(self, query):
        page = super().search_model_versions(query)
        if page.next_page_token is None:
            return page
        return Page(page.items[:-1], page.next_page_token)


@caught_by(paging.PagingTests)
class FullPagesNameANextOne(MethodStore):
    def search_registered_models(self, query):
        page = super().search_registered_models(query)
        if page.next_page_token is None and len(page.items) == query.max_results:
            more = super().search_registered_models(attrs.evolve(query, max_results=1))
            return Page(page.items, more.next_page_token or "bm90IGEgcGFnZQ==")
        return page


@caught_by(paging.PagingTests)
class TakesTokensOfOtherSearches(MethodStore):
    def search_model_versions(self, query):
        try:
            return super().search_model_versions(query)
        except RegistryError:
            return super().search_model_versions(attrs.evolve(query, page_token=None))


@caught_by(paging.PagingTests)
class TokensAreUsedUp(MethodStore):
    def __init__(self, clock):
        super().__init__(clock)
        self._used = set()

    def search_registered_models(self, query):
        token, again = query.page_token, query.page_token in self._used
        self._used.add(token)
        if token and again:
            return Page([])
        return super().search_registered_models(query)


# Races


@caught_by(concurrency.WritesRacingTests)
class LosesUpdates(MethodStore):
    def apply(self, change, *, by):
        if isinstance(change, (CreateModel, RenameModel, DeleteModel)):
            return super().apply(change, by=by)
        after = change.apply(self._documents.get(change.model), self._clock())
        time.sleep(A_MOMENT)
        self._documents[change.model] = after
        return change.result(after)


@caught_by(concurrency.WritesRacingTests)
class LosesWebhookUpdates(MethodStore):
    def update_webhook(self, webhook_id, changes):
        before = self.get_webhook(webhook_id)
        after = webhook_records.apply_changes(before, changes, self._clock())
        time.sleep(A_MOMENT)
        self._webhooks[webhook_id] = after
        return after


@caught_by(concurrency.WinnersTests)
class LooksBeforeItCreates(MethodStore):
    def create_registered_model(self, new):
        existing = self._documents.get(new.name)
        if existing is not None:
            raise documents.taken(existing, new)
        time.sleep(A_MOMENT)
        created = documents.create_document(new, self._clock())
        self._documents[new.name] = created
        return documents.registered_model(created)


@caught_by(concurrency.WinnersTests)
class LooksBeforeItFinalizes(Editable):
    def finalize_model_version(self, name, version, **final):
        found = self.get_model_version(name, version)
        if found.status is not Status.PENDING_REGISTRATION:
            raise documents.not_pending(found)
        time.sleep(A_MOMENT)
        with self._lock:
            self._edit_version(name, version, status=Status.PENDING_REGISTRATION)
        return super().finalize_model_version(name, version, **final)


@caught_by(concurrency.WinnersTests)
class RenameCopiesThenDeletes(MethodStore):
    def rename_registered_model(self, name, *, new_name):
        before = documents.present(self._documents.get(name), name)
        if new_name != name and new_name in self._documents:
            raise AlreadyExistsError(new_name)
        after = documents.rename(before, new_name=new_name, now=self._clock())
        self._documents[new_name] = after
        time.sleep(A_MOMENT)
        if new_name != name:
            self._documents.pop(name, None)
        return documents.registered_model(after)


@caught_by(concurrency.ReadersTests)
class RenameShowsBothNames(MethodStore):
    def __init__(self, clock):
        super().__init__(clock)
        self._writing = threading.Lock()

    def rename_registered_model(self, name, *, new_name):
        with self._writing:
            before = documents.present(self._documents.get(name), name)
            after = documents.rename(before, new_name=new_name, now=self._clock())
            self._documents[new_name] = after
            time.sleep(A_MOMENT)
            self._documents.pop(name)
        return documents.registered_model(after)


@caught_by(concurrency.ReadersTests)
class RenameShowsNoName(MethodStore):
    def __init__(self, clock):
        super().__init__(clock)
        self._writing = threading.Lock()

    def rename_registered_model(self, name, *, new_name):
        with self._writing:
            before = documents.present(self._documents.pop(name, None), name)
            time.sleep(A_MOMENT)
            after = documents.rename(before, new_name=new_name, now=self._clock())
            self._documents[new_name] = after
        return documents.registered_model(after)


@caught_by(concurrency.ReadersTests)
class ArchivesInASecondStep(Editable):
    def transition_model_version_stage(self, name, version, *, stage, archive_existing_versions):
        moved = super().transition_model_version_stage(
            name, version, stage=stage, archive_existing_versions=False
        )
        time.sleep(A_MOMENT)
        if archive_existing_versions:
            return super().transition_model_version_stage(
                name, version, stage=stage, archive_existing_versions=True
            )
        return moved


@caught_by(concurrency.OrdersTests)
class LooksBeforeItSetsAliases(Editable):
    def set_registered_model_alias(self, name, alias, *, version):
        self.get_model_version(name, version)
        time.sleep(A_MOMENT)
        with self._lock:
            self._edit(name, aliases={**self._documents[name].aliases, alias: version})


@caught_by(concurrency.OrdersTests)
class LooksBeforeItCreatesVersions(MethodStore):
    """A version is written under the name that its model had."""

    def create_model_version(self, new: NewModelVersion):
        before = documents.present(self._documents.get(new.name), new.name)
        time.sleep(A_MOMENT)
        with self._lock:
            now = self._documents.get(new.name, before)
            self._documents[new.name] = documents.create_version(now, new, now=self._clock())
            return documents.last_created(self._documents[new.name])


# Limits


@caught_by(limits.TagLimitTests)
class CountsTheTagThatIsReplaced(MethodStore):
    def set_registered_model_tag(self, name, key, value):
        if len(self.get_registered_model(name).tags) >= validation.TAGS_MAX_COUNT:
            raise validation.too_many_tags()
        super().set_registered_model_tag(name, key, value)


@caught_by(limits.TagLimitTests)
class MeasuresTagsInCharacters(Editable):
    def set_model_version_tag(self, name, version, key, value):
        with self._lock:
            tags = {**self._documents[name].versions[version].tags, key: value}
            if sum(map(len, [*tags, *tags.values()])) > validation.TAGS_MAX_BYTES:
                raise validation.too_many_tags()
            self._edit_version(name, version, tags=dict(sorted(tags.items())))


@caught_by(limits.TagLimitTests)
class CountsTagsBeforeItSetsOne(Editable):
    def set_model_version_tag(self, name, version, key, value):
        tags = {**self.get_model_version(name, version).tags, key: value}
        validation.tags_together(tags)
        time.sleep(A_MOMENT)
        with self._lock:
            now = self._documents[name].versions[version].tags
            self._edit_version(name, version, tags={**now, key: value})


@caught_by(limits.AliasLimitTests)
class LetsAliasesGrow(Editable):
    def set_registered_model_alias(self, name, alias, *, version):
        with self._lock:
            doc = self._documents[name]
            documents.model_version(doc, version)
            self._edit(name, aliases=dict(sorted({**doc.aliases, alias: version}.items())))


# Handles and processes


@caught_by(durability.DurabilityTests)
class ForgetsWebhooks(PickledStore):
    def _load(self):
        store = super()._load()
        store._content.webhooks = getattr(self, "_kept", {})
        self._kept = store._content.webhooks
        return store


@caught_by(durability.DurabilityTests)
class ForgetsCounters(PickledStore):
    def _load(self):
        store = super()._load()
        if not hasattr(self, "_opened"):
            self._opened = True
            for name, doc in store._content.models.items():
                store._content.models[name] = attrs.evolve(
                    doc, next_version=max(doc.versions, default=0) + 1
                )
        return store


@caught_by(durability.DurabilityTests)
class SavesWhenClosed(PickledStore):
    def __init__(self, path, clock):
        super().__init__(path, clock)
        self._held = super()._load()

    def _load(self):
        return self._held

    def _save(self, store):
        pass


@caught_by(concurrency.ReadersTests)
class ReadsWhatItSawBefore(PickledStore):
    """A cache per handle that nobody tells of the other handle's writes."""

    def _call(self, method, *args, **kwargs):
        seen = self.__dict__.setdefault("_seen", {})
        if not method.startswith("get"):
            seen.clear()
            return super()._call(method, *args, **kwargs)
        if (method, args) not in seen:
            seen[method, args] = super()._call(method, *args, **kwargs)
        return seen[method, args]


@caught_by(idempotency.IdempotencyTests)
class ForgetsIdempotencyKeys(MemoryStore):
    """It makes a creation as often as it is asked."""

    def apply(self, change, *, by):
        if change.idempotency is not None:
            change = attrs.evolve(change, idempotency=None)
        return super().apply(change, by=by)
