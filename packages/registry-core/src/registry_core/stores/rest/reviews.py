"""Approvals of versions, and what gates say, of a server."""

from __future__ import annotations

from collections.abc import Mapping

from registry_core import wire
from registry_core.authors import Author
from registry_core.errors import UnsupportedBackendError
from registry_core.gating import Review
from registry_core.models import Approval
from registry_core.stores.rest.answers import approval_of
from registry_core.stores.rest.files import RestFiles
from registry_core.stores.rest.routes import approvals_path
from registry_core.stores.rest.webhooks import wire_list
from registry_core.wire.approvals import (
    ApproveModelVersion,
    by_version,
    decode_approval,
    decode_review,
)
from registry_core.wire.prefixes import own_path


class RestReviews(RestFiles):
    """The part of a store on a server that is about approvals; see `gating.ServesReviews`."""

    def approvals(self, name: str) -> Mapping[int, tuple[Approval, ...]]:
        """See `registry_core.store.KeepsApprovals`. A server without the route keeps none."""
        try:
            return self._http.read(own_path(name, "approvals"), {}, _approvals, name=name)
        except UnsupportedBackendError:
            return {}

    def approve_version(
        self, name: str, version: int, *, digest: str | None, by: Author
    ) -> Approval:
        """See `gating.ServesReviews`. Who approves, the server says."""
        request = ApproveModelVersion(name=name, version=str(version), digest=digest)
        return self._http.write(
            "POST",
            approvals_path(name, version),
            wire.encode_request(request),
            approval_of,
            name=name,
            reason=by.reason,
        )

    def review_version(self, name: str, version: int) -> Review:
        """See `gating.ServesReviews`."""
        return self._http.read(approvals_path(name, version), {}, decode_review, name=name)


def _approvals(answer: wire.Json) -> Mapping[int, tuple[Approval, ...]]:
    return by_version(map(decode_approval, wire_list(answer, "approvals")))
