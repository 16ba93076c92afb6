"""Bodies and query strings: bytes to fields, results to bytes."""

from __future__ import annotations

import codecs
import functools
import json
from collections.abc import Sequence
from json.encoder import encode_basestring_ascii
from typing import Any, cast
from urllib.parse import unquote_plus

import attrs
import msgspec

from registry_core.answer_objects import encode_model_version, encode_registered_model, plain
from registry_core.errors import InvalidArgumentError
from registry_core.models import ModelVersion, RegisteredModel
from registry_core.search import Page
from registry_core.wire.converter import Json
from registry_core.wire.elements import has_more_elements

JSON_CONTENT_TYPE = "application/json"
"""The only content type of bodies, in both directions."""

MOST_ELEMENTS = 20_000
"""Elements of a JSON body: items of lists, and members of objects. As objects of Python each takes
up to a hundred times the bytes it has in the body, so they are counted before any is made. The
thousand tags that an entity may have are 3,000."""

MOST_QUERY_FIELDS = 1_000
"""Fields in a query, for the same reason. No operation has more than ten; lists repeat theirs."""

_METHODS_WITH_CONTENT_TYPE = frozenset({"POST", "PUT"})
"""The methods whose requests must say their content type (contract 1.2)."""

_encoder = msgspec.json.Encoder()
_patient_encoder = json.JSONEncoder(separators=(",", ":"), default=plain)


def dumps(value: object) -> bytes:
    """Return the value as compact ASCII JSON. Never fails on a text, whatever is in it.

    Strategy: clients guess the encoding of what they get. The fast encoder writes UTF-8; what is
    beyond ASCII is in the texts of the JSON, where it can be escaped afterwards. It refuses lone
    surrogates, which the other encoder does not.
    """
    try:
        encoded = _encoder.encode(value)
    except UnicodeEncodeError:
        return _patient_encoder.encode(value).encode("ascii")
    return encoded if encoded.isascii() else encoded.decode().encode("ascii", _ESCAPED)


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return encode_basestring_ascii(error.object[error.start : error.end])[1:-1], error.end


_ESCAPED = "registry_core.json"
codecs.register_error(_ESCAPED, _escape)


def check_content_type(method: str, content_type: str | None) -> None:
    """Accept the content type of a request; only POST and PUT need one."""
    if method not in _METHODS_WITH_CONTENT_TYPE:
        return
    if content_type is None:
        raise InvalidArgumentError("Bad Request. Content-Type header is missing.")
    if content_type.strip().partition(";")[0] != JSON_CONTENT_TYPE:
        raise InvalidArgumentError(
            f"Bad Request. Content-Type must be one of {[JSON_CONTENT_TYPE]}."
        )


def fields_of_query(cls: type[attrs.AttrsInstance], query: bytes) -> dict[str, Any]:
    """Return the fields of a request class in a query string.

    Names are snake_case only. Of a repeated scalar the first counts; a repeated list field has
    every occurrence as an element.

    Raises:
        InvalidArgumentError: there are more than `MOST_QUERY_FIELDS`.
    """
    if query.count(b"&") >= MOST_QUERY_FIELDS:
        raise InvalidArgumentError(f"A query may have {MOST_QUERY_FIELDS} fields.")
    values: dict[str, list[str]] = {}
    for field in query.decode("utf-8", "replace").split("&"):
        if field:
            name, _, value = field.partition("=")
            values.setdefault(unquote_plus(name), []).append(unquote_plus(value))
    return {
        name: values[name] if is_list else values[name][0]
        for name, is_list in _query_fields(cls)
        if name in values
    }


@functools.cache
def _query_fields(cls: type[attrs.AttrsInstance]) -> tuple[tuple[str, bool], ...]:
    """The fields of a request class, and which of them are lists."""
    attrs.resolve_types(cls)
    return tuple((field.name, field.type == tuple[str, ...]) for field in attrs.fields(cls))


def fields_of_body(
    body: bytes, *, most_elements: int = MOST_ELEMENTS, must_be_json: bool = False
) -> Json:
    """Return the JSON object in a body.

    What is not JSON counts as an empty object, as on MLflow, so that the answer names the missing
    field; with `must_be_json` it is refused, because no field may be missing, and what was not
    understood may be an expectation. A text that holds an object is decoded twice: very old
    clients encode twice.

    Raises:
        InvalidArgumentError: the body is JSON but no object, is none and must be, or has more than
            `most_elements`.
    """
    if not body:
        return {}
    value = _loads(body, most_elements)
    if value is None and must_be_json:
        raise InvalidArgumentError("The request body must be a JSON object.")
    if isinstance(value, str):
        value = _loads(value, most_elements)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidArgumentError(
            f"The request body must be a JSON object, but it is of type '{type(value).__name__}'."
        )
    return cast("Json", value)


def _loads(text: bytes | str, most_elements: int) -> object:
    encoded = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if has_more_elements(encoded, most_elements):
        raise InvalidArgumentError(
            f"The request body may have {most_elements} elements, but this one has more."
        )
    try:
        return json.loads(text)
    except ValueError:
        return None if isinstance(text, bytes) else text
    except RecursionError:
        raise InvalidArgumentError("The request body is nested too deeply.") from None


# Results


def registered_model(model: RegisteredModel) -> Json:
    """Return the answer that holds a registered model."""
    return {"registered_model": encode_registered_model(model)}


def model_version(version: ModelVersion) -> Json:
    """Return the answer that holds a model version."""
    return {"model_version": encode_model_version(version)}


def registered_models(page: Page[RegisteredModel]) -> Json:
    """Return the answer that holds a page of registered models."""
    return _page("registered_models", [encode_registered_model(item) for item in page.items], page)


def model_versions(page: Page[ModelVersion]) -> Json:
    """Return the answer that holds a page of model versions."""
    return _page("model_versions", [encode_model_version(item) for item in page.items], page)


def latest_versions(versions: Sequence[ModelVersion]) -> Json:
    """Return the answer that holds the newest versions of some stages."""
    return model_versions(Page(versions))


def artifact_uri(uri: str) -> Json:
    """Return the answer that says where the bytes of a version are."""
    return {"artifact_uri": uri}


def nothing(_: None) -> Json:
    """Return the answer of an operation that has no result."""
    return {}


def _page(key: str, items: Sequence[object], page: Page[Any]) -> Json:
    out: Json = {key: items} if items else {}
    if page.next_page_token:
        out["next_page_token"] = page.next_page_token
    if page.unreadable:
        out["unreadable"] = page.unreadable
    return out
