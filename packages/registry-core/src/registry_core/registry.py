"""`Registry`: everything about a model registry that does not depend on where it is kept."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import attrs

from registry_core import histories, sources, uris, validation
from registry_core.artifacts import ArtifactStore, Manifest
from registry_core.artifacts.trees import Progress
from registry_core.artifacts.versions import DEFAULT_GRACE_SECONDS, ModelArtifacts
from registry_core.authors import Author, Origin, process_actor
from registry_core.changes import (
    CreateModel,
    CreateVersion,
    DeleteAlias,
    DeleteModel,
    DeleteModelTag,
    DeleteVersion,
    DeleteVersionTag,
    RenameModel,
    SetAlias,
    SetModelTag,
    SetVersionTag,
    TransitionVersion,
    UpdateModel,
    UpdateVersion,
)
from registry_core.errors import InvalidArgumentError, StoreCorruptedError
from registry_core.fsck import GRACE_SECONDS, Fsck, Report
from registry_core.history import Action, Event
from registry_core.models import (
    UNSET,
    ModelVersion,
    NewRegisteredModel,
    RegisteredModel,
    Stage,
    Unset,
)
from registry_core.requirements import AliasIs, Requirement, StageIs, TagIs
from registry_core.search import (
    Entity,
    Page,
    Query,
    all_pages,
    parse_filter,
    parse_order_by,
    split_prompts,
)
from registry_core.source_resolver import SourceResolver, version_by_alias
from registry_core.store import Store
from registry_core.validation import (
    DEFAULT_PAGE_SIZE,
    MODEL_VERSIONS_MAX_RESULTS,
    REGISTERED_MODELS_MAX_RESULTS,
)
from registry_core.writer import Observer, Writer

_ITERATION_PAGE_SIZE = 1_000
"""Rows that `iter_...` methods read at a time: large enough that round trips do not dominate."""


class Registry:
    """A model registry on any store.

    Every method checks its arguments, so that all stores accept and refuse the same, and raises a
    subclass of `registry_core.errors.RegistryError`. A call that raises has changed nothing.
    Versions are given as a number or its digits. Thread-safe.

    With `local_sources=False` a version may not be created from a path of somebody's disk: the
    setting of a server, whose callers' disks are not its own. Paths in `local_source_root` are
    allowed all the same, as far as no link leads out of it.

    With an artifact store, a version made from a path of this disk has its files uploaded.
    `public_artifacts_url` is where clients can read that store without its credentials; download
    URIs below the artifact root are then given in its terms.
    """

    def __init__(
        self,
        store: Store,
        *,
        artifacts: ArtifactStore | None = None,
        public_artifacts_url: str | None = None,
        local_sources: bool = True,
        local_source_root: Path | None = None,
    ) -> None:
        self.store = store
        self.artifacts = artifacts
        self._public_artifacts_url = public_artifacts_url
        self._local_sources = local_sources
        self._local_source_root = local_source_root
        self._author: Author | None = None
        self._observers: list[Observer] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Frees what the stores hold open."""
        self.store.close()
        if self.artifacts is not None:
            self.artifacts.close()

    def ping(self) -> None:
        """Returns when the store answers; raises `StoreUnavailableError` when it does not."""
        self.store.ping()

    # Who changes it, and who watches

    def acting_as(
        self,
        actor: str | None = None,
        *,
        reason: str | None = None,
        origin: Origin = Origin.LIBRARY,
        is_authenticated: bool = False,
    ) -> Self:
        """Return a view on the same registry whose changes are made by `actor`.

        Without an actor it is `REGISTRY_ACTOR`, else the operating system's user. A reason given to
        a method wins over the view's.

        Example:
            >>> ann = registry.acting_as("ann", reason="passed the review")
            >>> ann.set_registered_model_alias("churn", "champion", 3)
        """
        # As copy.copy does it, in a tenth of its time: a server does so for each change.
        view = object.__new__(type(self))
        view.__dict__.update(self.__dict__)
        view._author = Author(
            actor=process_actor() if actor is None else actor,
            reason=reason,
            origin=origin,
            is_authenticated=is_authenticated,
        )
        return view

    def observe(self, observer: Observer) -> None:
        """Show each later change to `observer`, whichever view on this registry makes it.

        It is called with the change, its result and its author, after the change was committed and
        in the thread of the caller, who gets the result also when the observer fails.
        """
        self._observers.append(observer)

    def _writer(self, reason: str | None) -> Writer:
        author = self._author
        if author is None:
            # The system is asked for its user's name once.
            author = self._author = Author(actor=process_actor())
        if reason is not None:
            author = attrs.evolve(author, reason=reason)
        return Writer(self.store, author, tuple(self._observers))

    # Registered models

    def create_registered_model(
        self,
        name: str,
        *,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        deployment_job_id: str | None = None,
        reason: str | None = None,
    ) -> RegisteredModel:
        """The new registered model.

        Raises:
            AlreadyExistsError: a model or prompt of that name exists.
        """
        new = NewRegisteredModel(
            name=name,
            description=description or None,
            tags=dict(tags or {}),
            deployment_job_id=deployment_job_id,
        )
        return self._writer(reason).apply(CreateModel(new))

    def get_registered_model(self, name: str) -> RegisteredModel:
        """The registered model with its tags, aliases and latest versions.

        Raises:
            RegisteredModelNotFoundError: there is none.
        """
        return self.store.get_registered_model(validation.model_name(name))

    def search_registered_models(
        self,
        filter: str | None = None,  # noqa: A002 the field's word
        *,
        order_by: Sequence[str] = (),
        max_results: int = DEFAULT_PAGE_SIZE,
        page_token: str | None = None,
    ) -> Page[RegisteredModel]:
        """A page of registered models that match the filter, by name unless ordered otherwise.

        Prompts are left out unless the filter asks for them. Filter and order are MLflow's
        language; a page holds 1 to 1,000 models.
        """
        _check_max_results(max_results, REGISTERED_MODELS_MAX_RESULTS)
        return self.store.search_registered_models(
            _query(Entity.REGISTERED_MODEL, filter, order_by, max_results, page_token)
        )

    def iter_registered_models(
        self,
        filter: str | None = None,  # noqa: A002 the field's word
        *,
        order_by: Sequence[str] = (),
        page_size: int = _ITERATION_PAGE_SIZE,
    ) -> Iterator[RegisteredModel]:
        """Every registered model that matches, read page by page."""
        return all_pages(
            lambda token: self.search_registered_models(
                filter, order_by=order_by, max_results=page_size, page_token=token
            )
        )

    def update_registered_model(
        self, name: str, *, description: str | None, reason: str | None = None
    ) -> RegisteredModel:
        """The registered model with that description; None or an empty text erases it."""
        change = UpdateModel(
            name=validation.model_name(name),
            description=validation.description(description) or None,
        )
        return self._writer(reason).apply(change)

    def rename_registered_model(
        self, name: str, *, new_name: str, reason: str | None = None
    ) -> RegisteredModel:
        """The registered model under its new name, with all it had.

        `models:/` URIs kept as sources elsewhere are not rewritten.

        Raises:
            RegisteredModelNotFoundError: there is no `name`.
            AlreadyExistsError: `new_name` is taken.
        """
        # Of two wrong names MLflow tells the new one.
        new_name = validation.model_name(new_name, parameter="new_name")
        change = RenameModel(name=validation.model_name(name), new_name=new_name)
        return self._writer(reason).apply(change)

    def delete_registered_model(self, name: str, *, reason: str | None = None) -> None:
        """Removes the registered model with all its versions, tags and aliases."""
        self._writer(reason).apply(DeleteModel(name=validation.model_name(name)))

    def get_latest_versions(
        self, name: str, *, stages: Sequence[str] | None = None
    ) -> tuple[ModelVersion, ...]:
        """The newest version of each stage that has one; of the given stages only, if any."""
        latest = self.get_registered_model(name).latest_versions
        wanted = {Stage.parse(stage) for stage in stages or ()} or set(Stage)
        return tuple(version for version in latest if version.current_stage in wanted)

    # Model versions

    def create_model_version(
        self,
        name: str,
        *,
        source: str,
        run_id: str | None = None,
        run_link: str | None = None,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        model_id: str | None = None,
        user_id: str | None = None,
        progress: Progress | None = None,
        reason: str | None = None,
    ) -> ModelVersion:
        """The next version of a registered model.

        A path of this disk is uploaded, if the registry has an artifact store: the version is
        READY once every file is in place, and its source is where they are. See
        `registry_core.artifacts.versions` for what an interrupted upload leaves and how it goes on.

        A `models:/` source is resolved now: the stored source names the version it stands for, and
        its run id is inherited unless given. Every other source is kept as it is given.

        Raises:
            RegisteredModelNotFoundError: the registered model does not exist.
        """
        resolved = self._sources.resolve(
            name,
            source,
            run_id=run_id,
            model_id=model_id,
            tags=dict(tags or {}),
            run_link=run_link or "",
            description=description or "",
            user_id=user_id or None,
        )
        writer, draft = self._writer(reason), resolved.draft
        if self.artifacts is None or validation.is_prompt(draft.tags):
            return writer.apply(CreateVersion(draft))
        files = ModelArtifacts(writer, self.artifacts)
        if resolved.is_upload:
            path = sources.local_path(draft.source)
            return files.push(draft, path, within=self._sources.upload_root, progress=progress)
        return files.register(draft, origin=resolved.origin)

    def get_model_version(self, name: str, version: int | str) -> ModelVersion:
        """The model version with its tags and aliases.

        Raises:
            ModelVersionNotFoundError: there is none.
        """
        return self.store.get_model_version(*validation.version_key(name, version))

    def resolve(self, uri: str) -> ModelVersion:
        """The version that a `models:/` URI stands for now: by number, alias, stage or `latest`."""
        return self._sources.version(uris.parse_model_uri(uri))

    def search_model_versions(
        self,
        filter: str | None = None,  # noqa: A002 the field's word
        *,
        order_by: Sequence[str] = (),
        max_results: int = MODEL_VERSIONS_MAX_RESULTS,
        page_token: str | None = None,
    ) -> Page[ModelVersion]:
        """A page of model versions that match the filter, last updated first unless ordered.

        Versions of prompts are left out unless the filter asks for them.
        """
        _check_max_results(max_results, MODEL_VERSIONS_MAX_RESULTS)
        return self.store.search_model_versions(
            _query(Entity.MODEL_VERSION, filter, order_by, max_results, page_token)
        )

    def iter_model_versions(
        self,
        filter: str | None = None,  # noqa: A002 the field's word
        *,
        order_by: Sequence[str] = (),
        page_size: int = _ITERATION_PAGE_SIZE,
    ) -> Iterator[ModelVersion]:
        """Every model version that matches, read page by page."""
        return all_pages(
            lambda token: self.search_model_versions(
                filter, order_by=order_by, max_results=page_size, page_token=token
            )
        )

    def update_model_version(
        self, name: str, version: int | str, *, description: str | None, reason: str | None = None
    ) -> ModelVersion:
        """The model version with that description; None erases it, an empty text is kept."""
        name, number = validation.version_key(name, version)
        change = UpdateVersion(
            name=name, version=number, description=validation.description(description)
        )
        return self._writer(reason).apply(change)

    def transition_model_version_stage(
        self,
        name: str,
        version: int | str,
        *,
        stage: str,
        archive_existing_versions: bool = False,
        expected: str | Unset = UNSET,
        reason: str | None = None,
    ) -> ModelVersion:
        """Move the model version to a stage, and return it.

        With `archive_existing_versions`, which only Staging and Production allow, every other
        version in the stage becomes Archived in the same step. `expected` is the stage that the
        version has to be in now; any by default.

        Raises:
            StaleValueError: The version is in another stage; nothing was changed.
        """
        target = Stage.parse(stage)
        if archive_existing_versions and not target.is_active:
            raise InvalidArgumentError(
                "Model version transition cannot archive existing model versions because "
                f"'{stage}' is not an Active stage. Valid stages are "
                f"{[active.value for active in Stage if active.is_active]}"
            )
        name, number = validation.version_key(name, version)
        change = TransitionVersion(
            name=name,
            version=number,
            stage=target,
            archive_existing_versions=archive_existing_versions,
            requires=()
            if isinstance(expected, Unset)
            else (StageIs(name=name, version=number, stage=Stage.parse(expected).value),),
        )
        return self._writer(reason).apply(change)

    def delete_model_version(
        self, name: str, version: int | str, *, reason: str | None = None
    ) -> None:
        """Removes the model version with its tags and aliases; its number is not used again."""
        # Of a wrong name and a wrong version MLflow tells the version, here alone.
        number = validation.version(version)
        validation.model_name(name)
        number = validation.possible_version(number, name=name, written=version)
        self._writer(reason).apply(DeleteVersion(name=name, version=number))

    def get_model_version_download_uri(self, name: str, version: int | str) -> str:
        """Where the bytes of the model version can be read."""
        uri = self.get_model_version(name, version).download_uri
        if self.artifacts is None or self._public_artifacts_url is None:
            return uri
        path = self.files.stored_path(uri)
        return uri if path is None else f"{self._public_artifacts_url}/{quote(path)}"

    # Artifacts

    def pull_model_version(
        self,
        name: str,
        version: int | str,
        destination: str | os.PathLike[str],
        *,
        progress: Progress | None = None,
    ) -> Manifest:
        """The manifest of the version whose files are now, verified, below `destination`.

        Files already there with the right digest are kept.

        Raises:
            ArtifactMismatchError: something is not what was registered.
            InvalidArgumentError: the files are not kept by this registry.
        """
        found = self.get_model_version(name, version)
        return self.files.pull(found, Path(destination), progress=progress)

    def get_model_version_manifest(self, name: str, version: int | str) -> Manifest:
        """What the files of a version were when it was registered.

        Raises:
            ArtifactMismatchError: the manifest itself is missing or damaged.
            InvalidArgumentError: the files are not kept by this registry.
        """
        return self.files.manifest_of(self.get_model_version(name, version))

    def verify_model_version(self, name: str, version: int | str) -> Manifest:
        """The manifest of a version, after every byte was read and found as it says.

        Raises:
            ArtifactMismatchError: naming each path with the expected and the found digest.
            InvalidArgumentError: the files are not kept by this registry.
        """
        return self.files.verify(self.get_model_version(name, version))

    def fsck(self, *, repair: bool = False, grace_seconds: float | None = None) -> Report:
        """What is wrong with the stored metadata and artifacts; a repair loses nothing.

        Nothing is changed unless `repair` is set. What an operation left unfinished counts once it
        is older than the grace period, in seconds; by default an hour, and a day for bytes that no
        version refers to.
        """
        grace = GRACE_SECONDS if grace_seconds is None else grace_seconds
        reports = []
        if isinstance(self.store, Fsck):
            reports.append(self.store.fsck(repair=repair, grace_seconds=grace))
        else:
            note = "The metadata was not checked: this store has no check of its own"
            reports.append(Report(findings=(), checked={}, notes=(note,)))
        reports.append(self._check_files(reports[0], repair=repair, grace_seconds=grace_seconds))
        return Report.of(reports)

    def _check_files(
        self, metadata: Report, *, repair: bool, grace_seconds: float | None
    ) -> Report:
        if self.artifacts is None:
            count = metadata.checked.get("model_versions", 0)
            return Report(
                findings=(),
                checked={},
                not_checked={"sources_without_artifact_root": count} if count else {},
                notes=("The files of model versions were not checked: there is no artifact root",),
            )
        graces = (
            (GRACE_SECONDS, DEFAULT_GRACE_SECONDS)
            if grace_seconds is None
            else (grace_seconds, grace_seconds)
        )
        try:
            return self.files.fsck(
                repair=repair, grace_seconds=graces[0], garbage_grace_seconds=graces[1]
            )
        except StoreCorruptedError as error:
            if metadata.clean:
                raise
            # Which files belong to what, only metadata that can be read tells.
            note = f"The files of model versions were not checked: {error}"
            return Report(findings=(), checked={}, notes=(note,))

    @property
    def files(self) -> ModelArtifacts:
        """The files of model versions.

        Raises:
            InvalidArgumentError: the registry has no artifact store.
        """
        if self.artifacts is None:
            raise InvalidArgumentError(
                "This registry has no artifact root; name one with REGISTRY_ARTIFACTS or "
                "--artifacts"
            )
        return ModelArtifacts(self._writer(None), self.artifacts)

    @property
    def _sources(self) -> SourceResolver:
        return SourceResolver(
            self.store,
            kept=None if self.artifacts is None else self.files,
            local_sources=self._local_sources,
            local_source_root=self._local_source_root,
        )

    # Aliases and tags

    def set_registered_model_alias(
        self,
        name: str,
        alias: str,
        version: int | str,
        *,
        expected: int | Unset | None = UNSET,
        reason: str | None = None,
    ) -> None:
        """Point the alias at that version.

        Args:
            name: The registered model.
            alias: The alias.
            version: The number of the version, or its digits.
            expected: Where the alias has to point now: a version's number, or None for nowhere.
                Anywhere by default.
            reason: Why, for the history.

        Raises:
            StaleValueError: The alias does not point where it is expected; nothing was changed.

        Example:
            >>> registry.set_registered_model_alias("churn", "champion", 7, expected=5)
        """
        validation.model_name(name)
        validation.new_alias(alias)
        number = validation.possible_version(
            validation.version(version), name=name, written=version
        )
        requires = () if isinstance(expected, Unset) else (_alias_is(name, alias, expected),)
        change = SetAlias(name=name, alias=alias, version=number, requires=requires)
        self._writer(reason).apply(change)

    def rollback_registered_model_alias(
        self, name: str, alias: str, *, to: int | None = None, reason: str | None = None
    ) -> int | None:
        """Point the alias where it pointed before, and return that version's number.

        Args:
            name: The registered model.
            alias: The alias.
            to: The number of an event in the model's history: the alias points then where it
                pointed after that event. By default the last change of the alias is undone.
            reason: Why, for the history; the rollback is an event like all others.

        Returns:
            None when the alias did not exist then, and was removed.

        Raises:
            InvalidArgumentError: The history says nothing of the alias.
            StaleValueError: Somebody else has moved the alias meanwhile; nothing was changed.
            ModelVersionNotFoundError: The version that the alias pointed at was deleted.
        """
        validation.model_name(name)
        validation.alias(alias)
        change = histories.rollback(self.store, name, alias, to=to)
        self._writer(reason).apply(change)
        return change.version if isinstance(change, SetAlias) else None

    def registered_model_as_of(self, name: str, moment: int | datetime) -> RegisteredModel:
        """Return a registered model as it was at a moment, from its history.

        Args:
            name: The name that the model has now.
            moment: Milliseconds since the epoch, or a moment with its time zone.

        Raises:
            InvalidArgumentError: The history of the model begins later.

        Example:
            >>> registry.registered_model_as_of("churn", datetime(2026, 1, 31, tzinfo=UTC)).aliases
        """
        return histories.as_of(self.store, validation.model_name(name), moment).entity

    def verify_history(self, name: str) -> list[str]:
        """Return where a registered model is not what its history says; nothing if it is true.

        All events of the model are played back, and the result is compared with the model and with
        all of its versions.

        Raises:
            ConflictError: Others changed the model each time.
            StoreCorruptedError: The history cannot be read or played back.
        """
        return histories.verify(self.store, validation.model_name(name))

    def get_model_version_by_alias(self, name: str, alias: str) -> ModelVersion:
        """The version that the alias names; `latest` in any case is the one numbered highest.

        Raises:
            AliasNotFoundError: there is no such alias.
        """
        return version_by_alias(self.store, name, alias)

    def delete_registered_model_alias(
        self,
        name: str,
        alias: str,
        *,
        expected: int | Unset | None = UNSET,
        reason: str | None = None,
    ) -> None:
        """Remove the alias; an absent one is no error.

        `expected` as in `set_registered_model_alias`.
        """
        name, alias = validation.model_name(name), validation.alias(alias)
        requires = () if isinstance(expected, Unset) else (_alias_is(name, alias, expected),)
        self._writer(reason).apply(DeleteAlias(name=name, alias=alias, requires=requires))

    def set_registered_model_tag(
        self,
        name: str,
        key: str,
        value: str,
        *,
        expected: str | Unset | None = UNSET,
        reason: str | None = None,
    ) -> None:
        """Set a tag of the registered model.

        `expected` is what it has to be now, None for absent; anything by default.

        Raises:
            StaleValueError: The tag is not what is expected; nothing was changed.
        """
        name, key = validation.model_name(name), validation.tag_key(key)
        change = SetModelTag(
            name=name,
            key=key,
            value=validation.tag_value(value),
            requires=_tag_is(name, None, key, expected),
        )
        self._writer(reason).apply(change)

    def delete_registered_model_tag(
        self,
        name: str,
        key: str,
        *,
        expected: str | Unset | None = UNSET,
        reason: str | None = None,
    ) -> None:
        """Remove a tag of the registered model; an absent one is no error.

        `expected` as in `set_registered_model_tag`.
        """
        name, key = validation.model_name(name), validation.tag_key(key)
        change = DeleteModelTag(name=name, key=key, requires=_tag_is(name, None, key, expected))
        self._writer(reason).apply(change)

    def set_model_version_tag(
        self,
        name: str,
        version: int | str,
        key: str,
        value: str,
        *,
        expected: str | Unset | None = UNSET,
        reason: str | None = None,
    ) -> None:
        """Set a tag of the model version; `expected` as in `set_registered_model_tag`."""
        number = _spelt(name, version)
        validation.tag_key(key)
        validation.version_tag_value(value, key=key)
        number = validation.possible_version(number, name=name, written=version)
        requires = _tag_is(name, number, key, expected)
        change = SetVersionTag(name=name, version=number, key=key, value=value, requires=requires)
        self._writer(reason).apply(change)

    def delete_model_version_tag(
        self,
        name: str,
        version: int | str,
        key: str,
        *,
        expected: str | Unset | None = UNSET,
        reason: str | None = None,
    ) -> None:
        """Remove a tag of the model version; an absent one is no error.

        `expected` as in `set_registered_model_tag`.
        """
        number = _spelt(name, version)
        validation.tag_key(key)
        number = validation.possible_version(number, name=name, written=version)
        requires = _tag_is(name, number, key, expected)
        change = DeleteVersionTag(name=name, version=number, key=key, requires=requires)
        self._writer(reason).apply(change)

    # History

    def history(
        self,
        name: str,
        *,
        alias: str | None = None,
        version: int | str | None = None,
        actions: Iterable[Action | str] | None = None,
        since: int | datetime | None = None,
        until: int | datetime | None = None,
        newest_first: bool = True,
    ) -> Iterator[Event]:
        """Return what was done to a registered model, in the order of the events' numbers.

        Args:
            name: The registered model, by the name that it has now.
            alias: Only events about this alias.
            version: Only events about this version.
            actions: Only events of these kinds; see `registry_core.history.Action`.
            since: Only events of this moment or later: milliseconds since the epoch, or a
                `datetime` with a time zone.
            until: Only events before this moment.
            newest_first: Whether the newest event comes first.

        Raises:
            RegisteredModelNotFoundError: The model does not exist; raised by the first event.

        Example:
            >>> for event in registry.history("churn", alias="champion"):
            ...     print(event.time, event.actor, event.before, event.after, event.reason)
        """
        query = histories.query(
            name,
            alias=alias,
            version=version,
            actions=actions,
            since=since,
            until=until,
            newest_first=newest_first,
        )
        return histories.iterate(self.store, query)

    def activity(
        self,
        *,
        actions: Iterable[Action | str] | None = None,
        since: int | datetime | None = None,
        until: int | datetime | None = None,
        newest_first: bool = True,
    ) -> Iterator[Event]:
        """Return what was done to all registered models that exist, in the order of time.

        The arguments are those of `history`.
        """
        query = histories.query(
            None, actions=actions, since=since, until=until, newest_first=newest_first
        )
        return histories.iterate(self.store, query)


def _alias_is(name: str, alias: str, expected: int | None) -> Requirement:
    return AliasIs(name=name, alias=alias, version=expected)


def _tag_is(
    name: str, version: int | None, key: str, expected: str | Unset | None
) -> tuple[Requirement, ...]:
    if isinstance(expected, Unset):
        return ()
    return (TagIs(name=name, version=version, key=key, value=expected),)


def _spelt(name: str, version: int | str) -> int:
    """Refuse a malformed key before anything else; there may be no version of that number."""
    validation.model_name(name)
    return validation.version(version)


def _query(
    entity: Entity,
    filter_text: str | None,
    order_by: Sequence[str],
    max_results: int,
    page_token: str | None,
) -> Query:
    bound, exclude_prompts = split_prompts(parse_filter(filter_text, entity))
    return Query(
        entity=entity,
        filter=bound,
        order_by=parse_order_by(order_by, entity),
        max_results=max_results,
        page_token=page_token or None,
        exclude_prompts=exclude_prompts,
    )


def _check_max_results(value: int, most: int) -> None:
    if value < 1:
        raise InvalidArgumentError(
            f"Invalid value for max_results. It must be a positive integer, but got {value}"
        )
    if value > most:
        raise InvalidArgumentError(
            "Invalid value for request parameter max_results. It must be at most "
            f"{most}, but got value {value}"
        )
