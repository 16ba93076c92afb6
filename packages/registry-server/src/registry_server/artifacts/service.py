"""The ASGI application of the artifact routes.

Strategy: these routes move bytes, not JSON, so they are one application mounted beside the table of
operations. A path is taken from the undecoded request line and decoded exactly once; then
`artifact_path` refuses every spelling but one. Bytes pass in pieces between the event loop and
threads of these routes' own, which have one only while there is a piece to read or to write: so a
file of any size holds little, and slow clients keep no other request waiting, here or elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Any, TypeVar

from litestar.types import ASGIApp, Receive, Scope, Send

from registry_core import (
    ArtifactNotFoundError,
    ConflictError,
    InvalidArgumentError,
    Registry,
)
from registry_core.access import Permission
from registry_core.access.files import GuardedFiles
from registry_core.artifacts import (
    ArtifactStore,
    FileInfo,
    PresigningArtifactStore,
    Reading,
    artifact_path,
    file_path,
)
from registry_core.artifacts.versions.received import upload_name
from registry_core.wire import Json
from registry_core.wire.uploads import OFFSET_HEADER, UPLOADS_PATH
from registry_server.artifacts import description
from registry_server.artifacts.downloads import (
    Download,
    HeadOfFile,
    Span,
    not_satisfiable,
    wanted_span,
)
from registry_server.artifacts.requests import (
    MAX_PARTS,
    UPLOAD_BYTES,
    ArtifactRequest,
    etags_of,
    text_of,
)
from registry_server.artifacts.transfers import Places
from registry_server.artifacts.uploading import Uploading, end_of, upload_of
from registry_server.http import responses
from registry_server.http.middleware import OPERATION, RECEIVED
from registry_server.http.responses import RequestRefusedError, Response
from registry_server.process.lanes import ClientGoneError
from registry_server.process.settings import DIRECT_OFF, DIRECT_ONLY
from registry_server.process.threads import Threads

PREFIXES = ("/api/2.0/mlflow-artifacts", "/ajax-api/2.0/mlflow-artifacts")
"""Where the artifact proxy answers (contract 1.1)."""

MOUNTS = (*PREFIXES, UPLOADS_PATH)
"""All that this application answers below."""

ARTIFACTS = f"{PREFIXES[0]}/artifacts"
"""Where, below a server's URL, its artifact root begins."""

DOWNLOAD, UPLOAD, RECEIVE = "downloadArtifact", "uploadArtifact", "receiveUpload"

OPERATIONS: Mapping[tuple[str, tuple[str, ...], bool], str] = {
    ("GET", ("artifacts",), False): "listArtifacts",
    ("HEAD", ("artifacts",), False): "listArtifacts",
    ("GET", ("artifacts",), True): DOWNLOAD,
    ("HEAD", ("artifacts",), True): "statArtifact",
    ("PUT", ("artifacts",), True): UPLOAD,
    ("DELETE", ("artifacts",), True): "deleteArtifact",
    ("HEAD", ("uploads",), True): "statUpload",
    ("PUT", ("uploads",), True): RECEIVE,
    ("GET", ("presigned",), True): "presignArtifact",
    ("HEAD", ("presigned",), True): "presignArtifact",
    ("POST", ("mpu/create",), True): "createMultipartUpload",
    ("POST", ("mpu/complete",), True): "completeMultipartUpload",
    ("POST", ("mpu/abort",), True): "abortMultipartUpload",
}
"""What requests are counted as: by method, route, and whether a path follows it."""

TRANSFER_THREADS = 32
"""Pieces of files that one worker reads and writes at a time; further ones wait."""

CALL_THREADS = 16
"""Other calls to the artifact store that one worker makes at a time, so that a client that lists or
removes files does not wait for those that move them."""

UPLOADS_MAX_BYTES = 192 * 1024 * 1024
"""Memory that the uploads of one worker may hold between two pieces. A bucket takes parts of some
megabytes, so there are fewer places for uploads to one."""

PRESIGNED_SECONDS = 300
"""How long a presigned URL is good for (contract 2.23)."""

UPLOAD_SECONDS = 3600
"""How long the presigned URLs of the parts of an upload are good for: all are given at once."""

_OPEN_ATTEMPTS = 3
"""How often a range is worked out again because the file changed meanwhile."""

_RESERVED = ".registry"
_NO_UPLOAD = "Multipart upload is not supported for the current artifact repository"
_NO_DOWNLOAD = "Multipart download is not supported for the current artifact repository"
ResultT = TypeVar("ResultT")


class ArtifactService:
    """The ASGI application below `MOUNTS`."""

    def __init__(
        self, registry: Registry, *, transfers: int, direct_transfers: str = DIRECT_OFF
    ) -> None:
        self._registry = registry
        self._direct = direct_transfers
        self._movers = Threads(TRANSFER_THREADS, name="artifacts")
        self._callers = Threads(CALL_THREADS, name="artifact-calls")
        self._downloads = Places(transfers)
        self._uploads = Places(_upload_places(registry, transfers))
        self._uploading = Uploading(registry, self._movers, self._callers, self._uploads)

    def described(self) -> Json:
        """Return the routes as OpenAPI has them; none where there are no artifacts."""
        if self._registry.artifacts is None:
            return {}
        return description.paths(PREFIXES[0], most_parts=MAX_PARTS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        async with AsyncExitStack() as held:
            try:
                request = ArtifactRequest(scope, receive, held)
                answer = await self._counted(request, scope)
            except ClientGoneError:
                return
            except Exception as error:  # noqa: BLE001 the one place where errors become answers
                answer = responses.failure(error, scope)
            await answer(scope, receive, send)

    async def _counted(self, request: ArtifactRequest, scope: Scope) -> ASGIApp:
        name = OPERATIONS.get((request.method, request.segments[:1], len(request.segments) > 1))
        scope["state"][OPERATION] = name
        try:
            return await self._answer(request)
        finally:
            if name in (DOWNLOAD, UPLOAD, RECEIVE):
                scope["state"][RECEIVED] = request.received

    @property
    def downloads(self) -> int:
        """How many downloads have a place."""
        return self._downloads.taken

    @property
    def uploads(self) -> int:
        """How many uploads have a place."""
        return self._uploads.taken

    def close(self) -> None:
        """End the threads when what they move has arrived."""
        self._movers.close()
        self._callers.close()

    async def _answer(self, request: ArtifactRequest) -> ASGIApp:  # noqa: PLR0911 one for each route
        if self._registry.artifacts is None:
            raise RequestRefusedError(
                HTTPStatus.NOT_FOUND,
                "ENDPOINT_NOT_FOUND",
                "This server keeps no artifacts; start it with --artifacts",
            )
        files = await self._permitted(request)
        match request.method, *request.segments:
            case (("GET" | "HEAD"), "artifacts"):
                return await self._list(_folder_path(request.query("path")), files)
            case "GET", "artifacts", path:
                return await self._get(file_path(path), request)
            case "HEAD", "artifacts", path:
                return await self._head(file_path(path), request)
            case "PUT", "artifacts", path:
                self._check_proxied()
                return await self._uploading.put(path, request)
            case (("HEAD" | "PUT"), "uploads", upload):
                self._check_proxied()
                return await self._uploading.unplaced(upload_name(upload), request)
            case "DELETE", "artifacts", path:
                return await self._delete(_folder_path(path))
            case (("GET" | "HEAD"), "presigned", path):
                return await self._presigned(file_path(path))
            case "POST", "mpu/create" | "mpu/complete" | "mpu/abort" as action, path:
                return await self._multipart(action, path, await request.json())
        raise request.refused()

    async def _permitted(self, request: ArtifactRequest) -> GuardedFiles | None:
        """Who may see which files, once the caller may do what the request is for.

        Raises:
            ArtifactNotFoundError: The caller may not read the file.
            NotPermittedError: The caller may not change it.
        """
        if request.rights is None:
            return None
        files = self._registry.as_caller(request.rights).guarded_files
        assert files is not None, "there are artifacts"
        path = request.segments[1] if len(request.segments) > 1 else ""
        match request.method, request.segments[:1]:
            case (("GET" | "HEAD"), ("artifacts" | "presigned",)) if path:
                await self._call(lambda: files.check_read(file_path(path)))
            case "DELETE", ("artifacts",):
                await self._call(lambda: files.check_write(_folder_path(path), Permission.DELETE))
            case (("HEAD" | "PUT"), ("uploads",)):
                await self._call(lambda: files.check_write(upload_name(path)))
            case (("PUT" | "POST"), _) if path:
                await self._call(lambda: files.check_write(_folder_path(path)))
                if (upload := upload_of(request, path)) is not None:
                    await self._call(lambda: files.check_write(upload))
            case "POST", _:
                raise request.refused()
        return files

    # Files

    async def _list(self, path: str, guarded: GuardedFiles | None) -> Response:
        if path and guarded is not None and not await self._call(lambda: guarded.may_read(path)):
            return responses.success({})  # As where there is nothing.
        infos = await self._call(lambda: self._store.list(path))
        if not path and guarded is not None:
            infos = [info for info in infos if guarded.is_listed(info.path)]
        files = [_entry(info) for info in infos if info.path != _RESERVED]
        return responses.success({"files": files} if files else {})

    async def _get(self, path: str, request: ArtifactRequest) -> ASGIApp:
        self._check_proxied()
        if not self._downloads.has_room:
            download = await self._open(path, request)
            if not isinstance(download, Download):
                return download
            # A small file needs no place, and waits for none.
            if await download.take_small():
                return download
            del download
        await request.held.enter_async_context(self._downloads.place(request.connection))
        return await self._open(path, request)

    async def _open(self, path: str, request: ArtifactRequest) -> Download | Response:
        header = request.header("range")
        if header is None:
            reading = await self._file(path, self._store.read)
            return Download(self._move, reading, None)
        for _ in range(_OPEN_ATTEMPTS):
            info = await self._file(path, self._store.stat)
            span = wanted_span(header, request.header("if-range"), info)
            if span is not None and span.is_empty:
                return not_satisfiable(info)
            reading = await self._opened(path, span)
            if (reading.info.size, reading.info.etag) == (info.size, info.etag):
                return Download(self._move, reading, span)
            await self._call(reading.close)
        raise ConflictError(f"'{path}' keeps changing")

    async def _opened(self, path: str, span: Span | None) -> Reading:
        if span is None:
            return await self._file(path, self._store.read)
        start, stop = span.start, span.stop
        return await self._file(path, lambda path: self._store.read(path, start=start, stop=stop))

    async def _head(self, path: str, request: ArtifactRequest) -> ASGIApp:
        """What there is of a file: all of it, or what an interrupted upload has left."""
        try:
            return HeadOfFile(await self._file(path, self._store.stat))
        except ArtifactNotFoundError:
            sha256 = request.file_sha256
            if sha256 is None:
                raise
            kept = await self._call(lambda: self._registry.files.kept_bytes(path, sha256=sha256))
            if not kept:
                raise
            offset = (OFFSET_HEADER.lower().encode(), b"%d" % kept)
            return Response(HTTPStatus.NO_CONTENT, b"", (offset,))

    async def _delete(self, path: str) -> Response:
        file_path(path)
        await self._call(lambda: self._registry.files.delete(path))
        return responses.success({})

    # Uploads and downloads that go past the server

    async def _multipart(self, action: str, folder: str, fields: Mapping[str, Any]) -> Response:
        # The client sends its own local path: only the name counts, and only that is ours to know.
        name = re.split(r"[/\\]", text_of(fields, "path"))[-1]
        path = file_path(f"{artifact_path(folder)}/{name}" if folder else name)
        store = self._presigning(_NO_UPLOAD)
        if action == "mpu/create":
            return await self._call(lambda: self._create_multipart(store, path, fields))
        upload_id = text_of(fields, "upload_id")
        if action == "mpu/abort":
            await self._call(lambda: store.abort_multipart(path, upload_id))
            return responses.success({})
        etags, files = etags_of(fields), self._registry.files
        await self._call(lambda: files.complete_multipart(store, path, upload_id, etags=etags))
        return responses.success({})

    def _create_multipart(
        self, store: PresigningArtifactStore, path: str, fields: Mapping[str, Any]
    ) -> Response:
        parts = fields.get("num_parts")
        parts = 0 if parts is None else parts
        if not isinstance(parts, int) or isinstance(parts, bool) or not 0 <= parts <= MAX_PARTS:
            raise InvalidArgumentError(f"'num_parts' must be a number up to {MAX_PARTS}")
        self._registry.files.check_open(path)
        upload = store.create_multipart(path, parts=parts, expires_seconds=UPLOAD_SECONDS)
        credentials = [
            {"url": url, "part_number": number} for number, url in enumerate(upload.urls, 1)
        ]
        out: Json = {"upload_id": upload.upload_id}
        return responses.success({**out, "credentials": credentials} if credentials else out)

    async def _presigned(self, path: str) -> Response:
        store = self._presigning(_NO_DOWNLOAD)
        info = await self._file(path, store.stat)
        url = store.presigned_url(path, expires_seconds=PRESIGNED_SECONDS)
        return responses.success({"url": url, "headers": {}, "file_size": info.size})

    # Shared

    @property
    def _store(self) -> ArtifactStore:
        assert self._registry.artifacts is not None
        return self._registry.artifacts

    def _check_proxied(self) -> None:
        """Refuse to move bytes through the server, where they may only go past it.

        The field is what MLflow's client looks for: it then uploads and downloads by URLs.
        """
        if self._direct == DIRECT_ONLY:
            raise RequestRefusedError(
                HTTPStatus.FORBIDDEN,
                "PERMISSION_DENIED",
                "Artifacts do not pass through this server: it gives URLs of its bucket for them",
                details={"artifacts_presigned_only": True},
            )

    def _presigning(self, otherwise: str) -> PresigningArtifactStore:
        if self._direct != DIRECT_OFF and isinstance(self._store, PresigningArtifactStore):
            return self._store
        raise RequestRefusedError(HTTPStatus.NOT_IMPLEMENTED, "NOT_IMPLEMENTED", otherwise)

    async def _file(self, path: str, get: Callable[[str], ResultT]) -> ResultT:
        """What `get` gives of the file at a path; a folder is refused."""

        def found() -> ResultT:
            try:
                return get(path)
            except ArtifactNotFoundError:
                if next(self._store.walk(path), None) is None:
                    raise
                raise InvalidArgumentError(
                    f"Artifact path refers to a directory, not a file: '{path}'"
                ) from None

        return await self._call(found)

    async def _call(self, call: Callable[[], ResultT]) -> ResultT:
        return await end_of(self._callers.run(call))

    async def _move(self, call: Callable[[], ResultT]) -> ResultT:
        return await end_of(self._movers.run(call))


def _upload_places(registry: Registry, transfers: int) -> int:
    """How many uploads may be under way, with what their writers hold in memory."""
    if registry.artifacts is None:
        return transfers
    held = registry.artifacts.writer_bytes + UPLOAD_BYTES
    return max(1, min(transfers, UPLOADS_MAX_BYTES // held))


def _folder_path(text: str) -> str:
    """Accept the path of a folder, also with one slash at its end."""
    return artifact_path(text[:-1] if len(text) > 1 and text.endswith("/") else text)


def _entry(info: FileInfo) -> Json:
    name = info.path.rpartition("/")[2]
    if info.is_dir:
        return {"path": name, "is_dir": True}
    # MLflow leaves the size of an empty file out; its client takes both.
    return {"path": name, "is_dir": False, **({"file_size": info.size} if info.size else {})}
