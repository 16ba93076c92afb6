"""Fixtures that every test may ask for; the real services live in `services`."""

import gc
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from registry_core.testing import StatefulTests
from services import examples, long_forms

pytest_plugins = [
    "services.postgres",
    "services.s3",
    "services.registry_server",
    "services.acceptance",
    "services.checked_inloop",
    "services.chromium",
]

MLFLOW = "mlflow"
"""All tests that need MLflow, which takes seconds to import, or its server, which takes more to start:
they share one process, and one server."""

NEED_MLFLOW = (
    "tests/acceptance/",
    "tests/artifacts/test_artifact_folders.py",
    "tests/artifacts/test_artifact_foreign.py",
    "tests/differential/",
    "tests/mlflow_plugin/",
    "tests/search/test_search_everywhere.py",
    "tests/search/test_search_mlflow.py",
    "tests/server/test_server_access_process.py",
    "tests/server/test_webhook_client.py",
    "tests/server/test_webhook_own_events.py",
    "tests/moving/",
    "tests/stores/test_moves_into_mlflow.py",
    "tests/stores/test_moves_mlflow.py",
    "tests/stores/test_moves_mlflow_database.py",
    "tests/stores/test_rest_mlflow.py",
    "tests/wire/test_wire_webhooks.py",
)
"""The beginnings of their paths."""

LONGEST_FIRST = (
    MLFLOW,
    "tests/stores/test_sql_conformance.py",
    "tests/docs/test_pages_played.py",
    "tests/docs/test_guides_played.py",
    "tests/pages/test_pages_in_chromium.py",
    "tests/stores/test_s3_conformance.py",
    "tests/server/test_webhook_durable.py",
    "tests/server/test_server_connections.py",
    "tests/server/test_server_process.py",
    "tests/artifacts/test_artifact_routes.py",
    "tests/stores/test_s3_history.py",
    "tests/stores/test_rest_conformance.py",
    "tests/server/test_server_oidc.py",
    "tests/stores/test_s3_faults.py",
    "tests/hostile/test_hostile.py",
    "tests/stores/test_sql_faults.py",
    "tests/artifacts/test_artifact_immutability.py",
    "tests/stores/test_sql_poolers.py",
    "tests/stores/test_kit_catches_bugs.py",
    "tests/server/test_server_properties.py",
    "tests/stores/test_s3_outbox.py",
    "tests/stores/test_sql_failover.py",
    "tests/server/test_server_schemathesis.py",
    "tests/chaos/test_chaos_sql.py",
    "tests/artifacts/test_artifact_crashes.py",
    "tests/stores/test_rest_hostile.py",
    "tests/stores/test_history.py",
    "tests/chaos/test_chaos_s3.py",
    "tests/artifacts/test_artifact_served.py",
    "tests/artifacts/test_artifact_resuming.py",
    "tests/stores/test_snapshot_pieces.py",
    "tests/stores/test_sql_fsck.py",
    "tests/stores/test_plain_twins.py",
    "tests/cli/test_cli_process.py",
    "tests/migrations/test_migrations.py",
    "tests/stores/test_sql_lanes.py",
    "tests/cli/test_cli_days.py",
    "tests/stores/test_sql_servers.py",
    "tests/cli/test_cli_pipeline.py",
    "tests/chaos/test_chaos_failover.py",
)
"""Files that take 10 seconds or more, or wait so long. Begun at the end, one would keep a single process busy."""

WAITING_PROCESSES = 2
"""Processes beside one for each core: many tests wait for a server's time to be over, and leave their
core to others. Each starts servers of its own, so that more win nothing."""


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

MEMORY = Path("/dev/shm")
"""Where Linux keeps files in memory."""

MEMORY_BYTES = 4 << 30
"""What has to be free there. The tests need a quarter of it."""


def keep_files_in_memory() -> None:
    """Has the tests, and all that they start, keep their temporary files in memory.

    Stores sync each change, and the tests would wait for the disk most of the time. What survives the
    end of a process survives it in memory, too; what a loss of power leaves no test can tell.
    """
    if "TMPDIR" in os.environ or not MEMORY.is_dir():
        return
    if shutil.disk_usage(MEMORY).free >= MEMORY_BYTES:
        os.environ["TMPDIR"] = os.fspath(MEMORY)
        tempfile.tempdir = None


keep_files_in_memory()

# What the kit starts loads the stores once, and not in each process.
multiprocessing.set_forkserver_preload(
    [
        "registry_core.testing.processes",
        "registry_core.stores.rest",
        "registry_core.stores.s3",
        "registry_core.stores.sql",
        "boto3",
        "psycopg",
    ]
)

examples.register()
settings.load_profile(examples.GATE)

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


# Modules and tests are made by the ten thousand now, and stay.
gc.disable()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Spares every later collection of garbage the modules and the ten thousand tests.

    They stay until the end, and walking through them takes a fifth of a second: before each file,
    and whenever Python thinks it time.
    """
    gc.enable()
    gc.collect()
    gc.freeze()


def scope(nodeid: str) -> str:
    """The tests that run in the same process: those of a file, and all that need MLflow's server."""
    path = nodeid.split("::", 1)[0]
    return MLFLOW if path.startswith(NEED_MLFLOW) else path


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    """Marks what is for `nox -s long`; puts the longest files first, and leaves tests in their order."""
    session.stash[long_forms.COLLECTED] = frozenset(item.nodeid for item in items)
    left_out = long_forms.left_out(item.nodeid for item in items)
    for item in items:
        if item.nodeid in left_out:
            item.add_marker("long")
        if isinstance(item, pytest.Function) and issubclass(item.cls or object, StatefulTests):
            item.add_marker("hypothesis")  # as the plug-in marks all others
    place = {each: number for number, each in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: place.get(scope(item.nodeid), len(place)))


class ByScope(LoadScopeScheduling):
    """Gives processes one scope after the other, in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByScope:
    """What decides which process runs which tests."""
    return ByScope(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """How many processes run the tests."""
    can_tell = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if can_tell else os.cpu_count() or 1
    return cores + WAITING_PROCESSES
