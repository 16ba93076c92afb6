"""`GuardedFiles`: which files below an artifact root a caller may see, write and remove.

Strategy: a file belongs to the versions whose files are at its path, or in a folder above it,
whatever their models are called by now; who may read one of these models may read it. Most name the
place as their source, by which an index finds them. A copy names what it is a copy of, and beside
that where its bytes are: it is found by the version that it names, and, when that is gone or called
otherwise, by the digest of the bytes, which each copy has in a tag. A version that is called as one
was which others are copies of has nothing to do with these: their bytes are elsewhere. A version
that has all of the folder of a model has there what no other version has. What no version has
belongs to the model by whose name its folder is called, as pushes name it. So a file of a model
that was renamed follows the model, and nobody reads by a path what he may not read by a name.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

import attrs

from registry_core.access.door import GuardedStore, refusal
from registry_core.access.policy import Rights
from registry_core.artifacts.versions.layout import ancestors, own_path
from registry_core.errors import ArtifactNotFoundError
from registry_core.key_names import FOLDER_NAMES
from registry_core.models import DIGEST_TAG, ModelVersion
from registry_core.permissions import Permission
from registry_core.search import (
    AttributeRef,
    Comparison,
    Entity,
    Op,
    OrderBy,
    Page,
    Query,
    TagRef,
    all_pages,
)
from registry_core.search.like import escaped
from registry_core.store import Reads

OWNERS_MOST = 1_000
"""Versions that are looked at for the owners of a path, and copies that are followed."""

_COPIES_OF_COPIES = 8
"""How often a copy is followed to what was copied from it."""

_SOURCE = "source"
_ESCAPED = re.compile(r"~([0-9A-F]{2})")

DigestOf: TypeAlias = Callable[[str], str | None]
"""Gives the digest of the files in a folder; None where nothing is sealed."""


class GuardedFiles:
    """The files below an artifact root, as one caller may use them."""

    def __init__(self, store: GuardedStore, root: str, digest_of: DigestOf) -> None:
        self._rights: Rights = store.rights
        self._store: Reads = store.unguarded()
        self._root = root
        self._digest_of = digest_of

    def check_read(self, path: str) -> None:
        """Return if the caller may read what is at a path.

        Raises:
            ArtifactNotFoundError: It does not exist, as far as the caller can know.
        """
        if not self.may_read(path):
            raise ArtifactNotFoundError(path)

    def may_read(self, path: str) -> bool:
        """Return whether the caller may read a file, or a folder with all that is in it."""
        rights = self._rights
        return rights.readable is None or any(
            rights.may_read(name) for name in self._models_of(path, with_copies=True)
        )

    def may_register(self, path: str) -> bool:
        """Return whether a new version may have as its files all that is at a path.

        They are sealed then. So only who may write there may have all of a model's folder, into
        which nobody could push any more.
        """
        rights = self._rights
        if rights.readable is None:
            return True
        if "/" not in path and not rights.allows(Permission.REGISTER, name_of(path) or ""):
            return False
        below = self._below(path)
        return self.may_read(path) and all(rights.may_read(each.name) for each in below)

    def is_listed(self, path: str) -> bool:
        """Return whether the caller sees a folder of the root when that is listed."""
        name = name_of(path)
        return self._rights.readable is None or (name is not None and self._rights.may_read(name))

    def check_write(self, path: str, permission: Permission = Permission.REGISTER) -> None:
        """Return if the caller may write or remove a file at a path.

        Raises:
            NotPermittedError: The caller may not.
        """
        rights = self._rights
        if rights.allows(permission):
            return
        # A copy gives its model nothing but the right to read.
        names = self._models_of(path, with_copies=False)
        if not any(rights.allows(permission, name) for name in names):
            raise refusal(rights, permission, None, f"at the artifact path '{path}'")

    def _models_of(self, path: str, *, with_copies: bool) -> Iterator[str]:
        """The names of the models that a path belongs to, those first that cost least to find."""
        folders = list(ancestors(path))
        # All of a model's folder is the last of them. One that was given to a version while its
        # author could read the model would open what is put there later, and what is there of
        # models that were renamed.
        for part in (folders[:-1], folders[-1:]):
            is_owned = False
            for owners_of in (self._owners, self._located):
                owners = owners_of(part)
                is_owned = is_owned or bool(owners)
                versions = self._with_copies(owners, part) if with_copies else owners
                yield from (each.name for each in versions)
            if is_owned:
                return
        if (name := name_of(path)) is not None:
            yield name

    def _owners(self, folders: Sequence[str]) -> list[ModelVersion]:
        """The versions whose source is one of the folders."""
        return self._from(uri for folder in folders for uri in self._uris(folder))

    def _located(self, folders: Sequence[str]) -> list[ModelVersion]:
        """The versions whose files are there, whatever their source is."""
        sealed = (self._digest_of(folder) for folder in folders)
        digests = {digest for digest in sealed if digest is not None}
        versions = self._where(TagRef(DIGEST_TAG), sorted(digests))
        return [each for each in versions if self._is_in(each, folders)]

    def _is_in(self, version: ModelVersion, folders: Sequence[str]) -> bool:
        """Whether one of the folders is that of the files of a version."""
        uri = version.download_uri
        return own_path(self._root, uri) in folders or any(
            uri in self._uris(folder) for folder in folders
        )

    def _below(self, path: str) -> Iterator[ModelVersion]:
        """The versions whose files are in folders below a path."""
        for uri in self._uris(path):
            below = _versions(Comparison(AttributeRef(_SOURCE), Op.LIKE, f"{escaped(uri)}/%"))
            yield from all_pages(partial(self._page, below))

    def _page(self, query: Query, token: str | None) -> Page[ModelVersion]:
        return self._store.search_model_versions(attrs.evolve(query, page_token=token))

    def _uris(self, path: str) -> Iterator[str]:
        quoted = urllib.parse.quote(path) if self._root.startswith("file:") else path
        yield f"{self._root}/{quoted}"
        yield f"mlflow-artifacts:/{path}"

    def _with_copies(
        self, owners: list[ModelVersion], folders: Sequence[str]
    ) -> Iterator[ModelVersion]:
        """The versions, and those that were copied from one of them, and not from a namesake."""
        seen: set[tuple[str, int]] = set()
        for _ in range(_COPIES_OF_COPIES):
            yield from owners
            seen.update((each.name, each.version) for each in owners)
            copies = self._from(f"models:/{each.name}/{each.version}" for each in owners)
            owners = [
                each
                for each in copies
                if (each.name, each.version) not in seen and self._is_in(each, folders)
            ]
            if not owners or len(seen) > OWNERS_MOST:
                return

    def _from(self, sources: Iterable[str]) -> list[ModelVersion]:
        # An index finds each of them; no path is deep.
        return self._where(AttributeRef(_SOURCE), sorted(set(sources)))

    def _where(self, field: AttributeRef | TagRef, values: Iterable[str]) -> list[ModelVersion]:
        """The versions whose field has one of the values; each is asked for by itself."""
        versions: list[ModelVersion] = []
        for value in values:
            query = _versions(Comparison(field, Op.EQ, value))
            versions += self._store.search_model_versions(query).items
        return versions


def _versions(clause: Comparison) -> Query:
    return Query(
        entity=Entity.MODEL_VERSION,
        filter=(clause,),
        order_by=(OrderBy("name"), OrderBy("version", ascending=False)),
        max_results=OWNERS_MOST,
    )


def name_of(path: str) -> str | None:
    """Return the name of the model by which the folder of a path is called; None if none is.

    Of a name that is too long for a folder it is not known.
    """
    folder = path.partition("/")[0]
    if not folder:
        return None
    try:
        raw = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), folder)
        name = raw.encode("latin-1").decode()
    except UnicodeError:
        return None
    return name if FOLDER_NAMES.encode(name) == folder else None
