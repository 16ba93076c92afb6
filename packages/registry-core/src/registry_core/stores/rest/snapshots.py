"""Whole registered models, from a server of ours and to it, piece by piece."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry_core import snapshot_format, wire
from registry_core.changes import Change, RestoreLargeModel, RestoreModel
from registry_core.errors import InvalidArgumentError, StoreCorruptedError
from registry_core.models import Approval, ModelFields, ModelVersion, RegisteredModel
from registry_core.snapshot_pieces import is_large, spooled
from registry_core.stores.rest.answers import model_of
from registry_core.stores.rest.reviews import RestReviews
from registry_core.stores.rest.transfers import Transfers
from registry_core.wire.prefixes import own_path
from registry_core.wire.snapshots import SNAPSHOTS_PATH, VERSIONS_MAX_RESULTS

REQUEST_CHARACTERS = 2 * 1024 * 1024
"""Characters of a snapshot that is sent in one request: quoted, and in UTF-8, they are fewer bytes
than a server takes, which is 8 MiB."""

_Piece = tuple[ModelFields, list[ModelVersion], Mapping[int, tuple[Approval, ...]]]


class RestSnapshots(RestReviews):
    """The part of a store on a server that moves whole models."""

    restores_in_pieces = True
    """See `changes.restores`."""

    def snapshot_piece(self, name: str, after: int, most: int) -> _Piece:
        """See `snapshot_reading.GivesPieces`. Of our server, with all that a store keeps."""
        asked = {"after_version": after, "max_results": min(most, VERSIONS_MAX_RESULTS)}
        return self._http.read(own_path(name, "snapshot"), asked, _piece, name=name)

    def _restore_large(self, change: RestoreLargeModel) -> RegisteredModel:
        snapshot = change.snapshot.with_id(change.model_id)
        target = f"{SNAPSHOTS_PATH}?replaces={'true' if change.replaces else 'false'}"
        answer = Transfers(self._http).post_lines(target, snapshot.lines, size=snapshot.size)
        return model_of(answer)


def in_pieces(change: Change[Any]) -> RestoreLargeModel | None:
    """Return what sends the model of a change piece by piece, if it is too large for a request."""
    if isinstance(change, RestoreLargeModel):
        return change
    if type(change) is not RestoreModel or change.also or change.requires:
        return None
    snapshot = change.snapshot
    if not is_large(snapshot) and len(snapshot_format.dumps(snapshot)) <= REQUEST_CHARACTERS:
        return None
    return RestoreLargeModel(
        snapshot=spooled(snapshot),
        replaces=change.replaces,
        expected=change.expected,
        model_id=change.model_id,
    )


def _piece(answer: wire.Json) -> _Piece:
    try:
        return snapshot_format.decode_parts(answer.get("model"), answer.get("versions"))
    except InvalidArgumentError as error:
        raise StoreCorruptedError(str(error)) from error
