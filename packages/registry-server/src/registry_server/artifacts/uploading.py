"""Uploads: files that are put to their place, or received before that is known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from typing import TypeVar

from registry_core import InvalidArgumentError, Registry
from registry_core.artifacts import (
    RESUMABLE_BYTES,
    FileInfo,
    FileWriter,
    file_path,
)
from registry_core.artifacts.versions.received import upload_for
from registry_core.wire.digest_fields import digest_field
from registry_core.wire.uploads import OFFSET_HEADER, UPLOAD_HEADER
from registry_server.artifacts.requests import ArtifactRequest, Body
from registry_server.artifacts.transfers import Places
from registry_server.http.responses import Response
from registry_server.process.lanes import ClientGoneError
from registry_server.process.long_bodies import LongBody
from registry_server.process.threads import Threads

_SHORT_BYTES = 64 * 1024
"""A file that is not longer is written when it has come, and takes no place meanwhile."""

_EARLY_CHECK_BYTES = 8 * 1024 * 1024
"""Bytes from which on a body is refused before it has come."""

PIECES_AT_A_TURN = 32
"""Pieces of a long body that a thread writes before other uploads have their turn: 16 MiB."""

ResultT = TypeVar("ResultT")


class Uploading:
    """Takes files from clients, as many at a time as there are places."""

    def __init__(
        self, registry: Registry, movers: Threads, callers: Threads, places: Places
    ) -> None:
        self._registry = registry
        self._movers = movers
        self._callers = callers
        self._places = places

    async def put(self, path: str, request: ArtifactRequest) -> Response:
        """Write a file that comes, or the rest of one, or publish one that has come before."""
        if path.endswith("/"):
            raise InvalidArgumentError(
                "Artifact path must include a filename (cannot end with '/')."
            )
        file_path(path)
        if (upload := upload_of(request, path)) is not None:
            return await self._publish(upload, path, request)
        files, body, start = self._registry.files, request.body, request.offset
        if start and request.file_sha256 is None:
            raise InvalidArgumentError(f"{OFFSET_HEADER} needs Repr-Digest beside it")
        length = request.content_length
        sha256 = request.file_sha256 if start else request.content_sha256
        if length is None or length > _EARLY_CHECK_BYTES:
            await self._call(lambda: self._check_open(path, sha256))
        first = await body.read(_SHORT_BYTES)
        if body.is_complete and not start:
            await self._move(lambda: files.write(path, [first], sha256=sha256))
            return Response(HTTPStatus.OK, b"", ())
        is_kept = start > 0 or (length or 0) >= RESUMABLE_BYTES
        async with self._places.place(request.connection):
            writer = await self._move(
                lambda: files.writer(path, sha256=sha256, start=start if is_kept else None)
            )
            await self._write(writer, first, body)
        return Response(HTTPStatus.OK, b"", ())

    async def unplaced(self, upload: str, request: ArtifactRequest) -> Response:
        """Take a file whose place is not known yet, or say what there is of one."""
        if request.method == "HEAD":
            return await self._kept(upload)
        return await self._receive(upload, request)

    async def _kept(self, upload: str) -> Response:
        kept = await self._call(lambda: self._registry.files.kept_upload(upload))
        headers = [(OFFSET_HEADER.lower().encode(), b"%d" % kept.size)]
        if kept.sha256 is not None:
            headers.append((b"repr-digest", digest_field(kept.sha256).encode()))
        return Response(HTTPStatus.NO_CONTENT, b"", tuple(headers))

    async def _receive(self, upload: str, request: ArtifactRequest) -> Response:
        files, start = self._registry.files, request.offset
        # Refused before a large body has come.
        await self._call(lambda: files.kept_upload(upload))
        first = await request.body.read(_SHORT_BYTES)
        async with self._places.place(request.connection):
            writer = await self._move(lambda: files.upload_writer(upload, start=start))
            with _rest_of(request) as rest:
                info = await self._write(writer, first, rest)
        assert info.sha256 is not None, "an upload has a digest when it is complete"
        digests = digest_field(info.sha256, xxh3=info.xxh3)
        return Response(HTTPStatus.OK, b"", ((b"repr-digest", digests.encode()),))

    async def _publish(self, upload: str, path: str, request: ArtifactRequest) -> Response:
        sha256 = request.file_sha256
        if sha256 is None or request.content_length != 0:
            raise InvalidArgumentError(f"{UPLOAD_HEADER} needs Repr-Digest, and no body")
        files = self._registry.files
        await self._move(lambda: files.publish_upload(upload, path, sha256=sha256))
        return Response(HTTPStatus.OK, b"", ())

    def _check_open(self, path: str, sha256: str | None) -> None:
        files = self._registry.files
        if sha256 is None or not files.awaits(path, sha256):
            files.check_open(path)

    async def _write(self, writer: FileWriter, first: bytes, body: Body | LongBody) -> FileInfo:
        try:
            if isinstance(body, LongBody):
                await self._write_long(writer, first, body)
            else:
                await self._write_short(writer, first, body)
            return await self._move(writer.commit)
        except (ClientGoneError, asyncio.CancelledError):
            await self._move(writer.suspend)
            raise
        except BaseException:
            await self._move(writer.abort)
            raise

    async def _write_short(self, writer: FileWriter, piece: bytes, body: Body) -> None:
        while piece:
            # The next piece is gathered while a thread writes this one.
            written = self._movers.run(partial(writer.write, piece))
            try:
                piece = await body.read()
            finally:
                await end_of(written)

    async def _write_long(self, writer: FileWriter, first: bytes, body: LongBody) -> None:
        def write() -> None:
            # One after the other: between two jobs of a thread each piece would wait for the event
            # loop, which receives meanwhile.
            for piece in body.taken(PIECES_AT_A_TURN):
                writer.write(piece)

        await self._move(partial(writer.write, first))
        while await body.comes():
            await self._move(write)

    async def _call(self, call: Callable[[], ResultT]) -> ResultT:
        return await end_of(self._callers.run(call))

    async def _move(self, call: Callable[[], ResultT]) -> ResultT:
        return await end_of(self._movers.run(call))


def upload_of(request: ArtifactRequest, path: str) -> str | None:
    """Return the upload that a request puts to a path; None for one whose body is the file.

    Raises:
        InvalidArgumentError: its id is none.
    """
    upload_id = request.header(UPLOAD_HEADER.lower())
    return None if upload_id is None else upload_for(path, upload_id)


@contextmanager
def _rest_of(request: ArtifactRequest) -> Iterator[Body | LongBody]:
    """What reads the rest of a body whose writer keeps none of its pieces."""
    body = request.long_body()
    if body is None:
        yield request.body
        return
    try:
        yield body
    finally:
        body.discard()


async def end_of(job: asyncio.Future[ResultT]) -> ResultT:
    """Return what a thread makes of its job; a call that is cancelled waits for it, too."""
    try:
        return await asyncio.shield(job)
    except asyncio.CancelledError:
        await asyncio.wait([job])
        raise
