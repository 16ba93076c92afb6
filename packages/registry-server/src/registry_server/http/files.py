"""Our own operations about the files of versions: pushing and pulling through the server.

The bytes themselves pass through the artifact routes.
"""

from __future__ import annotations

from typing import Any

import attrs

from registry_core import InvalidArgumentError, ModelVersion, StoreCorruptedError
from registry_core.artifacts import Manifest, parse_manifest
from registry_core.artifacts.versions import Begun
from registry_core.wire import Json, payloads
from registry_core.wire import uploads as wire
from registry_core.wire.prefixes import OWN_API
from registry_server.http.operations import Operation, RequestContext, Work
from registry_server.http.response_shapes import MODEL_VERSION, ResponseShape

MANIFEST_BODY_BYTES = 32 * 1024 * 1024
"""The longest body of a request with a manifest, if the server's settings allow as much: some
180,000 files with paths of usual length. The server has it in memory, several times over, while it
answers."""

_VERSION: Json = {"$ref": "#/components/schemas/ModelVersion"}
_PATH: Json = {"type": "string", "description": "The files' folder below the artifact root."}


def _encode_begun(begun: Begun) -> Json:
    version = payloads.model_version(begun.version)
    return {**version, "path": begun.path, "missing": list(begun.missing)}


BEGUN: ResponseShape[Begun] = ResponseShape(
    "PushAnswer",
    _encode_begun,
    {
        "model_version": _VERSION,
        "path": _PATH,
        "missing": {
            "type": "array",
            "items": {"type": "string"},
            "description": "The files that the server does not have, by their paths in it.",
        },
    },
    required=("model_version", "path", "missing"),
)


@attrs.frozen
class _Files:
    version: ModelVersion
    path: str
    manifest: Manifest


def _encode_files(files: _Files) -> Json:
    manifest = files.manifest.to_json().decode()
    return {**payloads.model_version(files.version), "path": files.path, "manifest": manifest}


FILES: ResponseShape[_Files] = ResponseShape(
    "VersionFilesAnswer",
    _encode_files,
    {
        "model_version": _VERSION,
        "path": _PATH,
        "manifest": {"type": "string", "description": "The JSON of the files' manifest."},
    },
    required=("model_version", "path", "manifest"),
)


def _manifest(text: str) -> Manifest:
    try:
        return parse_manifest(text.encode())
    except (StoreCorruptedError, UnicodeEncodeError) as error:
        raise InvalidArgumentError(f"Invalid manifest: {error}") from None


def _begin(context: RequestContext, request: wire.BeginPush) -> Begun:
    return context.registry.begin_push(
        request.name,
        _manifest(request.manifest),
        run_id=request.run_id,
        run_link=request.run_link,
        description=request.description,
        tags=request.tags,
        model_id=request.model_id,
        create=request.create,
        if_changed=request.if_changed,
    )


def _finish(context: RequestContext, request: wire.FinishPush) -> ModelVersion:
    return context.registry.finish_push(
        request.name, request.version, failed_because=request.failed_because
    )


def _begin_adoption(context: RequestContext, request: wire.BeginAdoption) -> Begun:
    return context.registry.begin_adoption(
        request.name, request.version, _manifest(request.manifest)
    )


def _finish_adoption(context: RequestContext, request: wire.FinishAdoption) -> ModelVersion:
    return context.registry.finish_adoption(
        request.name,
        request.version,
        _manifest(request.manifest),
        files_were_at=request.files_were_at,
    )


def _files(context: RequestContext, request: wire.GetVersionFiles) -> _Files:
    registry = context.registry
    version = registry.get_model_version(request.name, request.version)
    return _Files(version, *registry.files.located_manifest(version))


PUSH_OPERATIONS: tuple[Operation[Any, Any], ...] = (
    Operation(
        id="beginPush",
        prefix=OWN_API,
        method="POST",
        path="/models/{name}/pushes",
        request=wire.BeginPush,
        call=_begin,
        answer=BEGUN,
        summary="Reserve a version for files that are to come, and learn which are missing.",
        max_body_bytes=MANIFEST_BODY_BYTES,
    ),
    Operation(
        id="finishPush",
        prefix=OWN_API,
        method="POST",
        path="/models/{name}/versions/{version}/finish",
        request=wire.FinishPush,
        call=_finish,
        answer=MODEL_VERSION,
        summary="Seal the files of a reserved version and make it READY, or give it up.",
    ),
    Operation(
        id="beginAdoption",
        prefix=OWN_API,
        method="POST",
        path="/models/{name}/versions/{version}/adoptions",
        request=wire.BeginAdoption,
        call=_begin_adoption,
        answer=BEGUN,
        summary="Learn which files are missing that a client brings for a version from elsewhere.",
        max_body_bytes=MANIFEST_BODY_BYTES,
    ),
    Operation(
        id="finishAdoption",
        prefix=OWN_API,
        method="POST",
        path="/models/{name}/versions/{version}/adopt",
        request=wire.FinishAdoption,
        call=_finish_adoption,
        answer=MODEL_VERSION,
        summary="Seal the files that a client brought, and make them those of the version.",
        max_body_bytes=MANIFEST_BODY_BYTES,
    ),
    Operation(
        id="getVersionFiles",
        prefix=OWN_API,
        method="GET",
        path="/models/{name}/versions/{version}/files",
        request=wire.GetVersionFiles,
        call=_files,
        answer=FILES,
        summary="Get the manifest of a version's files, and where they are.",
        work=Work.SEARCHING,
    ),
)
