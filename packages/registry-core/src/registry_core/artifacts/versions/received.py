"""Files that a server takes before it is known which version they are for.

A client that sends a file while it hashes it does not know yet which files its version has, and so
not the folder. Such an upload has a name of the client's choice below the folder of its model. It
is nobody's file until it is published: by then the server has hashed it, and the push awaits it.

Strategy: publishing is a write of these bytes, with the same order of checks as in `unsealed`; only
the bytes have come before.
"""

from __future__ import annotations

import re

from registry_core.artifacts import (
    FileInfo,
    FileWriter,
    KeptUpload,
    ReceivingArtifactStore,
    file_path,
)
from registry_core.artifacts.versions.context import Context
from registry_core.artifacts.versions.unsealed import awaited_size, changing
from registry_core.errors import (
    ArtifactNotFoundError,
    InvalidArgumentError,
    UnsupportedBackendError,
)

_UPLOAD_ID = re.compile(r"[0-9a-f]{64}")


def upload_name(text: str) -> str:
    """Accept the name of an upload: the folder of a model, and an id of 64 hex digits.

    Raises:
        InvalidArgumentError: it is none.
    """
    folder, _, upload_id = file_path(text).partition("/")
    if not folder or _UPLOAD_ID.fullmatch(upload_id) is None:
        raise InvalidArgumentError(
            "An upload is named by the folder of a model and 64 hexadecimal digits"
        )
    return text


def upload_for(path: str, upload_id: str) -> str:
    """Return the name of the upload that may be published at a path: one for the same model."""
    return upload_name(f"{path.partition('/')[0]}/{upload_id}")


def kept(context: Context, upload: str) -> KeptUpload:
    """See `ModelArtifacts.kept_upload`."""
    return _receiving(context).kept_upload(upload)


def writer(context: Context, upload: str, *, start: int) -> FileWriter:
    """See `ModelArtifacts.upload_writer`."""
    return _receiving(context).upload_writer(upload, start=start)


def publish(context: Context, upload: str, path: str, *, sha256: str) -> FileInfo:
    """See `ModelArtifacts.publish_upload`."""
    store = _receiving(context)
    size = awaited_size(context, path, sha256)
    if size is None:
        with changing(context, path):
            return store.publish_upload(upload, path, sha256=sha256)
    there = _file_of(store, path, size)
    if there is None:
        return store.publish_upload(upload, path, sha256=sha256)
    # Nothing but these bytes comes there: the same request came before, or another push.
    store.drop_upload(upload, sha256=sha256)
    return there


def _file_of(store: ReceivingArtifactStore, path: str, size: int) -> FileInfo | None:
    try:
        info = store.stat(path)
    except ArtifactNotFoundError:
        return None
    return info if info.size == size else None


def _receiving(context: Context) -> ReceivingArtifactStore:
    if isinstance(context.artifacts, ReceivingArtifactStore):
        return context.artifacts
    raise UnsupportedBackendError("This artifact root takes no upload before its digest is known")
