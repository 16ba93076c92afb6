"""What deleted models and versions refer to, as long as they can be restored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from registry_core.artifacts.versions.context import Context
from registry_core.errors import UnsupportedBackendError
from registry_core.history import EVENTS_MAX_RESULTS, Action, Event, EventQuery, place_of
from registry_core.retention import retention

_MARGIN = 24 * 3600 * 1000
"""Milliseconds for which files are kept after nothing can be restored any more, so that a
restoring at the last moment, by a clock that is late, has its files."""

_DELETIONS = frozenset({Action.DELETE_VERSION, Action.DELETE_MODEL})
_SOURCES = frozenset(
    {
        Action.CREATE_VERSION,
        Action.FINALIZE_VERSION,
        Action.RELOCATE_VERSION,
        Action.RESTORE_VERSION,
    }
)


def trashed_uris(context: Context) -> Iterator[str]:
    """Yield the sources and storage locations of all that was deleted and can be restored.

    Of a deleted model they are those of every version that it ever had.
    """
    kept = retention()
    if not kept:
        return
    since = context.clock() - kept - _MARGIN
    try:
        for event in _events(context, EventQuery(actions=_DELETIONS, since=since)):
            yield from _uris_in(event.before)
            if event.action is Action.DELETE_MODEL:
                of_model = EventQuery(actions=_SOURCES, model_id=event.model_id)
                for each in _events(context, of_model):
                    yield from _uris_in(each.after)
    except UnsupportedBackendError:
        return  # A server of MLflow's keeps nothing of what is deleted.


def _events(context: Context, query: EventQuery) -> Iterator[Event]:
    query = attrs.evolve(query, max_results=EVENTS_MAX_RESULTS)
    while True:
        page = context.writer.store.events(query)
        yield from page
        if len(page) < EVENTS_MAX_RESULTS:
            return
        query = attrs.evolve(query, after=place_of(page[-1]))


def _uris_in(fields: object) -> Iterator[str]:
    if isinstance(fields, Mapping):
        for name in ("source", "storage_location"):
            if uri := fields.get(name):
                yield str(uri)
