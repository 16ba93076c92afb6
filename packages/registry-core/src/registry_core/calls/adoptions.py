"""Calls that bring the files of versions from elsewhere into the registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from registry_core import validation
from registry_core.artifacts import Manifest
from registry_core.artifacts.trees import FileTree, Progress
from registry_core.artifacts.versions import Begun, adopt, foreign, remote
from registry_core.artifacts.versions.adopt import Adopted
from registry_core.artifacts.versions.foreign import ForeignTree
from registry_core.artifacts.versions.pull import sealed_tree
from registry_core.calls.artifacts import ArtifactCalls
from registry_core.errors import InvalidArgumentError
from registry_core.models import ModelVersion

_FROM = "--from"
"""By which option of `regctl versions adopt` the user says where files are."""


class AdoptionCalls(ArtifactCalls):
    """Calls that bring the files of versions from elsewhere into the registry."""

    def adopt_model_version(
        self,
        name: str,
        version: int | str,
        *,
        files_at: str | None = None,
        tracking_uri: str | None = None,
        dry_run: bool = False,
        progress: Progress | None = None,
        reason: str | None = None,
    ) -> Adopted:
        """Copy the files of a version from where they lie into the registry, and seal them.

        They are read by this process, with its drivers and credentials: nobody has sealed them, so
        what comes is what is sealed. Then the version's source is where they are now, and its
        history says where they were. A version whose files the registry keeps is left as it is.
        Until all files are in place the version is as it was; the same call again continues one
        that was interrupted.

        Args:
            name: The registered model.
            version: The number of the version.
            files_at: Where the files are, if not where the version says: a URI or a path. A path of
                this disk has to be said here, since a version's source is somebody else's text,
                and so is where a tracking server says that the files of a run are.
            tracking_uri: As for `pull_model_version`.
            dry_run: Only find out what would be copied.
            progress: Called with the bytes done and the bytes in all; all are read first, for their
                digests, and sent then.
            reason: Why, for the history.

        Raises:
            ArtifactNotFoundError: There are no files.
            InvalidArgumentError: The files cannot be read, or cannot be a model version.
            StaleValueError: The version's files are elsewhere by now.
            ConflictError: Others changed or removed the files meanwhile; safe to repeat.
            ModelVersionNotFoundError: The version does not exist, or was deleted meanwhile.

        Example:
            >>> done = registry.adopt_model_version("churn", 1, files_at="model_dir")
            >>> done.files, done.version.source == done.place
            (1, False)
        """
        checked = adopt.check(self.get_model_version(name, version))
        if self._has(checked):
            return Adopted(version=checked, place=checked.download_uri)
        with self._opened(checked, tracking_uri, uri=_place(checked, files_at)) as files:
            if files_at is None:
                foreign.require_remote(checked, files.place, option=_FROM)
            done = Adopted(
                version=checked, place=files.place, files=len(files.sizes), size=files.size
            )
            if dry_run:
                return done
            tree = foreign.tree_of(files, progress=progress)
            adopted = self._adopt(checked, tree, progress=progress, reason=reason)
        return Adopted(
            version=adopted,
            place=done.place,
            files=len(tree.manifest.files),
            size=tree.manifest.size,
            is_written=True,
        )

    @contextmanager
    def files_of(
        self, version: ModelVersion, *, tracking_uri: str | None = None, local_files: bool = False
    ) -> Iterator[FileTree]:
        """Open the files of a version, until the block ends, from wherever they lie.

        What the registry keeps is compared with the manifest as it is read; of other files all
        bytes are read first, for their digests. A source that is a path of this disk is read if
        there are `local_files`, and refused otherwise. Raises as `pull_model_version`.
        """
        if self._served is not None:
            sealed = self._sealed_by_server(version.name, version.version, is_required=False)
            if sealed is not None:
                yield sealed_tree(self._served, sealed)
                return
        elif self._keeps(version):
            yield self.files.tree_of(version)
            return
        assert self._foreign is not None, "or the registry keeps all files"
        with foreign.opened_tree(
            self._foreign, version, tracking_uri=tracking_uri, local_files=local_files
        ) as tree:
            yield tree

    def _has(self, version: ModelVersion) -> bool:
        """Whether the registry, or its server, keeps the files of a version."""
        if self._foreign is None:
            raise InvalidArgumentError("A server reads no files that lie elsewhere")
        if self._served is None:
            return self.files.keeps(version)
        return self._sealed_by_server(version.name, version.version, is_required=False) is not None

    def _adopt(
        self,
        version: ModelVersion,
        tree: ForeignTree,
        *,
        progress: Progress | None,
        reason: str | None,
    ) -> ModelVersion:
        if self._served is not None:
            by = self._by(reason)
            return remote.adopt(self._served, version, tree, progress=progress, by=by)
        return self._files(reason).adopt(version, tree, progress=progress)

    # An adoption whose files others send

    def begin_adoption(self, name: str, version: int | str, manifest: Manifest) -> Begun:
        """Return where the files belong that a client brings, and which are not there yet.

        What a server does for a client; see `adopt_model_version`. The files come by
        `ModelArtifacts.write`, each with its digest. The same call again continues the adoption.
        """
        return self.files.begin_adoption(self.get_model_version(name, version), manifest)

    def finish_adoption(
        self, name: str, version: int | str, manifest: Manifest, *, files_were_at: str
    ) -> ModelVersion:
        """Return the version, whose files are those of the manifest from now on.

        Args:
            name: The registered model.
            version: The number of the version.
            manifest: As for `begin_adoption`.
            files_were_at: Where the version says that its files are; the same as when they were
                read.

        Raises:
            ConflictError: Files are missing.
            StaleValueError: The version's files are elsewhere by now.
        """
        uri = validation.uri(files_were_at, parameter="files_were_at")
        adopted = self.get_model_version(name, version)
        return self.files.finish_adoption(adopted, manifest, files_were_at=uri)


def _place(version: ModelVersion, files_at: str | None) -> str:
    if files_at is not None:
        return files_at
    foreign.require_remote(version, version.download_uri, option=_FROM)
    return version.download_uri
