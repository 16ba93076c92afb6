"""The OpenAPI document, made from the tables of operations."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from registry_core.wire import CODES, Json
from registry_core.wire.requests import AtMost
from registry_server.http.operations import Operation

_TEXT: Json = {"type": "string"}
_INTEGER: Json = {"type": "integer", "format": "int64"}
_TAGS: Json = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"key": _TEXT, "value": {"type": ["string", "null"]}},
        "required": ["key"],
    },
}
_STORED_TAGS: Json = {"type": "array", "items": {"$ref": "#/components/schemas/Tag"}}

SCHEMAS: Json = {
    "Tag": {
        "type": "object",
        "properties": {"key": _TEXT, "value": _TEXT},
        "required": ["key", "value"],
    },
    "Alias": {
        "type": "object",
        "properties": {"alias": _TEXT, "version": _TEXT},
        "required": ["alias", "version"],
    },
    "RegisteredModel": {
        "type": "object",
        "properties": {
            "name": _TEXT,
            "creation_timestamp": _INTEGER,
            "last_updated_timestamp": _INTEGER,
            "description": _TEXT,
            "latest_versions": {
                "type": "array",
                "items": {"$ref": "#/components/schemas/ModelVersion"},
            },
            "tags": _STORED_TAGS,
            "aliases": {"type": "array", "items": {"$ref": "#/components/schemas/Alias"}},
            "deployment_job_id": _TEXT,
            "deployment_job_state": _TEXT,
        },
        "required": ["name", "creation_timestamp", "last_updated_timestamp"],
    },
    "ModelVersion": {
        "type": "object",
        "properties": {
            "name": _TEXT,
            "version": {"type": "string", "pattern": "^[0-9]+$"},
            "creation_timestamp": _INTEGER,
            "last_updated_timestamp": _INTEGER,
            "current_stage": {"enum": ["None", "Staging", "Production", "Archived"]},
            "source": _TEXT,
            "status": {"enum": ["PENDING_REGISTRATION", "FAILED_REGISTRATION", "READY"]},
            "status_message": _TEXT,
            "description": _TEXT,
            "run_id": _TEXT,
            "run_link": _TEXT,
            "user_id": _TEXT,
            "model_id": _TEXT,
            "tags": _STORED_TAGS,
            "aliases": {"type": "array", "items": _TEXT},
        },
        "required": [
            "name",
            "version",
            "creation_timestamp",
            "last_updated_timestamp",
            "current_stage",
            "source",
            "status",
        ],
    },
    "Error": {
        "type": "object",
        "properties": {
            "error_code": {"enum": sorted(CODES)},
            "message": _TEXT,
            "sqlstate": _TEXT,
            "error_class": _TEXT,
        },
        "required": ["error_code", "message"],
    },
}
"""What the answers are made of."""


def document(
    operations: Sequence[Operation[Any, Any]],
    *,
    schemas: Json | None = None,
    others: Json | None = None,
) -> Json:
    """The OpenAPI document of some operations.

    `schemas` are further components that answers refer to, `others` are further paths.
    """
    paths: Json = {}
    for operation in operations:
        item = paths.setdefault(operation.documented_path, {})
        item[operation.method.lower()] = _operation(operation)
    answers = {
        operation.answer.name: {
            "type": "object",
            "properties": operation.answer.properties,
            "required": list(operation.answer.required),
        }
        for operation in operations
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Model registry",
            "version": "2.0",
            "description": "MLflow's model registry REST API.",
        },
        "paths": {**paths, **(others or {})},
        "components": {"schemas": {**SCHEMAS, **(schemas or {}), **answers}},
    }


def _operation(operation: Operation[Any, Any]) -> Json:
    out: Json = {
        "operationId": operation.id,
        "summary": operation.summary,
        "responses": {
            "200": content("Done.", operation.answer.name),
            "4XX": content("The request was refused; nothing was changed.", "Error"),
            "5XX": content("The server could not answer.", "Error"),
        },
    }
    attrs.resolve_types(operation.request)
    fields = attrs.fields(operation.request)
    in_path = [field for field in fields if f"{{{field.name}}}" in operation.path]
    others = [field for field in fields if field not in in_path]
    parameters = [_parameter(field, "path") for field in in_path]
    if operation.has_query:
        parameters += [_parameter(field, "query") for field in others]
    elif others:
        out["requestBody"] = _body(others)
    if parameters:
        out["parameters"] = parameters
    return out


def content(description: str, schema: str) -> Json:
    """The description of an answer with a JSON object, by the name of its schema."""
    return {
        "description": description,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }


def _parameter(field: attrs.Attribute[Any], place: str) -> Json:
    return {
        "name": field.name,
        "in": place,
        "required": _is_required(field),
        "schema": _schema(field, in_body=False),
    }


def _body(fields: Sequence[attrs.Attribute[Any]]) -> Json:
    required = [field.name for field in fields if _is_required(field)]
    schema: Json = {
        "type": "object",
        "properties": {field.name: _schema(field, in_body=True) for field in fields},
    }
    if required:
        schema["required"] = required
    return {
        "required": bool(required),
        "content": {"application/json": {"schema": schema}},
    }


def _is_required(field: attrs.Attribute[Any]) -> bool:
    return field.default is attrs.NOTHING


def _schema(field: attrs.Attribute[Any], *, in_body: bool) -> Json:
    schema = schema_of(field.type)
    if _is_required(field):
        return {**schema, "minLength": 1} if schema == _TEXT else schema
    # Null is absent in a body; a query has no null.
    return {"anyOf": [schema, {"type": "null"}]} if in_body else schema


def schema_of(annotation: Any) -> Json:
    """The JSON schema of a field's type."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return schema_of(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) is typing.Annotated:
        plain, *bounds = typing.get_args(annotation)
        limits = [bound.limit for bound in bounds if isinstance(bound, AtMost)]
        return {**schema_of(plain), **({"minimum": 1, "maximum": limits[0]} if limits else {})}
    if annotation == Mapping[str, str]:
        return _TAGS
    if typing.get_origin(annotation) is tuple:
        return {"type": "array", "items": schema_of(typing.get_args(annotation)[0])}
    known: Mapping[Any, Json] = {str: _TEXT, int: _INTEGER, bool: {"type": "boolean"}}
    return known.get(annotation) or {"$ref": f"#/components/schemas/{annotation.__name__}"}
