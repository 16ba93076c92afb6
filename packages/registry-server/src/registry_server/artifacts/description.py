"""The artifact routes as OpenAPI has them (contract 2.23)."""

from __future__ import annotations

from registry_core.wire import Json
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


def _json_body(fields: Json, required: tuple[str, ...]) -> Json:
    path = {**_TEXT, "description": "Of the file at the client; only its last part counts."}
    schema: Json = {
        "type": "object",
        "properties": {"path": path, **fields},
        "required": ["path", *required],
    }
    return {"required": True, "content": {"application/json": {"schema": schema}}}
