"""`Registry`: everything about a model registry that does not depend on where it is kept."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from registry_core import sources, uris, validation
from registry_core.artifacts import ArtifactStore, Manifest
from registry_core.artifacts.trees import Progress
from registry_core.errors import (
    InvalidArgumentError,
    ModelVersionNotFoundError,
    NoModelVersionsError,
    NoVersionInStageError,
    StoreCorruptedError,
)
from registry_core.fsck import GRACE_SECONDS, Fsck, Report
from registry_core.lifecycle import DEFAULT_GRACE_SECONDS, ModelArtifacts
from registry_core.models import (
    ModelVersion,
    NewModelVersion,
    NewRegisteredModel,
    RegisteredModel,
    Stage,
)
from registry_core.search import (
    Entity,
    Page,
    Query,
    all_pages,
    parse_filter,
    parse_order_by,
    split_prompts,
)
from registry_core.store import Store
from registry_core.validation import (
    DEFAULT_PAGE_SIZE,
    MODEL_VERSIONS_MAX_RESULTS,
    REGISTERED_MODELS_MAX_RESULTS,
)

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

    # Registered models

    def create_registered_model(
        self,
        name: str,
        *,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        deployment_job_id: str | None = None,
    ) -> RegisteredModel:
        """The new registered model.

        Raises:
            AlreadyExistsError: a model or prompt of that name exists.
        """
        return self.store.create_registered_model(
            NewRegisteredModel(
                name=name,
                description=description or None,
                tags=dict(tags or {}),
                deployment_job_id=deployment_job_id,
            )
        )

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

    def update_registered_model(self, name: str, *, description: str | None) -> RegisteredModel:
        """The registered model with that description; None or an empty text erases it."""
        return self.store.update_registered_model(
            validation.model_name(name), description=validation.description(description) or None
        )

    def rename_registered_model(self, name: str, *, new_name: str) -> RegisteredModel:
        """The registered model under its new name, with all it had.

        `models:/` URIs kept as sources elsewhere are not rewritten.

        Raises:
            RegisteredModelNotFoundError: there is no `name`.
            AlreadyExistsError: `new_name` is taken.
        """
        # Of two wrong names MLflow tells the new one.
        new_name = validation.model_name(new_name, parameter="new_name")
        return self.store.rename_registered_model(validation.model_name(name), new_name=new_name)

    def delete_registered_model(self, name: str) -> None:
        """Removes the registered model with all its versions, tags and aliases."""
        self.store.delete_registered_model(validation.model_name(name))

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
    ) -> ModelVersion:
        """The next version of a registered model.

        A path of this disk is uploaded, if the registry has an artifact store: the version is
        READY once every file is in place, and its source is where they are. See
        `registry_core.lifecycle` for what an interrupted upload leaves and how it goes on.

        A `models:/` source is resolved now: the stored source names the version it stands for, and
        its run id is inherited unless given. Every other source is kept as it is given.

        Raises:
            RegisteredModelNotFoundError: the registered model does not exist.
        """
        tags = dict(tags or {})
        if not source:
            raise validation.missing("source")
        storage_location = origin = None
        if validation.is_prompt(tags):
            sources.check_prompt(source)
            # A prompt comes from no logged model; MLflow drops the id, too.
            model_id = None
        elif uris.is_model_uri(source) and not sources.is_logged_model(source):
            origin = self._origin(source, run_id=run_id, model_id=model_id)
            storage_location = origin.download_uri
            source = f"{uris.SCHEME}{origin.name}/{origin.version}"
            # A name may be what other programs take for a path that leads up.
            sources.check_remote(source)
            run_id = origin.run_id if run_id is None else run_id
            model_id = origin.model_id if model_id is None else model_id
        else:
            self._check_source(source)
        new = NewModelVersion(
            name=name,
            source=source,
            storage_location=storage_location,
            run_id=run_id or "",
            run_link=run_link or "",
            description=description or "",
            tags=tags,
            model_id=model_id or None,
            user_id=user_id or None,
        )
        validation.uri(new.run_link or "", parameter="run_link")
        if self.artifacts is None or validation.is_prompt(tags):
            return self.store.create_model_version(new)
        if self._is_pushed(new.source):
            return self._push(new, progress)
        return self.files.register(new, origin=origin)

    def get_model_version(self, name: str, version: int | str) -> ModelVersion:
        """The model version with its tags and aliases.

        Raises:
            ModelVersionNotFoundError: there is none.
        """
        return self.store.get_model_version(*_key(name, version))

    def resolve(self, uri: str) -> ModelVersion:
        """The version that a `models:/` URI stands for now: by number, alias, stage or `latest`."""
        return self._resolve(uris.parse_model_uri(uri))

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
        self, name: str, version: int | str, *, description: str | None
    ) -> ModelVersion:
        """The model version with that description; None erases it, an empty text is kept."""
        return self.store.update_model_version(
            *_key(name, version), description=validation.description(description)
        )

    def transition_model_version_stage(
        self,
        name: str,
        version: int | str,
        *,
        stage: str,
        archive_existing_versions: bool = False,
    ) -> ModelVersion:
        """The model version in that stage.

        With `archive_existing_versions`, which only Staging and Production allow, every other
        version in the stage becomes Archived in the same step.
        """
        target = Stage.parse(stage)
        if archive_existing_versions and not target.is_active:
            raise InvalidArgumentError(
                "Model version transition cannot archive existing model versions because "
                f"'{stage}' is not an Active stage. Valid stages are "
                f"{[active.value for active in Stage if active.is_active]}"
            )
        return self.store.transition_model_version_stage(
            *_key(name, version),
            stage=target,
            archive_existing_versions=archive_existing_versions,
        )

    def delete_model_version(self, name: str, version: int | str) -> None:
        """Removes the model version with its tags and aliases; its number is not used again."""
        # Of a wrong name and a wrong version MLflow tells the version, here alone.
        validation.version(version)
        self.store.delete_model_version(*_key(name, version))

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
        return ModelArtifacts(self.store, self.artifacts)

    def _push(self, new: NewModelVersion, progress: Progress | None) -> ModelVersion:
        within = None if self._local_sources else self._local_source_root
        path = sources.local_path(new.source)
        return self.files.push(new, path, within=within, progress=progress)

    # Aliases and tags

    def set_registered_model_alias(self, name: str, alias: str, version: int | str) -> None:
        """Points the alias at that version, wherever it pointed before."""
        validation.model_name(name)
        validation.new_alias(alias)
        name, number = _key(name, version)
        self.store.set_registered_model_alias(name, alias, version=number)

    def get_model_version_by_alias(self, name: str, alias: str) -> ModelVersion:
        """The version that the alias names; `latest` in any case is the one numbered highest.

        Raises:
            AliasNotFoundError: there is no such alias.
        """
        validation.model_name(name)
        validation.alias(alias)
        if not validation.is_latest(alias):
            return self.store.get_model_version_by_alias(name, alias)
        latest = self.store.get_registered_model(name).latest_versions
        if not latest:
            raise NoModelVersionsError(name)
        return max(latest, key=lambda version: version.version)

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """Removes the alias; an absent one is no error."""
        self.store.delete_registered_model_alias(
            validation.model_name(name), validation.alias(alias)
        )

    def set_registered_model_tag(self, name: str, key: str, value: str) -> None:
        """Sets a tag of the registered model, whatever it was."""
        self.store.set_registered_model_tag(
            validation.model_name(name), validation.tag_key(key), validation.tag_value(value)
        )

    def delete_registered_model_tag(self, name: str, key: str) -> None:
        """Removes a tag of the registered model; an absent one is no error."""
        self.store.delete_registered_model_tag(validation.model_name(name), validation.tag_key(key))

    def set_model_version_tag(self, name: str, version: int | str, key: str, value: str) -> None:
        """Sets a tag of the model version, whatever it was."""
        _spelt(name, version)
        validation.tag_key(key)
        validation.version_tag_value(value, key=key)
        self.store.set_model_version_tag(*_key(name, version), key, value)

    def delete_model_version_tag(self, name: str, version: int | str, key: str) -> None:
        """Removes a tag of the model version; an absent one is no error."""
        _spelt(name, version)
        validation.tag_key(key)
        self.store.delete_model_version_tag(*_key(name, version), key)

    # Sources

    def _resolve(self, uri: uris.ModelUri) -> ModelVersion:
        if uri.version is not None:
            return self.get_model_version(uri.name, uri.version)
        if uri.alias is not None:
            return self.get_model_version_by_alias(uri.name, uri.alias)
        if uri.latest:
            return self.get_model_version_by_alias(uri.name, "latest")
        stage = uri.stage or ""
        versions = self.get_latest_versions(uri.name, stages=[stage])
        if not versions:
            raise NoVersionInStageError(uri.name, str(stage))
        return versions[0]

    def _origin(self, source: str, *, run_id: str | None, model_id: str | None) -> ModelVersion:
        """The version a `models:/` source stands for, checked as MLflow does (contract 3.7)."""
        if uris.has_host(source):
            raise _bad_source(
                source, "Registered model sources must use the active model registry."
            )
        try:
            uri = uris.parse_model_uri(source)
        except InvalidArgumentError:
            if uris.is_bare(source):
                # What may be an id is held to the rule for paths first.
                sources.check_remote(source)
            raise _bad_source(
                source,
                "The model_id request parameter must identify the resource that contains the "
                "source.",
            ) from None
        if self.get_registered_model(uri.name).is_prompt:
            raise _bad_source(source, "Prompt versions cannot be used as model version sources.")
        origin = self._resolve(uri)
        for given, inherited in ((run_id, origin.run_id), (model_id, origin.model_id)):
            if given is not None and given != (inherited or ""):
                raise _bad_source(
                    source,
                    "The run_id and model_id request parameters must match the referenced model "
                    "version.",
                )
        return origin

    def _is_kept(self, source: str) -> bool:
        """Whether a source is a URI below our own artifact root, local though that may be."""
        return self.artifacts is not None and self.files.stored_path(source) is not None

    def _is_pushed(self, source: str) -> bool:
        """Whether a source is a path whose files are uploaded, and which is then forgotten."""
        return self.artifacts is not None and sources.is_local(source) and not self._is_kept(source)

    def _check_source(self, source: str) -> None:
        if not sources.is_local(source) or self._is_kept(source):
            if not sources.is_logged_model(source):
                sources.check_remote(source)
        elif not self._local_sources:
            sources.check_local(source, root=self._local_source_root)
        if not self._is_pushed(source):
            validation.uri(source, parameter="source")


def _bad_source(source: str, reason: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"Invalid model version source: '{source}'. {reason}")


def _key(name: str, version: int | str) -> tuple[str, int]:
    """A version's key, checked; numbers that no version can have are not found on any store."""
    number = _spelt(name, version)
    if not 1 <= number <= validation.VERSION_MAX:
        raise ModelVersionNotFoundError(name, version)
    return name, number


def _spelt(name: str, version: int | str) -> int:
    """The number of a version whose key is well-formed; there may be no such version."""
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
