"""The table of our own operations, under `OWN_API`: what MLflow's API cannot say."""

from __future__ import annotations

from typing import Any

import attrs

from registry_core import (
    InvalidArgumentError,
    Page,
    RegisteredModel,
    histories,
    snapshot_format,
    snapshot_reading,
    validation,
)
from registry_core.access.policy import encode_grant
from registry_core.calls.queries import check_max_results
from registry_core.history import Event
from registry_core.pruning import Pruned
from registry_core.wire import Json, snapshots
from registry_core.wire import history as wire
from registry_core.wire.prefixes import OWN_API
from registry_server.http.approvals import APPROVAL_OPERATIONS
from registry_server.http.approvals import SCHEMAS as APPROVAL_SCHEMAS
from registry_server.http.compare_and_set import COMPARE_AND_SET_OPERATIONS
from registry_server.http.files import PUSH_OPERATIONS
from registry_server.http.operations import (
    LONG_BODY_BYTES,
    REGISTRY_OPERATIONS,
    Operation,
    RequestContext,
    Work,
    operations_that_change,
)
from registry_server.http.preview import PREVIEW_OPERATIONS
from registry_server.http.response_shapes import (
    REGISTERED_MODEL,
    ResponseShape,
)

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
    },
    **APPROVAL_SCHEMAS,
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
        model_id=request.model_id,
        actions=request.action,
        since=request.since,
        until=request.until,
        newest_first=_is_newest_first(request.order),
        max_results=request.max_results,
    )
    scope = None if context.rights is None else context.rights.readable
    seen_as = "" if scope is None else scope.digest
    return histories.page(context.registry.store, query, request.page_token, seen_as=seen_as)


PRUNED: ResponseShape[Pruned] = ResponseShape(
    "PrunedAnswer",
    attrs.asdict,
    {
        "removed": {"type": "integer", "description": "Events that were removed."},
        "added": {"type": "integer", "description": "Events that begin the history now."},
        "first": {"type": "integer", "description": "The number of the first event; 0 for none."},
    },
    required=("removed", "added", "first"),
)


SNAPSHOT_PIECE: ResponseShape[Json] = ResponseShape(
    "SnapshotPiece",
    lambda piece: piece,
    {
        "model": {"type": "object", "description": "The fields of the registered model."},
        "versions": {
            "type": "array",
            "items": {"type": "object"},
            "description": "Versions by number; as many as asked for if there may be further ones.",
        },
    },
    required=("model", "versions"),
)


def _get_snapshot(context: RequestContext, request: snapshots.GetModelSnapshot) -> Json:
    check_max_results(request.max_results, snapshots.VERSIONS_MAX_RESULTS)
    model, versions, approvals = snapshot_reading.piece(
        context.registry.store,
        validation.model_name(request.name),
        request.after_version,
        request.max_results,
    )
    return {
        "model": snapshot_format.encode_fields(model),
        "versions": snapshot_format.encode_versions(versions, approvals),
    }


def _put_snapshot(context: RequestContext, request: snapshots.PutModelSnapshot) -> RegisteredModel:
    snapshot = snapshot_format.loads(request.snapshot)
    if snapshot.name != request.name:
        raise InvalidArgumentError(
            f"The snapshot is of model '{snapshot.name}', and not of '{request.name}'"
        )
    return context.registry.restore(snapshot, on_conflict="replace" if request.replaces else "fail")


OWN_OPERATIONS: tuple[Operation[Any, Any], ...] = (
    *operations_that_change(OWN_API),
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
        summary="Get what was done to all registered models, deleted ones included.",
        work=Work.SEARCHING,
    ),
    Operation(
        id="pruneModelHistory",
        prefix=OWN_API,
        method="POST",
        path="/models/{name}/history/prune",
        request=wire.PruneModelHistory,
        call=lambda context, request: context.registry.prune_history(
            request.name, before=request.before, dry_run=request.dry_run
        ),
        answer=PRUNED,
        summary="Replace the oldest events of a registered model by what they have led to.",
    ),
    Operation(
        id="getModelSnapshot",
        prefix=OWN_API,
        method="GET",
        path="/models/{name}/snapshot",
        request=snapshots.GetModelSnapshot,
        call=_get_snapshot,
        answer=SNAPSHOT_PIECE,
        summary="Get a piece of a registered model with all that the registry keeps of it.",
        work=Work.SEARCHING,
    ),
    Operation(
        id="putModelSnapshot",
        prefix=OWN_API,
        method="PUT",
        path="/models/{name}/snapshot",
        request=snapshots.PutModelSnapshot,
        call=_put_snapshot,
        answer=REGISTERED_MODEL,
        summary="Write a registered model as a snapshot has it, with its versions and history.",
        max_body_bytes=LONG_BODY_BYTES,
    ),
)

WHOAMI: ResponseShape[Json] = ResponseShape(
    "WhoamiAnswer",
    lambda answer: answer,
    {
        "name": {"type": ["string", "null"], "description": "The proven name; null without one."},
        "groups": {"type": "array", "items": {"type": "string"}},
        "is_restricted": {
            "type": "boolean",
            "description": "Whether an access file says what the caller may do.",
        },
        "grants": {
            "type": "array",
            "items": {"type": "object"},
            "description": "What the caller may do, and where the access file says so.",
        },
    },
    required=("name", "groups", "is_restricted", "grants"),
)


@attrs.frozen
class Whoami:
    """Asks who the caller is."""


def _whoami(context: RequestContext, _: Whoami) -> Json:
    rights = context.rights
    return {
        "name": context.user,
        "groups": [] if rights is None else sorted(rights.principal.groups),
        "is_restricted": rights is not None,
        "grants": [] if rights is None else [encode_grant(each) for each in rights.grants],
    }


ACCESS_OPERATIONS: tuple[Operation[Any, Any], ...] = (
    Operation(
        id="whoami",
        prefix=OWN_API,
        method="GET",
        path="/whoami",
        request=Whoami,
        call=_whoami,
        answer=WHOAMI,
        summary="Get who the caller is, and what the caller may do.",
        work=Work.READING,
    ),
)

ALL_OPERATIONS = (
    *REGISTRY_OPERATIONS,
    *PREVIEW_OPERATIONS,
    *OWN_OPERATIONS,
    *COMPARE_AND_SET_OPERATIONS,
    *APPROVAL_OPERATIONS,
    *PUSH_OPERATIONS,
    *ACCESS_OPERATIONS,
)
"""What every application serves, beside the operations of its other parts."""
