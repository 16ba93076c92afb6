"""The artifact routes as OpenAPI has them (contract 2.23)."""

from __future__ import annotations

from registry_core.wire import Json
from registry_core.wire.uploads import OFFSET_HEADER, UPLOAD_HEADER, UPLOADS_PATH
from registry_server.http.openapi import content

_TEXT: Json = {"type": "string", "minLength": 1}
_OPTIONAL_TEXT: Json = {"type": "string"}

_FILES: Json = {
    "type": "object",
    "properties": {
        "files": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "path": {"type": "string", "description": "The last part of the path."},
                    "is_dir": {"type": "boolean"},
                    "file_size": {"type": "integer", "format": "int64"},
                },
                "required": ["path", "is_dir"],
            },
        }
    },
}
_UPLOAD: Json = {
    "type": "object",
    "properties": {
        "upload_id": _TEXT,
        "credentials": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"url": _TEXT, "part_number": {"type": "integer", "minimum": 1}},
                "required": ["url", "part_number"],
            },
        },
    },
    "required": ["upload_id"],
}
_DOWNLOAD: Json = {
    "type": "object",
    "properties": {
        "url": _TEXT,
        "headers": {"type": "object"},
        "file_size": {"type": "integer", "format": "int64"},
    },
    "required": ["url", "headers", "file_size"],
}

SCHEMAS: Json = {"ArtifactFiles": _FILES, "ArtifactUpload": _UPLOAD, "ArtifactDownload": _DOWNLOAD}
"""What the answers are made of."""

_BYTES: Json = {"*/*": {"schema": {}}}
_REFUSALS: Json = {
    "4XX": content("The request was refused; nothing was changed.", "Error"),
    "5XX": content("The server could not answer.", "Error"),
}
_UNSIGNED: Json = {
    "501": content("Direct transfers are off, or the artifact root gives no URLs.", "Error")
}
_PATH: Json = {
    "name": "path",
    "in": "path",
    "required": True,
    "schema": _TEXT,
    "description": "Relative to the artifact root. Slashes may stand as they are.",
}
_UPLOAD_PATH: list[Json] = [
    {
        "name": "folder",
        "in": "path",
        "required": True,
        "schema": _TEXT,
        "description": "The folder of a registered model below the artifact root.",
    },
    {
        "name": "upload_id",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "description": "64 digits of the client's choice: the same ones continue an upload.",
    },
]
_OFFSET: Json = {
    "name": OFFSET_HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "integer", "format": "int64", "minimum": 0},
    "description": "After how many of the bytes that are kept the body begins.",
}
_UNPLACED: Json = {
    "501": content("The artifact root takes no file before its digest is known.", "Error")
}
_RANGE: Json = {"name": "Range", "in": "header", "required": False, "schema": _OPTIONAL_TEXT}


def paths(prefix: str, *, most_parts: int) -> Json:
    """Return the artifact routes under a prefix.

    `most_parts` is the limit of parts in one upload.
    """
    done = content("Done.", "EmptyAnswer")
    parts = {
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "properties": {
                "part_number": {"type": "integer", "minimum": 1, "maximum": most_parts},
                "etag": _OPTIONAL_TEXT,
            },
            "required": ["part_number", "etag"],
        },
    }
    count = {"type": ["integer", "null"], "minimum": 0, "maximum": most_parts}
    return {
        f"{prefix}/artifacts": {
            "get": {
                "operationId": "listArtifacts",
                "summary": "List what is directly in a folder.",
                "parameters": [
                    {"name": "path", "in": "query", "required": False, "schema": _OPTIONAL_TEXT}
                ],
                "responses": {"200": content("Done.", "ArtifactFiles"), **_REFUSALS},
            }
        },
        f"{prefix}/artifacts/{{path}}": {
            "get": {
                "operationId": "downloadArtifact",
                "summary": "Get a file, or a range of it.",
                "parameters": [_PATH, _RANGE],
                "responses": {
                    "200": {"description": "The file.", "content": _BYTES},
                    "206": {"description": "The range.", "content": _BYTES},
                    "416": {"description": "The file has no byte in the range."},
                    **_REFUSALS,
                },
            },
            "put": {
                "operationId": "uploadArtifact",
                "summary": "Put a file, in place of what was there.",
                "description": "A push takes a file that it awaits with its SHA-256 in "
                f"`Content-Digest`. With `Repr-Digest`, the id of an upload in `{UPLOAD_HEADER}`, "
                "and no body, the file becomes what was sent as that upload before.",
                "parameters": [_PATH],
                "requestBody": {"content": {"application/octet-stream": {"schema": {}}}},
                "responses": {"200": {"description": "Done."}, **_REFUSALS},
            },
            "delete": {
                "operationId": "deleteArtifact",
                "summary": "Remove a file, or a folder with all that is in it.",
                "parameters": [_PATH],
                "responses": {"200": done, **_REFUSALS},
            },
        },
        f"{prefix}/presigned/{{path}}": {
            "get": {
                "operationId": "presignArtifact",
                "summary": "Get a URL that gives the file for some minutes.",
                "parameters": [_PATH],
                "responses": {
                    "200": content("Done.", "ArtifactDownload"),
                    **_UNSIGNED,
                    **_REFUSALS,
                },
            }
        },
        **_uploads(),
        **{
            f"{prefix}/mpu/{action}/{{path}}": {
                "post": {
                    "operationId": f"{action}MultipartUpload",
                    "summary": summary,
                    "parameters": [{**_PATH, "description": "The folder the file goes to."}],
                    "requestBody": _json_body(fields, required),
                    "responses": {"200": answer, **_UNSIGNED, **_REFUSALS},
                }
            }
            for action, summary, fields, required, answer in (
                (
                    "create",
                    "Start an upload of a file in parts, past the server.",
                    {"num_parts": count},
                    (),
                    content("Done.", "ArtifactUpload"),
                ),
                (
                    "complete",
                    "Make the file of its parts.",
                    {"upload_id": _TEXT, "parts": parts},
                    ("upload_id", "parts"),
                    done,
                ),
                ("abort", "Drop the parts.", {"upload_id": _TEXT}, ("upload_id",), done),
            )
        },
    }


def _uploads() -> Json:
    """Uploads of files whose digest, and so whose place, is not known yet."""
    digest = {"Repr-Digest": {"schema": _OPTIONAL_TEXT}}
    offset = {OFFSET_HEADER: {"schema": {"type": "integer", "format": "int64"}}}
    return {
        f"{UPLOADS_PATH}/{{folder}}/{{upload_id}}": {
            "head": {
                "operationId": "statUpload",
                "summary": "Get how many bytes of an upload are kept, and the digest if all are.",
                "parameters": _UPLOAD_PATH,
                "responses": {
                    "204": {"description": "What is kept.", "headers": {**offset, **digest}},
                    "4XX": {"description": "The request was refused."},
                    "5XX": {"description": "The server could not answer."},
                },
            },
            "put": {
                "operationId": "receiveUpload",
                "summary": "Send a file, or the rest of one, before its digest is known.",
                "description": "The answer has two digests of what is kept, by `sha-256` and "
                "by `xxh3-128`, which a client computes in less time than it sends. The file "
                f"has its place once it is put there with `{UPLOAD_HEADER}`.",
                "parameters": [*_UPLOAD_PATH, _OFFSET],
                "requestBody": {"content": {"application/octet-stream": {"schema": {}}}},
                "responses": {
                    "200": {"description": "All of it is kept.", "headers": digest},
                    **_UNPLACED,
                    **_REFUSALS,
                },
            },
        }
    }


def _json_body(fields: Json, required: tuple[str, ...]) -> Json:
    path = {**_TEXT, "description": "Of the file at the client; only its last part counts."}
    schema: Json = {
        "type": "object",
        "properties": {"path": path, **fields},
        "required": ["path", *required],
    }
    return {"required": True, "content": {"application/json": {"schema": schema}}}
