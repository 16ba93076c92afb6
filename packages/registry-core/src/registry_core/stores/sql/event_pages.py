"""Pages of events, as statements.

Strategy: events lie in the order of a page, of their numbers or of their times, and a page is read
from there until it is full. Of a kind of which there are few, that would be all of them, to the
beginning of the history. Two indexes have such events without the others:

- That on the subject has what was done to one thing, and so what was done to the aliases of a
  model, to its tags, or to the model itself. Few events are read from there, and sorted; of many,
  a page is soon full in the other way. The statement looks which it is.
- `ix_model_events_action` has all but what is done in masses, each action in the order of the
  times. A page of several actions is merged from a page of each.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import attrs
from sqlalchemy import Select, exists, literal_column, or_, select, tuple_, union_all
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import FromClause

from registry_core.history import Action, EventQuery, subject
from registry_core.name_scope import NameScope
from registry_core.stores.sql import scopes
from registry_core.stores.sql.compiling import Statement, compiled, holds_for_few, limit_if, param
from registry_core.stores.sql.driver import Driver
from registry_core.stores.sql.events import COLUMNS, around, stored_version
from registry_core.stores.sql.tables import (
    COMMON_ACTIONS,
    is_uncommon,
    model_events,
    registered_models,
)

FEW = 2_000
"""Events of some subjects up to which they are all read and sorted: milliseconds. More are met soon
enough among all of a model's."""

KEPT_STATEMENTS = 256
"""Shapes of queries that a process keeps compiled. Clients choose the actions, of which there are a
million sets."""

_ZERO: ColumnElement[int] = literal_column("0")


@functools.lru_cache(maxsize=KEPT_STATEMENTS)
def page(dialect: Dialect, query: EventQuery) -> Statement:
    """Return the statement for queries of one shape; see `shape`."""
    subjects, conditions = _subjects(query), list[ColumnElement[bool]]()
    if subjects:
        event = _found(query, subjects, dialect)
    elif _are_uncommon(query) and len(query.actions) > 1:
        event = _merged(query, dialect)
    else:
        event = model_events.alias("e")
        conditions += _conditions(query, event, scopes.slots(query.scope, dialect))
    statement = select(*(event.c[name] for name in COLUMNS), *around(event)).where(*conditions)
    ordered = statement.order_by(*_order(query, event)).limit(param("most")).offset(_ZERO)
    return compiled(ordered, dialect)


def _order(query: EventQuery, event: FromClause) -> list[ColumnElement[Any]]:
    keys = (
        [event.c.sequence]
        if query.is_of_one_model
        else [event.c.time, event.c.model_id, event.c.sequence]
    )
    return [key.desc() if query.newest_first else key for key in keys]


def _subjects(query: EventQuery) -> frozenset[str]:
    """The subjects of what is wanted of a model, or the one beginning that they have in common.

    None of them where they are no range of the index on subjects, as of what is done to versions.
    """
    if not query.is_of_one_model or query.alias is not None or query.version is not None:
        return frozenset()
    subjects = frozenset(subject(action, None, "") for action in query.actions)
    versions = [each for each in subjects if each.startswith("version:")]
    beginnings = [each for each in subjects if each.endswith(":")]
    return subjects if not versions and (not beginnings or len(subjects) == 1) else frozenset()


def _found(query: EventQuery, subjects: frozenset[str], dialect: Dialect) -> FromClause:
    """The events of the page, from those of some subjects if they are few, else from all."""
    counted, few, every = (model_events.alias(name) for name in ("counted", "few", "every"))
    one: Select[Any] = select(literal_column("1").label("one")).where(
        *_about(query, counted, subjects)
    )
    beyond = exists(one.order_by(counted.c.subject).limit(_literal(1)).offset(_literal(FEW)))
    common = select(beyond.label("is_common")).cte("common")
    is_common: ColumnElement[bool] = select(common.c.is_common).scalar_subquery()
    read = (
        select(*(few.c[name] for name in COLUMNS))
        .where(*_about(query, few, subjects))
        .order_by(few.c.subject)
        .limit(limit_if(~is_common, _literal(FEW)))
        .offset(_ZERO)
        .subquery("read")
    )
    ways = []
    for source, condition in ((read, ~is_common), (every, is_common)):
        conditions = _conditions(query, source, scopes.slots(query.scope, dialect))
        way = select(*(source.c[name] for name in COLUMNS)).where(condition, *conditions)
        ways.append(
            way.order_by(*_order(query, source))
            .limit(limit_if(condition, param("most")))
            .offset(_ZERO)
        )
    return _together(ways)


def _are_uncommon(query: EventQuery) -> bool:
    """Whether events of all models are wanted, of actions that an index has by themselves."""
    among_all = bool(query.actions) and not query.is_of_one_model
    return among_all and query.actions.isdisjoint(COMMON_ACTIONS)


def _merged(query: EventQuery, dialect: Dialect) -> FromClause:
    """The events of the page and some more: a page of each action."""
    ways = []
    for action in sorted(query.actions):
        event = model_events.alias(f"of_{action.value}")
        one = attrs.evolve(query, actions=frozenset({action}))
        conditions = _conditions(one, event, scopes.slots(query.scope, dialect))
        way = select(*(event.c[name] for name in COLUMNS)).where(*conditions)
        ways.append(way.order_by(*_order(query, event)).limit(param("most")).offset(_ZERO))
    return _together(ways)


def _together(ways: Iterable[Select[Any]]) -> FromClause:
    parts = (select(way.subquery(f"way{at}")) for at, way in enumerate(ways))
    return union_all(*parts).subquery("e")


def _about(
    query: EventQuery, event: FromClause, subjects: frozenset[str]
) -> Iterable[ColumnElement[bool]]:
    yield from _of_model(query, event)
    first = min(subjects)
    if first.endswith(":"):
        yield event.c.subject >= _text(first)
        yield event.c.subject < _text(f"{first[:-1]};")
    else:
        yield event.c.subject.in_([_text(each) for each in sorted(subjects)])


def _literal(number: int) -> ColumnElement[int]:
    return literal_column(str(number))


def _text(text: str) -> ColumnElement[str]:
    return literal_column(f"'{text}'")


def shape(query: EventQuery) -> EventQuery:
    """Return the query with nothing in it that does not change its statement."""
    return EventQuery(
        name=None if query.name is None else "",
        model_id=None if query.model_id is None else "",
        alias=None if query.alias is None else "",
        version=None if query.version is None else 0,
        actions=query.actions,
        since=None if query.since is None else 0,
        until=None if query.until is None else 0,
        # The number of patterns is what counts.
        scope=None if query.scope is None else _shape_of(query.scope),
        newest_first=query.newest_first,
        after=None if query.after is None else (0, "", 0),
    )


def _shape_of(scope: NameScope) -> NameScope:
    return NameScope(globs=("",) * scopes.rounded(len(scope.likes)))


def page_values(query: EventQuery, driver: Driver) -> dict[str, Any]:
    """Return the values of the statement for a query."""
    time, model_id, sequence = query.after or (0, "", 0)
    return {
        "name": query.name,
        "model_id": query.model_id,
        "subject": None if query.alias is None else subject(Action.SET_ALIAS, None, query.alias),
        "version": None if query.version is None else stored_version(query.version),
        "since": query.since,
        "until": query.until,
        "after_time": time,
        "after_model": model_id,
        "after_sequence": sequence,
        "most": query.max_results,
        **scopes.values(query.scope, driver),
    }


def _conditions(query: EventQuery, event: FromClause, slots: int) -> Iterable[ColumnElement[bool]]:
    yield from _of_model(query, event)
    if query.alias is not None:
        yield holds_for_few(event.c.subject == param("subject"))
    if query.version is not None:
        yield holds_for_few(event.c.version == param("version"))
    if query.actions:
        yield or_(*(event.c.action == _text(each.value) for each in sorted(query.actions)))
    if _are_uncommon(query):
        yield is_uncommon(event)
    if query.since is not None:
        yield event.c.time >= param("since")
    if query.until is not None:
        yield event.c.time < param("until")
    if query.scope is not None:
        yield scopes.event_in_scope(event, slots)
    if query.after is not None:
        yield _beyond(query, event)


def _of_model(query: EventQuery, event: FromClause) -> Iterable[ColumnElement[bool]]:
    if query.name is not None:
        # Not a join, for which PostgreSQL reads all events of a model that has most of them.
        model = registered_models.alias("m")
        named = select(model.c.model_id).where(model.c.name == param("name"))
        yield event.c.model_id == named.scalar_subquery()
    if query.model_id is not None:
        yield event.c.model_id == param("model_id")


def _beyond(query: EventQuery, event: FromClause) -> ColumnElement[bool]:
    place: ColumnElement[Any] = event.c.sequence
    after: ColumnElement[Any] = param("after_sequence")
    if not query.is_of_one_model:
        # Compared as a whole, it is a place in the index, and not a condition on the way there.
        place = tuple_(event.c.time, event.c.model_id, place)
        after = tuple_(param("after_time"), param("after_model"), after)
    return place < after if query.newest_first else place > after
