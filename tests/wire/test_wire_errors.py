"""Errors as MLflow's JSON, out and back in (contract 1.4)."""

from __future__ import annotations

import inspect
import time

import pytest

from registry_core import errors, wire
from registry_core.errors import (
    AliasNotFoundError,
    AlreadyExistsError,
    ArtifactNotFoundError,
    ConflictError,
    ContentionError,
    FilterSyntaxError,
    IdempotencyKeyReusedError,
    InvalidArgumentError,
    ModelVersionNotFoundError,
    NoModelVersionsError,
    NotFoundError,
    NotPermittedError,
    NoVersionInStageError,
    RegisteredModelNotFoundError,
    RegistryError,
    SchemaOutOfDateError,
    StaleValueError,
    StoreBusyError,
    StoreCorruptedError,
    StoreUnavailableError,
    UnexpectedAnswerError,
    UnsupportedBackendError,
    WebhookNotFoundError,
)
from registry_core.wire.errors import CODES, INTERNAL_ERROR_MESSAGE

NOT_FOUND = ("RESOURCE_DOES_NOT_EXIST", 404, "KAM00", "RESOURCE_NOT_FOUND")
INVALID = ("INVALID_PARAMETER_VALUE", 400, "KAM00", "INVALID_PARAMETER_VALUE")
INTERNAL = ("INTERNAL_ERROR", 500, "XXM00", "CLIENT_INTERNAL_ERROR")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RegisteredModelNotFoundError("m"), NOT_FOUND),
        (ModelVersionNotFoundError("m", 1), NOT_FOUND),
        (NoModelVersionsError("m"), NOT_FOUND),
        (NoVersionInStageError("m", "Staging"), INVALID),
        (WebhookNotFoundError("w"), NOT_FOUND),
        (ArtifactNotFoundError("p"), NOT_FOUND),
        (AliasNotFoundError("m", "a"), INVALID),
        (
            AlreadyExistsError("m"),
            ("RESOURCE_ALREADY_EXISTS", 400, "KAM00", "RESOURCE_ALREADY_EXISTS"),
        ),
        (InvalidArgumentError("x"), INVALID),
        (FilterSyntaxError("x", source="f", span=(0, 1)), INVALID),
        (NotPermittedError("x"), ("PERMISSION_DENIED", 403, "KAM00", "PERMISSION_DENIED")),
        (ConflictError("x"), ("ABORTED", 409, None, None)),
        (ContentionError("x"), ("RESOURCE_EXHAUSTED", 429, None, None)),
        (StoreBusyError("x"), ("RESOURCE_EXHAUSTED", 429, None, None)),
        (
            StoreUnavailableError("x"),
            ("TEMPORARILY_UNAVAILABLE", 503, "XXM00", "CLIENT_INTERNAL_ERROR"),
        ),
        (StoreCorruptedError("x"), ("DATA_LOSS", 500, None, None)),
        (
            UnexpectedAnswerError("x"),
            ("TEMPORARILY_UNAVAILABLE", 503, "XXM00", "CLIENT_INTERNAL_ERROR"),
        ),
        (UnsupportedBackendError("x"), ("NOT_IMPLEMENTED", 501, None, None)),
        (SchemaOutOfDateError("x"), INTERNAL),
        (RegistryError("x"), INTERNAL),
        (ValueError("x"), INTERNAL),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_error_has_mlflows_code_status_and_classes(error, expected):
    """The client branches on the code, and retries by the status."""
    code, status, sqlstate, error_class = expected
    body = wire.error_body(error)
    assert (body["error_code"], wire.code_of(error).status) == (code, status)
    assert (body.get("sqlstate"), body.get("error_class")) == (sqlstate, error_class)


TABLE = [
    ("INVALID_PARAMETER_VALUE", *INVALID[1:]),
    ("BAD_REQUEST", *INVALID[1:]),
    ("RESOURCE_ALREADY_EXISTS", 400, "KAM00", "RESOURCE_ALREADY_EXISTS"),
    ("FEATURE_DISABLED", 400, "KAM00", "FEATURE_DISABLED"),
    ("UNAUTHENTICATED", 401, None, None),
    ("PERMISSION_DENIED", 403, "KAM00", "PERMISSION_DENIED"),
    ("RESOURCE_DOES_NOT_EXIST", *NOT_FOUND[1:]),
    ("ENDPOINT_NOT_FOUND", *NOT_FOUND[1:]),
    ("ABORTED", 409, None, None),
    ("RESOURCE_CONFLICT", 409, None, None),
    ("INVALID_STATE_TRANSITION", 409, None, None),
    ("RESOURCE_EXHAUSTED", 429, None, None),
    ("INTERNAL_ERROR", *INTERNAL[1:]),
    ("DATA_LOSS", 500, None, None),
    ("NOT_IMPLEMENTED", 501, None, None),
    ("TEMPORARILY_UNAVAILABLE", 503, "XXM00", "CLIENT_INTERNAL_ERROR"),
]
"""Contract 1.4: code, status, and the two keys beside it."""


@pytest.mark.parametrize(("name", "status", "sqlstate", "error_class"), TABLE)
def test_code_has_mlflows_status_and_keys(name, status, sqlstate, error_class):
    """Where there is no class of errors, both keys are absent."""
    expected = {"error_code": name, "message": "m"}
    if sqlstate is not None:
        expected |= {"sqlstate": sqlstate, "error_class": error_class}
    assert (CODES[name].status, CODES[name].body("m")) == (status, expected)


def test_every_code_is_in_the_table():
    """One that is added is a row of the test before."""
    assert sorted(CODES) == sorted(row[0] for row in TABLE)


def test_no_fault_of_a_caller_is_retried_by_the_client():
    """MLflow's client repeats 408, 429, 500, 502, 503 and 504 for minutes, POST included."""
    retried = {408, 429, 500, 502, 503, 504}
    for name, cls in inspect.getmembers(errors, inspect.isclass):
        if cls is not ContentionError and issubclass(
            cls, NotFoundError | AlreadyExistsError | InvalidArgumentError | ConflictError
        ):
            code = next(
                found
                for base in cls.__mro__
                if (found := wire.errors.CODE_OF_CLASS.get(base)) is not None
            )
            assert code.status not in retried, name


def test_exception_that_is_not_ours_is_not_told():
    """Its message may hold SQL, paths or secrets."""
    body = wire.error_body(RuntimeError("password=hunter2"))
    assert body["message"] == INTERNAL_ERROR_MESSAGE


@pytest.mark.parametrize(
    "error",
    [
        RegisteredModelNotFoundError("a b) not found"),
        ModelVersionNotFoundError("m, version=2", "7"),
        AliasNotFoundError("m", "champ"),
        NoModelVersionsError("m"),
        NoVersionInStageError("m", "Staging"),
        WebhookNotFoundError("9524"),
        AlreadyExistsError("m"),
        AlreadyExistsError("p", existing_is_prompt=True, wanted_prompt=True),
        AlreadyExistsError("p", existing_is_prompt=True),
        AlreadyExistsError("m", wanted_prompt=True),
        InvalidArgumentError("Invalid page token, could not base64-decode"),
        NotPermittedError("no"),
        ConflictError("lost"),
        StaleValueError("The alias 'a' of model 'm' is 2 and not 1", current=2),
        StaleValueError("The tag 'k' of model 'm' is absent and not 'v'", current=None),
        StaleValueError("The tag 'k' is 'b' and not 'c' and not 'd'", current="b' and not 'c"),
        IdempotencyKeyReusedError("'k'"),
        StoreUnavailableError("away"),
        StoreBusyError("full"),
        StoreCorruptedError("broken"),
    ],
    ids=lambda error: f"{type(error).__name__}-{error}",
)
def test_error_survives_the_wire(error):
    """The REST store raises what the server's store raised, attributes included."""
    back = wire.decode_error(wire.code_of(error).status, wire.error_body(error), name="m")
    assert type(back) is type(error)
    assert str(back) == str(error)
    shared = {key for key in vars(error) if key != "retry_after_seconds"}
    assert {key: str(vars(back)[key]) for key in shared} == {
        key: str(vars(error)[key]) for key in shared
    }


def test_rename_conflict_of_mlflow_loses_its_sql():
    """MLflow appends the statement and its parameters."""
    body = {
        "error_code": "RESOURCE_ALREADY_EXISTS",
        "message": "Registered Model (name=n) already exists. Error: (sqlite3.IntegrityError) UNIQUE",
    }
    back = wire.decode_error(400, body)
    assert isinstance(back, AlreadyExistsError)
    assert str(back) == "Registered Model (name=n) already exists."


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, None, InvalidArgumentError),
        (400, {"error_code": "NEVER_HEARD_OF", "message": "x"}, InvalidArgumentError),
        (401, {}, NotPermittedError),
        (403, [], NotPermittedError),
        (404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "x"}, NotFoundError),
        (404, None, UnsupportedBackendError),
        (404, {"error_code": "ENDPOINT_NOT_FOUND", "message": "x"}, UnsupportedBackendError),
        (409, None, ConflictError),
        (408, None, StoreBusyError),
        (429, None, StoreBusyError),
        (429, {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "x"}, StoreBusyError),
        (503, None, StoreUnavailableError),
        (504, {"error_code": 7, "message": 8}, StoreUnavailableError),
        (500, None, RegistryError),
    ],
)
def test_error_of_any_server_becomes_one_of_ours(status, body, expected):
    """By its code, and without one by its status."""
    assert type(wire.decode_error(status, body)) is expected


@pytest.mark.parametrize(
    "hostile",
    [
        "Model Version (name=" + ", version=" * 1_000_000,
        "Tried to create a prompt with name '" + "', but the name is already taken by a " * 300_000,
        "No versions of model with name '" + "' and stage '" * 1_000_000,
        "Registered Model (name=" + ") already exists" * 1_000_000,
    ],
)
def test_message_of_a_stranger_is_read_at_once(hostile):
    """A sentence that would take minutes to match is cut first."""
    started = time.process_time()
    error = wire.decode_error(404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": hostile})
    assert time.process_time() - started < 5
    assert len(str(error)) <= wire.errors.MESSAGE_MAX_LENGTH
