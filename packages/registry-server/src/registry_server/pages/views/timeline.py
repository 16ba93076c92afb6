"""Pages of events: what was done to one model or to all."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from registry_core import Event, Page, Registry, histories
from registry_core.history import EVENTS_MAX_RESULTS, Action, place_of
from registry_core.search import paging
from registry_core.wire import Json
from registry_core.wire import history as wire
from registry_server.pages.requests import PageRequest

PAGE_SIZE = 25
"""Events of a page."""

SEARCHED = EVENTS_MAX_RESULTS
"""Events that are looked through for those of one actor, for one page. Where these are rarer, the
page ends early and says so; the next one goes on from there."""


def _kind(action: Action) -> str:
    if action.form.startswith("alias:"):
        return "aliases"
    if "tag:" in action.form:
        return "tags"
    return "versions" if action.form.startswith("version:") else "model"


KINDS = {
    kind: tuple(action for action in Action if _kind(action) == kind)
    for kind in ("aliases", "versions", "tags", "model")
}
"""What events may be about, as it stands in the address."""


@attrs.frozen(kw_only=True)
class Timeline:
    """A page of events, newest first."""

    events: tuple[Event, ...]
    next_page_token: str | None
    is_cut: bool = False
    """Whether the search for an actor ended before the page was full."""

    def data(self) -> Json:
        """Return the events as JSON."""
        answer: Json = {"events": [wire.encode_event(event) for event in self.events]}
        if self.next_page_token is not None:
            answer["next_page_token"] = self.next_page_token
        return answer


def read(
    request: PageRequest,
    registry: Registry,
    name: str | None = None,
    *,
    model_id: str | None = None,
) -> Timeline:
    """Return the events that the address asks for, of one model, by its name or its id, or of all.

    Raises:
        InvalidArgumentError: it asks for what cannot be.
        RegisteredModelNotFoundError: there is no such model.
    """
    asked = request.query
    actor = asked.get("by", "").strip()
    query = histories.query(
        name,
        model_id=model_id,
        alias=asked.get("alias") or None,
        version=asked.get("version") or None,
        actions=KINDS.get(asked.get("about", ""), ()),
        max_results=SEARCHED if actor else PAGE_SIZE,
    )
    page = histories.page(registry.store, query, asked.get("page") or None)
    if not actor:
        return Timeline(events=tuple(page.items), next_page_token=page.next_page_token)
    return _by(actor, page)


def _by(actor: str, page: Page[Event]) -> Timeline:
    events = [event for event in page.items if event.actor == actor]
    if len(events) > PAGE_SIZE:
        shown = tuple(events[:PAGE_SIZE])
        return Timeline(events=shown, next_page_token=paging.encode([*place_of(shown[-1])]))
    return Timeline(
        events=tuple(events),
        next_page_token=page.next_page_token,
        is_cut=page.next_page_token is not None,
    )


def newest_of_each(events: Iterable[Event]) -> dict[str | None, Event]:
    """Return the newest event of each alias or tag among events that are newest first."""
    newest: dict[str | None, Event] = {}
    for event in events:
        newest.setdefault(event.key, event)
    return newest
