"""Registry servers as real processes on loopback: ours, and MLflow's own as the reference.

A server is used as a context manager. Leaving it normally stops ours with SIGTERM and requires the
exit code 0 that an orderly end promises; leaving it by an exception just ends it.

`mlflow_url` is one MLflow server for the session, or the one that `REGISTRY_TEST_MLFLOW_URL`
names. `mlflow_database` is a copy of the database that it began with, with its schema, which takes
MLflow seconds to make; of a server that somebody else runs there is none.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, ClassVar, Self, TypeAlias

import pytest

from registry_core.inloop import DEBUG_VARIABLE
from services import forking
from services.ports import free_port

Process: TypeAlias = "subprocess.Popen[bytes] | forking.Forked"

START_SECONDS = 90
"""Seconds for a server to answer. Ours takes one; MLflow's takes nine on an idle machine."""

STOP_SECONDS = 90
"""Seconds for a server to end after SIGTERM, with the requests it still answers."""

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
}
"""What keeps MLflow, as a client and as a server, from calling anywhere but loopback."""

WEBHOOKS_ON_LOOPBACK = {
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_WEBHOOK_CACHE_TTL": "0",
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
}
"""What lets either server deliver to a receiver of the tests: plain HTTP on loopback, at once."""

COPY = "empty.db"
"""The file in the MLflow server's directory with the schema alone."""


class ServerProcess:
    """A server process: its address, its log, its end."""

    ready_path: ClassVar[str] = "/health"
    start_seconds: ClassVar[float] = START_SECONDS

    def __init__(self, command: list[str], *, port: int, environment: dict[str, str]) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._command = command
        self._environment = environment
        self._directory = Path(tempfile.mkdtemp(prefix="registry-server-"))
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        """The process that was started, which may have workers of its own."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    @property
    def log(self) -> str:
        """All that the server has written."""
        path = self._directory / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> Self:
        """Returns when the server answers."""
        with (self._directory / "log").open("ab") as log:
            self._process = self._launch(log, {**os.environ, **QUIET, **self._environment})
        deadline = time.monotonic() + self.start_seconds
        while not self._answers():
            code = self._process.poll()
            if code is not None or time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(f"the server did not start (exit code {code}):\n{self.log}")
            time.sleep(0.02)
        return self

    def _launch(self, log: BinaryIO, environment: dict[str, str]) -> Process:
        return subprocess.Popen(
            self._command,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=self._directory,
            env=environment,
            # A group of its own, so that whatever it starts ends with it.
            start_new_session=True,
        )

    def stop(self) -> int:
        """Ends the server with SIGTERM; returns its exit code."""
        assert self._process is not None, "the server is not running"
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"SIGTERM did not end the server:\n{self.log}") from None
        finally:
            self.kill()

    def kill(self) -> None:
        """The server and everything it started end at once."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(STOP_SECONDS)
        self._process = None

    def kill_parent(self) -> None:
        """The process that was started ends at once; what it started is told nothing."""
        assert self._process is not None, "the server is not running"
        self._process.kill()
        self._process.wait(STOP_SECONDS)
        self._process = None

    def is_listening(self) -> bool:
        """Whether anybody takes connections on the server's port."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except ConnectionRefusedError:
            return False
        except OSError:
            pass  # a connection that is not answered has been taken
        return True

    def close(self) -> None:
        """Removes what the server left, ending it if it still runs."""
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self._process is not None and exc is None:
                self._end_in_order()
        finally:
            self.close()

    def _end_in_order(self) -> None:
        self.stop()

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", self.ready_path)
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


class RegistryServer(ServerProcess):
    """Our server over the store at `store_url`; a `public` one is told where clients find it."""

    def __init__(
        self,
        store_url: str,
        *,
        workers: int = 1,
        public: bool = False,
        arguments: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        port = free_port()
        command = [sys.executable, "-m", "registry_server", "--store", store_url]
        if public:
            command += ["--public-url", f"http://127.0.0.1:{port}"]
        command += ["--host", "127.0.0.1", "--port", str(port)]
        if workers > 1:
            command += ["--workers", str(workers)]
        super().__init__([*command, *arguments], port=port, environment=environment or {})

    def _launch(self, log: BinaryIO, environment: dict[str, str]) -> Process:
        if DEBUG_VARIABLE in environment or any(
            key.startswith("PYTHON") and key != "PYTHONPATH" for key in self._environment
        ):
            # They are looked at while the interpreter starts, or the server is loaded.
            return super()._launch(log, environment)
        with Path(os.devnull).open("rb") as nothing:
            return forking.start(
                "registry_server",
                self._command[self._command.index("registry_server") + 1 :],
                streams=(nothing.fileno(), log.fileno(), log.fileno()),
                environment=environment,
                directory=self._directory,
            )

    def workers(self) -> list[int]:
        """The worker processes there are now."""
        listed = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [pid for pid in map(int, listed) if _command_line(pid)]

    def _end_in_order(self) -> None:
        code = self.stop()
        assert code == 0, f"the server ended with {code}:\n{self.log}"


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()  # empty when it is only not reaped yet
    except OSError:  # it has ended
        return b""


class MlflowServer(ServerProcess):
    """MLflow's own server: tracking, registry and artifact proxy on SQLite in `directory`.

    Its registry is elsewhere where there is a `registry` URI, and everything but its files where there
    is a `backend` URI. It is the release of MLflow that the interpreter `python` has, ours unless said.
    """

    # It loads for nine seconds, and then makes its tables; on a busy machine that is minutes.
    start_seconds = 300

    def __init__(
        self,
        directory: Path,
        *,
        registry: str | None = None,
        backend: str | None = None,
        python: str = sys.executable,
        options: tuple[str, ...] = (),
    ) -> None:
        port = free_port()
        self.database = directory / "mlflow.db"
        command = [python, "-m", "mlflow", "server", "--host", "127.0.0.1"]
        command += ["--port", str(port), *(options or ("--workers", "1")), "--serve-artifacts"]
        command += ["--backend-store-uri", backend or f"sqlite:///{self.database}"]
        command += ["--artifacts-destination", str(directory / "artifacts")]
        command += [] if registry is None else ["--registry-store-uri", registry]
        environment = {
            # Jobs are for its agents and scorers; their runner starts a second interpreter.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            # Before 3.5 it starts gunicorn by name.
            "PATH": os.pathsep.join((os.fspath(Path(python).parent), os.environ["PATH"])),
            **WEBHOOKS_ON_LOOPBACK,
        }
        super().__init__(command, port=port, environment=environment)


@pytest.fixture(scope="session")
def mlflow_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the session's MLflow server keeps what it has."""
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture(scope="session")
def mlflow_url(mlflow_directory: Path) -> Iterator[str]:
    """Where the session's MLflow server answers."""
    external = os.environ.get("REGISTRY_TEST_MLFLOW_URL")
    if external:
        yield external
        return
    with MlflowServer(mlflow_directory) as server:
        with (
            contextlib.closing(sqlite3.connect(server.database)) as database,
            contextlib.closing(sqlite3.connect(mlflow_directory / COPY)) as copy,
        ):
            database.backup(copy)
        yield server.url


@pytest.fixture(scope="session")
def mlflow_database(mlflow_url: str, mlflow_directory: Path) -> Path | None:
    """A database with MLflow's schema and nothing in it, to be copied; None of a foreign server."""
    path = mlflow_directory / COPY
    return path if path.exists() else None
