"""What all calls of a registry work on: the stores, the author, the observers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import attrs

from registry_core.access import GuardedStore, Rights
from registry_core.access.files import GuardedFiles
from registry_core.arguments import checked, checked_methods
from registry_core.artifacts import ArtifactStore
from registry_core.artifacts.versions import ModelArtifacts
from registry_core.artifacts.versions.foreign import OpensForeign
from registry_core.artifacts.versions.remote import ServesFiles
from registry_core.authors import Author, Origin, process_actor
from registry_core.errors import ArtifactMismatchError, InvalidArgumentError
from registry_core.gates import Gate
from registry_core.gating import Gatekeeper, Gates
from registry_core.models import ModelVersion
from registry_core.redaction import redacted
from registry_core.source_resolver import SourceResolver
from registry_core.store import Store
from registry_core.writer import Observer, Writer, in_turn


class RegistryBase:
    """A registry without calls; see `registry_core.registry.Registry`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        checked_methods(cls)

    def __init__(
        self,
        store: Store,
        *,
        artifacts: ArtifactStore | None = None,
        public_artifacts_url: str | None = None,
        local_sources: bool = True,
        local_source_root: Path | None = None,
        url: str | None = None,
        foreign: OpensForeign | None = None,
        gates: Iterable[Gate] = (),
    ) -> None:
        self.store = store
        self.gates = Gates(gates)
        """What must hold before an alias or a stage may point at a version."""
        self._where = type(store).__name__ if url is None else redacted(url)
        self.artifacts = artifacts
        self._public_artifacts_url = public_artifacts_url
        self._local_sources = local_sources
        self._local_source_root = local_source_root
        self._foreign = foreign
        self._author: Author | None = None
        self._observers: list[Observer] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._where}>"

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
        """Free what the stores hold open.

        Example:
            >>> registry = open_registry("sqlite:///registry.db")
            >>> registry.close()
        """
        self.store.close()
        if self.artifacts is not None:
            self.artifacts.close()

    def ping(self) -> None:
        """Return when the store answers.

        Raises:
            StoreUnavailableError: It does not answer in time.

        Example:
            >>> registry.ping()
        """
        self.store.ping()

    # Who changes it, and who watches

    @checked
    def acting_as(
        self,
        actor: str | None = None,
        *,
        reason: str | None = None,
        origin: Origin = Origin.LIBRARY,
        is_authenticated: bool = False,
        groups: tuple[str, ...] = (),
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
            groups=groups,
        )
        return view

    @checked
    def as_caller(self, rights: Rights) -> Self:
        """Return a view on the same registry that does what a caller may do, and nothing else.

        What the caller may not read does not exist in it; see `registry_core.access`. The view is
        for `acting_as` to say in whose name changes are made.

        Example:
            >>> from registry_core.access import Policy, Principal
            >>> nobody = Policy().rights(Principal(name="eve"))
            >>> [model.name for model in registry.as_caller(nobody).iter_registered_models()]
            []
        """
        view = object.__new__(type(self))
        view.__dict__.update(self.__dict__)
        view.store = GuardedStore(self.store, rights)
        return view

    @property
    def guarded_files(self) -> GuardedFiles | None:
        """Who may see which files, in the view of a caller; None where all is allowed."""
        if self.artifacts is None or not isinstance(self.store, GuardedStore):
            return None
        return GuardedFiles(self.store, self.artifacts.root, self.files.digest)

    @checked
    def observe(self, observer: Observer, *, waits: bool = True) -> None:
        """Show each later change to `observer`, whichever view on this registry makes it.

        It is called with the change, its result and its author, after the change was committed and
        while the caller waits, who gets the result also when the observer fails. That is in the
        thread of the caller. A server may make changes in its event loop: it has a thread call the
        observer then, unless `waits=False` says that it never waits for anything.

        Example:
            >>> registry.observe(lambda change, result, author: print(type(change).__name__))
            >>> registry.set_registered_model_tag("churn", "tier", "gold")
            SetModelTag
        """
        self._observers.append(in_turn(observer) if waits else observer)

    def _writer(self, reason: str | None) -> Writer:
        gatekeeper = self._gatekeeper if self.gates.rules else None
        return Writer(self.store, self._by(reason), tuple(self._observers), gatekeeper)

    @property
    def _gatekeeper(self) -> Gatekeeper:
        return Gatekeeper(gates=self.gates, sealed_digest=self._sealed_digest)

    def _sealed_digest(self, version: ModelVersion) -> str | None:
        """The digest of a version's manifest, if this registry keeps the version's files."""
        if self.artifacts is None:
            return None
        # To read a manifest changes nothing; a writer of its own asks for no gates.
        files = ModelArtifacts(Writer(self.store, self._by(None)), self.artifacts)
        try:
            return files.manifest_of(version).digest
        except (ArtifactMismatchError, InvalidArgumentError):
            return None

    def _by(self, reason: str | None) -> Author:
        author = self._author
        if author is None:
            # The system is asked for its user's name once.
            author = self._author = Author(actor=process_actor())
        if reason is not None:
            author = attrs.evolve(author, reason=reason)
        return author

    @property
    def files(self) -> ModelArtifacts:
        """The files of model versions.

        Raises:
            InvalidArgumentError: the registry has no artifact store.
        """
        return self._files(None)

    def _files(self, reason: str | None) -> ModelArtifacts:
        if self.artifacts is None:
            raise InvalidArgumentError(
                "This registry has no artifact root; name one with REGISTRY_ARTIFACTS or "
                "--artifacts"
            )
        return ModelArtifacts(self._writer(reason), self.artifacts)

    @property
    def _served(self) -> ServesFiles | None:
        """The store, if it is a server that has the artifact root, and this registry has none."""
        is_served = self.artifacts is None and isinstance(self.store, ServesFiles)
        return cast("ServesFiles", self.store) if is_served else None

    @property
    def _sources(self) -> SourceResolver:
        return SourceResolver(
            self.store,
            kept=None if self.artifacts is None else self.files,
            local_sources=self._local_sources,
            local_source_root=self._local_source_root,
        )
