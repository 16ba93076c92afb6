"""The OpenAPI document, made from the tables of operations."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from registry_core import answer_objects
from registry_core.fields import Field
from registry_core.models import ModelVersion, RegisteredModel
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

_SCHEMAS_OF_TYPES: Mapping[Any, Json] = {
    str: _TEXT,
    int: _INTEGER,
    Mapping[str, str]: _STORED_TAGS,
    Mapping[str, int]: {"type": "array", "items": {"$ref": "#/components/schemas/Alias"}},
    tuple[str, ...]: {"type": "array", "items": _TEXT},
    tuple[ModelVersion, ...]: {
        "type": "array",
        "items": {"$ref": "#/components/schemas/ModelVersion"},
    },
}


def _entity(entity: type[attrs.AttrsInstance]) -> Json:
    """The schema of an entity, from the table of its fields."""
    fields = answer_objects.written(entity)
    return {
        "type": "object",
        "properties": {field.name: _answered(field) for field in fields},
        "required": [field.name for field in fields if answer_objects.is_always_written(field)],
    }


def _answered(field: Field) -> Json:
    if field.name in answer_objects.NUMERALS:
        return {"type": "string", "pattern": "^[0-9]+$"}
    if field.is_word:
        return {"enum": [word.value for word in field.type]}
    return _SCHEMAS_OF_TYPES[field.type]


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
    "RegisteredModel": _entity(RegisteredModel),
    "ModelVersion": _entity(ModelVersion),
    "Error": {
        "type": "object",
        "properties": {
            "error_code": {"enum": sorted(CODES)},
            "message": _TEXT,
            "sqlstate": _TEXT,
            "error_class": _TEXT,
            "current": {
                "type": ["string", "integer", "null"],
                "description": "What is there instead of what was expected.",
            },
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
    """Return the OpenAPI document of some operations.

    `schemas` are further components that answers refer to, `others` are further paths.
    """
    paths: Json = {}
    for operation in operations:
        item = paths.setdefault(operation.documented_path, {})
        item[operation.method.lower()] = _operation(operation)
    shapes = {
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
        "components": {"schemas": {**SCHEMAS, **(schemas or {}), **shapes}},
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
    """Return the description of an answer with a JSON object, by the name of its schema."""
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
    """Return the JSON schema of a field's type."""
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
