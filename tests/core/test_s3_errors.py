"""What an S3 service answers means the same for documents and for files."""

from __future__ import annotations

import pytest
from botocore import exceptions as sdk

from registry_core.artifacts.backends.s3_failures import RangeError, file_errors
from registry_core.errors import (
    ArtifactExistsError,
    ArtifactNotFoundError,
    BackendError,
    InvalidArgumentError,
    NotPermittedError,
    StoreUnavailableError,
    UnsupportedBackendError,
)
from registry_core.s3_errors import FailureKind, failure_of, s3_errors
from registry_core.stores.s3 import objects
from registry_core.stores.s3.retry import TransientError

URL = {"endpoint_url": "http://127.0.0.1:1"}


def answer(status: int, code: str | None = None) -> sdk.ClientError:
    error = {} if code is None else {"Error": {"Code": code}}
    return sdk.ClientError({**error, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetObject")


@pytest.mark.parametrize(
    ("error", "kind", "of_document", "of_file"),
    [
        (answer(404, "NoSuchKey"), "ABSENT", objects.MissingObjectError, ArtifactNotFoundError),
        (answer(404, "404"), "ABSENT", objects.MissingObjectError, ArtifactNotFoundError),
        (answer(404, "NoSuchUpload"), "ABSENT", objects.MissingObjectError, ArtifactNotFoundError),
        (answer(404, "NoSuchBucket"), "NO_BUCKET", BackendError, BackendError),
        (answer(412), "CONDITION_FAILED", objects.LostRaceError, ArtifactExistsError),
        (answer(409, "ConditionalRequestConflict"), "CONDITION_FAILED", objects.LostRaceError, ArtifactExistsError),
        (answer(409, "OperationAborted"), "TRANSIENT", TransientError, StoreUnavailableError),
        (answer(416, "InvalidRange"), "RANGE_NOT_SATISFIABLE", BackendError, RangeError),
        (answer(403, "AccessDenied"), "NOT_PERMITTED", NotPermittedError, NotPermittedError),
        (answer(400, "ExpiredToken"), "NOT_PERMITTED", NotPermittedError, NotPermittedError),
        (answer(501, "NotImplemented"), "NOT_IMPLEMENTED", UnsupportedBackendError, UnsupportedBackendError),
        (answer(400, "SlowDown"), "TRANSIENT", TransientError, StoreUnavailableError),
        (answer(429), "TRANSIENT", TransientError, StoreUnavailableError),
        (answer(500), "TRANSIENT", TransientError, StoreUnavailableError),
        (answer(503, "SlowDown"), "TRANSIENT", TransientError, StoreUnavailableError),
        (answer(522), "TRANSIENT", TransientError, StoreUnavailableError),
        (answer(400, "KeyTooLongError"), "REFUSED", BackendError, InvalidArgumentError),
        (sdk.NoCredentialsError(), "NOT_PERMITTED", NotPermittedError, NotPermittedError),
        (sdk.EndpointConnectionError(**URL), "UNREACHABLE", TransientError, StoreUnavailableError),
        (sdk.ConnectTimeoutError(**URL), "UNREACHABLE", TransientError, StoreUnavailableError),
        (sdk.ReadTimeoutError(**URL), "TRANSIENT", TransientError, StoreUnavailableError),
        (sdk.IncompleteReadError(actual_bytes=1, expected_bytes=2), "TRANSIENT", TransientError, StoreUnavailableError),
        (sdk.SSLError(error="unknown CA", **URL), "INSECURE", BackendError, StoreUnavailableError),
        (sdk.ParamValidationError(report="a key of no characters"), "INVALID", InvalidArgumentError, InvalidArgumentError),
        (ConnectionResetError("reset"), "TRANSIENT", TransientError, StoreUnavailableError),
    ],
)  # fmt: skip
def test_each_room_raises_its_own_error_for_one_kind_of_failure(error, kind, of_document, of_file):
    failure = failure_of(error)
    assert failure.kind is FailureKind[kind]
    assert type(objects._error(failure, "get s3://b/k")) is of_document
    with pytest.raises(of_file) as caught, file_errors("model/file"):
        raise error
    assert type(caught.value) is of_file
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [sdk.EndpointConnectionError(**URL), sdk.ReadTimeoutError(**URL)])
def test_addresses_of_a_network_stay_out_of_messages(error):
    assert "127.0.0.1" in str(error)
    assert "127.0.0.1" not in failure_of(error).reason


def test_only_a_connection_that_was_never_made_has_done_nothing():
    never = objects._error(failure_of(sdk.ConnectTimeoutError(**URL)), "put")
    unclear = objects._error(failure_of(sdk.ReadTimeoutError(**URL)), "put")
    assert (never.reached, unclear.reached) == (False, True)


def test_what_is_no_error_of_the_sdk_passes():
    with pytest.raises(ZeroDivisionError), s3_errors(lambda _: RuntimeError()):
        raise ZeroDivisionError
