"""Reading what was done to registered models, and undoing it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain, takewhile
from typing import overload

import attrs

from registry_core import documents, validation
from registry_core.authors import Origin
from registry_core.changes import DeleteAlias, SetAlias
from registry_core.documents import ModelDocument
from registry_core.errors import ConflictError, InvalidArgumentError, StoreCorruptedError
from registry_core.fields import fields_of
from registry_core.history import EVENTS_MAX_RESULTS, Action, Event, EventQuery, place_of
from registry_core.models import ModelFields
from registry_core.replay import replay
from registry_core.requirements import AliasIs
from registry_core.search import (
    AttributeRef,
    Comparison,
    Entity,
    Op,
    Page,
    Query,
    all_pages,
    paging,
)
from registry_core.search.ordering import parse_order_by
from registry_core.store import Store, approvals_of
from registry_core.verification import Verification, Verifier

PAGE_SIZE = 100
"""Events that are read at a time. Most who ask want the newest few."""


def iterate(store: Store, query: EventQuery) -> Iterator[Event]:
    """Yield every wanted event, read page by page.

    Raises:
        RegisteredModelNotFoundError: The query names a model that does not exist.
    """
    return pages(store.events, query)


def pages(read: Callable[[EventQuery], list[Event]], query: EventQuery) -> Iterator[Event]:
    """Yield every wanted event, of which `read` gives a page."""
    while True:
        events = read(query)
        yield from events
        if len(events) < query.max_results:
            return
        # Who reads on reads many.
        query = attrs.evolve(query, after=place_of(events[-1]), max_results=EVENTS_MAX_RESULTS)


def page(store: Store, query: EventQuery, token: str | None, *, seen_as: str = "") -> Page[Event]:
    """Return a page of events, with a token where there are further ones.

    Args:
        store: Where they are.
        query: Which are wanted.
        token: Of the page before, which was given for the same `seen_as`; None for the first page.
        seen_as: Tells what the caller may see from what others may; empty where that is all.

    Raises:
        InvalidArgumentError: The token is malformed.
        RegisteredModelNotFoundError: The query names a model that does not exist.
    """
    if token:
        query = attrs.evolve(query, after=_place(paging.decode(token), seen_as))
    events = store.events(attrs.evolve(query, max_results=query.max_results + 1))
    items = events[: query.max_results]
    has_more = len(items) < len(events)
    bound = [seen_as] if seen_as else []
    return Page(items, paging.encode([*place_of(items[-1]), *bound]) if has_more else None)


def _place(parsed: object, seen_as: str) -> tuple[int, str, int]:
    match parsed:
        case [int(time), str(model_id), int(sequence), *bound] if bound == [seen_as] * bool(
            seen_as
        ):
            if all(map(paging.is_int64, (time, sequence))) and paging.is_text(model_id):
                return time, model_id, sequence
    raise InvalidArgumentError(f"Invalid page token, parsed value={parsed!r}")


def query(
    name: str | None,
    *,
    model_id: str | None = None,
    alias: str | None = None,
    version: int | str | None = None,
    actions: Iterable[Action | str] | None = None,
    since: int | datetime | None = None,
    until: int | datetime | None = None,
    newest_first: bool = True,
    max_results: int = PAGE_SIZE,
) -> EventQuery:
    """Return the query that arguments of people mean.

    Raises:
        InvalidArgumentError: One of them cannot be meant.
    """
    if name is not None:
        validation.model_name(name)
    if not 1 <= max_results <= EVENTS_MAX_RESULTS:
        raise InvalidArgumentError(
            f"max_results must be between 1 and {EVENTS_MAX_RESULTS}, and not {max_results}"
        )
    return EventQuery(
        name=name,
        model_id=None if model_id is None else validation.registered_model_id(model_id),
        alias=None if alias is None else validation.alias(alias),
        version=None if version is None else validation.version(version),
        actions=frozenset(map(_action, actions or ())),
        since=milliseconds(since),
        until=milliseconds(until),
        newest_first=newest_first,
        max_results=max_results,
    )


def as_of(store: Store, name: str, moment: int | datetime) -> ModelDocument:
    """Return a model as it was at a moment, from its history alone.

    Args:
        store: Where the history is.
        name: The name that the model has now.
        moment: Milliseconds since the epoch, or a moment with its time zone. What was done at
            that moment is part of it.

    Raises:
        InvalidArgumentError: The history begins later.
        RegisteredModelNotFoundError: There is no such model now.
        StoreCorruptedError: The history cannot be played back.
    """
    at = milliseconds(moment)
    events = iterate(store, query(name, newest_first=False, max_results=EVENTS_MAX_RESULTS))
    first = next(events, None)
    if first is None or first.time > at:
        begins = "is empty" if first is None else f"begins at {iso(first.time)}"
        raise InvalidArgumentError(f"The history of model '{name}' {begins}, and not before")
    document = replay(takewhile(lambda event: event.time <= at, chain([first], events)))
    if document is None:
        raise InvalidArgumentError(f"Model '{name}' was deleted at {iso(at)}, and restored later")
    return document


def verify(store: Store, name: str) -> Verification:
    """Play the history of a model back, and compare it with the model and all of its versions.

    Raises:
        ConflictError: The model was changed all the time.
        InvalidArgumentError: There is no history yet, as of a model in a bucket that an earlier
            release has changed last.
        RegisteredModelNotFoundError: There is no such model.
        StoreCorruptedError: The model itself cannot be read.
    """
    everything = query(name, newest_first=False, max_results=EVENTS_MAX_RESULTS)
    for _ in range(_ATTEMPTS):
        verifier, oldest = Verifier(), None
        try:
            for event in iterate(store, everything):
                oldest = oldest or event
                verifier.see(event)
        except StoreCorruptedError as error:
            verifier.unreadable(error)
            return verifier.compared_with(None)
        document = _document(store, name)
        newest = store.events(query(name, max_results=1))
        if not newest:
            raise InvalidArgumentError(
                f"Model '{name}' has no history yet: it begins with the model's next change"
            )
        if newest[0].sequence == verifier.last and not was_pruned(store, name, oldest, newest[0]):
            return verifier.compared_with(document)
    raise ConflictError(f"Model '{name}' was changed each time its history was verified")


def was_pruned(store: Store, name: str, oldest: Event | None, newest: Event | None) -> bool:
    """Return whether a history got a new beginning while it was read: no event says so.

    Args:
        store: Where the history is.
        name: The name that the model has now.
        oldest: The first event that was read.
        newest: The last one.
    """
    if oldest is None or newest is None or newest.sequence - oldest.sequence < EVENTS_MAX_RESULTS:
        return False  # All of it was one page.
    query = EventQuery(name=name, newest_first=False, max_results=1)
    return store.events(query) != [oldest]


_ATTEMPTS = 5

_VERSIONS_AT_A_TIME = 1_000


def _document(store: Store, name: str) -> ModelDocument:
    model = store.get_registered_model(name)
    of_model = Query(
        entity=Entity.MODEL_VERSION,
        filter=(Comparison(AttributeRef("name"), Op.EQ, name),),
        order_by=parse_order_by((), Entity.MODEL_VERSION),
        max_results=_VERSIONS_AT_A_TIME,
        # What a server with MLflow's API can be asked; it changes nothing elsewhere.
        exclude_prompts=not model.is_prompt,
    )
    versions = all_pages(
        lambda token: store.search_model_versions(attrs.evolve(of_model, page_token=token))
    )
    fields = {field.name: getattr(model, field.name) for field in fields_of(ModelFields)}
    document = ModelDocument(**fields, approvals=approvals_of(store, name))
    return documents.build(document, versions)


def iso(time: int) -> str:
    """Return a time in milliseconds since the epoch, for people."""
    return datetime.fromtimestamp(time / 1000, UTC).isoformat(timespec="seconds")


def rollback(store: Store, name: str, alias: str, *, to: int | None) -> SetAlias | DeleteAlias:
    """Return the change that puts an alias back.

    Args:
        store: Where the history is.
        name: The registered model.
        alias: The alias.
        to: The number of an event: the alias will point where it pointed after that event. By
            default it will point where it pointed before it was changed last.

    Raises:
        InvalidArgumentError: The alias was never set, or `to` is not an event of the model.
    """
    events = iterate(store, query(name, alias=alias))
    newest = next(events, None)
    if newest is None:
        raise InvalidArgumentError(
            f"The history of model '{name}' says nothing of an alias '{alias}'"
        )
    if to is None:
        event, target = None if newest.origin is Origin.BASELINE else newest, newest.before
    else:
        event = next((each for each in chain([newest], events) if each.sequence <= to), None)
        target = None if event is None else event.after
    if event is None:
        _check_begun(store, name, alias, newest.sequence - 1 if to is None else to)
    return _pointing(name, alias, target, expected=newest.after)


def _check_begun(store: Store, name: str, alias: str, sequence: int) -> None:
    """Refuse to say where an alias pointed that a history which was pruned does not know."""
    first = next(iter(store.events(query(name, newest_first=False, max_results=1))), None)
    if first is not None and first.sequence > 1 and sequence <= _last_of_beginning(store, name):
        raise InvalidArgumentError(
            f"The history of model '{name}' was pruned, and does not say where alias '{alias}' "
            "pointed before"
        )


def _last_of_beginning(store: Store, name: str) -> int:
    everything = query(name, newest_first=False, max_results=EVENTS_MAX_RESULTS)
    begins = takewhile(lambda each: each.origin is Origin.BASELINE, iterate(store, everything))
    return max((each.sequence for each in begins), default=0)


def _pointing(
    name: str, alias: str, version: object, *, expected: object
) -> SetAlias | DeleteAlias:
    assert version is None or isinstance(version, int), "an alias points at a number"
    assert expected is None or isinstance(expected, int), "an alias points at a number"
    requires = (AliasIs(name=name, alias=alias, version=expected),)
    if version is None:
        return DeleteAlias(name=name, alias=alias, requires=requires)
    return SetAlias(name=name, alias=alias, version=version, requires=requires)


def _action(action: Action | str) -> Action:
    try:
        return Action(action)
    except ValueError:
        listed = ", ".join(each.value for each in Action)
        raise InvalidArgumentError(
            f"Invalid action '{action}'. It must be one of: {listed}"
        ) from None


@overload
def milliseconds(moment: int | datetime) -> int: ...


@overload
def milliseconds(moment: None) -> None: ...


def milliseconds(moment: int | datetime | None) -> int | None:
    """Return a moment in milliseconds since the epoch.

    Raises:
        InvalidArgumentError: It is none, or has no time zone.
    """
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        if not paging.is_int64(moment):
            raise InvalidArgumentError(
                f"A moment must be a datetime, or milliseconds since the epoch, and not {moment!r}"
            )
        return moment
    if moment.tzinfo is None:
        raise InvalidArgumentError("A moment must have a time zone, as datetime.now(UTC) has")
    return int(moment.timestamp() * 1000)
