"""`SourceResolver`: what the source of a new model version stands for.

A `models:/` source is resolved once, when the version is created (contract 3.7): the stored source
names the version it stands for at that moment, and its ids are inherited unless they are given.
Every other source is checked and kept as it is given; see `registry_core.sources`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

import attrs

from registry_core import sources, uris, validation
from registry_core.errors import (
    InvalidArgumentError,
    NoModelVersionsError,
    NoVersionInStageError,
)
from registry_core.inloop import in_thread
from registry_core.models import ModelVersion, NewModelVersion, Stage
from registry_core.store import Reads


@attrs.frozen
class Resolved:
    """A draft whose source is final, and the version that the source stands for, if any."""

    draft: NewModelVersion
    origin: ModelVersion | None = None
    is_upload: bool = False
    """Whether the source is a path of this disk, whose files have to be uploaded."""


class SourceResolver:
    """Resolves `models:/` URIs, and the sources of new model versions, against one registry.

    With `local_sources=False` a path of somebody's disk is refused, as a server has to, whose
    callers' disks are not its own. Paths in `local_source_root` are allowed all the same.
    """

    def __init__(
        self,
        store: Reads,
        *,
        kept: KeptSources | None = None,
        local_sources: bool = True,
        local_source_root: Path | None = None,
    ) -> None:
        self._store = store
        self._kept = kept
        self._local_sources = local_sources
        self._local_source_root = local_source_root

    @property
    def upload_root(self) -> Path | None:
        """The directory that an upload must not lead out of; None for any."""
        return None if self._local_sources else self._local_source_root

    def version(self, uri: uris.ModelUri) -> ModelVersion:
        """Return the version that a `models:/` URI stands for now.

        Raises:
            NotFoundError: There is no such model, version, alias or version in the stage.
        """
        validation.model_name(uri.name)
        return self._version(uri)

    def _version(self, uri: uris.ModelUri) -> ModelVersion:
        """Return the version that a URI with a legal name stands for."""
        if uri.version is not None:
            number = validation.possible_version(
                validation.version(uri.version), name=uri.name, written=uri.version
            )
            return self._store.get_model_version(uri.name, number)
        if uri.alias is not None or uri.latest:
            return _by_alias(self._store, uri.name, uri.alias or "latest")
        requested = uri.stage or ""
        model = self._store.get_registered_model(uri.name)
        stage = Stage.parse(requested)
        for version in model.latest_versions:
            if version.current_stage is stage:
                return version
        raise NoVersionInStageError(uri.name, requested)

    def resolve(
        self,
        name: str,
        source: str,
        *,
        run_id: str | None,
        model_id: str | None,
        tags: Mapping[str, str],
        run_link: str,
        description: str,
        user_id: str | None,
    ) -> Resolved:
        """Return the draft of a new version with its final source.

        Args:
            name: The registered model.
            source: As the caller gave it.
            run_id: As given; of a `models:/` source it is inherited where it is None.
            model_id: As `run_id`.
            tags: Of the new version; they tell whether it is one of a prompt.
            run_link: Kept as given.
            description: Kept as given.
            user_id: Kept as given.

        Raises:
            InvalidArgumentError: The source is not allowed; MLflow's text.
            NotFoundError: What a `models:/` source names does not exist.
        """
        if not source:
            raise validation.missing("source")
        origin = storage_location = None
        is_prompt = validation.is_prompt(tags)
        if is_prompt:
            sources.check_prompt(source)
            # A prompt comes from no logged model; MLflow drops the id, too.
            model_id = None
        elif uris.is_model_uri(source) and not sources.is_logged_model(source):
            # What it reads may be as large as a model can be.
            origin = in_thread(partial(self._origin, source, run_id=run_id, model_id=model_id))
            storage_location = origin.download_uri
            source = f"{uris.SCHEME}{origin.name}/{origin.version}"
            # A name may be what other programs take for a path that leads up.
            sources.check_remote(source)
            run_id = origin.run_id if run_id is None else run_id
            model_id = origin.model_id if model_id is None else model_id
        else:
            self._check(source)
        validation.uri(run_link, parameter="run_link")
        draft = NewModelVersion(
            name=name,
            source=source,
            storage_location=storage_location,
            run_id=run_id or "",
            model_id=model_id or None,
            tags=tags,
            run_link=run_link,
            description=description,
            user_id=user_id,
        )
        return Resolved(draft, origin, is_upload=not is_prompt and self._is_upload(source))

    def _origin(self, source: str, *, run_id: str | None, model_id: str | None) -> ModelVersion:
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
        model = self._store.get_registered_model(validation.model_name(uri.name))
        if model.is_prompt:
            raise _bad_source(source, "Prompt versions cannot be used as model version sources.")
        origin = self._version(uri)
        for requested, inherited in ((run_id, origin.run_id), (model_id, origin.model_id)):
            if requested is not None and requested != (inherited or ""):
                raise _bad_source(
                    source,
                    "The run_id and model_id request parameters must match the referenced model "
                    "version.",
                )
        return origin

    def _is_kept(self, source: str) -> bool:
        """Whether a source is a URI below the registry's own root, local though that may be."""
        return self._kept is not None and self._kept.stored_path(source) is not None

    def _is_upload(self, source: str) -> bool:
        """Whether a source is a path whose files are uploaded, and which is then forgotten."""
        return self._kept is not None and sources.is_local(source) and not self._is_kept(source)

    def _check(self, source: str) -> None:
        if not sources.is_local(source) or self._is_kept(source):
            if not sources.is_logged_model(source):
                sources.check_remote(source)
        elif not self._local_sources:
            in_thread(lambda: sources.check_local(source, root=self._local_source_root))
        if not self._is_upload(source):
            validation.uri(source, parameter="source")


class KeptSources(Protocol):
    """Knows which URIs lie below the registry's own artifact root."""

    def stored_path(self, uri: str) -> str | None:
        """Return the path below the root that a URI names; None for a URI elsewhere."""
        ...


def version_by_alias(store: Reads, name: str, alias: str) -> ModelVersion:
    """Return the version that an alias names; `latest` in any case is the one numbered highest.

    Raises:
        RegisteredModelNotFoundError: The model does not exist.
        AliasNotFoundError: There is no such alias, or, for `latest`, no version.
    """
    validation.model_name(name)
    return _by_alias(store, name, alias)


def _by_alias(store: Reads, name: str, alias: str) -> ModelVersion:
    validation.alias(alias)
    if not validation.is_latest(alias):
        return store.get_model_version_by_alias(name, alias)
    latest = store.get_registered_model(name).latest_versions
    if not latest:
        raise NoModelVersionsError(name)
    return max(latest, key=lambda version: version.version)


def _bad_source(source: str, reason: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"Invalid model version source: '{source}'. {reason}")
