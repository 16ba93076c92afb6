"""What boto3 raises, as our errors: the only place that reads S3's codes for artifacts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import TypeAlias

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError

from registry_core.errors import (
    ArtifactExistsError,
    ArtifactNotFoundError,
    BackendError,
    InvalidArgumentError,
    NotPermittedError,
    RegistryError,
    StoreUnavailableError,
)


class RangeError(InvalidArgumentError):
    """The file ends before the first byte that was asked for."""


@contextmanager
def s3_errors(path: str) -> Iterator[None]:
    """Raises our errors in place of boto3's, for calls about one path."""
    try:
        yield
    except ClientError as error:
        raise _of_reply(error, path) from error
    except NoCredentialsError as error:
        raise NotPermittedError("no credentials for the artifact bucket") from error
    except ParamValidationError as error:
        raise InvalidArgumentError(f"the bucket cannot hold '{path}'") from error
    except BotoCoreError as error:
        raise unavailable(error) from error


def unavailable(error: Exception) -> StoreUnavailableError:
    """The error for a bucket that did not answer."""
    return StoreUnavailableError(f"the artifact bucket did not answer: {type(error).__name__}")


_Make: TypeAlias = Callable[[str, str], RegistryError]

_BY_CODE: Mapping[str, _Make] = {
    **dict.fromkeys(
        ("NoSuchKey", "NoSuchUpload", "404", "NotFound"),
        lambda path, _: ArtifactNotFoundError(path),
    ),
    **dict.fromkeys(
        ("PreconditionFailed", "ConditionalRequestConflict", "412"),
        lambda path, _: ArtifactExistsError(path),
    ),
    "NoSuchBucket": lambda *_: BackendError("the artifact bucket does not exist"),
}

_BY_STATUS: Mapping[int, _Make] = {
    **dict.fromkeys(
        (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN),
        lambda path, code: NotPermittedError(
            f"the artifact bucket refused access to '{path}': {code}"
        ),
    ),
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: lambda path, _: RangeError(
        f"'{path}' is shorter than that"
    ),
    HTTPStatus.TOO_MANY_REQUESTS: lambda _, code: _failed(code),
}


def _of_reply(error: ClientError, path: str) -> RegistryError:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    if make := _BY_CODE.get(code) or _BY_STATUS.get(status):
        return make(path, code)
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return InvalidArgumentError(f"the artifact bucket refused '{path}': {code}")
    return _failed(code)


def _failed(code: str) -> StoreUnavailableError:
    return StoreUnavailableError(f"the artifact bucket failed: {code}")
