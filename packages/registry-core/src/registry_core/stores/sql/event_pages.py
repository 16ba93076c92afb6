"""Pages of events, as statements.

Strategy: events lie in the order of a page, of their numbers or of their times, and a page is read
from there until it is full. Of a kind of which there are few, that would be all of them, to the
beginning of the history. Two indexes have such events without the others:

- `ix_model_events_kind` has what was done to one thing of a model beside what was done to others of
  its kind: to the aliases of a model, to its tags and those of its versions, or to the model
  itself. Few events are read from there, and sorted; of many, a page is soon full in the other
  way. The statement looks which it is.
- `ix_model_events_action` has all but what is done in masses, each action in the order of the
  times. A page of several actions is merged from a page of each.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import attrs
from sqlalchemy import Select, exists, literal_column, or_, select, tuple_, union_all
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import FromClause, Subquery

from registry_core.history import Action, EventQuery, subject
from registry_core.name_scope import NameScope
from registry_core.stores.sql import scopes
from registry_core.stores.sql.compiling import (
    Statement,
    by_index,
    compiled,
    holds_for_few,
    kind_first,
    limit_if,
    param,
)
from registry_core.stores.sql.driver import Driver
from registry_core.stores.sql.events import COLUMNS, around, stored_version
from registry_core.stores.sql.tables import (
    COMMON_ACTIONS,
    EVENTS_BY_KIND,
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
    kinds, conditions = _kinds(query), list[ColumnElement[bool]]()
    if kinds:
        event = _found(query, kinds, dialect)
    elif _are_uncommon(query) and len(query.actions) > 1:
        event = _merged(query, dialect)
    else:
        event = model_events.alias("e")
        if query.is_of_one_model and query.alias is not None:
            event = by_index(model_events, EVENTS_BY_KIND, "e")
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


def _kinds(query: EventQuery) -> Sequence[str]:
    """What the subjects of the wanted events of a model are, or begin with; see `kind_first`.

    None where the query has a better way: to the events of an alias or of a version.
    """
    if not query.is_of_one_model or query.alias is not None or query.version is not None:
        return ()
    return sorted({_kind(action.form) for action in query.actions})


def _kind(form: str) -> str:
    """A whole subject, or how all of an action begin; then it ends in `:` or a space."""
    of_version = form.removeprefix("version:{version}")
    if of_version == form:
        return form.removesuffix("{key}")
    if not of_version:
        return "version:"
    return of_version.removesuffix("{key}") if of_version.endswith("{key}") else f"{of_version} "


def _found(query: EventQuery, kinds: Sequence[str], dialect: Dialect) -> FromClause:
    """The events of the page, from those of some kinds if they are few, else from all."""
    counts, reads = [], []
    for at, kind in enumerate(kinds):
        counted, few = (
            by_index(model_events, EVENTS_BY_KIND, f"{name}{at}") for name in ("counted", "few")
        )
        one: Select[Any] = select(literal_column("1").label("one"))
        counts.append(_of_kind(one, query, counted, kind).limit(_literal(FEW + 1)).offset(_ZERO))
        reads.append(_of_kind(select(*(few.c[name] for name in COLUMNS)), query, few, kind))
    counted_all = _together(counts, "counted").select().offset(_literal(FEW)).limit(_literal(1))
    common = select(exists(counted_all).label("is_common")).cte("common")
    is_common: ColumnElement[bool] = select(common.c.is_common).scalar_subquery()
    at_most = limit_if(~is_common, _literal(FEW))
    read = _together((each.limit(at_most).offset(_ZERO) for each in reads), "read")
    ways = []
    for source, condition in ((read, ~is_common), (model_events.alias("every"), is_common)):
        conditions = _conditions(query, source, scopes.slots(query.scope, dialect))
        way = select(*(source.c[name] for name in COLUMNS)).where(condition, *conditions)
        ways.append(
            way.order_by(*_order(query, source))
            .limit(limit_if(condition, param("most")))
            .offset(_ZERO)
        )
    return _together(ways)


def _of_kind(selected: Select[Any], query: EventQuery, event: FromClause, kind: str) -> Select[Any]:
    """The events of a kind, from the index that has them together."""
    subject_ = kind_first(event.c.subject)
    first, last = kind[:-1], kind[-1]
    is_range = last in ": "
    about = [subject_ == _text(kind)]
    if is_range:
        about = [subject_ >= _text(kind), subject_ < _text(first + chr(ord(last) + 1))]
    return selected.where(*_of_model(query, event), *about).order_by(subject_)


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


def _together(ways: Iterable[Select[Any]], name: str = "e") -> Subquery:
    parts = (select(way.subquery(f"{name}{at}")) for at, way in enumerate(ways))
    return union_all(*parts).subquery(name)


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
        yield kind_first(event.c.subject) == param("subject")
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
