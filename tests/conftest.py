"""Fixtures that every test may ask for; the real services live in `services`."""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

pytest_plugins = [
    "services.postgres",
    "services.s3",
    "services.registry_server",
    "services.acceptance",
]

NEED_MLFLOW = ("tests/acceptance/", "tests/differential/")
"""Tests that need MLflow's own server, which takes many seconds to start."""


class ByFile(LoadScopeScheduling):
    """The tests of a file run in one process, and all that need MLflow's server in one, too."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.split("::", 1)[0]
        return "mlflow" if path.startswith(NEED_MLFLOW) else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """What decides which process runs which tests."""
    return ByFile(config, log)
