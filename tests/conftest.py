"""Fixtures that every test may ask for; the real services live in `services`."""

import gc
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

pytest_plugins = [
    "services.postgres",
    "services.s3",
    "services.registry_server",
    "services.acceptance",
]

NEED_MLFLOW = ("tests/acceptance/", "tests/differential/")
"""Tests that need MLflow's own server, which takes many seconds to start."""


BYTECODE = Path(__file__).parents[1] / ".pytest_cache/bytecode"
"""Where compiled modules are kept when the environment keeps them from lying beside the sources."""


def keep_bytecode() -> None:
    """Has this process, and all that the tests start, compile a module once.

    With PYTHONDONTWRITEBYTECODE, which images with Python often set, each server and each worker
    compiles all that it imports, which is most of what the tests would do.
    """
    if not sys.dont_write_bytecode:
        return
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = os.fspath(BYTECODE)
    sys.dont_write_bytecode = False


keep_bytecode()

# How long an example takes on a busy machine says nothing about it.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

# A script that starts the tests with `&` has them ignore Ctrl-C, and so every process they start,
# among them those that have to show how they end by it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module", autouse=True)
def leftovers_of_other_files() -> None:
    """What earlier files of the same process left open is thrown away before a file begins.

    MLflow's client forgets to close sockets and files. Nobody can say when they are collected, and
    the test that runs then would fail for what another one has done. What a file leaves open itself
    stays an error in it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


class ByFile(LoadScopeScheduling):
    """The tests of a file run in one process, and all that need MLflow's server in one, too."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.split("::", 1)[0]
        return "mlflow" if path.startswith(NEED_MLFLOW) else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """What decides which process runs which tests."""
    return ByFile(config, log)
