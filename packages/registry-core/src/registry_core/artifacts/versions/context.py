"""What every step of the life of a version's files works with."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from registry_core.artifacts import ArtifactStore
from registry_core.artifacts.versions.layout import own_path, stored_path
from registry_core.artifacts.versions.leases import Leases
from registry_core.artifacts.versions.seals import Seals
from registry_core.errors import StoreCorruptedError
from registry_core.models import ModelVersion
from registry_core.search import Comparison, Entity, OrderBy, Page, Query, every_page
from registry_core.store import Clock, Reads
from registry_core.writer import Writer

_PAGE_SIZE = 1_000
"""Versions read with one request to the store."""


@attrs.frozen(eq=False)
class Context:
    """A metadata store and an artifact store, and who is at work on the latter."""

    writer: Writer
    artifacts: ArtifactStore
    clock: Clock
    seals: Seals = attrs.field(init=False)
    collectors: Leases = attrs.field(init=False)
    writers: Leases = attrs.field(init=False)
    adoptions: Leases = attrs.field(init=False)

    @property
    def store(self) -> Reads:
        """The reads of the metadata store."""
        return self.writer.store

    def __attrs_post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "seals", Seals(self.artifacts))
        set_(self, "collectors", Leases.of_collectors(self.artifacts))
        set_(self, "writers", Leases.of_writers(self.artifacts))
        set_(self, "adoptions", Leases.of_adoptions(self.artifacts))

    def path_of(self, version: ModelVersion) -> str | None:
        """Return where the version's bytes are below the root; None if they are elsewhere."""
        return own_path(self.artifacts.root, version.download_uri)

    def keeps(self, uri: str) -> bool:
        """Return whether what a URI names is kept under the root.

        One of an artifact proxy may be of this root or of another: it is of this one where
        something is sealed.
        """
        if stored_path(self.artifacts.root, uri) is not None:
            return True
        path = own_path(self.artifacts.root, uri)
        return bool(path) and self.seals.is_sealed(str(path))

    def versions(self, *filter_: Comparison) -> Iterator[ModelVersion]:
        """Yield every model version that matches, prompts too.

        Raises:
            StoreCorruptedError: some may be missing, because a model cannot be read.
        """
        for page in self.pages(*filter_):
            if page.unreadable:
                raise StoreCorruptedError(
                    f"{page.unreadable} registered models cannot be read, and which files they "
                    "need is not known: `regctl store fsck` names them"
                )
            yield from page.items

    def pages(self, *filter_: Comparison) -> Iterator[Page[ModelVersion]]:
        """Return every page of `versions`, also where some are missing."""
        return every_page(
            lambda token: self.store.search_model_versions(
                Query(
                    entity=Entity.MODEL_VERSION,
                    filter=filter_,
                    order_by=(OrderBy("name"), OrderBy("version", ascending=False)),
                    max_results=_PAGE_SIZE,
                    page_token=token,
                )
            )
        )


def subject(version: ModelVersion) -> str:
    """Return a version as messages name it: its `models:/` URI."""
    return f"models:/{version.name}/{version.version}"
