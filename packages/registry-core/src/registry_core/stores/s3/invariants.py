"""What is true of every document, and what a repair makes of one where it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import attrs

from registry_core import documents, validation
from registry_core.documents import ModelDocument
from registry_core.errors import InvalidArgumentError
from registry_core.models import ModelVersion
from registry_core.stores.s3.large_text import LargeText

T = TypeVar("T")


def violations(document: ModelDocument) -> Iterator[str]:
    """Yield what is wrong with a document, and can be put right by `mended`."""
    for alias, version in document.aliases.items():
        if version not in document.versions:
            yield f"the alias '{alias}' names version {version}, which does not exist"
    for version in document.approvals:
        if version not in document.versions:
            yield f"version {version} is approved, and does not exist"
    newest = max(document.versions, default=0)
    if document.next_version <= newest:
        yield f"the next version would be {document.next_version}, and there is a version {newest}"


def mended(document: ModelDocument) -> ModelDocument:
    """Return the document without the `violations`, and otherwise as it was."""
    kept = {a: version for a, version in document.aliases.items() if version in document.versions}
    free = max(document.versions, default=0) + 1
    repaired = attrs.evolve(
        document,
        aliases=kept,
        approvals={
            n: approvals for n, approvals in document.approvals.items() if n in document.versions
        },
        next_version=max(document.next_version, free),
    )
    return documents.build(repaired, repaired.versions.values())


def illegal(document: ModelDocument) -> Iterator[str]:
    """Yield what a document holds that no call has written, and only its owner can correct."""
    yield from _refused(validation.model_name, document.name)
    yield from _illegal_texts(document.description, document.tags)
    for alias in document.aliases:
        yield from _refused(validation.alias, alias)
    if document.next_version < documents.FIRST_VERSION:
        yield f"the next version would be {document.next_version}"
    for version in document.versions.values():
        for why in _illegal_version(version):
            yield f"version {version.version}: {why}"


def _illegal_version(version: ModelVersion) -> Iterator[str]:
    if version.version < documents.FIRST_VERSION:
        yield "versions are numbered from 1"
    yield from _illegal_texts(version.description, version.tags)


def _illegal_texts(description: str | None, tags: Mapping[str, str]) -> Iterator[str]:
    yield from _refused(validation.description, description)
    for key, value in tags.items():
        yield from _refused(validation.tag_key, key)
        yield from _refused(validation.tag_value, value)


def _refused(check: Callable[[T], object], value: T) -> Iterator[str]:
    if isinstance(value, LargeText):
        return
    try:
        check(value)
    except InvalidArgumentError as error:
        yield str(error)
