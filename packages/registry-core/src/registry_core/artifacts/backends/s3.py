"""Artifacts in an S3 bucket.

boto3, not s3fs: conditional writes and presigned URLs are at hand, and a stream of any length is
sent in parallel parts with a memory that is known (s3fs held gigabytes for one).
"""

from __future__ import annotations

import builtins
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import attrs

from registry_core.artifacts.backends.s3_download import Download
from registry_core.artifacts.backends.s3_failures import RangeError, file_errors
from registry_core.artifacts.backends.s3_kept import digest_of, kept_parts
from registry_core.artifacts.backends.s3_parts import (
    PART_SIZE,
    KeptParts,
    Part,
    Parts,
    PartStream,
    etag_of_parts,
    part_senders,
)
from registry_core.artifacts.store import (
    FileInfo,
    FileWriter,
    MultipartUpload,
    Reading,
    Steps,
    write_all,
)
from registry_core.errors import (
    ArtifactNotFoundError,
    ConflictError,
    InvalidArgumentError,
    RegistryError,
    StoreUnavailableError,
)
from registry_core.s3_location import ARTIFACTS, Location, connect, parse

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

_DELETE_BATCH = 1_000
"""Keys in one request to delete; S3's limit."""

_SHA256 = "sha256"
"""The key of an object's metadata under which its digest is recorded."""


class S3ArtifactStore:
    """A `PresigningArtifactStore` below a prefix of a bucket."""

    def __init__(self, location: Location) -> None:
        self._client: S3Client = connect(location, ARTIFACTS)
        self._bucket = location.bucket
        self._prefix = f"{location.prefix}/" if location.prefix else ""
        self._senders = part_senders()
        self._encryption = _encryption(location.sse_kms_key_id)
        self._signer = self._client
        """What signs URLs, for the endpoint by which clients reach the bucket. It sends nothing."""
        if location.public_endpoint_url is not None:
            outer = attrs.evolve(location, endpoint_url=location.public_endpoint_url)
            self._signer = connect(outer, ARTIFACTS)

    @property
    def root(self) -> str:
        """`s3://bucket/prefix`, without options: what clients of S3 understand."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def list(self, path: str) -> builtins.list[FileInfo]:
        """Return what is directly in a folder, in order of path."""
        infos: builtins.list[FileInfo] = []
        for page in self._pages(path, delimiter="/"):
            infos += [
                FileInfo(path=self._path(folder["Prefix"]).rstrip("/"), is_dir=True)
                for folder in page.get("CommonPrefixes", ())
            ]
            infos += self._files(page)
        return sorted(infos, key=lambda info: info.path)

    def walk(self, path: str) -> Iterator[FileInfo]:
        """Yield every file below a folder, or the file itself."""
        if path:
            with suppress(ArtifactNotFoundError):
                yield self.stat(path)
                return
        for page in self._pages(path):
            yield from self._files(page)

    def stat(self, path: str) -> FileInfo:
        """Return the file at a path, with the digest that was recorded when it was written."""
        with file_errors(path):
            head = self._client.head_object(Bucket=self._bucket, Key=self._key(path))
        return _info(path, head, head["ContentLength"])

    def read(self, path: str, *, start: int = 0, stop: int | None = None) -> Reading:
        """Open the file; reading goes on by itself after a broken connection."""
        try:
            if stop is not None and stop <= start:
                raise RangeError  # noqa: TRY301 what S3 says of it, without asking
            reply = self._get(path, start, stop)
        except RangeError:
            return Reading(self.stat(path), iter(()), close=lambda: None)
        size = int(reply.get("ContentRange", f"/{reply['ContentLength']}").rpartition("/")[2])
        download = Download(partial(self._get, path), path, reply, start)
        return Reading(_info(path, reply, size), download.pieces(), close=download.close)

    def write(
        self,
        path: str,
        chunks: Iterable[bytes],
        *,
        overwrite: bool = True,
        sha256: str | None = None,
    ) -> FileInfo:
        """Write a file of the chunks: one request if it is small, else in parallel parts."""
        return write_all(self.writer(path, overwrite=overwrite, sha256=sha256), chunks)

    def writer(self, path: str, *, overwrite: bool = True, sha256: str | None = None) -> FileWriter:
        """As `write`, for bytes that come piece by piece."""
        metadata = {_SHA256: sha256} if sha256 else {}
        return FileWriter(self._writing(path, metadata, overwrite=overwrite))

    writer_bytes = PART_SIZE
    """A part that is gathered."""

    def _writing(self, path: str, metadata: Mapping[str, str], *, overwrite: bool) -> Steps:
        parts = Parts()
        while (chunk := (yield)) is not None:
            if parts.add(chunk):
                if not overwrite:
                    raise InvalidArgumentError(
                        f"'{path}' is too large to be written only if absent"
                    )
                return (yield from self._writing_parts(path, metadata, parts))
        body = parts.take()
        condition: dict[str, Any] = {} if overwrite else {"IfNoneMatch": "*"}
        with file_errors(path):
            self._client.put_object(
                Bucket=self._bucket,
                Key=self._key(path),
                Body=body,  # type: ignore[arg-type]  # the stubs forget bytearray
                Metadata=metadata,
                **condition,
                **self._encryption,
            )
        return FileInfo(path=path, size=len(body))

    def kept_bytes(self, path: str, *, sha256: str) -> int:  # noqa: ARG002 a key is of one content
        """Return how many bytes the parts of an interrupted write have. Two requests."""
        kept = self._kept(path)
        return 0 if kept is None else kept.size

    def resuming_writer(
        self, path: str, *, sha256: str, start: int, announce: Callable[[str], object]
    ) -> FileWriter:
        """As `writer`, from `start` on, in parts; those that were sent stay until it is aborted."""
        return FileWriter(self._resuming(path, sha256, start, announce))

    def _resuming(
        self, path: str, sha256: str, start: int, announce: Callable[[str], object]
    ) -> Steps:
        # What begins anew leaves other uploads alone: they may be under way.
        kept = self._kept(path) if start else None
        if start != (0 if kept is None else kept.size):
            raise ConflictError(f"of '{path}' not {start} bytes are kept")
        if kept is None:
            kept = KeptParts(self._start_upload(path, {_SHA256: sha256}), (), 0)
        parts = Parts(len(kept.etags))
        try:
            written = yield from self._sending(path, parts, kept, announce if start else None)
            is_right = not start or digest_of(self.read(path)) == sha256
        except ArtifactNotFoundError as error:
            raise ConflictError(f"the upload of '{path}' was ended by somebody else") from error
        if not is_right:
            # Nobody may remove it: the right file may be in its place by then.
            raise InvalidArgumentError(f"'{path}': what was continued has not sha256 {sha256}")
        return written

    def _kept(self, path: str) -> KeptParts | None:
        with file_errors(path):
            return kept_parts(self._client, self._bucket, self._key(path))

    def delete(self, path: str) -> None:
        """Remove a file, or everything below a folder."""
        keys = [self._key(path)] if path else []
        for page in self._pages(path):
            keys += [entry["Key"] for entry in page.get("Contents", ())]
        self._delete(keys)

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files, a thousand with one request."""
        self._delete(self._key(path) for path in paths)

    def drop_partial(self, *, before: int, dry_run: bool = False) -> int:
        """Abort multipart uploads that nobody completed."""
        dropped = 0
        paginator = self._client.get_paginator("list_multipart_uploads")
        with file_errors(""):
            for page in paginator.paginate(Bucket=self._bucket, Prefix=self._prefix):
                for upload in page.get("Uploads", ()):
                    if upload["Initiated"].timestamp() * 1000 < before:
                        dropped += 1
                        if not dry_run:
                            self.abort_multipart(self._path(upload["Key"]), upload["UploadId"])
        return dropped

    def close(self) -> None:
        """Close connections and threads."""
        self._senders.close()
        self._client.close()
        self._signer.close()

    # Past this process

    def presigned_url(self, path: str, *, expires_seconds: int) -> str:
        """Return a URL that gives this one file, byte for byte: said to be encoded in no way.

        A server or a proxy that compresses would give other lengths and ranges than were asked for.
        """
        return self._signer.generate_presigned_url(
            "get_object",
            Params={
                "Bucket": self._bucket,
                "Key": self._key(path),
                "ResponseContentEncoding": "identity",
            },
            ExpiresIn=expires_seconds,
        )

    def create_multipart(self, path: str, *, parts: int, expires_seconds: int) -> MultipartUpload:
        """Begin a multipart upload, with one URL per part."""
        upload_id = self._start_upload(path, {})
        target = {"Bucket": self._bucket, "Key": self._key(path), "UploadId": upload_id}
        urls = [
            self._signer.generate_presigned_url(
                "upload_part", Params={**target, "PartNumber": number}, ExpiresIn=expires_seconds
            )
            for number in range(1, parts + 1)
        ]
        return MultipartUpload(upload_id=upload_id, urls=urls)

    def complete_multipart(self, path: str, upload_id: str, *, etags: Mapping[int, str]) -> None:
        """Make the file from its parts."""
        parts: builtins.list[CompletedPartTypeDef] = [
            {"PartNumber": number, "ETag": etag} for number, etag in sorted(etags.items())
        ]
        try:
            with file_errors(path):
                self._client.complete_multipart_upload(
                    Bucket=self._bucket,
                    Key=self._key(path),
                    UploadId=upload_id,
                    MultipartUpload={"Parts": parts},
                )
        except ArtifactNotFoundError:
            # The reply to a first attempt may have been lost: then the file is there.
            if not self._is_made_of(path, etags):
                raise

    def abort_multipart(self, path: str, upload_id: str) -> None:
        """Drop the parts."""
        with suppress(ArtifactNotFoundError), file_errors(path):
            self._client.abort_multipart_upload(
                Bucket=self._bucket, Key=self._key(path), UploadId=upload_id
            )

    def cancel_write(self, path: str, write_id: str) -> None:
        """Have an upload make no file from now on. A write is known by the id of its upload."""
        self.abort_multipart(path, write_id)

    # Requests

    def _writing_parts(self, path: str, metadata: Mapping[str, str], parts: Parts) -> Steps:
        upload = KeptParts(self._start_upload(path, metadata), (), 0)
        try:
            return (yield from self._sending(path, parts, upload))
        except BaseException:
            with suppress(RegistryError):  # else `drop_partial` finds it
                self.abort_multipart(path, upload.upload_id)
            raise

    def _sending(
        self,
        path: str,
        parts: Parts,
        kept: KeptParts,
        announce: Callable[[str], object] | None = None,
    ) -> Steps:
        """Send the parts after those that are kept, and make the file of all of them.

        Closed before that, it drops the parts; after another error they stay.
        """

        def send(number: int, body: Part) -> str:
            with file_errors(path):
                return self._client.upload_part(
                    Bucket=self._bucket,
                    Key=self._key(path),
                    UploadId=kept.upload_id,
                    PartNumber=number,
                    Body=body,  # type: ignore[arg-type]  # the stubs forget bytearray
                )["ETag"]

        stream = PartStream(self._senders, send, kept)
        try:
            if not parts.is_empty:
                stream.send(parts.take())
            while (chunk := (yield)) is not None:
                if parts.add(chunk):
                    stream.send(parts.take())
            if not parts.is_empty:
                stream.send(parts.take())
            etags = stream.finish()
            if announce is not None:
                announce(kept.upload_id)
            self.complete_multipart(path, kept.upload_id, etags=etags)
        except GeneratorExit:
            stream.cancel()
            with suppress(RegistryError):  # else `drop_partial` finds it
                self.abort_multipart(path, kept.upload_id)
            raise
        except BaseException:
            stream.settle()
            raise
        return FileInfo(path=path, size=stream.size)

    def _start_upload(self, path: str, metadata: Mapping[str, str]) -> str:
        with file_errors(path):
            return self._client.create_multipart_upload(
                Bucket=self._bucket, Key=self._key(path), Metadata=metadata, **self._encryption
            )["UploadId"]

    def _is_made_of(self, path: str, etags: Mapping[int, str]) -> bool:
        with suppress(ArtifactNotFoundError):
            return self.stat(path).etag == etag_of_parts(etags)
        return False

    def _get(self, path: str, start: int, stop: int | None, etag: str | None = None) -> Any:
        options: dict[str, Any] = {} if etag is None else {"IfMatch": etag}
        if start or stop is not None:
            options["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        with file_errors(path):
            reply = self._client.get_object(Bucket=self._bucket, Key=self._key(path), **options)
        if "Range" in options and not _is_range(reply, start, stop):
            reply["Body"].close()
            raise StoreUnavailableError(f"The bucket gave other bytes of '{path}' than asked for")
        return reply

    def _pages(self, path: str, *, delimiter: str = "") -> Iterator[Any]:
        paginator = self._client.get_paginator("list_objects_v2")
        prefix = self._prefix + (f"{path}/" if path else "")
        pages = iter(paginator.paginate(Bucket=self._bucket, Prefix=prefix, Delimiter=delimiter))
        while True:
            with file_errors(path):
                page = next(pages, None)
            if page is None:
                return
            yield page

    def _files(self, page: Mapping[str, Any]) -> Iterator[FileInfo]:
        for entry in page.get("Contents", ()):
            if not entry["Key"].endswith("/"):
                yield _info(self._path(entry["Key"]), entry, entry["Size"])

    def _delete(self, keys: Iterable[str]) -> None:
        remaining = iter(keys)
        while batch := builtins.list(islice(remaining, _DELETE_BATCH)):
            with file_errors(self._path(batch[0])):
                if len(batch) == 1:
                    self._client.delete_object(Bucket=self._bucket, Key=batch[0])
                    continue
                reply = self._client.delete_objects(
                    Bucket=self._bucket,
                    Delete={"Objects": [{"Key": key} for key in batch], "Quiet": True},
                )
            if errors := reply.get("Errors"):
                raise StoreUnavailableError(
                    f"'{errors[0].get('Key')}' was not deleted: {errors[0].get('Message')}"
                )

    def _key(self, path: str) -> str:
        return self._prefix + path

    def _path(self, key: str) -> str:
        return key.removeprefix(self._prefix)


def open_artifact_store(url: str) -> S3ArtifactStore:
    """Open the artifacts below `s3://bucket/prefix`, with the options of an s3: store.

    With `public_endpoint_url` presigned URLs lead there. With `sse_kms_key_id` the bucket is asked
    to encrypt each file with that key; parts of an upload inherit it.
    """
    return S3ArtifactStore(parse(url, environ=os.environ, of_artifacts=True))


def _encryption(key: str | None) -> dict[str, Any]:
    return {} if key is None else {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}


def _is_range(reply: Mapping[str, Any], start: int, stop: int | None) -> bool:
    """Whether a reply holds the bytes from `start`, and none from `stop` on."""
    if not reply.get("ContentRange", "").startswith(f"bytes {start}-"):
        return False
    return stop is None or start + int(reply["ContentLength"]) <= stop


def _info(path: str, entry: Mapping[str, Any], size: int) -> FileInfo:
    return FileInfo(
        path=path,
        size=size,
        modified=int(entry["LastModified"].timestamp() * 1000),
        sha256=entry.get("Metadata", {}).get(_SHA256),
        etag=entry["ETag"].strip('"'),
    )
