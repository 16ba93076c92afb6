"""Errors of `registry_core` as MLflow's, by the table that the HTTP server goes by, too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import ErrorCode

from registry_core import RegistryError
from registry_core.wire import code_of


def as_mlflow(error: RegistryError) -> MlflowException:
    """Return the exception that MLflow's client would raise for the error, had a server sent it."""
    return MlflowException(str(error), error_code=ErrorCode.Value(code_of(error).name))


@contextmanager
def mlflow_errors() -> Iterator[None]:
    """Raise MLflow's exceptions instead of ours."""
    try:
        yield
    except RegistryError as error:
        raise as_mlflow(error) from error
