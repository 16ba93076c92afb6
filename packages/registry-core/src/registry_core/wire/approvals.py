"""Approvals and gates on the wire of our own routes, and what asks for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from registry_core import snapshot_format
from registry_core.errors import InvalidArgumentError, StoreCorruptedError
from registry_core.gates import Gate, Verdict
from registry_core.gating import Review
from registry_core.models import Approval, Stage

Json = dict[str, Any]


@attrs.frozen(kw_only=True)
class GetModelApprovals:
    """The approvals of all versions of a registered model."""

    name: str


@attrs.frozen(kw_only=True)
class GetVersionApprovals:
    """The approvals of a model version, and what its model's gates say of it."""

    name: str
    version: str


@attrs.frozen(kw_only=True)
class ApproveModelVersion:
    """A model version to approve, if it has this digest; whatever it has by default."""

    name: str
    version: str
    digest: str | None = None


@attrs.frozen(kw_only=True)
class WithdrawModelVersionApproval:
    """The caller's own approval of a model version, to be withdrawn."""

    name: str
    version: str


def encode_approval(version: int, approval: Approval) -> Json:
    """Return an approval of a version as JSON."""
    return {
        "version": version,
        "actor": approval.actor,
        "is_authenticated": approval.is_authenticated,
        "groups": list(approval.groups),
        "digest": approval.digest,
        "reason": approval.reason,
        "time": approval.time,
    }


def decode_approval(fields: object) -> tuple[int, Approval]:
    """Return the approval in JSON, and the version that it is of.

    Raises:
        StoreCorruptedError: It is none.
    """
    if not isinstance(fields, Mapping):
        raise StoreCorruptedError("An approval is not an object.")
    known = dict(fields)
    try:
        version = known.pop("version")
        if type(version) is not int:
            raise TypeError(f"{version!r} is not a version")  # noqa: TRY301 as what is raised below
        return version, snapshot_format.decode_approval(known)
    except (KeyError, TypeError, InvalidArgumentError) as error:
        raise StoreCorruptedError(f"An approval cannot be read: {error}") from error


def encode_review(version: int, review: Review) -> Json:
    """Return what gates know and say of a version as JSON."""
    return {
        "digest": review.digest,
        "is_sealed": review.is_sealed,
        "approvals": [encode_approval(version, approval) for approval in review.approvals],
        "gates": [
            {
                "name": verdict.gate.name,
                "aliases": list(verdict.gate.aliases),
                "stages": [stage.value for stage in verdict.gate.stages],
                "missing": list(verdict.missing),
            }
            for verdict in review.verdicts
        ],
    }


def decode_review(answer: Json) -> Review:
    """Return what gates know and say of a version from JSON.

    Raises:
        StoreCorruptedError: The answer does not say it.
    """
    try:
        return Review(
            digest=str(answer["digest"]),
            is_sealed=bool(answer["is_sealed"]),
            approvals=tuple(decode_approval(each)[1] for each in answer["approvals"]),
            verdicts=tuple(map(_verdict, answer["gates"])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StoreCorruptedError(f"The answer does not say what gates say: {error!r}") from error


def _verdict(fields: Mapping[str, Any]) -> Verdict:
    gate = Gate(
        name=str(fields["name"]),
        aliases=tuple(map(str, fields["aliases"])),
        stages=tuple(map(Stage, fields["stages"])),
    )
    return Verdict(gate=gate, missing=tuple(map(str, fields["missing"])), inputs={})


def by_version(listed: Iterable[tuple[int, Approval]]) -> Mapping[int, tuple[Approval, ...]]:
    """Return approvals by the versions that they are of."""
    approvals: dict[int, tuple[Approval, ...]] = {}
    for version, approval in listed:
        approvals[version] = (*approvals.get(version, ()), approval)
    return approvals
