"""Pushes through a server on the wire of our own routes: what asks for them.

A manifest is sent as the text that it is kept as, since its digest is over that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from registry_core.wire.prefixes import OWN_API

OFFSET_HEADER: Final = "Upload-Offset"
"""How many bytes of a file an upload begins after; in an answer, how many are kept. As in the
IETF's draft on resumable uploads."""

UPLOADS_PATH: Final = f"{OWN_API}/uploads"
"""Where files are put whose digest, and so whose place, is not known yet."""

UPLOAD_HEADER: Final = "Registry-Upload"
"""The id of such an upload, in a request without a body that puts it in its place."""


@attrs.frozen(kw_only=True)
class BeginPush:
    """A version to reserve for files that are to come; `manifest` is their manifest's JSON."""

    name: str
    manifest: str
    run_id: str | None = None
    run_link: str | None = None
    description: str | None = None
    tags: Mapping[str, str] = attrs.field(factory=dict)
    model_id: str | None = None
    create: bool = False
    if_changed: bool = False


@attrs.frozen(kw_only=True)
class FinishPush:
    """A version whose files have come; or, with `failed_because`, will not."""

    name: str
    version: str
    failed_because: str | None = None


@attrs.frozen(kw_only=True)
class GetVersionFiles:
    """A version whose files are wanted."""

    name: str
    version: str


@attrs.frozen(kw_only=True)
class BeginAdoption:
    """A version whose files are to come from elsewhere; `manifest` as of `BeginPush`."""

    name: str
    version: str
    manifest: str


@attrs.frozen(kw_only=True)
class FinishAdoption:
    """A version whose files have come from elsewhere; `manifest` as of `BeginPush`."""

    name: str
    version: str
    manifest: str
    files_were_at: str
