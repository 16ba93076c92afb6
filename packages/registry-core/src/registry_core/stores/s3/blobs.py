"""Large texts beside the documents: put away before a write, brought back for a reader.

Strategy: a text is written, under its digest and the operation that wrote it, before the document
that refers to it, and is never written again. A write refers anew only to a text that it wrote
itself, or that the document it replaces refers to; compare-and-swap holds it to that document. So
a text that neither a document nor an event refers to, and that is older than any operation lasts,
will not be referred to again: `fsck` may remove it while others write. Were the key the digest
alone, a writer could refer to a text at the moment in which it is removed.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar

import attrs

from registry_core.documents import ModelDocument
from registry_core.errors import StoreCorruptedError
from registry_core.history import Event
from registry_core.models import ModelFields, ModelVersion, RegisteredModel
from registry_core.stores.s3.event_format import texts_in
from registry_core.stores.s3.format import MODEL_TEXTS, VERSION_TEXTS
from registry_core.stores.s3.large_text import LargeText, digest, is_large
from registry_core.stores.s3.objects import MissingObjectError
from registry_core.stores.s3.prefix import Prefix

CACHE_CHARACTERS = 64 * 1024 * 1024
"""Characters of large texts that a process keeps: they never change, so no cached one is stale."""

CONTENT_TYPE = "text/plain; charset=utf-8"

EntityT = TypeVar("EntityT", RegisteredModel, ModelVersion)


class UnreadableTextsError(Exception):
    """Texts that documents refer to are gone, most likely with their models, or are damaged."""

    def __init__(self, reasons: Mapping[LargeText, str]) -> None:
        self.reasons = reasons
        super().__init__(next(iter(reasons.values())))


@attrs.frozen
class _Unreadable:
    why: str


class Blobs:
    """The large texts of one registry."""

    def __init__(self, prefix: Prefix) -> None:
        self._objects = prefix.objects
        self._layout = prefix.layout
        self._pool = prefix.pool
        self._cache = _Cache(CACHE_CHARACTERS)

    def spill(
        self,
        after: ModelDocument,
        before: ModelDocument | None,
        events: Iterable[Event],
        *,
        operation: str,
    ) -> tuple[ModelDocument, list[Event]]:
        """Return the document and its new events with references for large texts.

        The texts are in the bucket by now.
        """
        writing = _Writing(after, before, operation=operation)
        document = writing.document()
        referring = [writing.event(event) for event in events]
        self._pool.map(self._write, writing.texts.items())
        return document, referring

    def load_events(self, events: Sequence[Event]) -> list[Event]:
        """Return the events with the texts that they refer to.

        Raises:
            UnreadableTextsError: some are gone or damaged, and all of these are named.
        """
        large = dict.fromkeys(text for event in events for text in texts_in(event))
        if not large:
            return list(events)
        texts = self._read_all(large)
        return [_resolved_event(event, texts) for event in events]

    def whole(self, value: Any) -> Any:
        """Return the text that a reference stands for, and anything else as it is.

        Raises:
            StoreCorruptedError: the text is gone or damaged.
        """
        if not isinstance(value, LargeText):
            return value
        try:
            return self._read_all([value])[value]
        except UnreadableTextsError as error:
            raise StoreCorruptedError(str(error)) from error

    def load(self, entities: Iterable[EntityT]) -> list[EntityT]:
        """Return the entities with the texts that their documents refer to.

        Raises:
            UnreadableTextsError: some are gone or damaged, and all of these are named.
        """
        listed = list(entities)
        references = dict.fromkeys(text for entity in listed for text in _references(entity))
        if not references:
            return listed
        texts = self._read_all(references)
        return [_resolved(entity, texts) for entity in listed]

    def load_tags(self, entities: Iterable[EntityT], keys: frozenset[str]) -> list[EntityT]:
        """Return the entities with their tags of these keys, for a filter to look at."""
        listed = list(entities)
        references = dict.fromkeys(
            text
            for entity in listed
            for key in keys
            if isinstance(text := entity.tags.get(key), LargeText)
        )
        if not references:
            return listed
        texts = self._read_all(references)
        return [attrs.evolve(each, tags=_in_tags(each.tags, texts)) for each in listed]

    def _read_all(self, references: Iterable[LargeText]) -> dict[str, str]:
        texts: dict[str, str] = {}
        unreadable: dict[LargeText, str] = {}
        listed = list(references)
        for reference, text in zip(listed, self._pool.map(self._look, listed), strict=True):
            if isinstance(text, _Unreadable):
                unreadable[reference] = text.why
            else:
                texts[reference] = text
        if unreadable:
            raise UnreadableTextsError(unreadable)
        return texts

    def _write(self, item: tuple[LargeText, str]) -> None:
        reference, text = item
        if self._cache.get(reference) is not None:
            return  # a lost race: this operation has written it already
        key = self._layout.value(reference.model_id, reference.value_id)
        self._objects.put_always(key, text.encode(), content_type=CONTENT_TYPE)
        self._cache.put(reference, text)

    def _look(self, reference: LargeText) -> str | _Unreadable:
        cached = self._cache.get(reference)
        if cached is not None:
            return cached
        key = self._layout.value(reference.model_id, reference.value_id)
        try:
            fetched = self._objects.get(key)
        except MissingObjectError:
            return _Unreadable(
                f"A registered model refers to the object '{key}', which does not exist"
            )
        assert fetched is not None, "an unconditional read gives the object"
        if digest(fetched.body) != reference.digest:
            return _Unreadable(f"The object '{key}' is damaged: it has another digest")
        text = fetched.body.decode()
        self._cache.put(reference, text)
        return text


def references(document: ModelDocument) -> Iterator[LargeText]:
    """Yield the references of a document to its large texts."""
    yield from _large(document, MODEL_TEXTS)
    for version in document.versions.values():
        yield from _references(version)


def refers_to(entity: RegisteredModel | ModelVersion, texts: AbstractSet[str]) -> bool:
    """Return whether an entity refers to one of these texts."""
    return bool(texts) and any(reference in texts for reference in _references(entity))


class _Writing:
    """Finds the large texts of a document and names them."""

    def __init__(
        self,
        after: ModelDocument,
        before: ModelDocument | None,
        *,
        operation: str,
    ) -> None:
        self.texts: dict[LargeText, str] = {}
        self._after = after
        self._before = before
        self._operation = operation
        self._known: dict[str, LargeText] | None = None

    def document(self) -> ModelDocument:
        """Return the document with references; what is to be written is in `texts` afterwards."""
        after = self._after
        changed = {number: self._version(version) for number, version in self._new_versions()}
        values: dict[str, Any] = {name: self._text(getattr(after, name)) for name in MODEL_TEXTS}
        tags = self._tags(after.tags)
        is_same = all(values[name] is getattr(after, name) for name in values)
        if is_same and tags is after.tags and not changed:
            return after
        versions = {**after.versions, **changed}
        return attrs.evolve(after, **values, tags=tags, versions=versions)

    def event(self, event: Event) -> Event:
        """Return an event with references; what is to be written is in `texts` afterwards."""
        before, after = self._value(event.before), self._value(event.after)
        if before is event.before and after is event.after:
            return event
        return attrs.evolve(event, before=before, after=after)

    def _value(self, value: Any) -> Any:
        match value:
            case str():
                return self._replaced(value)
            case Mapping():
                replaced = {name: self._value(each) for name, each in value.items()}
                same = all(replaced[name] is each for name, each in value.items())
                return value if same else replaced
        return value

    def _new_versions(self) -> Iterator[tuple[int, ModelVersion]]:
        # A version that is the very object that was read has been looked at when it was written.
        old = {} if self._before is None else self._before.versions
        for number, version in self._after.versions.items():
            if old.get(number) is not version and _has_large(version):
                yield number, version

    def _version(self, version: ModelVersion) -> ModelVersion:
        values: dict[str, Any] = {
            name: self._text(getattr(version, name)) for name in VERSION_TEXTS
        }
        return attrs.evolve(version, **values, tags=self._tags(version.tags))

    def _tags(self, tags: Mapping[str, str]) -> Mapping[str, str]:
        if not any(is_large(value) for value in tags.values()):
            return tags
        return {key: self._replaced(value) for key, value in tags.items()}

    def _text(self, text: str | None) -> str | None:
        return None if text is None else self._replaced(text)

    def _replaced(self, text: str) -> str:
        if not is_large(text):
            return text
        body = text.encode()
        name = digest(body)
        known = self._references_before().get(name)
        if known is not None:
            return known
        reference = LargeText.to(
            model_id=self._after.model_id, value_id=f"{name}-{self._operation}", size=len(body)
        )
        self.texts[reference] = text
        return reference

    def _references_before(self) -> dict[str, LargeText]:
        if self._known is None:
            known = () if self._before is None else references(self._before)
            self._known = {reference.digest: reference for reference in known}
        return self._known


class _Cache:
    """The texts used last, up to a number of characters."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._texts: OrderedDict[str, str] = OrderedDict()
        self._size = 0

    def get(self, reference: LargeText) -> str | None:
        with self._lock:
            text = self._texts.get(reference)
            if text is not None:
                self._texts.move_to_end(reference)
            return text

    def put(self, reference: LargeText, text: str) -> None:
        with self._lock:
            if reference in self._texts or len(text) > self._limit:
                return
            self._texts[reference] = text
            self._size += len(text)
            while self._size > self._limit:
                _, dropped = self._texts.popitem(last=False)
                self._size -= len(dropped)


def _references(entity: RegisteredModel | ModelVersion) -> Iterator[LargeText]:
    if isinstance(entity, ModelVersion):
        yield from _large(entity, VERSION_TEXTS)
        return
    yield from _large(entity, MODEL_TEXTS)
    for version in entity.latest_versions:
        yield from _references(version)


def _large(entity: ModelFields | ModelVersion, names: Iterable[str]) -> Iterator[LargeText]:
    texts = (getattr(entity, name) for name in names)
    for value in (*texts, *entity.tags.values()):
        if isinstance(value, LargeText):
            yield value


def _has_large(version: ModelVersion) -> bool:
    texts = (getattr(version, name) for name in VERSION_TEXTS)
    return any(is_large(text) for text in (*texts, *version.tags.values()))


def _resolved(entity: EntityT, texts: Mapping[str, str]) -> EntityT:
    if next(_references(entity), None) is None:
        return entity
    tags = _in_tags(entity.tags, texts)
    if isinstance(entity, ModelVersion):
        return attrs.evolve(entity, tags=tags, **_in_texts(entity, VERSION_TEXTS, texts))
    latest = tuple(_resolved(version, texts) for version in entity.latest_versions)
    values = _in_texts(entity, MODEL_TEXTS, texts)
    return attrs.evolve(entity, tags=tags, latest_versions=latest, **values)


def _in_texts(entity: object, names: Iterable[str], texts: Mapping[str, str]) -> dict[str, Any]:
    return {name: _in_text(getattr(entity, name), texts) for name in names}


def _resolved_event(event: Event, texts: Mapping[str, str]) -> Event:
    if next(texts_in(event), None) is None:
        return event
    before, after = _in_value(event.before, texts), _in_value(event.after, texts)
    return attrs.evolve(event, before=before, after=after)


def _in_value(value: Any, texts: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _in_value(each, texts) for name, each in value.items()}
    return texts[value] if isinstance(value, LargeText) else value


def _in_text(text: str | None, texts: Mapping[str, str]) -> str | None:
    return texts[text] if isinstance(text, LargeText) else text


def _in_tags(tags: Mapping[str, str], texts: Mapping[str, str]) -> Mapping[str, str]:
    if not any(isinstance(value, LargeText) for value in tags.values()):
        return tags
    return {key: texts.get(value, value) for key, value in tags.items()}
