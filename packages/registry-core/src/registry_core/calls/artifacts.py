"""Calls about the files of versions, and the check of everything."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from registry_core import validation
from registry_core.artifacts import Manifest
from registry_core.artifacts.trees import Progress
from registry_core.artifacts.versions import DEFAULT_GRACE_SECONDS, Begun, foreign, remote
from registry_core.artifacts.versions.context import subject
from registry_core.artifacts.versions.foreign import ForeignFiles
from registry_core.artifacts.versions.layout import is_proxied
from registry_core.artifacts.versions.pull import Sealed
from registry_core.artifacts.versions.push import MESSAGE_MAX_LENGTH
from registry_core.calls.versions import VersionCalls
from registry_core.errors import (
    ArtifactMismatchError,
    InvalidArgumentError,
    StoreCorruptedError,
    UnsupportedBackendError,
)
from registry_core.fsck import GRACE_SECONDS, Fsck, Report
from registry_core.models import ModelVersion
from registry_core.validation import TagValue

_logger = logging.getLogger(__name__)


class ArtifactCalls(VersionCalls):
    """Calls about the files of versions, and the check of everything."""

    def pull_model_version(
        self,
        name: str,
        version: int | str,
        destination: str | os.PathLike[str],
        *,
        tracking_uri: str | None = None,
        require_sealed: bool = False,
        progress: Progress | None = None,
    ) -> Manifest:
        """Put the files of a version below `destination`, and return their manifest.

        Files that the registry keeps are verified, and those already there with the right digest
        are kept. Files that lie elsewhere are read from there, with the drivers and the credentials
        of this process: nobody sealed them, so they are not verified, which the log says as a
        warning, and the manifest is the one of what came.

        Args:
            name: The registered model.
            version: The number of the version.
            destination: An empty directory, or what an earlier pull left.
            tracking_uri: The tracking server that resolves `runs:`, `models:/m-...` and
                `mlflow-artifacts:`; by default MLFLOW_TRACKING_URI, or the registry's own server.
            require_sealed: Refuse files that the registry does not keep.
            progress: Called with the bytes done and the bytes in all.

        Raises:
            ArtifactMismatchError: something is not what was registered.
            InvalidArgumentError: the files are not kept by this registry, and cannot be read from
                where they are.

        Example:
            >>> manifest = registry.pull_model_version("churn", 3, "out")
            >>> [file.path for file in manifest.files]
            ['weights.txt']
        """
        target = Path(destination)
        if self._served is not None:
            sealed = self._sealed_by_server(name, version, is_required=require_sealed)
            if sealed is not None:
                return remote.pull(self._served, sealed, target, progress=progress)
        model_version = self.get_model_version(name, version)
        if require_sealed or self._keeps(model_version):
            return self.files.pull(model_version, target, progress=progress)
        with self._opened(model_version, tracking_uri) as files:
            _logger.warning(
                "The files of %s are at '%s', outside of the registry: nobody sealed them, and "
                "they are not verified",
                subject(model_version),
                files.place,
            )
            return foreign.pull(files, target, progress=progress)

    def _sealed_by_server(
        self, name: str, version: int | str, *, is_required: bool
    ) -> Sealed | None:
        """What a server has of a version's files; None if they lie elsewhere."""
        assert self._served is not None, "a server keeps the files"
        try:
            return remote.sealed_of(self._served, name, version)
        except (InvalidArgumentError, UnsupportedBackendError, ArtifactMismatchError) as error:
            if is_required or self._foreign is None:
                raise
            uri = self.get_model_version(name, version).download_uri
            if isinstance(error, ArtifactMismatchError) and not is_proxied(uri):
                raise
            return None

    def _keeps(self, version: ModelVersion) -> bool:
        """Whether the files of a version are kept under the artifact root of this registry."""
        if self._foreign is None:
            return True  # or it is an error
        return self.artifacts is not None and self.files.keeps(version)

    def _opened(
        self, version: ModelVersion, tracking_uri: str | None, *, uri: str | None = None
    ) -> AbstractContextManager[ForeignFiles]:
        assert self._foreign is not None, "it is asked beforehand"
        foreign.require_ready(version)
        return self._foreign.open(uri or version.download_uri, tracking_uri=tracking_uri)

    def get_model_version_manifest(self, name: str, version: int | str) -> Manifest:
        """Return what the files of a version were when it was registered.

        Raises:
            ArtifactMismatchError: the manifest itself is missing or damaged.
            InvalidArgumentError: the files are not kept by this registry.

        Example:
            >>> manifest = registry.get_model_version_manifest("churn", 3)
            >>> [(file.path, file.size) for file in manifest.files]
            [('weights.txt', 4)]
        """
        if self._served is not None:
            return self._served.version_files(*validation.version_key(name, version))[2]
        return self.files.manifest_of(self.get_model_version(name, version))

    def verify_model_version(self, name: str, version: int | str) -> Manifest:
        """Read every byte of a version, and return its manifest if all are as it says.

        Raises:
            ArtifactMismatchError: naming each path with the expected and the found digest.
            InvalidArgumentError: the files are not kept by this registry.

        Example:
            >>> len(registry.verify_model_version("churn", 3).files)
            1
        """
        if self._served is not None:
            return remote.verify(self._served, name, version)
        return self.files.verify(self.get_model_version(name, version))

    # A push whose files others send

    def begin_push(
        self,
        name: str,
        manifest: Manifest,
        *,
        run_id: str | None = None,
        run_link: str | None = None,
        description: str | None = None,
        tags: Mapping[str, TagValue] | None = None,
        model_id: str | None = None,
        create: bool = False,
        if_changed: bool = False,
    ) -> Begun:
        """Create the next version, PENDING_REGISTRATION, for files that come later.

        The result has the version, and which of its files have still to come.

        What a server does for a client; see `push_model_version`. The files come by
        `ModelArtifacts.write`, each with its digest. The same call again continues the push.

        Example:
            >>> manifest = registry.get_model_version_manifest("churn", 3)
            >>> begun = registry.begin_push("churn", manifest)
            >>> begun.version.status
            <Status.PENDING_REGISTRATION: 'PENDING_REGISTRATION'>
        """
        resolved = self._resolved(
            name,
            f"{self.files.root}/{self.files.folder(name, manifest)}",
            run_id=run_id,
            run_link=run_link,
            description=description,
            tags=tags,
            model_id=model_id,
            user_id=None,
        )
        return self.files.begin(resolved.draft, manifest, create=create, if_changed=if_changed)

    def finish_push(
        self, name: str, version: int | str, *, failed_because: str | None = None
    ) -> ModelVersion:
        """Make the version that `begin_push` began READY, or FAILED_REGISTRATION with a message.

        Raises:
            ConflictError: Files are missing, or others have ended the push.

        Example:
            >>> manifest = registry.get_model_version_manifest("churn", 3)
            >>> begun = registry.begin_push("churn", manifest)
            >>> number = begun.version.version
            >>> registry.finish_push("churn", number, failed_because="gave up").status
            <Status.FAILED_REGISTRATION: 'FAILED_REGISTRATION'>
        """
        model_version = self.get_model_version(name, version)
        if failed_because is not None:
            parameter, most = "failed_because", MESSAGE_MAX_LENGTH
            message = validation.text(failed_because, parameter=parameter, max_length=most)
            return self.files.give_up(model_version, message)
        return self.files.finish(model_version)

    def fsck(self, *, repair: bool = False, grace_seconds: float | None = None) -> Report:
        """Return what is wrong with the stored metadata and artifacts; a repair loses nothing.

        Nothing is changed unless `repair` is set. What an operation left unfinished counts once it
        is older than the grace period, in seconds; by default an hour, and a day for bytes that no
        version refers to.

        Example:
            >>> registry.fsck().findings
            ()
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
