"""The table of our own operations about approvals, and what gates say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry_core import Approval, validation
from registry_core.gating import Review
from registry_core.store import approvals_of
from registry_core.wire import Json
from registry_core.wire import approvals as wire
from registry_core.wire.prefixes import OWN_API
from registry_server.http.operations import Operation, RequestContext, Work
from registry_server.http.response_shapes import NOTHING, ResponseShape

_VERSION = "/models/{name}/versions/{version}/approvals"

SCHEMAS: Json = {
    "Approval": {
        "type": "object",
        "description": "Somebody's word that a model version may be promoted.",
        "properties": {
            "version": {"type": "integer"},
            "actor": {"type": "string"},
            "is_authenticated": {"type": "boolean"},
            "groups": {"type": "array", "items": {"type": "string"}},
            "digest": {
                "type": "string",
                "description": "What was approved; it counts while the version has this digest.",
            },
            "reason": {"type": ["string", "null"]},
            "time": {"type": "integer", "description": "Milliseconds since the epoch."},
        },
    },
    "GateVerdict": {
        "type": "object",
        "description": "What a gate would say if the caller moved an alias or stage that it "
        "protects to the version.",
        "properties": {
            "name": {"type": "string"},
            "aliases": {"type": "array", "items": {"type": "string"}},
            "stages": {"type": "array", "items": {"type": "string"}},
            "missing": {
                "type": "array",
                "items": {"type": "string"},
                "description": "A phrase for each thing that the version lacks; none if it passes.",
            },
        },
    },
}

_APPROVALS = {"type": "array", "items": {"$ref": "#/components/schemas/Approval"}}


def _encode_all(approvals: Mapping[int, tuple[Approval, ...]]) -> Json:
    listed = (
        wire.encode_approval(n, each) for n, of_version in approvals.items() for each in of_version
    )
    return {"approvals": [*listed]}


APPROVALS: ResponseShape[Mapping[int, tuple[Approval, ...]]] = ResponseShape(
    "ApprovalsAnswer", _encode_all, {"approvals": _APPROVALS}, required=("approvals",)
)

APPROVAL: ResponseShape[tuple[int, Approval]] = ResponseShape(
    "ApprovalAnswer",
    lambda made: {"approval": wire.encode_approval(*made)},
    {"approval": {"$ref": "#/components/schemas/Approval"}},
    required=("approval",),
)

REVIEW: ResponseShape[tuple[int, Review]] = ResponseShape(
    "ReviewAnswer",
    lambda made: wire.encode_review(*made),
    {
        "digest": {"type": "string", "description": "What an approval of the version is bound to."},
        "is_sealed": {
            "type": "boolean",
            "description": "Whether that is the digest of a manifest of this registry.",
        },
        "approvals": _APPROVALS,
        "gates": {"type": "array", "items": {"$ref": "#/components/schemas/GateVerdict"}},
    },
    required=("digest", "is_sealed", "approvals", "gates"),
)


def _approvals(
    context: RequestContext, request: wire.GetModelApprovals
) -> Mapping[int, tuple[Approval, ...]]:
    return approvals_of(context.registry.store, validation.model_name(request.name))


def _approve(context: RequestContext, request: wire.ApproveModelVersion) -> tuple[int, Approval]:
    approval = context.registry.approve_model_version(
        request.name, request.version, digest=request.digest
    )
    return _number(request), approval


def _review(context: RequestContext, request: wire.GetVersionApprovals) -> tuple[int, Review]:
    review = context.registry.review_model_version(request.name, request.version)
    return _number(request), review


def _number(request: wire.ApproveModelVersion | wire.GetVersionApprovals) -> int:
    """The number of a version that was there, as its digits."""
    return int(request.version)


APPROVAL_OPERATIONS: tuple[Operation[Any, Any], ...] = (
    Operation(
        id="getModelApprovals",
        prefix=OWN_API,
        method="GET",
        path="/models/{name}/approvals",
        request=wire.GetModelApprovals,
        call=_approvals,
        answer=APPROVALS,
        summary="Get the approvals of all versions of a registered model.",
        work=Work.SEARCHING,
    ),
    Operation(
        id="getVersionApprovals",
        prefix=OWN_API,
        method="GET",
        path=_VERSION,
        request=wire.GetVersionApprovals,
        call=_review,
        answer=REVIEW,
        summary="Get the approvals of a model version, and what gates say of it to the caller.",
        # It may read a manifest, wherever that is, and is asked in the caller's name.
        work=Work.WAITING,
    ),
    Operation(
        id="approveModelVersion",
        prefix=OWN_API,
        method="POST",
        path=_VERSION,
        request=wire.ApproveModelVersion,
        call=_approve,
        answer=APPROVAL,
        summary="Approve a model version, if it has the digest that is expected.",
    ),
    Operation(
        id="withdrawModelVersionApproval",
        prefix=OWN_API,
        method="DELETE",
        path=_VERSION,
        request=wire.WithdrawModelVersionApproval,
        call=lambda context, request: context.registry.withdraw_model_version_approval(
            request.name, request.version
        ),
        answer=NOTHING,
        summary="Take back the caller's own approval of a model version.",
    ),
)
"""Operations about approvals."""
