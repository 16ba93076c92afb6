"""Reading what was done to registered models, and undoing it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

import attrs

from registry_core import validation
from registry_core.changes import DeleteAlias, SetAlias
from registry_core.errors import InvalidArgumentError
from registry_core.history import EVENTS_MAX_RESULTS, Action, Event, EventQuery, place_of
from registry_core.requirements import AliasIs
from registry_core.search import Page, paging
from registry_core.store import Store

PAGE_SIZE = 100
"""Events that are read at a time. Most who ask want the newest few."""


def iterate(store: Store, query: EventQuery) -> Iterator[Event]:
    """Yield every wanted event, read page by page.

    Raises:
        RegisteredModelNotFoundError: The query names a model that does not exist.
    """
    while True:
        events = store.events(query)
        yield from events
        if len(events) < query.max_results:
            return
        # Who reads on reads many.
        query = attrs.evolve(query, after=place_of(events[-1]), max_results=EVENTS_MAX_RESULTS)


def page(store: Store, query: EventQuery, token: str | None) -> Page[Event]:
    """Return a page of events, with a token where there are further ones.

    Raises:
        InvalidArgumentError: The token is malformed.
        RegisteredModelNotFoundError: The query names a model that does not exist.
    """
    if token:
        query = attrs.evolve(query, after=_place(paging.decode(token)))
    events = store.events(attrs.evolve(query, max_results=query.max_results + 1))
    items = events[: query.max_results]
    has_more = len(items) < len(events)
    return Page(items, paging.encode([*place_of(items[-1])]) if has_more else None)


def _place(parsed: object) -> tuple[int, str, int]:
    match parsed:
        case [int(time), str(model_id), int(sequence)]:
            if all(map(paging.is_int64, (time, sequence))) and paging.is_text(model_id):
                return time, model_id, sequence
    raise InvalidArgumentError(f"Invalid page token, parsed value={parsed!r}")


def query(
    name: str | None,
    *,
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
        alias=None if alias is None else validation.alias(alias),
        version=None if version is None else validation.version(version),
        actions=frozenset(map(_action, actions or ())),
        since=_milliseconds(since),
        until=_milliseconds(until),
        newest_first=newest_first,
        max_results=max_results,
    )


def rollback(store: Store, name: str, alias: str, *, to: int | None) -> SetAlias | DeleteAlias:
    """Return the change that puts an alias back.

    Args:
        store: Where the history is.
        name: The registered model.
        alias: The alias.
        to: The number of an event: the alias will point where it pointed after that event. By
            default it will point where it pointed before it was changed last.

    Raises:
        InvalidArgumentError: The alias was never set, or `to` is no event of the model.
    """
    events = iterate(store, query(name, alias=alias))
    newest = next(events, None)
    if newest is None:
        raise InvalidArgumentError(
            f"The history of model '{name}' says nothing of an alias '{alias}'"
        )
    if to is None:
        target = newest.before
    else:
        earlier = (each for each in (newest, *events) if each.sequence <= to)
        found = next(earlier, None)
        target = None if found is None else found.after
    return _pointing(name, alias, target, expected=newest.after)


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


def _milliseconds(moment: int | datetime | None) -> int | None:
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
