"""The table of our own operations, under `OWN_API`: what MLflow's API cannot say."""

from __future__ import annotations

from typing import Any

from registry_core import InvalidArgumentError, Page, histories
from registry_core.history import Event
from registry_core.wire import Json
from registry_core.wire import history as wire
from registry_core.wire.prefixes import OWN_API
from registry_server.http.compare_and_set import COMPARE_AND_SET_OPERATIONS
from registry_server.http.operations import REGISTRY_OPERATIONS, Operation, RequestContext, Work
from registry_server.http.response_shapes import ResponseShape

SCHEMAS: Json = {
    "Event": {
        "type": "object",
        "description": "What was done to a registered model; times are milliseconds since the "
        "epoch.",
        "properties": {
            "model_id": {"type": "string"},
            "name": {"type": "string"},
            "sequence": {"type": "integer"},
            "time": {"type": "integer"},
            "actor": {"type": "string"},
            "is_authenticated": {"type": "boolean"},
            "origin": {"type": "string"},
            "reason": {"type": ["string", "null"]},
            "action": {"type": "string"},
            "version": {"type": ["integer", "null"]},
            "key": {"type": ["string", "null"]},
            "before": {},
            "after": {},
            "is_intact": {
                "type": ["boolean", "null"],
                "description": "Whether the store still has what it wrote; null if not known.",
            },
        },
    }
}


def _encode(page: Page[Event]) -> Json:
    answer: Json = {"events": [wire.encode_event(event) for event in page.items]}
    if page.next_page_token is not None:
        answer["next_page_token"] = page.next_page_token
    return answer


EVENTS: ResponseShape[Page[Event]] = ResponseShape(
    "EventsAnswer",
    _encode,
    {
        "events": {"type": "array", "items": {"$ref": "#/components/schemas/Event"}},
        "next_page_token": {
            "type": "string",
            "description": "Present if there is a further page.",
        },
    },
    required=("events",),
)


def _is_newest_first(order: str) -> bool:
    if order not in ("newest_first", "oldest_first"):
        raise InvalidArgumentError(
            f"Invalid order '{order}'. It must be newest_first or oldest_first"
        )
    return order == "newest_first"


def _history(context: RequestContext, request: wire.GetModelHistory) -> Page[Event]:
    query = histories.query(
        request.name,
        alias=request.alias,
        version=request.version,
        actions=request.action,
        since=request.since,
        until=request.until,
        newest_first=_is_newest_first(request.order),
        max_results=request.max_results,
    )
    return histories.page(context.registry.store, query, request.page_token)


def _activity(context: RequestContext, request: wire.GetActivity) -> Page[Event]:
    query = histories.query(
        None,
        actions=request.action,
        since=request.since,
        until=request.until,
        newest_first=_is_newest_first(request.order),
        max_results=request.max_results,
    )
    return histories.page(context.registry.store, query, request.page_token)


OWN_OPERATIONS: tuple[Operation[Any, Any], ...] = (
    Operation(
        id="getModelHistory",
        prefix=OWN_API,
        method="GET",
        path="/models/{name}/history",
        request=wire.GetModelHistory,
        call=_history,
        answer=EVENTS,
        summary="Get what was done to a registered model.",
        work=Work.SEARCHING,
    ),
    Operation(
        id="getActivity",
        prefix=OWN_API,
        method="GET",
        path="/activity",
        request=wire.GetActivity,
        call=_activity,
        answer=EVENTS,
        summary="Get what was done to all registered models.",
        work=Work.SEARCHING,
    ),
)

ALL_OPERATIONS = (*REGISTRY_OPERATIONS, *OWN_OPERATIONS, *COMPARE_AND_SET_OPERATIONS)
"""What every application serves, beside the operations of its other parts."""
