"""Files that pass from a client to its server before their digests are known."""

from __future__ import annotations

from urllib.parse import quote

import attrs
import urllib3

from registry_core.artifacts import KeptUpload
from registry_core.artifacts.versions.early import ReceivedFile, Source
from registry_core.errors import (
    ConflictError,
    StoreUnavailableError,
    UnexpectedAnswerError,
    UnsupportedBackendError,
)
from registry_core.stores.rest.transfers import (
    RESUMPTIONS,
    body_headers,
    patiently,
    target,
)
from registry_core.stores.rest.transport import Transport
from registry_core.wire.digest_fields import digest_field, sha256_of_field, xxh3_of_field
from registry_core.wire.uploads import OFFSET_HEADER, UPLOAD_HEADER, UPLOADS_PATH


@attrs.frozen
class EarlyTransfers:
    """Sends files to the routes of uploads; each error but that the server is away is a refusal."""

    _http: Transport

    def send(self, upload: str, source: Source, *, begins: bool) -> ReceivedFile | None:
        """See `ServesFiles.send_upload`."""
        where, resumptions = f"{UPLOADS_PATH}/{quote(upload)}", RESUMPTIONS

        def send() -> ReceivedFile | None:
            nonlocal resumptions
            kept = self._kept(where)
            if kept.sha256 is not None and kept.size == source.size:
                return ReceivedFile(kept.sha256)
            start = kept.size if kept.sha256 is None and kept.size <= source.size else 0
            if not start and not begins:
                return None
            source.skip(start)
            headers = {**body_headers(source.size - start), OFFSET_HEADER: str(start)}
            try:
                response = self._http.stream("PUT", where, headers, body=source.pieces(start))
            except ConflictError as error:
                # As of a file with a digest: a push that has died is soon written.
                resumptions -= 1
                if resumptions < 0:
                    raise
                raise StoreUnavailableError(str(error)) from error
            return _done(response)

        return patiently(send)

    def publish(self, upload_id: str, path: str, *, sha256: str) -> None:
        """See `ServesFiles.publish_upload`."""
        headers = {
            **body_headers(0),
            "Repr-Digest": digest_field(sha256),
            UPLOAD_HEADER: upload_id,
        }
        _done(patiently(lambda: self._http.stream("PUT", target(path), headers, body=())))

    def _kept(self, where: str) -> KeptUpload:
        try:
            response = self._http.stream("HEAD", where, {})
        except UnexpectedAnswerError as error:
            # An answer to this method has no body that says why.
            raise UnsupportedBackendError(str(error)) from error
        offset = response.headers.get(OFFSET_HEADER, "")
        received = _done(response)
        if not offset.isdecimal():
            raise UnsupportedBackendError("the server does not say what there is of an upload")
        return KeptUpload(size=int(offset), sha256=None if received is None else received.sha256)


def _done(response: urllib3.BaseHTTPResponse) -> ReceivedFile | None:
    """The digests in an answer; its connection is good for the next request."""
    response.drain_conn()
    response.release_conn()
    field = response.headers.get("repr-digest", "")
    try:
        sha256, xxh3 = sha256_of_field(field), xxh3_of_field(field)
    except ValueError:
        return None
    return None if sha256 is None else ReceivedFile(sha256, xxh3)
