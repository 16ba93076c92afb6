"""Calls about model versions."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from registry_core import sources, uris, validation
from registry_core.artifacts.trees import Progress
from registry_core.artifacts.versions import ModelArtifacts, PushOptions, remote
from registry_core.calls.base import RegistryBase
from registry_core.calls.queries import ITERATION_PAGE_SIZE, check_max_results, query_of
from registry_core.changes import (
    CreateVersion,
    DeleteVersion,
    TransitionVersion,
    UpdateVersion,
)
from registry_core.errors import InvalidArgumentError
from registry_core.idempotency import Idempotency
from registry_core.inloop import in_thread
from registry_core.models import (
    UNSET,
    ModelVersion,
    Stage,
    StageName,
    Unset,
)
from registry_core.requirements import StageIs
from registry_core.search import (
    Entity,
    Page,
    all_pages,
)
from registry_core.source_resolver import Resolved
from registry_core.validation import MODEL_VERSIONS_MAX_RESULTS, TagValue


class VersionCalls(RegistryBase):
    """Calls about model versions."""

    def create_model_version(
        self,
        name: str,
        *,
        source: str,
        run_id: str | None = None,
        run_link: str | None = None,
        description: str | None = None,
        tags: Mapping[str, TagValue] | None = None,
        model_id: str | None = None,
        user_id: str | None = None,
        progress: Progress | None = None,
        idempotency_key: str | None = None,
        reason: str | None = None,
    ) -> ModelVersion:
        """Create the next version of a registered model, and return it.

        A path of this disk is uploaded, if the registry has an artifact store: the version is
        READY once every file is in place, and its source is where they are. See
        `registry_core.artifacts.versions` for what an interrupted upload leaves and how it goes on.

        A `models:/` source is resolved now: the stored source names the version it stands for, and
        its run id is inherited unless given. Every other source is kept as it is given.

        `idempotency_key` makes the call safe to repeat: within a day the same call under the same
        key creates nothing more, and gets the version that the first one has made, as it is by
        now. An upload takes none: it is continued by the same call as it is.

        Raises:
            RegisteredModelNotFoundError: the registered model does not exist.
            IdempotencyKeyReusedError: the key was used for another call about this name.

        Example:
            >>> registry.create_model_version("churn", source="s3://models/churn/4").version
            4
        """
        fields = {"run_id": run_id, "run_link": run_link, "description": description}
        recognised = _recognised(
            idempotency_key,
            {**fields, "source": source, "tags": validation.tag_texts(tags), "model_id": model_id},
        )
        resolved = self._resolved(
            name,
            source,
            run_id=run_id,
            run_link=run_link,
            description=description,
            tags=tags,
            model_id=model_id,
            user_id=user_id,
        )
        self._check_readable(resolved)
        if not resolved.is_upload:
            return self._register(resolved, recognised, reason)
        if recognised is not None:
            raise InvalidArgumentError("An upload takes no idempotency key.")
        return in_thread(lambda: self._upload(resolved, progress, reason))

    def push_model_version(
        self,
        name: str,
        source: str | os.PathLike[str],
        *,
        run_id: str | None = None,
        run_link: str | None = None,
        description: str | None = None,
        tags: Mapping[str, TagValue] | None = None,
        model_id: str | None = None,
        user_id: str | None = None,
        create: bool = False,
        if_changed: bool = False,
        follow_links: bool = True,
        progress: Progress | None = None,
        reason: str | None = None,
    ) -> ModelVersion:
        """Upload a directory, or one file, of this disk as the next version of a registered model.

        The version is READY, and its files are sealed: nothing changes them from then on. The same
        call again continues one that was interrupted, and sends no file twice.

        Args:
            name: The registered model.
            source: The directory or file.
            run_id: Kept as given, as `run_link`, `description`, `tags`, `model_id` and `user_id`.
            run_link: See `run_id`.
            description: See `run_id`.
            tags: See `run_id`.
            model_id: See `run_id`.
            user_id: See `run_id`.
            create: Make a missing registered model, when nothing else stands in the way.
            if_changed: Return the newest version, and push nothing, if it has the same files.
            follow_links: Take links in the directory for what they lead to, as MLflow does. A link
                that leads nowhere or in a circle is refused in any case.
            progress: Called with the bytes done and the bytes in all.
            reason: Why, for the history.

        Raises:
            InvalidArgumentError: The directory cannot be a model version, which the error explains,
                or the registry has no artifact root.
            RegisteredModelNotFoundError: The registered model does not exist.
            ConflictError: Others changed or removed the files meanwhile; safe to repeat.
            PushInterrupted: On Ctrl-C, when there is a pending version.

        Example:
            >>> version = registry.push_model_version("churn", "model_dir", create=True)
            >>> registry.set_registered_model_alias("churn", "champion", version.version)
        """
        path = Path(source).absolute()
        resolved = self._resolved(
            name,
            path.as_uri(),
            run_id=run_id,
            run_link=run_link,
            description=description,
            tags=tags,
            model_id=model_id,
            user_id=user_id,
        )
        options = PushOptions(
            within=self._sources.upload_root,
            follow_links=follow_links,
            create=create,
            if_changed=if_changed,
            progress=progress,
        )
        if self._served is not None:
            return remote.push(self._served, resolved.draft, path, options, by=self._by(reason))
        return self._files(reason).push(resolved.draft, path, options)

    def _resolved(
        self,
        name: str,
        source: str,
        *,
        run_id: str | None,
        run_link: str | None,
        description: str | None,
        tags: Mapping[str, TagValue] | None,
        model_id: str | None,
        user_id: str | None,
    ) -> Resolved:
        return self._sources.resolve(
            name,
            source,
            run_id=run_id,
            model_id=model_id,
            tags=validation.tag_texts(tags),
            run_link=run_link or "",
            description=description or "",
            user_id=user_id or None,
        )

    def _register(
        self, resolved: Resolved, recognised: Idempotency | None, reason: str | None
    ) -> ModelVersion:
        writer, draft = self._writer(reason), resolved.draft
        if self.artifacts is None or validation.is_prompt(draft.tags):
            return writer.apply(CreateVersion(draft, idempotency=recognised))
        files = ModelArtifacts(writer, self.artifacts)
        return files.register(draft, origin=resolved.origin, idempotency=recognised)

    def _upload(
        self, resolved: Resolved, progress: Progress | None, reason: str | None
    ) -> ModelVersion:
        assert self.artifacts is not None, "only a registry with a root uploads"
        options = PushOptions(within=self._sources.upload_root, progress=progress)
        files = ModelArtifacts(self._writer(reason), self.artifacts)
        return files.push(resolved.draft, sources.local_path(resolved.draft.source), options)

    def _check_readable(self, resolved: Resolved) -> None:
        """Refuse a source by which a caller could read files that he may not read."""
        guarded = self.guarded_files
        if guarded is None or resolved.origin is not None or resolved.is_upload:
            return
        path = self.files.own_path(resolved.draft.source)
        if path is not None and not in_thread(lambda: guarded.may_register(path)):
            raise InvalidArgumentError(
                f"Invalid model version source: '{resolved.draft.source}'. There are no files "
                "there; upload them first."
            )

    def get_model_version(self, name: str, version: int | str) -> ModelVersion:
        """Return the model version with its tags and aliases.

        Raises:
            ModelVersionNotFoundError: there is none.

        Example:
            >>> registry.get_model_version("churn", 2).aliases
            ('champion',)
        """
        return self.store.get_model_version(*validation.version_key(name, version))

    def resolve(self, uri: str) -> ModelVersion:
        """Return the version that a `models:/` URI stands for now.

        It names a version by its number, an alias, a stage or `latest`.

        Without the scheme it is the same: `churn/3`, `churn@champion`.

        Example:
            >>> registry.resolve("models:/churn@champion").version
            2
            >>> registry.resolve("churn/1").source
            's3://models/churn/1'
        """
        return self._sources.version(uris.parse_reference(uri))

    def search_model_versions(
        self,
        filter: str | None = None,  # noqa: A002 the field's word
        *,
        order_by: Sequence[str] = (),
        max_results: int = MODEL_VERSIONS_MAX_RESULTS,
        page_token: str | None = None,
    ) -> Page[ModelVersion]:
        """Return a page of model versions that match the filter, last updated first unless ordered.

        Versions of prompts are left out unless the filter asks for them.

        Example:
            >>> page = registry.search_model_versions(
            ...     "name = 'churn'", order_by=["version_number DESC"]
            ... )
            >>> [version.version for version in page]
            [3, 2, 1]
        """
        check_max_results(max_results, MODEL_VERSIONS_MAX_RESULTS)
        return self.store.search_model_versions(
            query_of(Entity.MODEL_VERSION, filter, order_by, max_results, page_token)
        )

    def iter_model_versions(
        self,
        filter: str | None = None,  # noqa: A002 the field's word
        *,
        order_by: Sequence[str] = (),
        page_size: int = ITERATION_PAGE_SIZE,
    ) -> Iterator[ModelVersion]:
        """Return every model version that matches, read page by page.

        Example:
            >>> [version.version for version in registry.iter_model_versions("tags.auc = '0.93'")]
            [2]
        """
        return all_pages(
            lambda token: self.search_model_versions(
                filter, order_by=order_by, max_results=page_size, page_token=token
            )
        )

    def update_model_version(
        self, name: str, version: int | str, *, description: str | None, reason: str | None = None
    ) -> ModelVersion:
        """Set the description of the model version, and return it.

        None erases it; an empty text is kept.

        Example:
            >>> registry.update_model_version("churn", 2, description="more data").description
            'more data'
        """
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
        stage: Stage | StageName,
        archive_existing_versions: bool = False,
        expected: Stage | StageName | Unset = UNSET,
        reason: str | None = None,
    ) -> ModelVersion:
        """Move the model version to a stage, and return it.

        With `archive_existing_versions`, which only Staging and Production allow, every other
        version in the stage becomes Archived in the same step. `expected` is the stage that the
        version has to be in now; any by default.

        Raises:
            StaleValueError: The version is in another stage; nothing was changed.

        Example:
            >>> registry.transition_model_version_stage("churn", 2, stage="Staging").current_stage
            <Stage.STAGING: 'Staging'>
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
        """Delete the model version with its tags and aliases; its number is not used again.

        Example:
            >>> registry.delete_model_version("churn", 1)
            >>> registry.create_model_version("churn", source="s3://models/churn/4").version
            4
        """
        # Of a wrong name and a wrong version MLflow tells the version, here alone.
        number = validation.version(version)
        validation.model_name(name)
        number = validation.possible_version(number, name=name, written=version)
        self._writer(reason).apply(DeleteVersion(name=name, version=number))

    def get_model_version_download_uri(self, name: str, version: int | str) -> str:
        """Return where the bytes of the model version can be read.

        Example:
            >>> registry.get_model_version_download_uri("churn", 1)
            's3://models/churn/1'
        """
        uri = self.get_model_version(name, version).download_uri
        if self.artifacts is None or self._public_artifacts_url is None:
            return uri
        path = self.files.stored_path(uri)
        return uri if path is None else f"{self._public_artifacts_url}/{quote(path)}"


def _recognised(key: str | None, asked: Mapping[str, Any]) -> Idempotency | None:
    # As the caller has it: an alias in the source may stand for another version by now.
    if key is None:
        return None
    fields = {name: value for name, value in asked.items() if value}
    return Idempotency.of(key, what="create version", asked=fields)
