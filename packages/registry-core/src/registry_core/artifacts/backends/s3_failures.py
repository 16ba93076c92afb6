"""What a failed request to a bucket means for a file: see `registry_core.s3_errors`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from registry_core.errors import (
    ArtifactExistsError,
    ArtifactNotFoundError,
    BackendError,
    InvalidArgumentError,
    NotPermittedError,
    RegistryError,
    StoreUnavailableError,
    UnsupportedBackendError,
)
from registry_core.s3_errors import Failure, FailureKind, s3_errors


class RangeError(InvalidArgumentError):
    """The file ends before the first byte that was asked for."""


def file_errors(path: str) -> AbstractContextManager[None]:
    """Raise our errors in place of the SDK's, for a request about one path."""
    return s3_errors(lambda failure: _ERRORS.get(failure.kind, _unavailable)(path, failure))


def unavailable(reason: str) -> StoreUnavailableError:
    """Return the error for a bucket that gave no answer, or none of use."""
    return StoreUnavailableError(f"the artifact bucket did not answer: {reason}")


def _unavailable(_: str, failure: Failure) -> RegistryError:
    return unavailable(failure.reason)


_ERRORS: Mapping[FailureKind, Callable[[str, Failure], RegistryError]] = {
    FailureKind.ABSENT: lambda path, _: ArtifactNotFoundError(path),
    FailureKind.CONDITION_FAILED: lambda path, _: ArtifactExistsError(path),
    FailureKind.NO_BUCKET: lambda *_: BackendError("the artifact bucket does not exist"),
    FailureKind.RANGE_NOT_SATISFIABLE: lambda path, _: RangeError(f"'{path}' is shorter than that"),
    FailureKind.NOT_PERMITTED: lambda path, failure: NotPermittedError(
        f"the artifact bucket refused access to '{path}': {failure.reason}"
    ),
    FailureKind.NOT_IMPLEMENTED: lambda path, failure: UnsupportedBackendError(
        f"the artifact bucket cannot do that to '{path}': {failure.reason}"
    ),
    FailureKind.REFUSED: lambda path, failure: InvalidArgumentError(
        f"the artifact bucket refused '{path}': {failure.reason}"
    ),
    FailureKind.INVALID: lambda path, _: InvalidArgumentError(f"the bucket cannot hold '{path}'"),
}
"""Of the kinds that are missing here, the bucket is unavailable."""
