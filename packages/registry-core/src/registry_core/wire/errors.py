"""Errors on the wire: our classes, MLflow's codes, HTTP statuses, and back (contract 1.4).

Strategy: MLflow's client repeats 429 for minutes whatever the call, and most 5xx too, but since
3.18 not those of a POST that may have been carried out. So whatever a caller can cause is any other
4xx, 429 says that nothing was written, and 503 is kept for what passes by itself and may have been
carried out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from registry_core import errors
from registry_core.errors import RegistryError


@attrs.frozen
class ErrorCode:
    """An error code with its HTTP status and the two keys that MLflow 3 sends beside it."""

    name: str
    status: int
    sqlstate: str | None = None
    error_class: str | None = None

    def body(self, message: str) -> dict[str, str]:
        """Return the JSON object of an error answer."""
        out = {"error_code": self.name, "message": message}
        if self.sqlstate is not None:
            out["sqlstate"] = self.sqlstate
        if self.error_class is not None:
            out["error_class"] = self.error_class
        return out


_USER, _SYSTEM = "KAM00", "XXM00"

CODES: Mapping[str, ErrorCode] = {
    code.name: code
    for code in (
        ErrorCode("INVALID_PARAMETER_VALUE", 400, _USER, "INVALID_PARAMETER_VALUE"),
        ErrorCode("BAD_REQUEST", 400, _USER, "INVALID_PARAMETER_VALUE"),
        ErrorCode("RESOURCE_ALREADY_EXISTS", 400, _USER, "RESOURCE_ALREADY_EXISTS"),
        # MLflow answers 500 and its client then retries for minutes.
        ErrorCode("FEATURE_DISABLED", 400, _USER, "FEATURE_DISABLED"),
        ErrorCode("UNAUTHENTICATED", 401),
        ErrorCode("PERMISSION_DENIED", 403, _USER, "PERMISSION_DENIED"),
        ErrorCode("RESOURCE_DOES_NOT_EXIST", 404, _USER, "RESOURCE_NOT_FOUND"),
        ErrorCode("ENDPOINT_NOT_FOUND", 404, _USER, "RESOURCE_NOT_FOUND"),
        ErrorCode("ABORTED", 409),
        # One of MLflow's codes that its own server does not send: only gates do.
        ErrorCode("INVALID_STATE_TRANSITION", 409),
        ErrorCode("RESOURCE_CONFLICT", 409),
        ErrorCode("RESOURCE_EXHAUSTED", 429),
        ErrorCode("INTERNAL_ERROR", 500, _SYSTEM, "CLIENT_INTERNAL_ERROR"),
        ErrorCode("DATA_LOSS", 500),
        ErrorCode("NOT_IMPLEMENTED", 501),
        ErrorCode("TEMPORARILY_UNAVAILABLE", 503, _SYSTEM, "CLIENT_INTERNAL_ERROR"),
    )
}
"""Every code that this project sends."""

CODE_OF_CLASS: Mapping[type[RegistryError], ErrorCode] = {
    errors.NotFoundError: CODES["RESOURCE_DOES_NOT_EXIST"],
    # A client's load_prompt and get_model_version_by_alias expect this one to be a 400.
    errors.AliasNotFoundError: CODES["INVALID_PARAMETER_VALUE"],
    errors.NoVersionInStageError: CODES["INVALID_PARAMETER_VALUE"],
    errors.AlreadyExistsError: CODES["RESOURCE_ALREADY_EXISTS"],
    errors.InvalidArgumentError: CODES["INVALID_PARAMETER_VALUE"],
    errors.NotPermittedError: CODES["PERMISSION_DENIED"],
    errors.ConflictError: CODES["ABORTED"],
    errors.ContentionError: CODES["RESOURCE_EXHAUSTED"],
    errors.GateRefusedError: CODES["INVALID_STATE_TRANSITION"],
    errors.ArtifactExistsError: CODES["RESOURCE_CONFLICT"],
    # Anybody who may set tags can cause it: that of the manifest's digest is one.
    errors.ArtifactMismatchError: CODES["RESOURCE_CONFLICT"],
    # What is registered stays as it is, for everybody.
    errors.ArtifactImmutableError: CODES["PERMISSION_DENIED"],
    errors.StoreUnavailableError: CODES["TEMPORARILY_UNAVAILABLE"],
    errors.StoreBusyError: CODES["RESOURCE_EXHAUSTED"],
    errors.StoreCorruptedError: CODES["DATA_LOSS"],
    # A store behind another server cannot do all; to ask it again does not help.
    errors.UnsupportedBackendError: CODES["NOT_IMPLEMENTED"],
    RegistryError: CODES["INTERNAL_ERROR"],
}
"""What each class of error is on the wire; of a class and its bases the most specific counts."""

MESSAGE_MAX_LENGTH = 10_000
"""Characters of a server's message that are read; MLflow's longest repeat a name or a bad value.
Matching them takes time that grows with the square of their length."""

INTERNAL_ERROR_MESSAGE = "The server failed to answer; its log has the reason."
"""All that a client learns of an exception that is not ours."""


def code_of(error: Exception) -> ErrorCode:
    """Return the error code of an exception; INTERNAL_ERROR for any that is not ours."""
    for cls in type(error).__mro__:
        code = CODE_OF_CLASS.get(cls)
        if code is not None:
            return code
    return CODES["INTERNAL_ERROR"]


def error_body(error: Exception) -> dict[str, Any]:
    """Return the JSON object that answers a failed request.

    Other people's exceptions are not shown.

    What is not as it was expected to be stands in `current`, which MLflow's errors do not have: its
    value, or null where it is absent. What a gate misses stands in `missing`, a list of phrases.
    """
    is_ours = isinstance(error, RegistryError)
    body: dict[str, Any] = {
        **code_of(error).body(str(error) if is_ours else INTERNAL_ERROR_MESSAGE)
    }
    if isinstance(error, errors.StaleValueError):
        body["current"] = error.current
    if isinstance(error, errors.GateRefusedError):
        body["missing"] = list(error.missing)
    return body


# Back: the exception that an answer stands for.


def decode_error(status: int, body: object, *, name: str = "") -> RegistryError:
    """Return the exception that a server's error answer stands for.

    `name` is the registered model the request was about: MLflow's message about an alias does not
    repeat it. A body that is not an error object is judged by the status alone.
    """
    fields = body if isinstance(body, Mapping) else {}
    message = str(fields.get("message") or f"The server answered with status {status}.")
    message = message[:MESSAGE_MAX_LENGTH]
    if "current" in fields and fields.get("error_code") == "ABORTED":
        current = fields["current"]
        if current is None or type(current) in (str, int):
            return errors.StaleValueError(message, current=current)
    if fields.get("error_code") == "INVALID_STATE_TRANSITION":
        return errors.GateRefusedError(message, missing=_texts(fields.get("missing")))
    for pattern, make in _MESSAGES:
        if match := pattern.match(message):
            return make(match.groupdict(), name)
    code = fields.get("error_code")
    return _class_of(code if isinstance(code, str) else "", status)(message)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(each) for each in value) if isinstance(value, list) else ()


def _version(text: str) -> int | str:
    return int(text) if re.fullmatch("-?[0-9]{1,100}", text) else text


_MESSAGES: tuple[tuple[re.Pattern[str], Callable[[dict[str, Any], str], RegistryError]], ...] = (
    (
        re.compile(r"Registered Model with name=(?P<name>.*) not found\.?\Z", re.DOTALL),
        lambda groups, _: errors.RegisteredModelNotFoundError(groups["name"]),
    ),
    (
        re.compile(
            r"Model Version \(name=(?P<name>.*), version=(?P<version>.*)\) not found\.?\Z",
            re.DOTALL,
        ),
        lambda groups, _: errors.ModelVersionNotFoundError(
            groups["name"], _version(groups["version"])
        ),
    ),
    (
        re.compile(r"Registered model alias (?P<alias>.*) not found\.\Z", re.DOTALL),
        lambda groups, name: errors.AliasNotFoundError(name, groups["alias"]),
    ),
    (
        re.compile(r"Latest version not found for model (?P<name>.*)\.\Z", re.DOTALL),
        lambda groups, _: errors.NoModelVersionsError(groups["name"]),
    ),
    (
        re.compile(
            r"No versions of model with name '(?P<name>.*)' and stage '(?P<stage>.*)' found\Z",
            re.DOTALL,
        ),
        lambda groups, _: errors.NoVersionInStageError(groups["name"], groups["stage"]),
    ),
    (
        re.compile(
            r"Version (?P<version>[0-9]{1,19}) of model '(?P<name>.*)' has no approval by "
            r"'(?P<actor>.*)'\Z",
            re.DOTALL,
        ),
        lambda groups, _: errors.ApprovalNotFoundError(
            groups["name"], int(groups["version"]), groups["actor"]
        ),
    ),
    (
        re.compile(r"Webhook with ID (?P<id>.*) not found\.\Z", re.DOTALL),
        lambda groups, _: errors.WebhookNotFoundError(groups["id"]),
    ),
    (
        re.compile(r"The idempotency key '(?P<key>[!-~]{1,255})' was used for another request; "),
        lambda groups, _: errors.IdempotencyKeyReusedError(groups["key"]),
    ),
    (
        re.compile(
            r"(?P<subject>models:/.*?) does not match its manifest: (?P<problems>.*)", re.DOTALL
        ),
        lambda groups, _: errors.ArtifactMismatchError(
            groups["subject"], tuple(groups["problems"].split("; "))
        ),
    ),
    (
        # MLflow appends the database's own message when a rename hits an existing name.
        re.compile(
            r"(?P<kind>Registered Model|Prompt) \(name=(?P<name>.*?)\) already exists\.", re.DOTALL
        ),
        lambda groups, _: errors.AlreadyExistsError(
            groups["name"],
            existing_is_prompt=groups["kind"] == "Prompt",
            wanted_prompt=groups["kind"] == "Prompt",
        ),
    ),
    (
        re.compile(
            r"Tried to create a (?P<wanted>prompt|registered model) with name '(?P<name>.*)', but "
            r"the name is already taken by a (?P<existing>prompt|registered model)\.",
            re.DOTALL,
        ),
        lambda groups, _: errors.AlreadyExistsError(
            groups["name"],
            existing_is_prompt=groups["existing"] == "prompt",
            wanted_prompt=groups["wanted"] == "prompt",
        ),
    ),
)
"""MLflow's messages about something named, which the code alone does not tell apart."""

_CLASS_OF_CODE: Mapping[str, type[RegistryError]] = {
    "INVALID_PARAMETER_VALUE": errors.InvalidArgumentError,
    "BAD_REQUEST": errors.InvalidArgumentError,
    "FEATURE_DISABLED": errors.UnsupportedBackendError,
    "ENDPOINT_NOT_FOUND": errors.UnsupportedBackendError,
    "NOT_IMPLEMENTED": errors.UnsupportedBackendError,
    "RESOURCE_DOES_NOT_EXIST": errors.NotFoundError,
    "NOT_FOUND": errors.NotFoundError,
    "UNAUTHENTICATED": errors.NotPermittedError,
    "CUSTOMER_UNAUTHORIZED": errors.NotPermittedError,
    "PERMISSION_DENIED": errors.NotPermittedError,
    "RESOURCE_CONFLICT": errors.ConflictError,
    "ABORTED": errors.ConflictError,
    "REQUEST_LIMIT_EXCEEDED": errors.StoreBusyError,
    "RESOURCE_EXHAUSTED": errors.StoreBusyError,
    "TEMPORARILY_UNAVAILABLE": errors.StoreUnavailableError,
    "DEADLINE_EXCEEDED": errors.StoreUnavailableError,
    "DATA_LOSS": errors.StoreCorruptedError,
}

_CLASS_OF_STATUS: Mapping[int, type[RegistryError]] = {
    400: errors.InvalidArgumentError,
    401: errors.NotPermittedError,
    403: errors.NotPermittedError,
    404: errors.UnsupportedBackendError,
    405: errors.UnsupportedBackendError,
    # The server waited in vain for the rest of the request, or would not look at it.
    408: errors.StoreBusyError,
    409: errors.ConflictError,
    413: errors.InvalidArgumentError,
    429: errors.StoreBusyError,
    501: errors.UnsupportedBackendError,
}


def _class_of(code: str, status: int) -> Callable[[str], RegistryError]:
    if code in _CLASS_OF_CODE:
        return _CLASS_OF_CODE[code]
    if status in (502, 503, 504):
        return errors.StoreUnavailableError
    return _CLASS_OF_STATUS.get(status, RegistryError)
